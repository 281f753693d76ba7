"""Business hours (rule D3): how long a team was at work between two instants, as SQL macros.

    business_seconds(team, started, ended)

The setting `business_hours` gives each team its weekdays, hours, holidays and zone. The macros are
arithmetic on the time on the wall, without a table or a join, so that they stand in any expression
and cost about as much as the conversion of the two instants. Where a zone changes its clocks within
the hours, the hour that is skipped or shown twice is taken out or added: a second counts if the
wall shows a time within the hours during it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from msgspec import Struct

from crmetrics.periods import Calendar
from crmetrics.warehouse.local_time import clock_changes, search_tree
from crmetrics.warehouse.placeholders import literal

SETTING = "business_hours"
MACRO = "business_seconds"
_WORKED = "worked_by_"
_ON_WALL = "worked_on_wall_"

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ORIGIN = date(1900, 1, 1)  # a Monday before every record, so that no division is of a negative
_DAY_US = 86_400_000_000
_ORIGIN_US = (date(1970, 1, 1) - _ORIGIN).days * _DAY_US
_FIRST_CHANGE = datetime(1990, 1, 1, tzinfo=UTC)  # holidays and clock changes before it are over


class Hours(Struct, frozen=True):
    """When a team works. weekdays: 0 = monday. opens, closes: microseconds of the day on the wall.

    holidays: days off, ascending.
    """

    weekdays: frozenset[int]
    opens: int
    closes: int
    holidays: tuple[date, ...]
    timezone: str

    @classmethod
    def of(cls, stated: Mapping[str, Any], calendar: Calendar) -> Hours:
        """The entry of one team; what it leaves out is monday to friday, 9 to 17, no holidays, the
        reporting zone."""
        opens, closes = stated.get("hours") or ("09:00", "17:00")
        return cls(
            frozenset(map(_WEEKDAYS.index, stated.get("weekdays") or _WEEKDAYS[:5])),
            _time_us(opens),
            _time_us(closes),
            tuple(sorted(set(stated.get("holidays") or ()))),
            stated.get("timezone") or calendar.timezone,
        )

    @property
    def length(self) -> int:
        return self.closes - self.opens

    @property
    def days_off(self) -> list[int]:
        """The holidays that fall on working days, as days since the origin."""
        first = _FIRST_CHANGE.date()
        days = [day for day in self.holidays if day.weekday() in self.weekdays and day > first]
        return [(day - _ORIGIN).days for day in days]

    def worked(self, wall: int) -> int:
        """Microseconds of work before a time on the wall, counted from the origin."""
        day, time = divmod(wall, _DAY_US)
        weeks, weekday = divmod(day, 7)
        days = weeks * len(self.weekdays) + sum(1 for item in self.weekdays if item < weekday)
        days -= sum(1 for item in self.days_off if item < day)
        is_open = weekday in self.weekdays and day not in self.days_off
        return days * self.length + is_open * min(max(time - self.opens, 0), self.length)


def own_hours_suffix(kpi: str) -> str:
    """What the macros of a KPI with hours of its own end with."""
    return f"_of_{kpi}"


def with_own_hours(sql: str, kpi: str) -> str:
    """SQL that counts in the hours of this KPI."""
    return re.sub(rf"\b{MACRO}\b", MACRO + own_hours_suffix(kpi), sql)


def _time_us(text: str) -> int:
    hours, minutes = text.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000_000


class BusinessHours(Struct, frozen=True):
    """The macros for the hours of all teams; teams with the same hours share one.

    stated: the setting. suffix: of the names of the macros, for a KPI that has hours of its own.
    """

    stated: Mapping[str, Any]
    calendar: Calendar
    last_day: date
    suffix: str = ""

    @property
    def _teams(self) -> dict[str, Hours]:
        stated = {"default": {}, **self.stated}
        return {team: Hours.of(entry, self.calendar) for team, entry in stated.items()}

    @property
    def _kinds(self) -> list[Hours]:
        return list(dict.fromkeys(self._teams.values()))

    @property
    def names(self) -> Iterator[str]:
        """The macros, `business_seconds` first."""
        yield MACRO + self.suffix
        for number in range(len(self._kinds)):
            yield from (f"{_WORKED}{number}{self.suffix}", f"{_ON_WALL}{number}{self.suffix}")

    def text(self, name: str) -> str:
        """The statement that makes one of the macros."""
        plain = name.removesuffix(self.suffix)
        if plain == MACRO:
            return self._seconds()
        number = int(plain.rpartition("_")[2])
        if name.startswith(_ON_WALL):
            return _worked_on_wall(name, self._kinds[number])
        return self._worked(name, f"{_ON_WALL}{number}{self.suffix}", self._kinds[number])

    def _seconds(self) -> str:
        kinds = self._kinds
        teams = {team: kinds.index(hours) for team, hours in self._teams.items()}
        default = teams.pop("default")

        def between(number: int) -> str:
            worked_by = f"{_WORKED}{number}{self.suffix}"
            until, since = (f"{worked_by}({at}::timestamptz)" for at in ("ended", "started"))
            return f"{until} - {since}"

        cases = [
            f"when team = {literal(team)} then {between(number)}"
            for team, number in teams.items()
            if number != default
        ]
        worked = between(default)
        if cases:
            worked = "case " + "\n".join(cases) + f"\nelse {worked} end"
        return (
            f"create or replace temp macro {MACRO}{self.suffix}(team, started, ended) as\n"
            "-- seconds of the team's business hours between two instants; null if one is null\n"
            f"({worked}) / 1e6"
        )

    def _worked(self, name: str, on_wall: str, hours: Hours) -> str:
        zone = Calendar(hours.timezone)
        wall = f"epoch_us(timezone({literal(hours.timezone)}, instant)) + {_ORIGIN_US}"
        text = f"{on_wall}({wall},\n{_days_off(hours, zone)})"
        corrections = list(_corrections(hours, zone, _new_year(self.last_day)))
        if len(corrections) > 1:
            text += f"\n+ {search_tree('epoch_us(instant)', corrections)}"
        return (
            f"create or replace temp macro {name}(instant) as\n"
            f"-- microseconds of work before an instant, in {hours.timezone}\n{text}"
        )


def _new_year(last: date) -> datetime:
    """Enough later than the last day that is looked at, so that its changes are known."""
    return datetime(min(last.year + 3, 9990), 1, 1, tzinfo=UTC)


def _us(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000


def _worked_on_wall(name: str, hours: Hours) -> str:
    """The macro that follows `Hours.worked`.

    Without CASE, and with the days of the week as bits of a number: DuckDB computes a common part
    of an expression once, but not where a CASE decides whether it is needed.
    """
    days_before = [sum(1 for item in hours.weekdays if item < day) for day in range(7)]
    counts = sum(count << (4 * day) for day, count in enumerate(days_before))
    open_days = sum(1 << day for day in hours.weekdays)
    weekday = f"(wall_us // {_DAY_US} % 7)"
    today = f"least(greatest(wall_us % {_DAY_US} - {hours.opens}, 0), {hours.length})"
    return (
        f"create or replace temp macro {name}(wall_us, days_off, is_off) as\n"
        f"-- microseconds of work before a time on the wall, counted from {_ORIGIN}: whole weeks,\n"
        "-- working days of the week (four bits per weekday) but for days off, and today's hours\n"
        f"(wall_us // {7 * _DAY_US} * {len(hours.weekdays)}"
        f" + ({counts} >> (4 * {weekday}) & 15) - days_off) * {hours.length}\n"
        f"+ ({open_days} >> {weekday} & 1) * (1 - is_off) * {today}"
    )


def _days_off(hours: Hours, zone: Calendar) -> str:
    """SQL: the days off that lie before an instant, and 1 on a day off, else 0."""
    if not hours.days_off:
        return "0, 0"
    before, during = [(_us(_FIRST_CHANGE), 0)], [(_us(_FIRST_CHANGE), 0)]
    for count, day in enumerate(hours.days_off, 1):
        start, end = (
            _us(zone.instant(_ORIGIN + timedelta(days=number))) for number in (day, day + 1)
        )
        before.append((end, count))
        during += [(start, 1), (end, 0)]
    states = (search_tree("epoch_us(instant)", steps) for steps in (before, _joined(during)))
    return ",\n".join(states)


def _joined(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Steps without the end of a day off that another one follows."""
    starts = {at for at, is_off in steps if is_off}
    return [(at, is_off) for at, is_off in steps if is_off or at not in starts]


def _corrections(hours: Hours, zone: Calendar, end: datetime) -> Iterator[tuple[int, int]]:
    """(instant, microseconds to add from then on): what the wall skipped or showed twice of the
    hours; the first step is 0."""
    changes = iter(clock_changes(zone, _FIRST_CHANGE, end))
    first, before = next(changes)
    total = 0
    yield _us(first), total
    for at, offset in changes:
        skipped, shown = (hours.worked(_us(at) + _ORIGIN_US + wall) for wall in (before, offset))
        if shown != skipped:
            total += skipped - shown
            yield _us(at), total
        before = offset
