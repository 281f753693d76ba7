"""What the field history of deals gives against what the log of deals says of the same deals."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from connectors.salesforce.deals import CHOICES, Deal, stages
from connectors.salesforce.orgs import Connect, rows_of
from connectors.salesforce.sites import Site, load_of, on
from simulators.salesforce import Org, SalesforceSimulator

VALUES = ("stage", "amount", "probability", "close_date", "is_closed", "is_won")


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


# --- years later ---------------------------------------------------------------------------------

KEPT = timedelta(days=548)


def forget(salesforce: SalesforceSimulator) -> int:
    """Field history of more than 18 months is gone; how many records that were."""
    changes = salesforce.org.objects["OpportunityFieldHistory"].records
    old = [n for n, r in changes.items() if r["CreatedDate"] < salesforce.clock() - KEPT]
    for name in old:
        salesforce.org.purge(name)
    return len(old)


def expected(made: list[Deal]) -> list[tuple[Any, ...]]:
    """What the warehouse has to hold of these stories."""
    rows = []
    for deal in made:
        ends = [*(at for at, _ in deal.story[1:]), None]
        stay, former = -1, None
        for (at, values), end in zip(deal.story, ends, strict=True):
            stay, former = stay + (values["StageName"] != former), values["StageName"]
            closed = former in ("Won", "Lost")
            rows.append((deal.id, at, end, former, values["Amount"], values["Probability"] / 100,
                         values["CloseDate"], closed, former == "Won", stay))  # fmt: skip
    return sorted(rows, key=lambda row: row[:2])


def stored(site: Site) -> list[tuple[Any, ...]]:
    columns = ("opportunity_id", "entered_at", "exited_at", *VALUES, "stay_id")
    stays: dict[str, dict[str, int]] = {}
    rows = sorted(site.rows("opportunity_stage_history", *columns), key=lambda row: row[:2])
    return [
        (*row[:-1], stays.setdefault(row[0], {}).setdefault(row[-1], len(stays[row[0]])))
        for row in rows
    ]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_stays_of_deals_stay_when_their_history_is_gone(
    site: Site, salesforce: SalesforceSimulator, seed: int
) -> None:
    site.only = ("opportunity_stage_history",)
    salesforce.org.hide("OpportunityHistory")
    stages(salesforce.org)
    salesforce.clock.now = on(2022, 1, 3)
    dice, made, gone = random.Random(seed), list[Deal](), 0

    def happen() -> None:
        """Months in which deals are made, change, or are only looked at."""
        for _ in range(4):
            salesforce.clock.advance(dice.randint(20, 40) * 86_400)
            for deal in made:
                deed = dice.random()
                if deed < 0.12:
                    names = dice.sample(list(CHOICES), dice.randint(1, 3))
                    after = salesforce.clock() - deal.at
                    deal.change(after, **{name: dice.choice(CHOICES[name]) for name in names})
                elif deed < 0.3:
                    salesforce.org.update(deal.id, NextStep="call")
            if len(made) < 30:
                first = {name: dice.choice(values) for name, values in CHOICES.items()}
                made.append(Deal(salesforce.org, first, at=salesforce.clock()))

    for step in range(11):
        happen()
        if step in (6, 9):  # all is read anew, and more history is gone than was at first
            label = f"Parked {step}"
            salesforce.org.create("OpportunityStage", ApiName=label, MasterLabel=label)
        gone += forget(salesforce)
        site.later(hours=1)
        site.synced()
        assert stored(site) == expected(made)
    assert gone > 20


# --- closed at the first that is known of them ---------------------------------------------------

MADE, LATER = on(2022, 1, 3, 9), on(2022, 6, 20, 9)


def a_deal_of_long_ago(salesforce: SalesforceSimulator, stage: str, closing: date) -> str:
    """Made in January 2022 and last changed in June, of which no history is left."""
    values = {"Amount": 10, "Probability": 100, "CloseDate": closing}
    deal = salesforce.org.create("Opportunity", stamp=MADE, StageName="Open", **values)
    salesforce.org.update(deal, stamp=LATER, StageName=stage, IsClosed=stage == "Won",
                          IsWon=stage == "Won")  # fmt: skip
    return deal


def spans(site: Site, deal: str) -> list[tuple[Any, ...]]:
    columns = ("entered_at", "exited_at", "stage", "is_closed")
    return site.rows(f"opportunity_stage_history where opportunity_id = '{deal}'", *columns)


@pytest.fixture
def aged(site: Site, salesforce: SalesforceSimulator) -> Site:
    site.only = ("opportunity_stage_history", "opportunities")
    salesforce.org.hide("OpportunityHistory")
    stages(salesforce.org)
    return site


def test_a_deal_that_was_closed_before_the_first_read_was_not_so_since_its_creation(
    aged: Site, salesforce: SalesforceSimulator
) -> None:
    aged.source = {"timezone": "America/Los_Angeles"}
    won, still, at_once, dated_late = (
        a_deal_of_long_ago(salesforce, stage, closing)
        for stage, closing in (
            ("Won", date(2022, 4, 1)),
            ("Open", date(2022, 4, 1)),
            ("Won", date(2022, 1, 2)),
            ("Won", date(2022, 9, 1)),
        )
    )
    closed = on(2022, 4, 1, 7)  # midnight in California
    salesforce.clock.advance(7200)
    for label, is_full in (("", False), ("", False), ("Parked", False), ("", True)):
        if label:  # all is read anew
            salesforce.org.create("OpportunityStage", ApiName=label, MasterLabel=label)
        aged.later(hours=1)
        aged.synced(full=is_full)
        assert spans(aged, won) == [(MADE, closed, None, None), (closed, None, "Won", True)]
        assert spans(aged, still) == [(MADE, None, "Open", False)]
        assert spans(aged, at_once) == [(MADE, None, "Won", True)]
        assert spans(aged, dated_late) == [(MADE, LATER, None, None), (LATER, None, "Won", True)]
    for period, open_amount, unknown in (
        ("2022-02", 10, 2),
        ("2022-04", 10, 1),
        ("2022-06", 10, 0),
    ):
        [row] = [
            row
            for row in aged.project.query(["sales_pipeline_value"], period=period).to_pylist()
            if not row["variant"]
        ]
        coverage = dict(row["coverage"])
        assert (row["value"], coverage.get("missing_is_closed", 0)) == (open_amount, unknown)


def test_a_deal_that_no_history_tells_of_stays_so_whatever_becomes_of_it(
    aged: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    deal = a_deal_of_long_ago(salesforce, "Won", date(2022, 4, 1))
    closed = on(2022, 4, 1)
    salesforce.clock.advance(7200)
    aged.synced()
    aged.later(days=1)
    opened = salesforce.clock()
    org.update(deal, StageName="Talk", IsClosed=False, IsWon=False)
    org.create("OpportunityFieldHistory", OpportunityId=deal, Field="StageName", OldValue="Won",
               NewValue="Talk", CreatedDate=opened)  # fmt: skip
    for is_full in (False, False, True):
        aged.later(hours=1)
        aged.synced(full=is_full)
        known = [(closed, opened, "Won", True), (opened, None, "Talk", False)]
        if is_full:  # nothing tells any more since when it had been won
            assert spans(aged, deal) == [(MADE, opened, None, None), known[-1]]
        else:
            assert spans(aged, deal) == [(MADE, closed, None, None), *known]


def test_a_young_deal_that_the_org_follows_was_closed_on_its_creation(
    aged: Site, salesforce: SalesforceSimulator
) -> None:
    first = {name: values[0] for name, values in CHOICES.items()}
    deal = Deal(salesforce.org, {**first, "StageName": "Won"}, at=salesforce.clock())
    salesforce.clock.advance(7200)
    aged.synced()
    assert stored(aged) == expected([deal])


def a_deal_without_the_log(site: Site, salesforce: SalesforceSimulator) -> str:
    """An open deal of an org that hides the log of deals, read once."""
    site.only = ("opportunity_stage_history",)
    salesforce.org.hide("OpportunityHistory")
    stages(salesforce.org)
    deal = salesforce.org.create("Opportunity", StageName="Open", Amount=10, Probability=20)
    salesforce.clock.advance(7200)
    site.synced()
    return deal


def test_what_is_not_tracked_changes_when_that_is_seen(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    org, made = salesforce.org, salesforce.clock()
    deal = a_deal_without_the_log(site, salesforce)
    seen = []
    for change in ({"Amount": 25.123456}, {"NextStep": "call"}, {"StageName": "Won"}):
        site.later(days=1)
        if "NextStep" not in change:
            seen.append(salesforce.clock())
        org.update(deal, **change)
        site.later(hours=1)
        site.synced()
    rows = site.rows("opportunity_stage_history", "entered_at", "exited_at", "stage", "amount",
                     "is_closed", "stay_id")  # fmt: skip
    assert [row[:3] for row in rows] == [
        (made, seen[0], "Open"), (seen[0], seen[1], "Open"), (seen[1], None, "Won"),
    ]  # fmt: skip
    assert [float(row[3]) for row in rows] == [10, 25.1235, 25.1235]
    assert [row[4] for row in rows] == [False, False, True]
    assert rows[0][5] == rows[1][5] != rows[2][5]


def test_what_was_read_of_a_field_stays_when_it_is_tracked_later(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    org, made = salesforce.org, salesforce.clock()
    deal = a_deal_without_the_log(site, salesforce)
    moved = []
    for stage, amount, is_tracked in (("Talk", 20, False), ("Won", 30, True), ("Lost", 40, True)):
        before = dict(org.objects["Opportunity"].records[deal])
        site.later(days=1)
        moved.append(salesforce.clock())
        org.update(deal, StageName=stage, Amount=amount)
        for name, value in (("StageName", stage), ("Amount", amount)) if is_tracked else ():
            org.create("OpportunityFieldHistory", OpportunityId=deal, Field=name,
                       OldValue=before[name], NewValue=value, CreatedDate=moved[-1])  # fmt: skip
        site.later(hours=1)
        site.synced()
    org.create("OpportunityStage", ApiName="Parked", MasterLabel="Parked")  # all is read anew
    site.later(hours=1)
    site.synced()
    rows = site.rows("opportunity_stage_history", "entered_at", "exited_at", "stage", "amount")
    times = [made, *moved, None]
    values = [("Open", 10), ("Talk", 20), ("Won", 30), ("Lost", 40)]
    assert rows == [(*times[n : n + 2], *row) for n, row in enumerate(values)]


def test_old_rows_follow_their_deal_into_the_bin_and_back(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    site.only = ("opportunity_stage_history",)
    org.hide("OpportunityHistory")
    stages(org)
    salesforce.clock.now = on(2022, 1, 3)
    deal = Deal(org, {name: values[0] for name, values in CHOICES.items()}, at=salesforce.clock())
    for stage in ("Talk", "Won"):
        site.later(days=2)
        deal.change(timedelta(days=2), StageName=stage)
    site.later(days=2)
    site.synced()
    site.later(days=900)
    site.synced()
    assert forget(salesforce) == 3
    for deed, is_deleted in ((org.delete, True), (org.undelete, False)):
        deed(deal.id)
        site.later(hours=3)
        site.synced()
        rows = site.rows("opportunity_stage_history", "stage", "is_deleted")
        assert rows == [("Open", is_deleted), ("Talk", is_deleted), ("Won", is_deleted)]
    assert stored(site) == expected([deal])


@pytest.mark.slow
def test_a_deal_has_its_stays_once_when_the_history_of_very_many_changed(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    site.only = ("opportunity_stage_history",)
    org.hide("OpportunityHistory")
    stages(org)
    made = salesforce.clock()
    deal, *others = (org.create("Opportunity", StageName="Open") for _ in range(20_002))
    salesforce.clock.advance(7200)
    site.synced()
    site.later(days=1)
    moved = salesforce.clock()
    org.update(deal, StageName="Won")
    for name in (deal, *others):  # of the others the history alone tells
        org.create("OpportunityFieldHistory", OpportunityId=name, Field="StageName",
                   OldValue="Open", NewValue="Won", CreatedDate=moved)  # fmt: skip
    site.later(hours=1)
    report = load_of(site.synced(), "opportunity_stage_history")
    assert (report.fetched, report.duplicates) == (40_004, 0)
    columns = "count(*), min(stage), min(entered_at), min(exited_at), max(exited_at)"
    assert site.rows(
        "opportunity_stage_history where opportunity_id = '" + deal + "' group by stage", columns
    ) == [(1, "Open", made, moved, moved), (1, "Won", moved, None, None)]
