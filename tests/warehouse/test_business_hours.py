"""Business hours, checked against a count of every minute on the wall."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from crmetrics.periods import Calendar
from crmetrics.warehouse.business_hours import BusinessHours

LAST = date(2026, 12, 31)
OFFICE: dict[str, Any] = {}
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALWAYS = {"weekdays": WEEKDAYS, "hours": ("00:00", "24:00")}
NIGHT = {**ALWAYS, "hours": ("01:30", "02:45")}
LATE_SHIFT = {"weekdays": ("sat", "sun", "mon"), "hours": ("13:07", "24:00")}
MINUTE = timedelta(minutes=1)

# Around a change of clocks, and over the days that the cases below take off.
PLACES = [
    ("UTC", datetime(2026, 2, 27)),
    ("America/New_York", datetime(2026, 3, 1)),
    ("America/New_York", datetime(2025, 10, 27)),
    ("Europe/Berlin", datetime(2026, 3, 23)),
    ("Europe/Berlin", datetime(2025, 10, 20)),
    ("America/St_Johns", datetime(2011, 3, 7)),
    ("Australia/Lord_Howe", datetime(2026, 4, 1)),
    ("Asia/Kathmandu", datetime(2026, 3, 1)),
    ("America/Sao_Paulo", datetime(2018, 10, 29)),
    ("America/Sao_Paulo", datetime(2018, 2, 10)),
    ("Pacific/Apia", datetime(2011, 12, 24)),
]


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("set TimeZone = 'America/Los_Angeles'")
    yield connection
    connection.close()


def make(
    duck: duckdb.DuckDBPyConnection, teams: Mapping[str, Mapping[str, Any]], zone: str = "UTC"
) -> None:
    macros = BusinessHours(teams, Calendar(zone), LAST)
    for name in reversed(list(macros.names)):
        duck.execute(macros.text(name))


def seconds(duck: duckdb.DuckDBPyConnection, team: str | None, start: str, end: str) -> Any:
    found = duck.execute(
        "select business_seconds($team, $start::timestamptz, $end::timestamptz)",
        {"team": team, "start": start, "end": end},
    ).fetchone()
    assert found is not None
    return found[0]


@lru_cache
def walls(zone: str, first: datetime) -> list[tuple[date, str]]:
    """The day and the time on the wall of each minute of twelve days."""
    shown = ((first + MINUTE * step).astimezone(ZoneInfo(zone)) for step in range(12 * 24 * 60))
    return [(wall.date(), f"{wall:%H:%M}") for wall in shown]


def is_work(wall: tuple[date, str], hours: Mapping[str, Any]) -> bool:
    """Whether the wall shows an opening time in this minute."""
    opens, closes = hours.get("hours", ("09:00", "17:00"))
    weekdays = hours.get("weekdays", WEEKDAYS[:5])
    is_day = WEEKDAYS[wall[0].weekday()] in weekdays and wall[0] not in hours["holidays"]
    return is_day and opens <= wall[1] < closes


@pytest.mark.parametrize("hours", [OFFICE, ALWAYS, NIGHT, LATE_SHIFT], ids=str)
@pytest.mark.parametrize(("zone", "start"), PLACES, ids=lambda value: str(value)[:19])
def test_every_span_equals_the_minutes_counted_one_by_one(
    duck: duckdb.DuckDBPyConnection, zone: str, start: datetime, hours: Mapping[str, Any]
) -> None:
    first = start.replace(tzinfo=UTC)
    off = [(start + timedelta(days=days)).date() for days in (4, 5, 9, 10)]
    hours = {**hours, "holidays": off, "timezone": zone}
    make(duck, {"desk": hours})
    worked = [0, *accumulate(is_work(wall, hours) for wall in walls(zone, first))]
    dice = random.Random(f"{zone} {start}")
    spans = sorted(sorted(dice.sample(range(len(worked)), 2)) for _ in range(300))
    values = ",".join(f"({low}, {high})" for low, high in spans)
    found = duck.execute(
        f"select business_seconds('desk', start + to_minutes(low), start + to_minutes(high)) / 60"
        f" from (values {values}) spans(low, high), (select timestamptz '{first}' as start)"
        " order by low, high"
    ).fetchall()
    assert [row[0] for row in found] == [worked[high] - worked[low] for low, high in spans]
    assert worked[-1] > 0


def test_seconds_inside_a_minute_count(duck: duckdb.DuckDBPyConnection) -> None:
    make(duck, {})
    found = seconds(duck, None, "2026-01-05 08:59:59.5+00", "2026-01-05 09:00:00.25+00")
    assert found == pytest.approx(0.25)


def test_a_team_without_hours_of_its_own_works_like_the_default(
    duck: duckdb.DuckDBPyConnection,
) -> None:
    make(duck, {"default": {"hours": ("08:00", "09:00")}, "O'Neil": ALWAYS})
    day = ("2026-01-05 00:00+00", "2026-01-06 00:00+00")
    assert [seconds(duck, team, *day) for team in (None, "", "desk", "O'Neil")] == [
        3600,
        3600,
        3600,
        86400,
    ]


def test_hours_are_those_of_the_reporting_zone_unless_the_team_has_its_own(
    duck: duckdb.DuckDBPyConnection,
) -> None:
    make(duck, {"apac": {"timezone": "Asia/Tokyo"}}, "Europe/Berlin")
    morning = ("2026-01-05 00:00+00", "2026-01-05 08:00+00")
    assert seconds(duck, "emea", *morning) == 0
    assert seconds(duck, "apac", *morning) == 8 * 3600


def test_nothing_has_no_business_hours(duck: duckdb.DuckDBPyConnection) -> None:
    make(duck, {"desk": {"holidays": [date(2026, 1, 1)]}})
    found = duck.execute(
        "select business_seconds('desk', null, now()), business_seconds('desk', now(), null)"
    ).fetchone()
    assert found == (None, None)


def test_a_span_that_ends_before_it_starts_is_negative(duck: duckdb.DuckDBPyConnection) -> None:
    make(duck, {})
    assert seconds(duck, None, "2026-01-05 12:00+00", "2026-01-05 11:00+00") == -3600


def test_a_holiday_on_a_weekend_takes_nothing_away(duck: duckdb.DuckDBPyConnection) -> None:
    make(duck, {"default": {"holidays": [date(2026, 1, 3), date(2026, 1, 6), date(2026, 1, 6)]}})
    assert seconds(duck, None, "2026-01-01 00:00+00", "2026-01-12 00:00+00") == 6 * 8 * 3600


def test_records_of_long_ago_have_business_hours_too(duck: duckdb.DuckDBPyConnection) -> None:
    make(duck, {})
    assert seconds(duck, None, "1901-01-07 00:00+00", "1901-01-14 00:00+00") == 5 * 8 * 3600
