"""From what a user asks to a question with periods and groupings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import cast

from msgspec import Struct

from crmetrics.catalog import Catalog
from crmetrics.compiler.slices import Clock
from crmetrics.engine.answer import Question, groupings_of
from crmetrics.errors import UsageError, did_you_mean
from crmetrics.periods import FIRST_YEAR, GRAINS, LAST_YEAR, Grain, Period

log = logging.getLogger(__name__)

DEFAULT_GRAIN: Grain = "month"
COMPARISONS = ("previous", "year_ago")
_MAX_PERIODS = 4000


class Asked(Struct, frozen=True):
    """The words of a question, as `Project.query` and the command line take them."""

    kpis: tuple[str, ...]
    period: str | None = None
    start: date | str | None = None
    end: date | str | None = None
    grain: str | None = None
    by: Sequence[str] | Sequence[Sequence[str]] = ()
    totals: bool = False
    where: str | None = None
    compare: tuple[str, ...] = ()
    as_of: datetime | str | None = None


def question_of(asked: Asked, clock: Clock, catalog: Catalog) -> Question:
    """Raises UsageError for whatever does not exist; all KPIs are looked at before."""
    if not asked.kpis:
        raise UsageError("no KPI was asked for. `crmetrics list kpis` shows what there is.")
    problems = []
    for name in asked.kpis:
        try:
            catalog.resolve(name)
        except UsageError as exc:
            problems.append(str(exc))
    for name in asked.compare:
        if name not in COMPARISONS:
            hint = did_you_mean(name, COMPARISONS)
            problems.append(f"compare: expected previous or year_ago, found {name!r}. {hint}")
    if problems:
        raise UsageError("\n".join(problem.rstrip() for problem in problems))
    return Question(
        asked.kpis,
        tuple(periods_of(asked, clock)),
        groupings_of(groups(asked.by), asked.totals),
        asked.where or "",
        asked.compare,
    )


def groups(by: Sequence[str] | Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Groupings: a flat list is one grouping by all its dimensions."""
    if isinstance(by, str):
        return [tuple(part.strip() for part in by.split(",") if part.strip())]
    if all(isinstance(item, str) for item in by):
        names = [part.strip() for item in cast(Sequence[str], by) for part in item.split(",")]
        return [tuple(name for name in names if name)] if names else []
    found: list[tuple[str, ...]] = []
    for item in by:
        found += groups(item)
    return found


def periods_of(asked: Asked, clock: Clock) -> list[Period]:
    """The periods of a question, in order."""
    grain = grain_named(asked.grain)
    if asked.period is not None:
        if asked.start is not None or asked.end is not None:
            raise UsageError("give either a period, or from and to, not both.")
        period = clock.calendar.parse(asked.period, clock.as_of)
        return [period] if grain is None else _cut(period.start, period.end, grain, clock)
    if asked.start is None and asked.end is None:
        return [clock.calendar.last_complete(clock.as_of, grain or DEFAULT_GRAIN)]
    if asked.start is None:
        raise UsageError("`to` needs `from`: give the first day of the range as well.")
    start = _day(asked.start)
    end = _day(asked.end) if asked.end is not None else clock.as_of_day + timedelta(days=1)
    if end <= start:
        raise UsageError(f"the range is empty: it starts on {start} and ends before {end}.")
    return _cut(start, end, grain or DEFAULT_GRAIN, clock)


def _cut(start: date, end: date, grain: Grain, clock: Clock) -> list[Period]:
    if not FIRST_YEAR <= start.year <= end.year <= LAST_YEAR:
        raise UsageError(f"{start} to {end}: years go from {FIRST_YEAR} to {LAST_YEAR}.")
    if (end - start).days > 366 * 200:
        raise UsageError(f"the range from {start} to {end} is longer than 200 years.")
    found = clock.calendar.periods(start, end, grain)
    if (found[0].start, found[-1].end) != (start, end):
        log.warning(
            "%s to %s is reported in whole periods of grain %s: %s to %s (exclusive)",
            start, end, grain, found[0].start, found[-1].end,
        )  # fmt: skip
    if len(found) > _MAX_PERIODS:
        raise UsageError(
            f"{len(found)} periods of grain {grain!r} are more than {_MAX_PERIODS}. "
            "Choose a longer grain or a shorter range."
        )
    return found


def grain_named(name: str | None) -> Grain | None:
    if name is None:
        return None
    if name not in GRAINS:
        raise UsageError(
            f"expected a grain of {', '.join(GRAINS)}, found {name!r}. "
            + did_you_mean(name, GRAINS)
        )
    return name


def _day(value: date | str) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value.strip())
    except ValueError:
        raise UsageError(f"expected a day such as 2026-01-31, found {value!r}.") from None
