"""Wall-clock times of a zone as instants, column by column."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pyarrow as pa

from crmetrics_csv.arrow import Array
from crmetrics_csv.arrow import compute as pc

UTC_MICROS = pa.timestamp("us", tz="UTC")
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_WEEK = timedelta(days=7)

Step = tuple[int, int]
"""From which local microsecond (since 1970) on which offset from UTC (in microseconds) holds."""


def to_instants(naive: Array, zone: str) -> Array:
    """Wall-clock times (timestamp[us] without zone) as instants in UTC, as DuckDB reads them.

    A time that comes twice (autumn) is the later one; a time that the clock skips (spring) moves
    forward by the length of the gap. Arrow's assume_timezone takes five times as long, and puts
    all skipped times on the end of the gap.
    """
    steps = [] if zone == "UTC" else _steps(naive, zone)
    if not steps:
        return naive.cast(UTC_MICROS)
    micros = naive.cast(pa.int64())
    offsets = pa.scalar(steps[0][1], pa.int64())
    for begin, offset in steps[1:]:
        holds = pc.greater_equal(micros, pa.scalar(begin, pa.int64()))
        offsets = pc.if_else(holds, pa.scalar(offset, pa.int64()), offsets)
    instants: Array = pc.subtract(micros, offsets).cast(UTC_MICROS)
    return instants


def _steps(naive: Array, zone: str) -> list[Step]:
    """The offsets that hold in the years of these times, in order."""
    bounds = pc.min_max(naive)
    first, last = (pc.year(bounds[side]).as_py() for side in ("min", "max"))
    if first is None:
        return []
    # A few far dates (9999-12-31 for "open") must not bring in all the years between.
    years: Iterable[int] = (
        range(first, last + 1)
        if last - first < 4
        else sorted(pc.unique(pc.year(naive.drop_null())).to_pylist())
    )
    steps: list[Step] = []
    for year in years:
        for step in _steps_of_year(zone, min(max(year, 1), 9998)):
            if not steps or step[1] != steps[-1][1]:
                steps.append(step)
    return steps


@lru_cache(maxsize=2048)
def _steps_of_year(zone: str, year: int) -> tuple[Step, ...]:
    """The offset at the start of a local year, and each change in it."""
    clock = ZoneInfo(zone)
    end = datetime(year + 1, 1, 1)
    at = datetime(year, 1, 1)
    steps = [_step(at, clock)]
    while at < end:
        following = min(at + _WEEK, end)
        if _offset(following, clock) != _offset(at, clock):
            steps.append(_step(_change_between(at, following, clock), clock))
        at = following
    return tuple(steps)


def _step(at: datetime, clock: ZoneInfo) -> Step:
    return (at - _EPOCH) // _MICROSECOND, _offset(at, clock) // _MICROSECOND


def _offset(at: datetime, clock: ZoneInfo) -> timedelta:
    """The offset of a local time.

    Of a time that comes twice, the later instant has the smaller offset; a skipped time moves
    forward when the offset before the gap, again the smaller one, still holds for it.
    """
    both = (at.replace(tzinfo=clock, fold=fold).utcoffset() for fold in (0, 1))
    return min(offset for offset in both if offset is not None)


def _change_between(low: datetime, high: datetime, clock: ZoneInfo) -> datetime:
    """The first second whose offset is no longer that of `low`."""
    before = _offset(low, clock)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if _offset(middle, clock) == before:
            low = middle
        else:
            high = middle
    return high
