"""What a definition needs may be absent where a column makes up for it (`spared_by`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.testing.examples import read_example
from crmetrics.testing.projects import load_tables, write_project

CASES = """@cases
id,created_at,first_response_at,is_closed
1,2026-01-05T09:00:00Z,2026-01-05T09:20:00Z,true
2,2026-01-05T09:00:00Z,2026-01-05T10:00:00Z,true
3,2026-01-05T09:00:00Z,,false
"""
MESSAGES = "@case_messages\ncase_id,sent_at,author_type\n3,2026-01-05T12:00:00Z,agent\n"
LEADS = """@leads
id,created_at,first_response_at,became_customer_at
1,2026-01-05T09:00:00Z,2026-01-05T09:30:00Z,2026-02-01T00:00:00Z
2,2026-01-05T09:00:00Z,,
"""


def ask(folder: Path, text: str, kpi: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    tables = {
        name: table.drop_columns([column for column in without if column in table.column_names])
        for name, table in read_example(text).tables.items()
    }
    write_project(folder, {}, packs=("leads", "service"))
    load_tables(folder, tables)
    (row,) = Project(folder, environ={}).query([kpi], period="2026-01").to_pylist()
    return {**row, "coverage": dict(row["coverage"])}


@pytest.mark.parametrize(
    ("text", "kpi", "value"),
    [
        (CASES, "first_response_time", 2400),
        (CASES, "first_response_time.within_target", 2 / 3),
        (LEADS, "lead_response_time", 1800),
        (LEADS, "lead_to_customer_rate", 0.5),
    ],
)
def test_a_column_makes_up_for_a_dataset(text: str, kpi: str, value: float, tmp_path: Path) -> None:
    without = ("converted_opportunity_id",)
    row = ask(tmp_path, text, kpi, without)
    assert (row["status"], row["value"]) == ("ok", pytest.approx(value))
    assert row["coverage"].get("unanswered", 1) == 1


@pytest.mark.parametrize(
    ("text", "kpi", "column"),
    [
        (CASES, "first_response_time", "first_response_at"),
        (LEADS, "lead_response_time", "first_response_at"),
        (LEADS, "lead_to_customer_rate", "became_customer_at"),
    ],
)
def test_without_the_column_the_dataset_is_missing(
    text: str, kpi: str, column: str, tmp_path: Path
) -> None:
    row = ask(tmp_path, text, kpi, (column,))
    assert (row["status"], row["value"]) == ("missing_dataset", None)


def test_where_both_are_there_both_count(tmp_path: Path) -> None:
    row = ask(tmp_path, CASES + MESSAGES, "first_response_time")
    assert (row["value"], row["n"], row["coverage"].get("unanswered", 0)) == (3600, 3, 0)


@pytest.mark.parametrize(
    ("text", "kpi"),
    [
        ("@cases\nid,created_at,first_response_at\n1,2026-01-05,\n", "first_response_time"),
        ("@leads\nid,created_at,became_customer_at\n1,2026-01-05,\n", "lead_to_customer_rate"),
    ],
)
def test_a_column_that_nobody_fills_makes_up_for_nothing(
    text: str, kpi: str, tmp_path: Path
) -> None:
    row = ask(tmp_path, text, kpi)
    assert (row["status"], row["value"]) == ("missing_dataset", None)
