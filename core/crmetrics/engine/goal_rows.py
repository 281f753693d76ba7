"""Goals as rows: what a definition reads as the relation `goals`.

A row is a goal of the project file or an owner's target from `quotas`, with the value of its KPI
over its own days so far. `period_start` and `period_end` are the goal's start and due day; a KPI
that says `periods_of: goals` is reported for these instead of the periods asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from crmetrics.compiler.slices import Clock
from crmetrics.engine.answer import Question, groupings_of
from crmetrics.errors import UsageError
from crmetrics.goals import (
    Goal,
    GoalVerdict,
    elapsed_share,
    goal_span,
    goal_status,
    judge,
    kpi_traits,
)
from crmetrics.periods import Grain, Period
from crmetrics.results import result_schema
from crmetrics.warehouse.placeholders import literal

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.answer import Answerer

Row = dict[str, Any]
OWNER_KEYS = ("owner_id", "user_id")
"""By which dimension a KPI is split by owner; the first that it has."""

DEFAULT_QUOTA = "won_amount"
QUOTA_COLUMNS = (
    "id", "owner_id", "kpi_id", "period_start", "period_end", "target_amount", "currency",
)  # fmt: skip


def goal_schema() -> pa.Schema:
    """Columns of `goals`.

    segment: the values of the goal's segment, null = all. baseline: null for an owner's target.
    actual: null while there is no value that can be judged. elapsed: share of the days that are
    over. is_breached: a guardrail passed its limit. better: higher or lower.
    """
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    fields: list[tuple[str, pa.DataType]] = [
        ("goal", text),
        ("kpi", text),
        ("owner", text),
        ("segment", text),
        ("period_start", pa.date32()),
        ("period_end", pa.date32()),
        ("better", text),
        ("baseline", number),
        ("target", number),
        ("actual", number),
        ("elapsed", number),
        ("is_owner_target", pa.bool_()),
        ("is_breached", pa.bool_()),
    ]
    return pa.schema(fields)


class GoalRows(Struct, frozen=True):
    """The relation `goals` of a project; `rows` asks what is needed of the session it is for."""

    goals: tuple[Goal, ...]

    def empty(self) -> pa.Table:
        return goal_schema().empty_table()

    def kpis(self, answerer: Answerer) -> Sequence[str]:
        """What goals and guardrails measure; of quotas, whose rows are not loaded yet, the KPI that
        they are for unless they say otherwise."""
        named = [name for goal in self.goals for name in (goal.kpi, *goal.guardrails)]
        return [name for name in (*named, DEFAULT_QUOTA) if _is_measurable(answerer, name)]

    def datasets(self) -> Mapping[str, Sequence[str]]:
        return {"quotas": QUOTA_COLUMNS}

    def rows(self, answerer: Answerer) -> pa.Table:
        import pyarrow as pa

        rows = [*planned_goals(answerer, self.goals), *owner_targets(answerer)]
        return pa.Table.from_pylist(rows, schema=goal_schema())

    def complete(self, results: pa.Table, rows: pa.Table) -> pa.Table:
        """Result rows of a KPI that is the attainment of goals, with their four goal columns."""
        import pyarrow as pa

        known = {_place(row, row["goal"]): row for row in rows.to_pylist()}
        found = results.to_pylist()
        for row in found:
            goal = known.get(_place(row, dict(row["segment"]).get("goal")))
            if goal is not None:
                row["goal"], row["goal_target"] = goal["goal"], goal["target"]
                row["goal_attainment"] = row["value"]
                row["goal_status"] = _status(row["value"], goal)
        return pa.Table.from_pylist(found, schema=results.schema)


def _place(row: Mapping[str, Any], title: str | None) -> tuple[Any, ...]:
    return title, row["period_start"], row["period_end"]


def _status(share: float | None, goal: Row) -> str | None:
    if share is None:
        return None
    return goal_status(share, goal["elapsed"], is_breached=goal["is_breached"])


# --- goals of the project file -------------------------------------------------------------------


def planned_goals(answerer: Answerer, goals: Sequence[Goal]) -> list[Row]:
    clock = answerer.clock
    traits = kpi_traits(answerer.catalog.kpis.values())
    measured = measured_goals(answerer, goals, "month")
    judgement = judge(
        result_schema().empty_table(),
        goals,
        traits,
        as_of=clock.as_of,
        calendar=clock.calendar,
        measured=_joined(measured),
    )
    verdicts = {id(verdict.goal): verdict for verdict in judgement.verdicts}
    rows = []
    for goal in goals:
        better = "higher" if float(goal.target) > float(goal.baseline) else "lower"
        rows.append(_planned_row(goal, verdicts.get(id(goal)), better))
    return rows


def _planned_row(goal: Goal, verdict: GoalVerdict | None, better: str) -> Row:
    return {
        "goal": goal.title,
        "kpi": goal.kpi,
        "owner": goal.owner,
        "segment": ", ".join((goal.segment or {}).values()) or None,
        "period_start": goal.start,
        "period_end": goal.due,
        "better": better,
        "baseline": float(goal.baseline),
        "target": float(goal.target),
        "actual": verdict.actual if verdict and not verdict.reason else None,
        "elapsed": verdict.expected if verdict else 0.0,
        "is_owner_target": False,
        "is_breached": any(reading.is_broken for reading in verdict.guardrails)
        if verdict
        else False,
    }


def measured_goals(
    answerer: Answerer, goals: Iterable[Goal], grain: Grain, where: str = ""
) -> list[pa.Table]:
    """The KPIs and guardrails of goals over each goal's own days so far, in its segment; those
    that are not enabled, or report days of their own, are left out."""
    clock = answerer.clock
    asked: dict[tuple[date, date, tuple[str, ...]], set[str]] = {}
    for goal in goals:
        span = goal_span(goal, clock.as_of, clock.calendar)
        if span is not None:
            names = {
                name for name in (goal.kpi, *goal.guardrails) if _is_measurable(answerer, name)
            }
            asked.setdefault((*span, tuple(goal.segment or ())), set()).update(names)
    return [
        answerer.answer(
            Question(
                tuple(sorted(names)),
                (Period(start, end, grain),),
                groupings_of([dimensions], totals=True),
                where,
            )
        )
        for (start, end, dimensions), names in asked.items()
        if names
    ]


def _is_measurable(answerer: Answerer, name: str) -> bool:
    try:
        kpi, variant = answerer.catalog.resolve(name)
    except UsageError:
        return False
    return not kpi.variant(variant).measure.periods_of


def _joined(tables: Sequence[pa.Table]) -> pa.Table | None:
    import pyarrow as pa

    return pa.concat_tables(tables) if tables else None


# --- targets of owners ---------------------------------------------------------------------------


class OwnerTarget(Struct, frozen=True):
    """A quota of one owner. amount, converted: as it stands, and in the reporting currency."""

    kpi: str
    owner: str
    start: date
    due: date
    amount: float | None
    converted: float | None

    def end(self, clock: Clock) -> date:
        """First day that is not measured at as_of."""
        return min(self.due, clock.as_of_day)


def owner_targets(answerer: Answerer) -> list[Row]:
    """One row per quota of an owner; of equal ones the first."""
    by_kpi: dict[str, dict[tuple[str, date, date], OwnerTarget]] = {}
    for target in _quotas(answerer):
        key = target.owner, target.start, target.due
        by_kpi.setdefault(target.kpi, {}).setdefault(key, target)
    rows: list[Row] = []
    for kpi, targets in by_kpi.items():
        rows += _owner_rows(answerer, kpi, list(targets.values()))
    return rows


def _quotas(answerer: Answerer) -> list[OwnerTarget]:
    if not answerer.session.inventory["quotas"].rows:
        return []
    own = literal(answerer.currency)
    sql = (
        "select q.kpi_id, q.owner_id, q.period_start, q.period_end, q.target_amount::double,\n"
        f"  case when q.currency is null or q.currency = {own} then q.target_amount::double\n"
        "    else q.target_amount::double * r.rate end\n"
        "from live_quotas q\n"
        "left join rates_by_day r on r.currency = q.currency and r.day = q.period_start\n"
        "where q.owner_id is not null and q.period_end > q.period_start\n"
        "order by q.kpi_id, q.period_start, q.owner_id, q.id"
    )
    answerer.session.prepare(sql)
    return [OwnerTarget(*row) for row in answerer.session.rows(sql)]


def _owner_rows(answerer: Answerer, kpi: str, targets: Sequence[OwnerTarget]) -> list[Row]:
    traits = kpi_traits(answerer.catalog.kpis.values()).get(kpi)
    actuals = _owner_values(answerer, kpi, targets) if traits else None
    rows = []
    for target in targets:
        end = target.end(answerer.clock)
        actual = None
        if actuals is not None and end > target.start:
            # An owner without a row has sold nothing; a rate of nothing is unknown.
            nothing = 0.0 if traits and traits.adds_up else None
            actual = actuals.get((target.start, end, target.owner), nothing)
        is_money = bool(traits and traits.unit.startswith("currency"))
        rows.append(
            {
                "goal": f"{kpi} {target.owner}",
                "kpi": kpi,
                "owner": target.owner,
                "segment": None,
                "period_start": target.start,
                "period_end": target.due,
                "better": traits.better if traits else "none",
                "baseline": None,
                "target": target.converted if is_money else target.amount,
                "actual": actual,
                "elapsed": elapsed_share(target.start, target.due, max(end, target.start)),
                "is_owner_target": True,
                "is_breached": False,
            }
        )
    return rows


def _owner_values(
    answerer: Answerer, kpi: str, targets: Iterable[OwnerTarget]
) -> dict[tuple[date, date, str], float | None] | None:
    """(start, end, owner) -> value; None for a KPI that is not split by owners."""
    if not _is_measurable(answerer, kpi):
        return None
    ends = {(target.start, target.end(answerer.clock)) for target in targets}
    spans = sorted((start, end) for start, end in ends if end > start)
    for dimension in OWNER_KEYS:
        try:
            return _values_by(answerer, kpi, spans, dimension)
        except UsageError:
            continue  # the KPI has no such dimension
    return None


def _values_by(
    answerer: Answerer, kpi: str, spans: Sequence[tuple[date, date]], dimension: str
) -> dict[tuple[date, date, str], float | None]:
    periods = tuple(Period(start, end, "month") for start, end in spans)
    if not periods:
        return {}
    table = answerer.answer(Question((kpi,), periods, ((dimension,),)))
    found = {}
    for row in table.to_pylist():
        owner = dict(row["segment"]).get(dimension)
        is_final = row["status"] != "maturing" and "maturing" not in row["flags"]
        if owner is not None:
            key = row["period_start"], row["period_end"], owner
            found[key] = row["value"] if is_final else None
    return found
