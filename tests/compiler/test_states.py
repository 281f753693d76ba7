"""States against brute force: running sums, unfolded states and vectors give the same snapshots."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Question
from crmetrics.testing.examples import read_example
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2025, 8, 20, 7, 30, tzinfo=UTC)
DEFINITIONS = """
vectors:
  account_states:
    from: subscriptions
    entity: [source, account_id]
    span: [start_date, end_date]
    where: mrr > 0
    values: {mrr: sum(mrr), seats: count(*)}
    types: {seats: BIGINT}
  account_sums:
    from: subscriptions
    entity: [source, account_id]
    span: [start_date, end_date]
    where: mrr > 0
    values:
      mrr: sum(mrr)
      paying: bool_or(true)
      big: sum(1) filter (where mrr > 20)
    types: {paying: BOOLEAN, big: BIGINT}
kpis:
  open_deals: &open
    title: Open deals
    question: How many deals are open?
    unit: count
    better: higher
    from: opportunities
    span: [created_at, closed_at]
    value: count(*)
    variants:
      distinct: {value: count(distinct id)}
      amount: {value: sum(amount), unit: currency}
      mean: {value: avg(amount), unit: currency}
  recurring:
    title: Recurring revenue
    question: How much?
    unit: currency
    better: higher
    from: subscriptions
    span: [start_date, end_date]
    where: mrr > 0
    value: sum(mrr)
    variants:
      seats: {value: count(*), unit: count}
      closing: {from: account_states, shape: period, value: sum(closing_mrr)}
      opening: {from: account_states, shape: period, value: sum(opening_mrr)}
      kept:
        from: account_states
        shape: period
        where: opening_mrr is not null
        value: count(closing_mrr)
        unit: count
      closing_sum: {from: account_sums, shape: period, value: sum(closing_mrr)}
      opening_sum: {from: account_sums, shape: period, value: sum(opening_mrr)}
      stayed:
        from: account_sums
        shape: period
        value: count(*) filter (where opening_paying and closing_paying)
        unit: count
      lost:
        from: account_sums
        shape: period
        where: closing_paying is null
        value: sum(opening_mrr)
      big: {from: account_sums, shape: period, value: sum(closing_big), unit: count}
      counted:
        from: account_sums
        shape: period
        value: sum(closing_mrr)
        coverage: {big_before: sum(opening_big)}
      largest: {from: account_sums, shape: period, value: max(closing_mrr)}
"""
SUMS = ("closing_sum", "opening_sum", "stayed", "lost", "big")
LARGEST = ("largest",)


class Case:
    """Random deals and subscriptions, and what a snapshot of them must be."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        start = datetime(2025, 1, 1, tzinfo=UTC)
        self.deals = []
        for _ in range(60):
            opened = start + timedelta(minutes=dice.randrange(330_000))
            closed = opened + timedelta(minutes=dice.randrange(120_000))
            # Some on the very instants of a snapshot, some never closed.
            if dice.random() < 0.2:
                opened = opened.replace(day=1, hour=0, minute=0)
            if dice.random() < 0.2:
                closed = closed.replace(day=1, hour=0, minute=0)
            self.deals.append(
                (opened, closed if dice.random() < 0.8 else None, dice.randrange(900))
            )
        self.seats = []
        for _ in range(60):
            first = date(2025, 1, 1) + timedelta(days=dice.randrange(230))
            last = first + timedelta(days=dice.randrange(120)) if dice.random() < 0.7 else None
            self.seats.append((dice.choice("abcdef"), first, last, dice.choice([0, 10, 25])))

    def text(self) -> str:
        lines = ["@opportunities", "id,created_at,closed_at,amount,account_id"]
        for n, (opened, closed, amount) in enumerate(self.deals):
            shown = closed.isoformat() if closed else ""
            lines.append(f"{n},{opened.isoformat()},{shown},{amount},{'xyz'[n % 3]}")
        lines += ["@subscriptions", "account_id,start_date,end_date,mrr"]
        for account, first, last, mrr in self.seats:
            lines.append(f"{account},{first},{last or ''},{mrr}")
        return "\n".join(lines)

    def open_at(self, at: datetime, group: str = "") -> Iterator[int]:
        for n, (opened, closed, amount) in enumerate(self.deals):
            if opened > NOW or (group and "xyz"[n % 3] != group):
                continue
            known = closed if closed and closed <= NOW else None
            if opened < at and (known is None or known >= at):
                yield amount

    def on(self, day: date) -> dict[str, int]:
        found: dict[str, int] = {}
        for account, first, last, mrr in self.seats:
            if mrr and first <= day and (last is None or last > day):
                found[account] = found.get(account, 0) + mrr
        return found


@pytest.fixture(scope="module", params=[1, 2, 3])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


@pytest.fixture(scope="module", params=["UTC", "Asia/Kolkata", "America/New_York"])
def project(request: pytest.FixtureRequest, case: Case, tmp_path_factory: Any) -> Project:
    directory: Path = tmp_path_factory.mktemp("states")
    write_project(directory, {}, packs=(), reporting={"timezone": request.param})
    (directory / "metrics").mkdir()
    (directory / "metrics" / "own.yaml").write_text(DEFINITIONS)
    load_tables(directory, read_example(case.text()).tables)
    return Project(directory, environ={}, now=lambda: NOW)


@pytest.mark.parametrize("grain", ["day", "week", "month"])
def test_open_deals_at_the_end_of_every_period(grain: str, project: Project, case: Case) -> None:
    names = ["open_deals", "open_deals.distinct", "open_deals.amount", "open_deals.mean"]
    rows = project.query(names, start="2025-02-01", end="2025-09-01", grain=grain).to_pylist()
    assert len(rows) >= 4 * 7
    for row in rows:
        at = min(project.calendar.instant(row["period_end"]), NOW)
        amounts = list(case.open_at(at))
        expected = {
            "": len(amounts),
            "distinct": len(amounts),
            "amount": sum(amounts),
            "mean": sum(amounts) / len(amounts) if amounts else None,
        }[row["variant"]]
        assert row["value"] == pytest.approx(expected), (row["variant"], row["period_end"])


def test_groups_of_open_deals_run_on_their_own(project: Project, case: Case) -> None:
    names = ["open_deals", "open_deals.distinct"]
    rows = project.query(
        names, start="2025-02-01", end="2025-08-01", grain="week", by=["account_id"]
    ).to_pylist()
    for row in rows:
        (group,) = dict(row["segment"]).values()
        at = min(project.calendar.instant(row["period_end"]), NOW)
        assert row["value"] == len(list(case.open_at(at, group)))
        assert row["value"] > 0, "a group without a row is absent"


@pytest.mark.parametrize("grain", ["week", "month", "quarter"])
def test_vectors_and_states_agree_with_the_days(grain: str, project: Project, case: Case) -> None:
    names = ["recurring", "recurring.closing", "recurring.opening", "recurring.kept"]
    rows = project.query(names, start="2025-02-01", end="2025-08-01", grain=grain).to_pylist()
    for row in rows:
        last = project.calendar.local_day(
            min(project.calendar.instant(row["period_end"]), NOW) - timedelta(microseconds=1)
        )
        opening = case.on(row["period_start"] - timedelta(days=1))
        closing = case.on(last)
        expected = {
            "": sum(closing.values()),
            "closing": sum(closing.values()),
            "opening": sum(opening.values()),
            "kept": len(opening.keys() & closing.keys()),
        }[row["variant"]]
        assert (row["value"] or 0) == pytest.approx(expected), (row["variant"], row["period_start"])


def sums_of(project: Project, case: Case, row: dict[str, Any], group: str = "") -> dict[str, Any]:
    """What SUMS and LARGEST must be for the period of a row, of one account or of all."""
    last = project.calendar.local_day(
        min(project.calendar.instant(row["period_end"]), NOW) - timedelta(microseconds=1)
    )
    days = (row["period_start"] - timedelta(days=1), last)
    opening, closing = (
        {name: mrr for name, mrr in case.on(day).items() if not group or name == group}
        for day in days
    )
    big = [
        account
        for account, first, end, mrr in case.seats
        if mrr > 20 and first <= last and (end is None or end > last) and group in ("", account)
    ]
    return {
        "closing_sum": sum(closing.values()),
        "opening_sum": sum(opening.values()),
        "stayed": len(opening.keys() & closing.keys()),
        "lost": sum(mrr for name, mrr in opening.items() if name not in closing),
        "big": len(big),
        "largest": max(closing.values(), default=0),
    }


@pytest.mark.parametrize("variants", [SUMS, LARGEST])
@pytest.mark.parametrize("grain", ["day", "week", "month"])
def test_runs_agree_with_the_days(
    grain: str, variants: tuple[str, ...], project: Project, case: Case
) -> None:
    names = [f"recurring.{name}" for name in variants]
    rows = project.query(
        names, start="2025-02-01", end="2025-09-01", grain=grain, by=["account_id"], totals=True
    ).to_pylist()
    assert len(rows) > 7 * len(names)
    for row in rows:
        (group,) = dict(row["segment"]).values() or [""]
        expected = sums_of(project, case, row, group)[row["variant"]]
        assert (row["value"] or 0) == expected, (row["variant"], row["period_start"], group)


def test_runs_of_months_with_gaps_agree_with_the_days(project: Project, case: Case) -> None:
    # A month after a gap does not open with what the one before it closed with.
    months = project.calendar.periods(date(2025, 1, 1), date(2025, 9, 1), "month")
    names = tuple(f"recurring.{name}" for name in SUMS)
    for periods in (months[::2], months[::3], [*months[:2], *months[4:7]]):
        with project.answerer(periods) as answerer:
            question = Question(names, tuple(periods))
            assert "over readings" in answerer.program(question).scans()[0]
            rows = answerer.answer(question).to_pylist()
        assert len(rows) == len(periods) * len(names)
        for row in rows:
            expected = sums_of(project, case, row)[row["variant"]]
            assert (row["value"] or 0) == expected, (row["variant"], row["period_start"])


def test_periods_inside_of_others_have_no_runs_and_the_same_values(
    project: Project, case: Case
) -> None:
    months = project.calendar.periods(date(2025, 2, 1), date(2025, 8, 1), "month")
    quarters = project.calendar.periods(date(2025, 1, 1), date(2025, 7, 1), "quarter")
    names = tuple(f"recurring.{name}" for name in SUMS)
    for periods, is_run in ((months, True), ([*months, *quarters], False)):
        with project.answerer(periods) as answerer:
            question = Question(names, tuple(periods))
            assert ("over readings" in answerer.program(question).scans()[0]) == is_run
            rows = answerer.answer(question).to_pylist()
        assert len(rows) == len(periods) * len(names)
        for row in rows:
            expected = sums_of(project, case, row)[row["variant"]]
            assert (row["value"] or 0) == expected, (row["variant"], row["period_start"])


def test_a_layer_with_runs_goes_to_one_without(project: Project, case: Case) -> None:
    # April begins with its quarter, so that it stands in a layer of its own, which has runs; the
    # other one has none, as February opens after its quarter and closes before it.
    quarters = project.calendar.periods(date(2025, 1, 1), date(2025, 7, 1), "quarter")
    months = project.calendar.periods(date(2025, 2, 1), date(2025, 5, 1), "month")
    names = ("recurring.counted", "recurring.stayed")
    for periods in ([*quarters, *months], [*reversed(months), *quarters]):
        with project.answerer(periods) as answerer:
            question = Question(names, tuple(periods))
            scans = answerer.program(question).scans()
            assert len({"over readings" in sql for sql in scans}) == 2
            rows = answerer.answer(question).to_pylist()
        assert len(rows) == len(periods) * len(names)
        for row in rows:
            variant = row["variant"].replace("counted", "closing_sum")
            expected = sums_of(project, case, row)[variant]
            assert (row["value"] or 0) == expected, (row["variant"], row["period_start"])


def test_a_long_row_of_days_unfolds_to_the_same_as_a_vector(project: Project, case: Case) -> None:
    rows = project.query(
        ["recurring.closing"], start="2025-02-01", end="2025-06-01", grain="day"
    ).to_pylist()
    assert len(rows) == 120
    for row in rows:
        assert (row["value"] or 0) == sum(case.on(row["period_start"]).values())


def test_additive_states_are_summed_up_and_others_unfolded(project: Project) -> None:
    periods = project.calendar.periods(date(2025, 2, 1), date(2025, 8, 1), "month")
    with project.answerer(periods) as answerer:
        running = answerer.program(Question(("open_deals",), tuple(periods))).scans()
        unfolded = answerer.program(Question(("open_deals.distinct",), tuple(periods))).scans()
    assert "over readings" in running[0]
    assert "over readings" not in unfolded[0]
