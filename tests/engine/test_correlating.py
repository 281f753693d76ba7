"""`correlate` over a project: which periods it pairs, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from crmetrics.engine import Project
from crmetrics.errors import UsageError

CONFIG = """
version: 1
project: acme
sources:
  crm: {connector: csv, path: data}
metrics: {packs: [sales]}
"""
MONTHS = [(2024 + number // 12, number % 12 + 1) for number in range(15)]
SIZES = [30, 10, 50, 20, 60, 40, 80, 70, 20, 90, 10, 30, 50, 70, 60]
"""Of the deals won in a month. A month wins one deal, and after a month of size s 10 - s / 10."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    lines = ["id,created_at,close_date,is_closed,is_won,amount"]
    for number, (year, month) in enumerate(MONTHS):
        deals = 10 - SIZES[number - 1] // 10 if number else 1
        for each in range(deals):
            day = f"{year}-{month:02d}-15"
            lines.append(f"{number}.{each},{day}T00:00:00Z,{day},true,true,{SIZES[number]}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "opportunities.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "crmetrics.yaml").write_text(CONFIG)
    return Project(tmp_path, environ={}, now=lambda: datetime(2025, 4, 10, tzinfo=UTC))


def test_the_second_kpi_is_read_later_than_the_first(project: Project) -> None:
    rows = project.correlate("average_deal_size", "won_amount.won_count", periods=15).to_pylist()
    assert [(row["lag"], row["pairs"]) for row in rows] == [(0, 15), (1, 14), (2, 13), (3, 12)]
    assert rows[1]["rho"] == pytest.approx(-1.0)
    assert all(abs(row["rho"]) < 0.9 for row in rows if row["lag"] != 1)


def test_periods_before_the_first_record_are_no_pairs(project: Project) -> None:
    [row, *_] = project.correlate("average_deal_size", "win_rate", periods=24).to_pylist()
    assert row["pairs"] == 15
    assert row["rho"] is None  # every deal was won: the rate never changes


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        ("win_rate", "win_rate", {}, "goes with itself"),
        ("win_rate", "won_amount", {"periods": 11}, "11 periods are too few"),
        ("win_rate", "won_amont", {}, "won_amount"),
        ("win_rate", "won_amount", {"grain": "moth"}, "month"),
    ],
)
def test_a_question_without_sense_is_refused(
    project: Project, first: str, second: str, options: dict[str, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        project.correlate(first, second, **options)  # type: ignore[arg-type]
