"""Deals whose changes are written to both logs, as an org does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from simulators.salesforce import Org

NINE = datetime(2025, 12, 1, 9, tzinfo=UTC)
CHOICES: Mapping[str, tuple[Any, ...]] = {
    "StageName": ("Open", "Talk", "Won", "Lost"),
    "Amount": (None, 10, 10.5, 2_000_000),
    "Probability": (0, 20, 50, 100),
    "CloseDate": (date(2026, 1, 31), date(2026, 2, 28)),
}


@dataclass
class Deal:
    """A deal; story: since when it had which values."""

    org: Org
    first: dict[str, Any]
    at: datetime = NINE
    now: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    story: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)

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
        self.story.append((self.at, dict(self.now)))
        self.org.create("OpportunityHistory", OpportunityId=self.id, stamp=self.at, **self.now)


def stages(org: Org) -> None:
    for label in CHOICES["StageName"]:
        org.create("OpportunityStage", ApiName=label, MasterLabel=label,
                   IsClosed=label in ("Won", "Lost"), IsWon=label == "Won")  # fmt: skip
