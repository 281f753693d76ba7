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


PAID = """
@accounts
id
A
B
C
D

@subscriptions
account_id,start_date,end_date,mrr,currency
A,2025-01-01,,100,USD
A,2026-01-15,,50,USD
B,2025-01-01,2026-02-10,100,USD
C,2026-02-01,,70,USD
D,2025-01-01,2026-01-10,0,USD
"""
STATES = ("customer_retention_rate", "gross_revenue_retention", "net_new_mrr", "mrr")
WHOLE = "account_states_runs_kept"
# By hand, January and February 2026, per KPI: customers A and B, of which B is lost in February (a
# segment of nothing makes no customer); 200 and 250 of revenue at the opening, of which 200 and 150
# are kept; an expansion of 50, then B's 100 lost and 70 new; 250 and 220 at the end.
EXPECTED = {
    "customer_retention_rate": [1, 0.5],
    "gross_revenue_retention": [1, 0.6],
    "net_new_mrr": [50, -30],
    "mrr": [250, 220],
}


def asked(folder: Path, text: str, **settings: object) -> tuple[list[str], dict[str, list[float]]]:
    """The kept tables, and the values of each KPI in January and February."""
    write_project(folder, {}, packs=("retention", "revenue"), settings=settings)
    load_tables(folder, read_tables(text))
    project = Project(folder, environ={}, now=lambda: NOW)
    rows = project.query(list(STATES), start="2026-01-01", end="2026-03-01").to_pylist()
    found: dict[str, list[float]] = {}
    for row in rows:
        if not row["segment"]:
            found.setdefault(row["kpi"], []).append(row["value"])
    return kept(statements(project, STATES)), found


def test_customers_and_what_they_pay_are_read_from_one_vector(tmp_path: Path) -> None:
    assert asked(tmp_path, PAID) == ([WHOLE], EXPECTED)


def test_what_others_pay_is_no_part_of_it(tmp_path: Path) -> None:
    # A segment without an account moves MRR and belongs to no customer: the movements stand apart.
    text = PAID + ",2025-01-01,2026-02-01,40,USD\n"
    wanted = EXPECTED | {"net_new_mrr": [50, -70], "mrr": [290, 220]}
    assert asked(tmp_path / "no_account", text) == ([WHOLE], wanted)
    # So do those of accounts that pay in another currency; what accounts pay is to be converted.
    text = PAID + "E,2025-01-01,2026-02-01,40,EUR\n"
    rates = "\n@exchange_rates\ncurrency,valid_from,rate\nEUR,2020-01-01,2\n"
    tables, found = asked(tmp_path / "foreign", text + rates)
    assert WHOLE not in tables
    assert found == {
        "customer_retention_rate": [1, pytest.approx(1 / 3)],
        "gross_revenue_retention": [1, pytest.approx(150 / 330)],
        "net_new_mrr": [50, -110],
        "mrr": [330, 220],
    }


def test_with_days_of_grace_customers_stand_apart(tmp_path: Path) -> None:
    # F pays nothing from January 20 to February 15, and stays a customer all the while.
    text = PAID + "F,2025-01-01,2026-01-20,30,USD\nF,2026-02-15,,30,USD\n"
    tables, found = asked(tmp_path, text, grace_days=60)
    assert tables == [WHOLE]  # what they pay, and how it moves
    assert found == {
        "customer_retention_rate": [1, pytest.approx(2 / 3)],
        "gross_revenue_retention": [pytest.approx(200 / 230), 0.6],
        "net_new_mrr": [20, 0],
        "mrr": [250, 250],
    }


def test_a_vector_alone_is_read_by_itself(project: Project) -> None:
    assert kept(statements(project, ("customer_retention_rate",))) == []
    assert kept(statements(project, ("gross_revenue_retention", "net_revenue_retention"))) == []
