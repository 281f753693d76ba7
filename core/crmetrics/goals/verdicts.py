"""From result rows and goals to verdicts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from crmetrics.goals.model import (
    Goal,
    GoalStatus,
    GoalVerdict,
    GuardrailReading,
    Judgement,
    KpiTraits,
)
from crmetrics.periods import Calendar

if TYPE_CHECKING:
    import pyarrow as pa

_NEAR_MISS = 0.8  # share of the expected progress from which a goal is at risk, not off track
_TOLERANCE = 1e-9  # binary rounding must not decide whether 0.48 is 80 % of 0.6
_NO_VALUE_STATUSES = frozenset({"missing_dataset", "missing_column", "no_data"})


class _Reading(Struct, frozen=True):
    """One result row, as far as judging needs it."""

    row: int
    kpi: str
    segment: Mapping[str, str]
    start: date
    end: date
    value: float | None
    states: frozenset[str]


# --- judging ---------------------------------------------------------------------------------


def judge(
    results: pa.Table,
    goals: Iterable[Goal],
    traits: Mapping[str, KpiTraits],
    *,
    as_of: datetime,
    calendar: Calendar,
    measured: pa.Table | None = None,
) -> Judgement:
    """The results with `goal, goal_target, goal_attainment, goal_status`, and the verdicts.

    A goal touches the row of its KPI and segment (no segment = the total) in the last period that
    overlaps the goal; of several goals on one row the most urgent is written. measured: result
    rows of the goals' KPIs and guardrails over each goal's own span (`goal_span`). traits: by
    `ID` and `ID.VARIANT`. A goal that neither table knows is left out.
    """
    goals = list(goals)
    wanted = {name for goal in goals for name in (goal.kpi, *goal.guardrails)}
    reported = _readings(results, wanted)
    spans = [] if measured is None else _readings(measured, wanted)
    today = calendar.local_day(as_of)
    verdicts = []
    for goal in goals:
        row = _last_row(reported, goal)
        span = _span_row(spans, goal)
        if row is not None or span is not None:
            verdicts.append(_verdict(goal, row, span, (reported, spans), traits, today))
    return Judgement(_with_goals(results, verdicts), tuple(verdicts))


def goal_span(goal: Goal, as_of: datetime, calendar: Calendar) -> tuple[date, date] | None:
    """The days [start, end) over which a goal is measured at as_of; None before it begins."""
    end = min(goal.due, calendar.local_day(as_of))
    return (goal.start, end) if end > goal.start else None


def attainment(actual: float, baseline: float, target: float) -> float | None:
    """Share of the way from baseline to target; None when there is no way to go."""
    if target == baseline:
        return None
    return (actual - baseline) / (target - baseline)


def expected_progress(goal: Goal, day: date) -> float:
    """Share of the goal's days that are over at the start of `day`: 0 to 1, linear."""
    return elapsed_share(goal.start, goal.due, day)


def elapsed_share(start: date, due: date, day: date) -> float:
    """Share of the days from `start` to `due` that are over at the start of `day`."""
    total = (due - start).days
    elapsed = (day - start).days
    return 1.0 if total <= 0 else min(max(elapsed / total, 0.0), 1.0)


def _verdict(
    goal: Goal,
    row: _Reading | None,
    span: _Reading | None,
    tables: tuple[Sequence[_Reading], Sequence[_Reading]],
    traits: Mapping[str, KpiTraits],
    today: date,
) -> GoalVerdict:
    reading = span or row
    assert reading is not None
    guardrails = _guardrails(goal, row, span, tables, traits)
    expected = expected_progress(goal, min(reading.end, today, goal.due))
    reason = _why_not_judged(goal, reading, traits, is_own_span=span is not None)
    share = None
    if not reason and reading.value is not None:
        share = attainment(reading.value, float(goal.baseline), float(goal.target))
    status: GoalStatus | Literal[""] = ""
    if share is not None:
        is_breached = any(guardrail.is_broken for guardrail in guardrails)
        status = goal_status(share, expected, is_breached=is_breached)
    return GoalVerdict(
        goal=goal,
        status=status,
        attainment=share,
        expected=expected,
        actual=reading.value,
        guardrails=guardrails,
        reason=reason,
        since=None if span is None else _first_day(goal.kpi, span, traits),
        row=None if row is None else row.row,
    )


def _why_not_judged(
    goal: Goal, reading: _Reading, traits: Mapping[str, KpiTraits], *, is_own_span: bool
) -> str:
    """Why the reading says nothing about the goal; empty when it does."""
    if reading.value is None or reading.states & _NO_VALUE_STATUSES:
        return "there is no value"
    if "maturing" in reading.states:
        return "the value may still change"
    if float(goal.target) == float(goal.baseline):
        return "target and baseline are equal"
    if is_own_span:
        return ""  # a goal's span is in progress until its due day
    if "partial" in reading.states:
        return "the period is not over"
    adds_up = goal.kpi in traits and traits[goal.kpi].adds_up
    if adds_up and (reading.start, reading.end) != (goal.start, goal.due):
        return f"its value since {goal.start} is not computed"
    return ""


def goal_status(share: float, expected: float, *, is_breached: bool) -> GoalStatus:
    """How a goal stands whose attainment is `share` where `expected` was expected."""
    if is_breached:
        return "breached_guardrail"
    if share >= 1.0 - _TOLERANCE:
        return "achieved"
    if share >= expected - _TOLERANCE:
        return "on_track"
    return "at_risk" if share >= _NEAR_MISS * expected - _TOLERANCE else "off_track"


def _guardrails(
    goal: Goal,
    row: _Reading | None,
    span: _Reading | None,
    tables: tuple[Sequence[_Reading], Sequence[_Reading]],
    traits: Mapping[str, KpiTraits],
) -> tuple[GuardrailReading, ...]:
    """The guardrails of a goal, read over the same days as the goal where that is possible."""
    reported, spans = tables
    found = []
    for name, limits in goal.guardrails.items():
        reading = None
        if span is not None:
            reading = _same_place(spans, name, span)
        adds_up = name in traits and traits[name].adds_up
        if reading is None and row is not None and not (span is not None and adds_up):
            reading = _same_place(reported, name, row)
        value = since = None
        if reading is not None and _is_final(reading, is_own_span=reading in spans):
            value = reading.value
            since = _first_day(name, reading, traits) if reading in spans else None
        found.append(GuardrailReading(name, value, limits.min, limits.max, since))
    return tuple(found)


def _first_day(kpi: str, span: _Reading, traits: Mapping[str, KpiTraits]) -> date | None:
    """The first day of what a value over a goal's own days is about; a snapshot has none."""
    is_snapshot = kpi in traits and traits[kpi].is_snapshot
    return None if is_snapshot else span.start


def _is_final(reading: _Reading, *, is_own_span: bool) -> bool:
    unfit = _NO_VALUE_STATUSES | {"maturing"} | (set() if is_own_span else {"partial"})
    return not reading.states & unfit


# --- rows ------------------------------------------------------------------------------------


def _readings(table: pa.Table, wanted: Collection[str]) -> list[_Reading]:
    """The rows of the wanted KPIs (`ID` or `ID.VARIANT`), in the order of the table."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = pa.array(sorted({name.partition(".")[0] for name in wanted}), pa.string())
    is_wanted = pc.is_in(table.column("kpi"), value_set=ids)
    rows = [row for row in pc.indices_nonzero(is_wanted).to_pylist() if row is not None]
    columns = ["kpi", "variant", "segment", "period_start", "period_end", "value", "status"]
    taken = table.select([*columns, "flags"]).take(pa.array(rows, pa.int64()))
    records = taken.to_pylist()
    found = []
    for row, record in zip(rows, records, strict=True):
        kpi = kpi_name(record["kpi"], record["variant"])
        if kpi in wanted:
            states = frozenset((record["status"] or "", *(record["flags"] or ())))
            segment = dict(record["segment"] or ())
            days = record["period_start"], record["period_end"]
            found.append(_Reading(row, kpi, segment, *days, record["value"], states))
    return found


def kpi_name(kpi: str, variant: str | None) -> str:
    """`ID` or `ID.VARIANT`, as the project file writes it."""
    return f"{kpi}.{variant}" if variant else kpi


def _last_row(readings: Iterable[_Reading], goal: Goal) -> _Reading | None:
    """The row of the goal's KPI and segment in the last period that overlaps the goal."""
    fitting = [
        reading
        for reading in readings
        if reading.kpi == goal.kpi
        and reading.segment == dict(goal.segment or {})
        and reading.start < goal.due
        and reading.end > goal.start
    ]
    return max(fitting, key=lambda reading: reading.end, default=None)


def _span_row(readings: Iterable[_Reading], goal: Goal) -> _Reading | None:
    """The row over the goal's own span: it begins with the goal and ends by its due day."""
    fitting = [
        reading
        for reading in readings
        if reading.kpi == goal.kpi
        and reading.segment == dict(goal.segment or {})
        and reading.start == goal.start
        and reading.end <= goal.due
    ]
    return max(fitting, key=lambda reading: reading.end, default=None)


def _same_place(readings: Iterable[_Reading], kpi: str, like: _Reading) -> _Reading | None:
    """The row of another KPI with the same period and segment."""
    place = (like.start, like.end, like.segment)
    for reading in readings:
        if reading.kpi == kpi and (reading.start, reading.end, reading.segment) == place:
            return reading
    return None


def _with_goals(results: pa.Table, verdicts: Sequence[GoalVerdict]) -> pa.Table:
    import pyarrow as pa

    by_row: dict[int, GoalVerdict] = {}
    for verdict in sorted(verdicts, key=lambda one: (one.urgency, one.goal.due)):
        if verdict.row is not None:
            by_row.setdefault(verdict.row, verdict)
    written: Mapping[str, dict[int, Any]] = {
        "goal": {row: verdict.goal.title for row, verdict in by_row.items()},
        "goal_target": {row: float(verdict.goal.target) for row, verdict in by_row.items()},
        "goal_attainment": {row: verdict.attainment for row, verdict in by_row.items()},
        "goal_status": {row: verdict.status or None for row, verdict in by_row.items()},
    }
    for name, values in written.items():
        index = results.schema.get_field_index(name)
        column = results.column(index).to_pylist()
        for row, value in values.items():
            column[row] = value
        kind = results.schema.field(index).type
        results = results.set_column(index, name, pa.array(column, kind))
    return results
