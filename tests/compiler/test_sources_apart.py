"""A dimension or share finds its rows when another source delivers them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.testing.examples import read_example
from crmetrics.testing.projects import load_tables, write_project

DEALS = """@opportunities
id,account_id,close_date,is_closed,is_won,amount,created_at
O1,A,2026-01-10,true,true,100,2026-01-05
@opportunity_items
opportunity_id,product_id,quantity,total_amount
O1,p1,1,30
O1,p2,1,70
@opportunity_stage_history
opportunity_id,stage,entered_at,exited_at
O1,Proposal,2026-01-05T00:00:00Z,2026-01-10T00:00:00Z
@leads
id,converted_opportunity_id,created_at
L1,O1,2026-01-01T00:00:00Z
@accounts
id,created_at
A,2025-01-01
@subscriptions
id,account_id,product_id,start_date,mrr
S1,A,p1,2026-01-07,10
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Every dataset by a source of its own."""
    write_project(tmp_path, {}, packs=("sales", "revenue", "retention"))
    for name, table in read_example(DEALS).tables.items():
        load_tables(tmp_path, {name: table}, source=f"from_{name}")
    return Project(tmp_path, environ={})


def ask(project: Project, kpi: str, *by: str) -> dict[tuple[Any, ...], float]:
    rows = project.query([kpi], period="2026-01", by=list(by)).to_pylist()
    return {tuple(value for _, value in row["segment"]): row["value"] for row in rows}


@pytest.mark.parametrize(
    ("kpi", "by", "groups"),
    [
        ("won_amount", "product_id", {("p1",): 30, ("p2",): 70}),
        ("win_rate", "last_open_stage", {("Proposal",): 1}),
        ("new_customers", "product_id", {("p1",): 1}),
        ("mrr", "cohort_month", {("2026-01",): 10}),
    ],
)
def test_groups(kpi: str, by: str, groups: dict[tuple[str], float], project: Project) -> None:
    assert ask(project, kpi, by) == groups


def test_customers_by_product_need_only_what_makes_them_customers(tmp_path: Path) -> None:
    write_project(tmp_path, {}, packs=("sales", "revenue", "retention"))
    load_tables(tmp_path, read_example(DEALS).tables)
    project = Project(tmp_path, environ={})
    for kpi in ("new_customers", "new_customers.include_reactivated", "active_customers"):
        assert ask(project, kpi, "product_id") == {("p1",): 1}
    assert ask(project, "customer_churn_rate.event_dated", "product_id") == {}


def test_a_cycle_begins_with_the_lead(project: Project) -> None:
    assert ask(project, "sales_cycle_length.from_lead") == {(): 9}
