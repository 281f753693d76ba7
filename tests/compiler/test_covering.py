"""Where the rows of one condition are among those of another, a row set reads by the wider one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Question
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

KPIS = ("win_rate", "won_amount")
DEALS = """
@accounts
id,segment
A,big
B,small
@opportunities
id,account_id,amount,is_won,is_closed,close_date
1,A,10,true,true,2026-01-05
2,A,20,false,true,2026-01-06
3,B,30,true,true,2026-01-07
4,B,40,false,false,2026-01-08
5,,50,,true,2026-01-09
"""
WON_BUT_OPEN = "6,B,70,true,false,2026-01-10\n"
WON_AND_UNKNOWN = "6,B,70,true,,2026-01-10\n"


def ask(
    folder: Path, text: str, large_rows: int, by: str = "segment"
) -> tuple[str, dict[tuple[str, str], float]]:
    """The WHERE of the one scan, and the values by KPI and group."""
    write_project(folder, {}, packs=("sales",))
    load_tables(folder, read_tables(text))
    project = Project(folder, environ={}, now=lambda: datetime(2030, 1, 1, tzinfo=UTC))
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    with project.answerer(periods) as answerer:
        answerer.large_rows = large_rows
        program = answerer.program(Question(KPIS, periods, ((), (by,))))
        rows = answerer.run(program).to_pylist()
    (scan,) = program.scans()
    (where,) = (line.strip() for line in scan.splitlines() if line.strip().startswith("where "))
    return where, {
        (row["kpi"], "".join(dict(row["segment"]).values())): row["value"] for row in rows
    }


def test_the_wider_condition_stands_alone(tmp_path: Path) -> None:
    where, values = ask(tmp_path, DEALS, large_rows=1)
    assert where == "where f.is_closed"
    assert values == {
        ("win_rate", ""): 0.5,
        ("win_rate", "big"): 0.5,
        ("win_rate", "small"): 1,
        ("win_rate", "(none)"): 0,
        ("won_amount", ""): 40,
        ("won_amount", "big"): 10,
        ("won_amount", "small"): 30,
    }


@pytest.mark.parametrize("row", [WON_BUT_OPEN, WON_AND_UNKNOWN])
def test_a_row_outside_of_it_counts_all_the_same(tmp_path: Path, row: str) -> None:
    where, values = ask(tmp_path, DEALS + row, large_rows=1)
    assert where.lower() == "where (f.is_closed) or (f.is_won)"
    assert values["won_amount", "small"] == 100
    assert values["won_amount", ""] == 110
    assert values["win_rate", "small"] == 1


def test_small_data_and_groups_without_a_parent_are_not_looked_at(tmp_path: Path) -> None:
    assert " OR " in ask(tmp_path / "small", DEALS, large_rows=1000)[0]
    assert " OR " in ask(tmp_path / "own", DEALS, large_rows=1, by="lead_source")[0]
