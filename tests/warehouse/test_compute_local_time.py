"""Local days as arithmetic, checked against DuckDB's own conversion and the calendar."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import duckdb
import pytest

from crmetrics.periods import Calendar
from crmetrics.warehouse.local_time import day_start_macro, local_day_macro
from crmetrics.warehouse.placeholders import literal

LAST = date(2020, 12, 31)

ZONES = [
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
]


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("set TimeZone = 'UTC'")
    yield connection
    connection.close()


@pytest.mark.parametrize("zone", ZONES)
def test_local_day_agrees_with_duckdb_hour_by_hour(
    duck: duckdb.DuckDBPyConnection, zone: str
) -> None:
    duck.execute(local_day_macro(Calendar(zone), LAST))
    wrong = duck.execute(
        f"""
        select count(*) from range(0, 40 * 366 * 24) as hours(hour)
        cross join (values (-1), (0)) as steps(step)
        where local_day(make_timestamptz(500000000000000 + hour * 3600000000 + step))
            is distinct from
            timezone('{zone}', make_timestamptz(500000000000000 + hour * 3600000000 + step))::date
        """
    ).fetchone()
    assert wrong == (0,)


@pytest.mark.parametrize("zone", ZONES)
def test_day_start_is_the_first_moment_of_the_calendar(
    duck: duckdb.DuckDBPyConnection, zone: str
) -> None:
    calendar = Calendar(zone)
    duck.execute(day_start_macro(calendar, LAST))
    days = [date(2006, 1, 1) + timedelta(days=step) for step in range(6200)]
    found = duck.execute(
        f"select epoch_us(day_start({literal(days[0])} + step::integer)) "
        f"from range({len(days)}) as steps(step) order by step"
    ).fetchall()
    expected = [(int(calendar.instant(day).timestamp()) * 1_000_000,) for day in days]
    assert [
        (day, got, want)
        for day, got, want in zip(days, found, expected, strict=True)
        if got != want
    ] == []


def test_nothing_has_no_day_and_eternity_stays(duck: duckdb.DuckDBPyConnection) -> None:
    calendar = Calendar("Europe/Berlin")
    duck.execute(local_day_macro(calendar, LAST))
    duck.execute(day_start_macro(calendar, LAST))
    found = duck.execute(
        "select local_day(null::timestamptz), day_start(null::date), "
        "local_day('infinity'::timestamptz)::varchar"
    ).fetchone()
    assert found == (None, None, "infinity")


def test_a_day_around_a_clock_change_has_23_or_25_hours(duck: duckdb.DuckDBPyConnection) -> None:
    duck.execute(day_start_macro(Calendar("Europe/Berlin"), LAST))
    found = duck.execute(
        "select (epoch_us(day_start(day + 1)) - epoch_us(day_start(day))) // 3600000000 "
        "from (values (date '2020-03-29'), (date '2020-03-30'), (date '2020-10-25')) as days(day)"
    ).fetchall()
    assert found == [(23,), (24,), (25,)]


def test_a_midnight_that_the_clock_skips_begins_an_hour_later(
    duck: duckdb.DuckDBPyConnection,
) -> None:
    duck.execute(day_start_macro(Calendar("America/Sao_Paulo"), LAST))
    found = duck.execute("select day_start(date '2018-11-04')::varchar").fetchone()
    assert found == ("2018-11-04 03:00:00+00",)
