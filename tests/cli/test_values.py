"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from crmetrics.cli.values import format_change, format_count, format_value, tone_of


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.3157, "percent", "31.6 %"),
        (-0.0001, "percent", "0.0 %"),
        (1_234_567.5, "currency", "1,234,568 USD"),
        (12_345.0, "count", "12,345"),
        (7_500.0, "seconds", "2 h 5 min"),
    ],
)
def test_a_value_is_written_by_its_unit(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit, "USD") == text


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_no_value_is_a_dash_and_never_zero(value: float | None) -> None:
    assert format_value(value, "currency", "USD") == "-"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0625, "6.2 %"), (0.0635, "6.4 %"), (0.1235, "12.4 %"), (0.1245, "12.4 %")],
)
def test_a_half_is_rounded_to_even(value: float, text: str) -> None:
    assert format_value(value, "percent") == text


def test_the_change_of_a_percent_kpi_is_in_points() -> None:
    assert format_change(0.331, 0.3, 0.1033, "percent") == "+3.1 pts"
    assert format_change(0.3, 0.3, 0.0, "percent") == "0.0 pts"
    assert format_change(0.3, 0.30001, -0.00001, "percent") == "0.0 pts"


def test_the_change_of_any_other_kpi_is_relative() -> None:
    assert format_change(96.0, 100.0, -0.04, "currency") == "-4.0 %"
    assert format_change(5.0, 0.0, None, "count") == ""


@pytest.mark.parametrize(
    ("change", "better", "tone"),
    [
        (0.1, "higher", "better"),
        (-0.1, "higher", "worse"),
        (-0.1, "lower", "better"),
        (0.1, "none", ""),
        (0.0, "higher", ""),
        (None, "higher", ""),
    ],
)
def test_a_change_reads_by_the_direction_that_is_better(
    change: float | None, better: str, tone: str
) -> None:
    assert tone_of(change, better) == tone


def test_an_unknown_count_is_a_dash() -> None:
    assert format_count(None) == "-"
    assert format_count(1_234) == "1,234"
