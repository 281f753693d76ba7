"""Vectors that several statements of a question read are computed once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Question
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TABLES = """
@accounts
id,is_deleted,is_test
A,,
B,,
C,true,
D,,true

@subscriptions
account_id,start_date,end_date,mrr
A,2025-01-01,,100
B,2025-01-01,2026-02-10,100
C,2025-01-01,,100
D,2025-01-01,,100

@activities
account_id,activity_type,occurred_at,is_completed,is_automated
A,call,2026-01-30T12:00:00Z,true,false
A,call,2026-02-10T12:00:00Z,true,false
B,call,2026-01-11T12:00:00Z,true,false
C,call,2026-01-11T12:00:00Z,true,false
"""
KPIS = ("time_since_last_interaction", "active_customers")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    write_project(tmp_path, {}, packs=("retention",))
    load_tables(tmp_path, read_tables(TABLES))
    return Project(tmp_path, environ={}, now=lambda: NOW)


def statements(project: Project, kpis: Sequence[str]) -> list[str]:
    periods = project.calendar.periods(date(2026, 1, 1), date(2026, 3, 1), "month")
    with project.answerer(periods) as answerer:
        program = answerer.program(Question(tuple(kpis), tuple(periods)))
    return [statement.sql for statement in program.statements]


def kept(texts: Sequence[str]) -> list[str]:
    heads = [text.partition(" as\n")[0] for text in texts if "_kept as" in text[:80]]
    return [head.rpartition(" ")[2] for head in heads]


def test_a_vector_is_kept_for_the_row_sets_and_reasons_that_read_it(project: Project) -> None:
    # Touches of accounts are read for the customers, and again for each reason that left out any.
    touches, customers = "account_touches_kept", "active_accounts_runs_kept"
    assert sorted(kept(statements(project, KPIS))) == [touches, customers]
    assert kept(statements(project, KPIS[:1])) == [touches]
    assert kept(statements(project, KPIS[1:])) == []


def test_what_is_kept_gives_the_numbers_of_each_account(project: Project) -> None:
    rows = project.query(list(KPIS), start="2026-01-01", end="2026-03-01").to_pylist()
    found = {(row["kpi"], row["period_start"].month): row for row in rows}
    # Medians of the days from the last touch to the month's end, 24:00: A 1.5 and B 20.5; A 18.5.
    assert [found[KPIS[0], month]["value"] for month in (1, 2)] == pytest.approx([11, 18.5])
    assert [found[KPIS[1], month]["value"] for month in (1, 2)] == [2, 1]
    # C and D left with their accounts; D was never touched, so that the median misses C alone.
    left_out = {kpi: dict(row["coverage"])["excluded_parent"] for (kpi, _), row in found.items()}
    assert left_out == {KPIS[0]: 1, KPIS[1]: 2}
