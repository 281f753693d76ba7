"""Periods against counting days one by one, and against the clock of a zone."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import get_args
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from crmetrics.datasets import canonical_datasets
from crmetrics.engine import Project
from crmetrics.periods import WEEKDAYS, Calendar, Grain, Period
from crmetrics.testing.projects import load_tables, write_project

ZONES = (
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",  # its clocks changed at midnight, which then does not exist
    "Europe/Dublin",  # standard time in summer, a negative change in winter
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Apia",  # skipped 2011-12-30
)
FIRST, LAST = date(1994, 1, 1), date(2045, 12, 31)
DAYS = st.dates(date(2000, 1, 1), date(2040, 12, 31))
ONE_DAY = timedelta(days=1)
FISCAL = st.tuples(st.integers(1, 12), st.integers(1, 28))


@cache
def numbered(week_start: int, fiscal: tuple[int, int]) -> dict[date, dict[str, int]]:
    """Every day with the number of its week, month, quarter and year, counted from the first day
    on: a number goes up on the days that begin something."""
    found: dict[date, dict[str, int]] = {}
    counts = Counter[str]()
    months_into_year = 0
    day = FIRST
    while day <= LAST:
        counts["day"] += 1
        counts["week"] += day.weekday() == week_start
        counts["month"] += day.day == 1
        if day.day == fiscal[1]:
            months_into_year = 0 if day.month == fiscal[0] else months_into_year + 1
            counts["quarter"] += months_into_year % 3 == 0
            counts["year"] += months_into_year == 0
        found[day] = dict(counts)
        day += ONE_DAY
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), FISCAL, DAYS, st.sampled_from(get_args(Grain)))
def test_a_period_is_the_days_of_one_number(
    week_start: int, fiscal: tuple[int, int], day: date, grain: Grain
) -> None:
    days = numbered(week_start, fiscal)
    number = days[day].get(grain)
    around = (day + timedelta(days=n) for n in range(-370, 371))
    own = [other for other in around if days[other].get(grain) == number]
    period = Calendar(week_start=week_start, fiscal_start=fiscal).period_of(day, grain)
    assert (period.start, period.end) == (own[0], own[-1] + ONE_DAY)
    assert period.days == len(own)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), FISCAL, DAYS, st.sampled_from(["month", "quarter", "year"]))
def test_the_same_period_a_year_earlier_is_twelve_months_of_numbers_back(
    week_start: int, fiscal: tuple[int, int], day: date, grain: Grain
) -> None:
    days = numbered(week_start, fiscal)
    calendar = Calendar(week_start=week_start, fiscal_start=fiscal)
    earlier = calendar.year_ago(calendar.period_of(day, grain))
    assert earlier is not None
    step = {"month": 12, "quarter": 4, "year": 1}[grain]
    assert days[day][grain] - days[earlier.start][grain] == step


@pytest.mark.parametrize("week_start", range(7), ids=WEEKDAYS)
def test_weeks_are_numbered_on_through_every_new_year(week_start: int) -> None:
    calendar = Calendar(week_start=week_start)
    weeks = calendar.periods(date(1995, 1, 2), date(2044, 12, 20), "week")
    numbers = [calendar.week_number(week) for week in weeks]
    for (year, number), (next_year, next_number) in itertools.pairwise(numbers):
        follows = (next_year, next_number) == (year, number + 1)
        begins = (next_year, next_number) == (year + 1, 1) and number in (52, 53)
        assert follows or begins
    for week, (year, number) in zip(weeks, numbers, strict=True):
        # Most of its days lie in the year that it is counted to.
        own = sum((week.start + timedelta(days=n)).year == year for n in range(7))
        assert own >= 4 or week_start != 0
        assert calendar.week(year, number) == week
    assert sum(number == 53 for _, number in numbers) == sum(
        date(year, 12, 28).isocalendar().week == 53 for year in range(1995, 2045)
    )


@pytest.mark.parametrize("fiscal", [(1, 1), (2, 1), (3, 1), (10, 1), (4, 6)])
def test_a_year_with_a_leap_day_has_366_days(fiscal: tuple[int, int]) -> None:
    calendar = Calendar(fiscal_start=fiscal)
    for year in calendar.periods(date(1996, 1, 1), date(2044, 1, 1), "year"):
        leap_days = [date(y, 2, 29) for y in range(1996, 2045, 4)]
        has_one = any(year.start <= day < year.end for day in leap_days)
        assert year.days == 365 + has_one
        assert calendar.label(year) == str((year.end - ONE_DAY).year)
        quarters = calendar.periods(year.start, year.end, "quarter")
        assert [calendar.label(q)[-2:] for q in quarters] == ["Q1", "Q2", "Q3", "Q4"]
        assert sum(quarter.days for quarter in quarters) == year.days


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(get_args(Grain)),
    st.integers(0, 6),
)
def test_an_instant_lies_between_the_bounds_of_the_period_of_its_day(
    zone: str, instant: datetime, grain: Grain, week_start: int
) -> None:
    calendar = Calendar(zone, week_start)
    day = instant.astimezone(ZoneInfo(zone)).date()
    period = calendar.period_of(day, grain)
    start, end = calendar.instant(period.start), calendar.instant(period.end)
    assert start <= instant < end
    # The bound itself belongs to what begins there, the moment before to what ends there.
    assert calendar.local_day(start) >= period.start
    assert calendar.local_day(end - timedelta(microseconds=1)) < period.end
    assert calendar.last_complete(end, grain) == period
    assert calendar.last_complete(end - timedelta(microseconds=1), grain).end <= period.start


@pytest.mark.parametrize("zone", ZONES)
def test_days_of_any_length_add_up_to_the_year(zone: str) -> None:
    calendar = Calendar(zone)
    for year in range(2005, 2035):
        days = calendar.periods(date(year, 1, 1), date(year + 1, 1, 1), "day")
        lengths = [calendar.instant(day.end) - calendar.instant(day.start) for day in days]
        whole = calendar.instant(date(year + 1, 1, 1)) - calendar.instant(date(year, 1, 1))
        assert sum(lengths, timedelta()) == whole
        assert {length for length in lengths if length != ONE_DAY} <= {
            timedelta(hours=hours) for hours in (0, 23, 23.5, 24.5, 25)
        }


CHANGES = st.sampled_from(
    [
        datetime(2026, 3, 8, 7, tzinfo=UTC),  # New York springs forward
        datetime(2026, 11, 1, 6, tzinfo=UTC),  # and falls back
        datetime(2026, 3, 1, 5, tzinfo=UTC),  # a month begins there
        datetime(2026, 1, 1, 5, tzinfo=UTC),
        datetime(2024, 2, 29, 5, tzinfo=UTC),
        datetime(2018, 11, 4, 3, tzinfo=UTC),  # a midnight that São Paulo does not have
        datetime(2011, 12, 30, 10, tzinfo=UTC),  # a day that Apia does not have
    ]
)
SECONDS = st.one_of(st.integers(-90000, 90000), st.sampled_from([-1, 0, 1, -86400, 86400]))


@settings(max_examples=6, deadline=None, phases=[Phase.generate])
@given(
    zone=st.sampled_from(ZONES),
    week_start=st.sampled_from(WEEKDAYS),
    fiscal=FISCAL,
    change=CHANGES,
    seconds=st.lists(SECONDS, min_size=1, max_size=60),
)
def test_a_kpi_counts_each_instant_in_the_period_of_its_local_day(
    zone: str,
    week_start: str,
    fiscal: tuple[int, int],
    change: datetime,
    seconds: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    instants = [change + timedelta(seconds=offset) for offset in seconds]
    folder = tmp_path_factory.mktemp("leads")
    reporting = {
        "timezone": zone,
        "week_start": week_start,
        "fiscal_year_start": f"{fiscal[0]:02d}-{fiscal[1]:02d}",
    }
    write_project(folder, {}, packs=("leads",), reporting=reporting)
    schema = canonical_datasets()["leads"].arrow_schema()
    rows = [
        {"id": str(n), "created_at": at, "is_deleted": False, "is_test": False}
        for n, at in enumerate(instants)
    ]
    load_tables(folder, {"leads": pa.Table.from_pylist(rows, schema)})
    project = Project(folder, environ={}, now=lambda: datetime(2030, 1, 1, tzinfo=UTC))
    local = [at.astimezone(ZoneInfo(zone)).date() for at in instants]
    days = numbered(WEEKDAYS.index(week_start), fiscal)
    for grain in get_args(Grain):
        asked = {"start": min(local) - ONE_DAY, "end": max(local) + 2 * ONE_DAY, "grain": grain}
        found = project.query(["leads_created"], **asked).to_pylist()
        counted = {row["period_start"]: row["value"] for row in found if row["value"]}
        expected = Counter(days[day][grain] for day in local)
        assert {days[start][grain]: n for start, n in counted.items()} == expected


def test_a_period_knows_its_length() -> None:
    assert Period(date(2024, 2, 1), date(2024, 3, 1), "month").days == 29
