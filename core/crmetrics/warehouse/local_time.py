"""Local days of the reporting zone as arithmetic, in two SQL macros.

DuckDB converts an instant to a local day through ICU at about 70 ns a row, ten times the price of
a hash join. Between two clock changes the conversion is an addition, so the macros search the
offset in a tree of comparisons with constants instead (about 8 ns a row). What lies further back
than most CRMs reach is left to ICU, to keep the texts short.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from crmetrics.periods import Calendar
from crmetrics.warehouse.placeholders import literal

_YEARS_BACK = 15
_EPOCH = date(1970, 1, 1)
_DAY_US = 86_400_000_000
_STRIDE = timedelta(days=7)  # no zone has changed its clocks twice within a week since 1990
_ONE_DAY = timedelta(days=1)

Steps = Sequence[tuple[int, int]]
"""(from, offset in microseconds): ascending; the first one holds from the beginning."""


def local_day_macro(calendar: Calendar, last: date) -> str:
    """`local_day(instant)`: the day of an instant in the reporting zone; null for null.

    last: the conversion is fast from fifteen years before to two years after this day.
    """
    zone = literal(calendar.timezone)
    first, end = _bounds(last)
    steps = [(_us(start), offset) for start, offset in clock_changes(calendar, first, end)]
    offset = search_tree("epoch_us(instant)", steps)
    return (
        "create or replace temp macro local_day(instant) as\n"
        f"-- the day in {calendar.timezone}\n"
        f"case when instant >= {literal(first)} and instant < {literal(end)}\n"
        f"then make_timestamp(epoch_us(instant) + {offset})::date\n"
        f"else timezone({zone}, instant)::date end"
    )


def day_start_macro(calendar: Calendar, last: date) -> str:
    """`day_start(day)`: the first moment of a local day as an instant; null for null."""
    zone = literal(calendar.timezone)
    first, end = _bounds(last)
    epoch = literal(_EPOCH)
    distance = search_tree(f"(day - {epoch})", list(_starts(calendar, first, end)))
    return (
        "create or replace temp macro day_start(day) as\n"
        f"-- 00:00 in {calendar.timezone}, or the first moment where midnight is skipped\n"
        f"case when day >= {literal(first.date())} and day < {literal(end.date())}\n"
        f"then make_timestamptz((day - {epoch}) * {_DAY_US} + {distance})\n"
        f"else timezone({zone}, day::timestamp) end"
    )


def _bounds(last: date) -> tuple[datetime, datetime]:
    # Clamped to where a change of clocks can be told: the edges of datetime have no neighbours.
    def january(year: int) -> datetime:
        return datetime(min(max(year, 1900), 9990), 1, 1, tzinfo=UTC)

    return january(last.year - _YEARS_BACK), january(last.year + 3)


def _us(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _offset(calendar: Calendar, instant: datetime) -> int:
    offset = instant.astimezone(calendar.zone).utcoffset()
    return 0 if offset is None else offset // timedelta(microseconds=1)


@lru_cache(maxsize=32)
def clock_changes(
    calendar: Calendar, first: datetime, end: datetime
) -> tuple[tuple[datetime, int], ...]:
    """The offset at `first` and after each clock change before `end`."""
    instant, offset = first, _offset(calendar, first)
    found = [(instant, offset)]
    while instant < end:
        following = instant + _STRIDE
        if (changed := _offset(calendar, following)) != offset:
            found.append((_change(calendar, instant, following), changed))
        instant, offset = following, changed
    return tuple(found)


def _change(calendar: Calendar, before: datetime, after: datetime) -> datetime:
    """The first second with the offset of `after`."""
    offset = _offset(calendar, after)
    second = timedelta(seconds=1)
    while after - before > second:
        middle = before + (after - before) // second // 2 * second
        if _offset(calendar, middle) == offset:
            after = middle
        else:
            before = middle
    return after


def _starts(calendar: Calendar, first: datetime, end: datetime) -> Iterator[tuple[int, int]]:
    """(day number, distance of the day's first moment from its 00:00 UTC), where it changes."""

    def distance(day: date) -> int:
        return _us(calendar.instant(day)) - (day - _EPOCH).days * _DAY_US

    changes = [change.date() for change, _ in clock_changes(calendar, first, end)]
    # The local day of a change, and whether its midnight lies before or after it, differs by zone.
    nearby = {change + _ONE_DAY * step for change in changes for step in (-1, 0, 1, 2)}
    found = distance(first.date())
    yield (first.date() - _EPOCH).days, found
    for day in sorted(nearby):
        if first.date() < day < end.date() and (changed := distance(day)) != found:
            found = changed
            yield (day - _EPOCH).days, found


def search_tree(value: str, steps: Steps) -> str:
    """The offset that holds for `value`, searched by halves."""
    if len(steps) == 1:
        return f"{steps[0][1]}" if steps[0][1] >= 0 else f"({steps[0][1]})"
    middle = len(steps) // 2
    below, above = search_tree(value, steps[:middle]), search_tree(value, steps[middle:])
    return f"case when {value} < {steps[middle][0]} then {below} else {above} end"
