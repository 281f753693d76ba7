"""Cron schedules and durations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crmetrics.config.cron import parse_cron
from crmetrics.config.durations import parse_duration


def test_the_fields_become_sets() -> None:
    cron = parse_cron("*/20 8-10,22 1,15 jan-mar MON-fri")
    assert cron.minutes == {0, 20, 40}
    assert cron.hours == {8, 9, 10, 22}
    assert cron.days == {1, 15}
    assert cron.months == {1, 2, 3}
    assert cron.weekdays == {1, 2, 3, 4, 5}
    assert (cron.any_day, cron.any_weekday) == (False, False)


def test_sunday_is_0_and_7() -> None:
    assert parse_cron("0 0 * * 0").weekdays == parse_cron("0 0 * * 7").weekdays == {0}
    assert parse_cron("0 0 * * 5-7").weekdays == {5, 6, 0}


def test_a_step_after_one_number_runs_to_the_end() -> None:
    assert parse_cron("50/5 0 * * *").minutes == {50, 55}
    assert parse_cron("0 8-18/5 * * *").hours == {8, 13, 18}


@pytest.mark.parametrize("text", ["0 0 31 2,3 *", "0 0 29 2 *", "0 0 31 2 MON", "0 0 31 * *"])
def test_a_day_that_comes_at_least_sometimes_is_accepted(text: str) -> None:
    assert parse_cron(text).minutes == {0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected five fields (minute hour day month weekday), found 0"),
        ("0 8 * *", "found 4"),
        ("0 0 8 * * *", "found 6"),
        ("@daily", "write '0 0 * * *'"),
        ("60 * * * *", "expected 0 to 59 as the minute, found '60'"),
        ("* 24 * * *", "as the hour, found '24'"),
        ("* * 0 * *", "as the day of the month, found '0'"),
        ("* * * 13 *", "expected 1 to 12 or jan to dec as the month, found '13'"),
        ("* * * * 8", "expected 0 to 7 or sun to sat as the weekday, found '8'"),
        ("* * L * *", "found 'L'"),
        ("* * * * mon#1", "found 'mon#1'"),
        ("* * * * fri-mon", "the weekday range 'fri-mon' runs backwards"),
        ("*/0 * * * *", "expected a step of 1 to 59 for the minute, found '0'"),
        ("*/ * * * *", "expected a step"),
        ("1-2-3 * * * *", "found '2-3'"),
        ("-5 * * * *", "found ''"),
        ("1,,2 * * * *", "found ''"),
        ("+5 * * * *", "found '+5'"),
        ("\u0665 * * * *", "found"),
        ("0 0 30 2 *", "day 30 never comes in the months '2'"),
        ("0 0 31 4,6,9,11 *", "day 31 never comes"),
    ],
)
def test_what_is_no_schedule_says_why(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_cron(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        ("1.5", 1.5),
        ("10m", 600),
        ("1H", 3600),
        ("1h30m", 5400),
        (" 1h 30m 5s ", 5405),
        ("2w", 1209600),
        ("0.5d", 43200),
    ],
)
def test_a_duration_is_seconds_or_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "m", "10 minutes", "-5m", "5m3", "1,5h", "9" * 400, "1y"])
def test_anything_else_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None
