"""The instants at which a cron schedule fires, in a zone whose clocks change.

A wall-clock time fires once a day: one that is skipped in spring fires when the clock goes on, one
that comes twice in autumn fires the first time. A schedule for every hour follows real time
instead: nothing to make up for in spring, and both hours in autumn.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from crmetrics.config.cron import Cron

_ALL_HOURS = 24
# The 29th of February that is also a given weekday comes every 28 years, 40 around 2100.
_FURTHEST = timedelta(days=41 * 366)


def next_firing(cron: Cron, zone: ZoneInfo, after: datetime) -> datetime:
    """The first instant later than `after` at which the schedule fires, in UTC.

    Raises ValueError for a schedule that never fires.
    """
    for found in firings(cron, zone, after):
        return found
    raise ValueError("the schedule never fires")


def last_firing(cron: Cron, zone: ZoneInfo, at: datetime) -> datetime | None:
    """The last instant at which the schedule fired, `at` included; None = never yet."""
    for days in (1, 32, 366, _FURTHEST.days):
        found = list(firings(cron, zone, at - timedelta(days=days), at))
        if found:
            return found[-1]
    return None


def firings(
    cron: Cron, zone: ZoneInfo, after: datetime, until: datetime | None = None
) -> Iterator[datetime]:
    """The instants in (after, until] at which the schedule fires, in order, in UTC."""
    after = after.astimezone(UTC)
    # Begins a day early: what was skipped before midnight fires after it.
    day = after.astimezone(zone).date() - timedelta(days=1)
    last = day + _FURTHEST if until is None else until.astimezone(zone).date()
    while day <= last:
        if _is_on(cron, day):
            for instant in _of_day(cron, zone, day):
                if until is not None and instant > until:
                    return
                if instant > after:
                    after = instant
                    yield instant
        day += timedelta(days=1)


def _is_on(cron: Cron, day: date) -> bool:
    """Cron's rule: when day and weekday are both restricted, either is enough."""
    if day.month not in cron.months:
        return False
    is_day = day.day in cron.days
    is_weekday = day.isoweekday() % 7 in cron.weekdays
    if cron.any_day or cron.any_weekday:
        return is_day and is_weekday
    return is_day or is_weekday


def _of_day(cron: Cron, zone: ZoneInfo, day: date) -> list[datetime]:
    follows_real_time = len(cron.hours) == _ALL_HOURS
    found = set()
    for hour in cron.hours:
        for minute in cron.minutes:
            local = datetime(day.year, day.month, day.day, hour, minute)
            if not follows_real_time:
                found.add(_first_instant(local, zone))
                continue
            for fold in (0, 1):
                instant = local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
                if instant.astimezone(zone).replace(tzinfo=None) == local:
                    found.add(instant)
    return sorted(found)


def _first_instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which the clock shows `local`, or has just jumped over it."""
    instant = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local:
        return instant
    # Skipped: fold=1 reads the time with the offset after the jump, fold=0 with the one before,
    # so the jump lies between the two.
    low, high = local.replace(tzinfo=zone, fold=1).astimezone(UTC), instant
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).replace(tzinfo=None) < local:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
