"""Values, changes and states in words."""

from __future__ import annotations

from datetime import date

import pytest

from crmetrics.deliver.wording import (
    change_words,
    compared_with,
    coverage_share,
    coverage_words,
    goal_words,
    guardrail_words,
    status_words,
    value_text,
)
from crmetrics.goals import GoalVerdict, GuardrailReading
from test_goals import TRAITS, Goal


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.4, "percent", "40.0 %"),
        (0.0125, "percent", "1.2 %"),  # half to even: 1.25 -> 1.2
        (0.0135, "percent", "1.4 %"),  # 1.35 -> 1.4
        (-0.00001, "percent", "0.0 %"),
        (12.345, "percent", "1,234.5 %"),
        (12500.5, "currency", "12,500 USD"),  # half to even
        (12501.5, "currency", "12,502 USD"),
        (999.995, "currency", "1,000.00 USD"),
        (42.125, "currency", "42.12 USD"),
        (-9000.0, "currency", "-9,000 USD"),
        (0.0, "currency", "0.00 USD"),
        (1234.0, "currency_per_day", "1,234 USD per day"),
        (1234.0, "count", "1,234"),
        (1.5, "count", "1.50"),
        (3.256, "ratio", "3.26"),
        (42.25, "points", "42.2"),
        (4.25, "score", "4.2"),
        (12.25, "days", "12.2 days"),
        (0.75, "days", "18 h"),
        (0.0, "days", "0 s"),
        (-2.0, "days", "-2.0 days"),
        (0.0, "seconds", "0 s"),
        (0.4, "seconds", "0 s"),
        (45.0, "seconds", "45 s"),
        (59.9, "seconds", "1 min"),
        (750.0, "seconds", "12 min 30 s"),
        (3599.6, "seconds", "1 h"),
        (5400.0, "seconds", "1 h 30 min"),
        (86399.0, "seconds", "1 d"),
        (90000.0, "seconds", "1 d 1 h"),
        (-90.0, "seconds", "-1 min 30 s"),
        (1e9, "seconds", "11,574 d 2 h"),
        (None, "currency", "no value"),
        (float("nan"), "count", "no value"),
        (1.0, "unheard_of", "1.00"),
    ],
)
def test_a_value_reads_as_people_write_it(value: float | None, unit: str, text: str) -> None:
    assert value_text(value, unit, "USD") == text


@pytest.mark.parametrize("value", [1e300, -1e300, 5e-324, 1.7976931348623157e308])
@pytest.mark.parametrize("unit", ["percent", "currency", "seconds", "days", "count", "ratio"])
def test_extreme_values_have_a_text(value: float, unit: str) -> None:
    assert value_text(value, unit, "USD")


@pytest.mark.parametrize(
    ("value", "previous", "change", "unit", "words"),
    [
        (0.4, 0.369, 0.084, "percent", "up 3.1 points"),
        (0.369, 0.4, -0.0775, "percent", "down 3.1 points"),
        (0.4, 0.4, 0.0, "percent", "unchanged"),
        (0.4001, 0.4, 0.0, "percent", "almost unchanged"),
        (112.4, 100.0, 0.124, "currency", "up 12.4 %"),
        (50.0, 100.0, -0.5, "count", "down 50.0 %"),
        (100.0, 100.0, 0.0, "seconds", "unchanged"),
        (-50.0, -100.0, 0.5, "currency", "up 50.0 %"),
        (40.0, 30.0, 1 / 3, "points", "up 33.3 %"),
    ],
)
def test_a_percent_kpi_changes_in_points_all_others_relative(
    value: float, previous: float, change: float, unit: str, words: str
) -> None:
    assert change_words(value, previous, change, unit) == words


def test_a_change_names_what_it_is_compared_with() -> None:
    assert compared_with("up 3.1 points", "the week before") == "up 3.1 points on the week before"
    assert compared_with("unchanged", "the week before") == "unchanged from the week before"


def test_states_are_said_once_and_in_plain_words() -> None:
    assert status_words("ok", (), 100) == ""
    assert status_words("partial", ["partial"], 3) == "so far: the period is not over"
    assert status_words("ok", ["low_sample"], 1200) == "small sample (n = 1,200)"
    assert status_words("ok", ["unheard_of"], None) == ""
    assert "does not cover" in status_words("missing_dataset", (), None)


def test_coverage_counts_only_what_was_left_out_for_quality() -> None:
    counts = {
        "rows_used": 92.0,
        "missing_close_date": 6.0,
        "missing_rate": 2.0,
        "excluded_deleted": 500.0,
        "orphan": 7.0,
        "invalid_duration": 0.0,
    }
    assert coverage_share(counts) == pytest.approx(0.92)
    assert coverage_words(counts, 0.95) == (
        "low coverage: only 92.0 % of the rows could be used; "
        "left out: 6 without close_date, 2 without an exchange rate"
    )
    assert coverage_words(counts, 0.9) == (
        "left out: 6 without close_date, 2 without an exchange rate"
    )


def test_coverage_without_counts_says_nothing() -> None:
    assert coverage_words({"rows_used": 10.0}, 0.95) == ""
    assert coverage_share({}) is None
    assert coverage_share({"rows_used": 0.0}) is None


def verdict(**parts: object) -> GoalVerdict:
    values: dict[str, object] = {
        "goal": Goal(),
        "status": "on_track",
        "attainment": 0.6,
        "expected": 0.326,
        "actual": 0.36,
        **parts,
    }
    return GoalVerdict(**values)  # type: ignore[arg-type]


def test_a_goal_says_how_far_to_what_until_when_and_whose_it_is() -> None:
    assert goal_words(verdict(), "percent", "USD") == (
        "Close more of what we open: 60.0 % of the way from 30.0 % to 40.0 % by 2026-07-01 "
        "(expected 32.6 %), on track, owner @vp-sales"
    )


def test_a_goal_judged_over_its_own_days_says_their_value_beside_that_of_the_period() -> None:
    over_its_days = verdict(since=date(2026, 1, 1))
    assert goal_words(over_its_days, "percent", "USD") == (
        "Close more of what we open: 36.0 % since 2026-01-01, 60.0 % of the way from 30.0 % to "
        "40.0 % by 2026-07-01 (expected 32.6 %), on track, owner @vp-sales"
    )


def test_a_goal_that_is_not_judged_says_why() -> None:
    unjudged = verdict(status="", attainment=None, reason="the period is not over")
    assert goal_words(unjudged, "percent", "USD") == (
        "Close more of what we open: 40.0 % by 2026-07-01, not judged: the period is not over, "
        "owner @vp-sales"
    )


def test_guardrails_are_told_broken_first_then_unchecked_then_kept() -> None:
    readings = (
        GuardrailReading("csat", 0.9, 0.8, None),
        GuardrailReading("new_customers", None, 5.0, None),
        GuardrailReading("average_deal_size", 8500.0, 9000.0, None, date(2026, 1, 1)),
        GuardrailReading("first_response_time", 3700.0, None, 3600.0),
    )
    assert guardrail_words(verdict(guardrails=readings), TRAITS, "USD") == (
        "Average deal size 8,500 USD since 2026-01-01 is below its limit of 9,000 USD; "
        "First response time 1 h 2 min is above its limit of 1 h; "
        "New customers could not be checked; "
        "Satisfaction 90.0 % is within its limit"
    )
