"""Projected KPIs: values that come from the KPI's own earlier periods (rule F1).

A variant that says `projected: true` is computed like any other, but for the complete periods
before the one that is asked for; the series is then continued to it. Nothing of the period itself
is read, so the projection of a past period is what would have been said before it began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from crmetrics.catalog import Catalog
from crmetrics.compiler.slices import Clock
from crmetrics.engine.forecast_methods import Projection, project
from crmetrics.periods import Grain, Period
from crmetrics.results import STATUSES_OF_WANT, result_schema

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.answer import Question

Row = dict[str, Any]
Segment = tuple[tuple[str, str], ...]

_HISTORY: Mapping[Grain, int] = {"day": 371, "week": 160, "month": 72, "quarter": 40, "year": 20}
"""Complete periods that a projection looks back at."""

_SEASONS: Mapping[Grain, int] = {"day": 7, "week": 52, "month": 12, "quarter": 4, "year": 1}


def is_projected(catalog: Catalog, name: str) -> bool:
    kpi, variant = catalog.resolve(name)
    return kpi.variant(variant).measure.projected


def with_projections(
    question: Question, catalog: Catalog, clock: Clock, ask: Callable[[Question], pa.Table]
) -> pa.Table:
    """The answer to a question, its projected KPIs projected.

    ask: answers a question as if nothing was projected.
    """
    import pyarrow as pa

    plain = tuple(name for name in question.kpis if not is_projected(catalog, name))
    if len(plain) == len(question.kpis):
        return ask(question)
    tables = [ask(replace(question, kpis=plain))] if plain else []
    for name in question.kpis:
        if name not in plain:
            own = replace(question, kpis=(name,), compare=(), identities=())
            rows = _projected(own, clock, ask)
            tables.append(pa.Table.from_pylist(rows, schema=result_schema()))
    return pa.concat_tables(tables)


def _projected(question: Question, clock: Clock, ask: Callable[[Question], pa.Table]) -> list[Row]:
    """The rows of one projected KPI: per period the total, and each group of its history."""
    current = ask(question).to_pylist()
    found: list[Row] = []
    for grain, periods in groupby(question.periods, key=lambda period: period.grain):
        history = _complete(clock, grain)
        past = ask(replace(question, periods=tuple(history))).to_pylist()
        for period in periods:
            own = [row for row in current if row["period_start"] == period.start]
            found += _rows_of(period, own, past, history, clock)
    return found


def _complete(clock: Clock, grain: Grain) -> list[Period]:
    """The last complete periods of a grain, oldest first."""
    calendar = clock.calendar
    periods = [calendar.last_complete(clock.as_of, grain)]
    while len(periods) < _HISTORY[grain]:
        periods.append(calendar.previous(periods[-1]))
    return periods[::-1]


def _rows_of(
    period: Period, own: Sequence[Row], past: Sequence[Row], history: Sequence[Period], clock: Clock
) -> list[Row]:
    known = [item for item in history if item.end <= period.start]
    templates: dict[Segment, Row] = {}
    for row in (*own, *past):
        # The newest row of a group says how its rows look; a group needs no row in the period.
        templates.setdefault(tuple(row["segment"]), row)
    ahead = _steps(known, period, clock)
    found = []
    for segment, template in templates.items():
        series = _series(segment, known, past)
        reached = project(series, _SEASONS[period.grain], ahead) if ahead else None
        found.append(_row(template, period, reached, len(series)))
    return found


def _series(segment: Segment, known: Sequence[Period], past: Iterable[Row]) -> list[float]:
    """The values of a group, oldest first, from its first row on (no row in between = 0)."""
    values = {row["period_start"]: row["value"] for row in past if tuple(row["segment"]) == segment}
    series: list[float] = []
    for item in known:
        value = values.get(item.start, 0.0 if series else None)
        if value is None:
            series = []
        else:
            series.append(value)
    return series


def _steps(known: Sequence[Period], period: Period, clock: Clock) -> int:
    """How many periods of the grain lie between the history and the period; 0 = it is none."""
    if not known:
        return 0
    calendar = clock.calendar
    between = calendar.periods(known[-1].end, period.end, period.grain)
    return len(between) if between and between[-1] == period else 0


def _row(template: Row, period: Period, reached: Projection | None, size: int) -> Row:
    flags = [flag for flag in template["flags"] if flag != "partial"]
    row = {
        **template,
        "period_start": period.start,
        "period_end": period.end,
        "grain": period.grain,
        "value": None,
        "n": size,
        "coverage": [],
        "numerator": None,
        "denominator": None,
    }
    if reached is None:
        if template["status"] not in STATUSES_OF_WANT:
            row["status"] = "no_data"
        return {**row, "flags": flags}
    return {
        **row,
        "value": reached.value,
        "interval_low": reached.low,
        "interval_high": reached.high,
        "status": "ok",
        "flags": [*flags, f"method:{reached.method}"],
    }
