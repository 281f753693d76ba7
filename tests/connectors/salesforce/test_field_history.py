"""What the field history of deals gives against what the log of deals says of the same deals."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from connectors.salesforce.orgs import Connect, rows_of
from simulators.salesforce import Org, SalesforceSimulator

NINE = datetime(2025, 12, 1, 9, tzinfo=UTC)
VALUES = ("stage", "amount", "probability", "close_date", "is_closed", "is_won")
CHOICES: Mapping[str, tuple[Any, ...]] = {
    "StageName": ("Open", "Talk", "Won", "Lost"),
    "Amount": (None, 10, 10.5, 2_000_000),
    "Probability": (0, 20, 50, 100),
    "CloseDate": (date(2026, 1, 31), date(2026, 2, 28)),
}


@dataclass
class Deal:
    """A deal whose changes are written to both logs, as the org does."""

    org: Org
    first: dict[str, Any]
    at: datetime = NINE
    now: dict[str, Any] = field(default_factory=dict)
    id: str = ""

    def __post_init__(self) -> None:
        self.now = dict(self.first)
        self.id = self.org.create("Opportunity", stamp=self.at, **self.now)
        self.org.create("OpportunityFieldHistory", OpportunityId=self.id, Field="created",
                        CreatedDate=self.at)  # fmt: skip
        self._log()

    def change(self, after: timedelta, **values: Any) -> None:
        changed = {name: value for name, value in values.items() if value != self.now[name]}
        if not changed:
            return
        self.at += after
        for name, value in changed.items():
            self.org.create(
                "OpportunityFieldHistory", OpportunityId=self.id, Field=name,
                OldValue=self.now[name], NewValue=value, CreatedDate=self.at,
            )  # fmt: skip
        self.now.update(changed)
        self.org.update(self.id, stamp=self.at, **changed)
        self._log()

    def _log(self) -> None:
        self.org.create("OpportunityHistory", OpportunityId=self.id, stamp=self.at, **self.now)


def stages(org: Org) -> None:
    for label in CHOICES["StageName"]:
        org.create("OpportunityStage", ApiName=label, MasterLabel=label,
                   IsClosed=label in ("Won", "Lost"), IsWon=label == "Won")  # fmt: skip


def story(connect: Connect, **options: Any) -> list[tuple[Any, ...]]:
    """The rows of all deals without what names them, and with the number of their stay."""
    rows = rows_of(connect(**options), "opportunity_stage_history")
    rows.sort(key=lambda row: (row["opportunity_id"], row["entered_at"]))
    known: dict[str, int] = {}
    return [
        (
            row["opportunity_id"],
            row["entered_at"],
            row["exited_at"],
            *(row[name] for name in VALUES),
            known.setdefault(row["stay_id"], len(known)),
        )
        for row in rows
    ]


def deals(org: Org) -> Iterator[Deal]:
    """Deals whose stories hold what is easily lost."""
    blank = {name: values[0] for name, values in CHOICES.items()}
    yield Deal(org, blank)  # never changed
    late = Deal(org, blank)  # the amount came later than the deal
    late.change(timedelta(hours=1), StageName="Talk")
    late.change(timedelta(hours=1), Amount=10, Probability=20)
    late.change(timedelta(hours=1), Amount=2_000_000)
    emptied = Deal(org, {**blank, "Amount": 10.5})
    emptied.change(timedelta(hours=1), Amount=None)
    emptied.change(timedelta(hours=1), StageName="Lost", CloseDate=date(2026, 2, 28))
    back = Deal(org, {**blank, "StageName": "Talk"})
    for name in ("Open", "Talk", "Won", "Open"):
        back.change(timedelta(days=1), StageName=name)
    dice = random.Random(6)
    for _ in range(25):
        deal = Deal(org, {name: dice.choice(values) for name, values in CHOICES.items()})
        for _ in range(dice.randrange(6)):
            names = dice.sample(list(CHOICES), dice.randint(1, 4))
            after = timedelta(seconds=dice.choice((1, 60, 86_400)))
            deal.change(after, **{name: dice.choice(CHOICES[name]) for name in names})
        yield deal


@pytest.mark.parametrize("transport", ["rest", "bulk"])
def test_the_field_history_of_deals_gives_the_same_stays_as_their_log(
    salesforce: SalesforceSimulator, connect: Connect, transport: str
) -> None:
    stages(salesforce.org)
    made = list(deals(salesforce.org))
    logged = story(connect)
    assert len(logged) > 2 * len(made)
    salesforce.org.hide("OpportunityHistory")
    assert story(connect, transport=transport) == logged
