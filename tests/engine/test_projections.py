"""Projections of a series (rule F1)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crmetrics.datasets import canonical_datasets
from crmetrics.engine import Project
from crmetrics.engine.forecast_methods import holt_winters, project, seasonal_naive, theil_sen
from crmetrics.periods import add_months
from crmetrics.testing.projects import load_tables, write_project

YEAR = [10.0, 12, 15, 11, 9, 8, 7, 9, 14, 18, 20, 30]


def test_a_repeating_year_is_projected_by_the_baseline() -> None:
    found = project(YEAR * 4, 12, 3)
    assert found is not None
    assert (found.method, found.value, found.low, found.high) == ("seasonal_naive", 15, 15, 15)


def test_a_straight_line_is_projected_by_its_trend() -> None:
    found = project([100.0 + 5 * n for n in range(20)], 12, 4)
    assert found is not None
    assert found.method == "theil_sen"
    assert found.value == pytest.approx(100 + 5 * 23)


def test_growth_with_a_season_is_projected_by_holt_winters() -> None:
    series = [value * 3 + 4 * n for n, value in enumerate(YEAR * 5)]
    found = project(series, 12, 1)
    assert found is not None
    assert found.method == "holt_winters"
    assert found.value == pytest.approx(YEAR[0] * 3 + 4 * 60, rel=0.02)


def test_the_interval_holds_four_fifths_of_errors_like_those_of_the_test() -> None:
    year = [3 * value for value in YEAR]
    found = project([*year, *(value + 6 for value in year[:-1])], 12, 1)
    assert found is not None
    # From eleven origins the season before is 6 too low, from the first the last value is 30.
    width = 1.2815515655446004 * ((11 * 6**2 + 30**2) / 12) ** 0.5
    assert (found.method, found.value) == ("seasonal_naive", 90)
    assert (found.low, found.high) == pytest.approx((90 - width, 90 + width))


@pytest.mark.parametrize("series", [[], [5.0], [5.0, 6.0], [5.0, 6.0, 7.0]])
def test_a_series_too_short_to_be_tested_is_not_projected(series: list[float]) -> None:
    assert project(series, 12, 1) is None


def test_an_outlier_does_not_bend_the_trend() -> None:
    series = [float(n) for n in range(15)]
    series[7] = 1000.0
    assert theil_sen(series, 1, 1) == pytest.approx(15)


def test_a_season_that_is_not_complete_falls_back_to_the_last_value() -> None:
    assert seasonal_naive([1.0, 2.0, 3.0], 12, 5) == 3
    assert seasonal_naive(YEAR, 12, 14) == YEAR[1]
    assert holt_winters(YEAR, 12, 1) is None


# --- through the engine --------------------------------------------------------------------------


def _deals(amounts: list[float], start: date, **columns: Any) -> pa.Table:
    dataset = canonical_datasets()["opportunities"]
    rows = [
        {
            "id": f"{columns.get('owner_id', '')}{number}",
            "source": "test",
            "is_deleted": False,
            "is_test": False,
            "stage": "Won",
            "amount": Decimal(str(amount)),
            "is_closed": True,
            "is_won": True,
            "close_date": add_months(start, number),
            "created_at": datetime(2020, 1, 1, tzinfo=UTC),
            **columns,
        }
        for number, amount in enumerate(amounts)
    ]
    return pa.Table.from_pylist(rows, schema=dataset.arrow_schema())


def _project(directory: Path, deals: pa.Table) -> Project:
    write_project(directory, {}, packs=("sales", "revenue"))
    load_tables(directory, {"opportunities": deals})
    return Project(directory, environ={}, now=lambda: datetime(2026, 1, 20, tzinfo=UTC))


def test_a_period_ahead_continues_the_complete_periods(tmp_path: Path) -> None:
    # 25 months to January 2026; January is not over and is not read.
    line = [1000.0 + 10 * n for n in range(24)] + [5.0]
    project_ = _project(tmp_path, _deals(line, date(2024, 1, 1)))
    found = project_.query(
        ["revenue_forecast.trend", "won_amount"],
        start="2026-01-01",
        end="2026-04-01",
        grain="month",
    ).to_pylist()
    trend = [row for row in found if row["variant"] == "trend"]
    assert [row["value"] for row in trend] == pytest.approx([1240, 1250, 1260])
    for row in trend:
        assert row["status"] == "ok"
        assert {"is_projection", "method:theil_sen"} <= set(row["flags"])
        assert row["interval_low"] <= row["value"] <= row["interval_high"]
        assert row["n"] == 24
    assert [row["value"] for row in found if row["kpi"] == "won_amount"] == [5, 0, 0]


def test_a_group_is_projected_without_a_row_in_the_period(tmp_path: Path) -> None:
    east = _deals([100.0] * 24, date(2024, 1, 1), owner_id="east")
    west = _deals([10.0 * n for n in range(1, 25)], date(2024, 1, 1), owner_id="west")
    project_ = _project(tmp_path, pa.concat_tables([east, west]))
    found = project_.query(["revenue_forecast.trend"], period="2026-03", by=["owner_id"])
    values = {dict(row["segment"])["owner_id"]: row["value"] for row in found.to_pylist()}
    assert values == pytest.approx({"east": 100, "west": 270})


def test_too_little_history_gives_no_number(tmp_path: Path) -> None:
    project_ = _project(tmp_path, _deals([100.0] * 3, date(2025, 10, 1)))
    (row,) = project_.query(["revenue_forecast.trend"], period="2026-02").to_pylist()
    assert (row["value"], row["status"]) == (None, "no_data")


def test_a_past_period_is_projected_from_what_came_before_it(tmp_path: Path) -> None:
    line = [100.0 + n for n in range(20)] + [9999.0] * 4
    project_ = _project(tmp_path, _deals(line, date(2024, 1, 1)))
    (row,) = project_.query(["revenue_forecast.trend"], period="2025-09").to_pylist()
    assert row["value"] == pytest.approx(120)
