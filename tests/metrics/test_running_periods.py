"""What a running period may count: nothing of the days that have not begun."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from crmetrics.engine import Project
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

TABLES = """
@campaigns
id,start_date,end_date,channel
c1,2025-12-01,2026-01-31,email
@marketing_spend
id,campaign_id,spend_date,amount
1,c1,,620
@leads
id,created_at
l1,2026-01-02
@opportunities
id,created_at,campaign_id,close_date,is_closed,is_won,amount,account_id
o1,2026-01-01,c1,2026-01-05,true,true,1000,A
@accounts
id,customer_since_at
A,2026-01-05
@expenses
id,expense_date,category,amount
1,2025-12-20,marketing,3
"""


@pytest.mark.parametrize(
    ("kpi", "value"),
    [
        # Ten a day; of January the 1st to the 11th have begun.
        ("total_marketing_spend", 110),
        ("cost_per_lead", 110),
        ("marketing_roi", 1000 / 110),
        ("customer_acquisition_cost.media_only", 110),
        # The deal took four days: the 28th of December to the 7th of January.
        ("marketing_roi.lagged", 1000 / 110),
        ("customer_acquisition_cost.lagged", 110),
        # The lifetime goes to the last day that is over.
        ("marketing_roi.lifetime", 1000 / 410),
    ],
)
def test_spread_spend_of_days_to_come_is_not_counted(
    kpi: str, value: float, tmp_path: Path
) -> None:
    write_project(tmp_path, {}, packs=("marketing", "leads", "roi"))
    load_tables(tmp_path, read_tables(TABLES))
    now = datetime(2026, 1, 11, 15, tzinfo=UTC)
    project = Project(tmp_path, environ={}, now=lambda: now)
    (row,) = project.query([kpi], period="2026-01").to_pylist()
    assert row["value"] == pytest.approx(value)
    assert row["status"] == "partial"


@pytest.mark.parametrize("name", ["cohort_month", "cancel_reason", "first_order_month"])
def test_a_looked_up_dimension_follows_the_key_into_another_source(
    name: str, tmp_path: Path
) -> None:
    write_project(tmp_path, {}, packs=("retention", "revenue"))
    accounts = "@accounts\nid,segment\nA,big\nB,small\n"
    bills = """
@subscriptions
id,account_id,start_date,end_date,mrr,cancel_reason
1,A,2025-03-01,2026-01-10,10,price
2,B,2025-04-01,2026-01-10,5,quality
@orders
id,account_id,ordered_at,total_amount
1,A,2025-03-01,10
2,B,2025-04-01,10
"""
    load_tables(tmp_path, read_tables(accounts), source="crm")
    load_tables(tmp_path, read_tables(bills), source="billing")
    project = Project(tmp_path, environ={}, now=lambda: datetime(2030, 1, 1, tzinfo=UTC))
    kpi = "repeat_purchase_rate" if name == "first_order_month" else "customer_churn_rate"
    rows = project.query([kpi], period="2026-01", by=[name]).to_pylist()
    groups = {"cancel_reason": {"price", "quality"}}.get(name, {"2025-03", "2025-04"})
    assert {dict(row["segment"])[name] for row in rows} == groups


def test_a_cohort_of_revenue_follows_the_key_into_another_source(tmp_path: Path) -> None:
    write_project(tmp_path, {}, packs=("revenue",))
    load_tables(tmp_path, read_tables("@accounts\nid\nA\n"), source="crm")
    bills = "@subscriptions\naccount_id,start_date,mrr\nA,2025-03-01,10\n"
    load_tables(tmp_path, read_tables(bills), source="billing")
    project = Project(tmp_path, environ={}, now=lambda: datetime(2030, 1, 1, tzinfo=UTC))
    (row,) = project.query(["mrr"], period="2026-01", by=["cohort_month"]).to_pylist()
    assert dict(row["segment"]) == {"cohort_month": "2025-03"}
