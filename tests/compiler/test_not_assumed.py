"""What nobody told is no "no": a missing column leaves no number, and never a 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.testing.examples import read_example
from crmetrics.testing.projects import load_tables, write_project

PACKS = ("service", "revenue", "retention")
CASES = """@cases
id,created_at,closed_at,status,is_closed,is_escalated,escalated_at,is_created_by_agent
1,2026-01-02T09:00:00Z,2026-01-03T09:00:00Z,solved,true,true,2026-01-02T10:00:00Z,true
2,2026-01-02T09:00:00Z,2026-01-03T09:00:00Z,solved,true,false,,false
@survey_responses
id,survey_type,case_id,score,scale_min,scale_max,responded_at
1,csat,1,1,1,5,2026-01-04T09:00:00Z
2,csat,2,1,1,5,2026-01-04T09:00:00Z
"""
BACKLOG = """@cases
id,created_at,is_closed,owner_id
1,2026-01-02T09:00:00Z,false,u1
@case_status_history
id,case_id,status_category,entered_at,exited_at
1,1,open,2026-01-02T09:00:00Z,
"""
ORDERS = """@products
id,family,tier_rank
p1,f,1
p2,f,2
@orders
id,account_id,ordered_at,status,total_amount
1,a,2026-01-02T09:00:00Z,placed,10
2,a,2026-01-20T09:00:00Z,placed,10
@order_items
id,order_id,product_id,quantity,total_amount
1,1,p1,1,10
2,2,p2,1,10
"""
SUBSCRIPTIONS = """@products
id,family,tier_rank
p1,f,1
p2,f,2
@subscriptions
id,account_id,product_id,start_date,end_date,mrr,is_trial
1,a,p1,2025-01-01,2026-01-10,10,false
2,a,p2,2026-01-10,,20,false
3,b,p1,2025-01-01,2026-01-15,10,false
"""


def ask(folder: Path, text: str, kpi: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The row of January. without: `dataset.column` that no source delivers."""
    gone = [name.split(".") for name in without]
    tables = {
        name: table.drop_columns([column for dataset, column in gone if dataset == name])
        for name, table in read_example(text).tables.items()
    }
    write_project(folder, {}, packs=PACKS)
    load_tables(folder, tables)
    (row,) = Project(folder, environ={}).query([kpi], period="2026-01").to_pylist()
    return {**row, "flags": list(row["flags"])}


ESCALATIONS = ("cases.is_escalated", "cases.escalated_at")
ABSENT = [
    (CASES, "escalation_rate", ESCALATIONS, "cases.is_escalated"),
    (CASES, "escalation_rate.escalated_csat", ESCALATIONS, "cases.is_escalated"),
    (CASES, "escalation_rate.avoided", ESCALATIONS, "cases.is_escalated"),
    (CASES, "case_volume.outbound", ("cases.is_created_by_agent",), "cases.is_created_by_agent"),
    (BACKLOG, "case_backlog", ("case_status_history.status_category",),
     "case_status_history.status_category"),
    (BACKLOG, "case_backlog", ("case_status_history.exited_at",),
     "case_status_history.exited_at"),
    (BACKLOG, "case_backlog.unassigned", ("cases.owner_id",), "cases.owner_id"),
    (ORDERS, "upsell_rate", ("products.tier_rank",), "products.tier_rank"),
    (ORDERS, "upsell_rate.amount", ("products.tier_rank",), "products.tier_rank"),
    (ORDERS, "cross_sell_rate", ("products.family",), "products.family"),
    (ORDERS, "cross_sell_rate.families_per_customer", ("products.family",), None),
    (SUBSCRIPTIONS, "product_migration_rate", ("products.tier_rank",), "products.tier_rank"),
    (SUBSCRIPTIONS, "customer_churn_rate", ("subscriptions.end_date",),
     "subscriptions.end_date"),
    (SUBSCRIPTIONS, "customer_retention_rate", ("subscriptions.end_date",),
     "subscriptions.end_date"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kpi", "without", "told"), ABSENT)
def test_without_its_column_a_kpi_has_no_number(
    text: str, kpi: str, without: tuple[str, ...], told: str | None, tmp_path: Path
) -> None:
    row = ask(tmp_path, text, kpi, without)
    assert row["value"] is None
    assert row["status"] in ("missing_column", "missing_dataset")
    if told:
        project = Project(tmp_path, environ={})
        explained = project.explain(kpi, period="2026-01")
        assert told in str(explained)


@pytest.mark.parametrize(
    ("text", "kpi", "value"),
    [
        (CASES, "escalation_rate", 0.5),
        (CASES, "escalation_rate.avoided", 1),
        (CASES, "case_volume.outbound", 1),
        (BACKLOG, "case_backlog", 1),
        (BACKLOG, "case_backlog.unassigned", 0),
        (ORDERS, "upsell_rate", 1),
        (SUBSCRIPTIONS, "product_migration_rate", 0.5),
        (SUBSCRIPTIONS, "customer_churn_rate", 0.5),
    ],
)
def test_with_it_the_number_is_there(text: str, kpi: str, value: float, tmp_path: Path) -> None:
    row = ask(tmp_path, text, kpi)
    assert (row["status"], row["value"]) == ("ok", pytest.approx(value))


@pytest.mark.parametrize("one", ESCALATIONS)
def test_the_flag_or_the_instant_of_an_escalation_is_enough(one: str, tmp_path: Path) -> None:
    (other,) = set(ESCALATIONS) - {one}
    assert ask(tmp_path, CASES, "escalation_rate", (other,))["value"] == 0.5


def test_a_flag_that_is_never_filled_says_nothing(tmp_path: Path) -> None:
    """The default stands for single nulls, not for a column of nothing but nulls."""
    nobody = CASES.replace("true,true,2026-01-02T10:00:00Z,true", "true,,,true")
    nobody = nobody.replace("solved,true,false,,false", "solved,true,,,false")
    assert ask(tmp_path / "a", nobody, "escalation_rate")["status"] == "missing_column"
    single = CASES.replace("solved,true,false,,false", "solved,true,,,false")
    assert ask(tmp_path / "b", single, "escalation_rate")["value"] == 0.5


def test_a_flag_that_only_leaves_records_out_keeps_its_default(tmp_path: Path) -> None:
    row = ask(tmp_path, CASES, "case_volume", ("cases.is_created_by_agent",))
    assert (row["status"], row["value"]) == ("ok", 2)
