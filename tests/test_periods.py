"""Period arithmetic against brute force: zones, clock changes, ISO weeks, fiscal years."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmetrics.errors import UsageError
from crmetrics.periods import Calendar, Grain, Period, add_months, months_between

ZONES = (
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
)
NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
DAYS = st.dates(min_value=date(1990, 1, 1), max_value=date(2060, 12, 31))
GRAINS = st.sampled_from(get_args(Grain))
CALENDARS = st.builds(
    Calendar,
    timezone=st.sampled_from(ZONES),
    week_start=st.integers(0, 6),
    fiscal_start=st.tuples(st.integers(1, 12), st.integers(1, 28)),
)


@given(CALENDARS, DAYS, GRAINS)
def test_a_day_lies_in_exactly_one_period(calendar: Calendar, day: date, grain: Grain) -> None:
    period = calendar.period_of(day, grain)
    assert period.start <= day < period.end
    assert calendar.period_of(period.start, grain) == period
    assert calendar.period_of(period.end - timedelta(days=1), grain) == period
    assert calendar.period_of(period.end, grain).start == period.end
    assert calendar.previous(period).end == period.start


@given(CALENDARS, DAYS, GRAINS)
def test_a_label_is_read_back_as_the_same_period(
    calendar: Calendar, day: date, grain: Grain
) -> None:
    period = calendar.period_of(day, grain)
    assert calendar.parse(calendar.label(period), NOW) == period


@given(CALENDARS, DAYS, st.integers(1, 800), GRAINS)
def test_periods_tile_a_range_without_gap(
    calendar: Calendar, start: date, length: int, grain: Grain
) -> None:
    end = start + timedelta(days=length)
    periods = calendar.periods(start, end, grain)
    assert periods[0].start <= start
    assert periods[-1].start < end <= periods[-1].end
    for before, after in itertools.pairwise(periods):
        assert before.end == after.start


@given(DAYS, st.integers(0, 6))
def test_a_week_begins_on_its_day_and_is_numbered_by_its_thursday(day: date, first: int) -> None:
    calendar = Calendar(week_start=first)
    period = calendar.period_of(day, "week")
    assert period.start.weekday() == first
    assert period.days == 7
    thursday = next(
        period.start + timedelta(days=n)
        for n in range(7)
        if (period.start + timedelta(days=n)).weekday() == 3
    )
    assert calendar.week_number(period) == thursday.isocalendar()[:2]


@given(DAYS)
def test_monday_weeks_are_iso_weeks(day: date) -> None:
    calendar = Calendar()
    iso = day.isocalendar()
    assert calendar.label(calendar.period_of(day, "week")) == f"{iso.year}-W{iso.week:02d}"


@given(DAYS, st.integers(-400, 400))
def test_adding_months_keeps_the_day_or_the_month_end(day: date, months: int) -> None:
    moved = add_months(day, months)
    assert months_between(day, moved) == months
    following = moved + timedelta(days=1)
    assert moved.day == day.day or (moved.day < day.day and following.month != moved.month)


@given(st.sampled_from(ZONES), DAYS)
def test_the_first_moment_of_a_day_is_its_first_moment(zone: str, day: date) -> None:
    calendar = Calendar(timezone=zone)
    start = calendar.instant(day)
    # Days that a zone skipped altogether (Apia, 2011-12-30) have no moment of their own.
    if calendar.local_day(start) == day:
        assert calendar.local_day(start - timedelta(microseconds=1)) < day
    assert start.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("UTC", date(2026, 3, 8), 24),
    ],
)
def test_a_day_around_a_clock_change_has_its_own_length(zone: str, day: date, hours: float) -> None:
    calendar = Calendar(timezone=zone)
    length = calendar.instant(day + timedelta(days=1)) - calendar.instant(day)
    assert length == timedelta(hours=hours)


def test_midnight_that_does_not_exist_is_the_moment_of_the_change() -> None:
    calendar = Calendar(timezone="America/Sao_Paulo")
    start = calendar.instant(date(2018, 11, 4))
    assert start == datetime(2018, 11, 4, 3, tzinfo=UTC)
    assert start.astimezone(ZoneInfo("America/Sao_Paulo")).hour == 1


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026", date(2025, 2, 1), date(2026, 2, 1)),
        ("2026-Q1", date(2025, 2, 1), date(2025, 5, 1)),
        ("2026-Q4", date(2025, 11, 1), date(2026, 2, 1)),
        ("2026-01", date(2026, 1, 1), date(2026, 2, 1)),
        ("2026-01-15", date(2026, 1, 15), date(2026, 1, 16)),
        ("last_year", date(2025, 2, 1), date(2026, 2, 1)),
        ("this_quarter", date(2026, 2, 1), date(2026, 5, 1)),
        ("yesterday", date(2026, 3, 14), date(2026, 3, 15)),
    ],
)
def test_fiscal_years_are_named_after_the_year_they_end_in(
    text: str, start: date, end: date
) -> None:
    period = Calendar(fiscal_start=(2, 1)).parse(text, NOW)
    assert (period.start, period.end) == (start, end)


def test_the_week_53_of_a_shorter_year_has_no_week_to_compare_with() -> None:
    calendar = Calendar()
    week = calendar.parse("2026-W53", NOW)
    assert calendar.year_ago(week) is None
    assert calendar.year_ago(calendar.parse("2026-W10", NOW)) == calendar.week(2025, 10)


def test_a_leap_day_a_year_earlier_is_the_last_of_february() -> None:
    calendar = Calendar()
    assert calendar.year_ago(Period(date(2024, 2, 29), date(2024, 3, 1), "day")) == Period(
        date(2023, 2, 28), date(2023, 3, 1), "day"
    )


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-W54", "2026-02-30", "last_moth", "", "26-01", "2026-Q5", "jan"]
)
def test_what_names_no_period_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="period"):
        Calendar().parse(text, NOW)


def test_a_typing_error_in_a_relative_period_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="last_month"):
        Calendar().parse("last_moth", NOW)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-02-01", datetime(2026, 2, 1, 5, tzinfo=UTC)),
        ("2026-02-01T10:00", datetime(2026, 2, 1, 15, tzinfo=UTC)),
        ("2026-02-01T10:00:00Z", datetime(2026, 2, 1, 10, tzinfo=UTC)),
    ],
)
def test_an_instant_without_zone_is_in_the_reporting_zone(text: str, instant: datetime) -> None:
    assert Calendar(timezone="America/New_York").parse_instant(text) == instant


def test_an_instant_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="2026-01-31"):
        Calendar().parse_instant("yesterday noon")
