"""The pack `sales` where records are incomplete, tie, or come from several sources."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.testing import load_tables, read_tables, write_project

NOW = datetime(2030, 1, 1, tzinfo=UTC)
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """`ask(tables, kpi, ...)`: the rows for January 2026, or the period given; tables is a text, or
    source -> text."""

    def answers(
        tables: str | dict[str, str],
        *kpis: str,
        packs: tuple[str, ...] = ("sales",),
        **question: Any,
    ) -> list[dict[str, Any]]:
        write_project(tmp_path, {}, packs=packs)
        for source, text in (tables if isinstance(tables, dict) else {"test": tables}).items():
            load_tables(tmp_path, read_tables(text), source=source)
        project = Project(tmp_path, environ={}, now=lambda: NOW)
        rows: list[dict[str, Any]] = project.query(
            list(kpis), **{"period": "2026-01", **question}
        ).to_pylist()
        return rows

    return answers


def _values(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["value"] for row in rows]


# --- deals ---------------------------------------------------------------------------------------


def test_a_closed_deal_without_any_day_of_closing_is_open_at_no_time(ask: Ask) -> None:
    rows = ask(
        """
@opportunities
id,created_at,close_date,is_closed,is_won
1,2025-12-01,,true,false
2,2025-12-01,2026-05-01,false,false
""",
        "sales_velocity.open_opportunities",
    )
    assert _values(rows) == [1]


def test_nothing_won_of_amounts_decided_is_a_rate_of_zero(ask: Ask) -> None:
    (row,) = ask(
        """
@opportunities
id,created_at,close_date,is_closed,is_won,amount
1,2025-12-01,2026-01-03,true,false,10
2,2025-12-01,2026-01-04,true,true,
""",
        "win_rate.by_amount",
    )
    assert (row["value"], row["status"]) == (0, "ok")
    assert dict(row["coverage"])["missing_amount"] == 1


def test_earlier_stays_of_another_sources_deal_with_the_same_id_do_not_count(ask: Ask) -> None:
    tables = """
@opportunities
id,created_at
1,2020-01-01
@opportunity_stage_history
id,opportunity_id,stage,entered_at,exited_at,is_closed
h1,1,Proposal,{}T00:00:00Z,{}T00:00:00Z,false
"""
    now, before = ("2026-01-05", "2026-01-09"), ("2020-01-01", "2020-03-01")
    rows = ask({"a": tables.format(*now), "b": tables.format(*before)}, "stage_duration")
    assert [(row["value"], row["n"], dict(row["coverage"])) for row in rows] == [
        (4, 1, {"rows_used": 1})
    ]


def test_of_two_stays_entered_at_one_instant_the_one_that_ended_later_is_last(ask: Ask) -> None:
    stays = [
        "1,1,Proposal,2026-01-01T00:00:00Z,2026-01-05T00:00:00Z,false",
        "2,1,Discovery,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,false",
        "3,1,Closed Won,2026-01-05T00:00:00Z,,true",
    ]
    deal = "@opportunities\nid,created_at,close_date,is_closed,is_won\n"
    deal += "1,2025-12-01,2026-01-10,true,true\n"
    history = "@opportunity_stage_history\nid,opportunity_id,stage,entered_at,exited_at,is_closed\n"
    for rows in (stays, stays[::-1]):
        (row,) = ask(deal + history + "\n".join(rows) + "\n", "win_rate", by=["last_open_stage"])
        assert dict(row["segment"]) == {"last_open_stage": "Proposal"}


def test_a_deal_of_which_nobody_knows_whether_it_was_open_is_told(ask: Ask) -> None:
    tables = """
@opportunities
id,created_at,close_date,is_closed,is_won,forecast_category
1,2025-12-01,2026-02-10,true,true,closed
2,2025-12-01,2026-05-01,false,false,pipeline
@opportunity_stage_history
id,opportunity_id,stage,entered_at,exited_at,is_closed,amount,probability,close_date
1,1,,2025-12-01T00:00:00Z,2026-02-10T00:00:00Z,,100,1,2026-02-10
2,1,Closed Won,2026-02-10T00:00:00Z,,true,100,1,2026-02-10
3,2,Proposal,2025-12-01T00:00:00Z,,false,7,0.5,2026-01-20
"""
    variants = ("weighted", "closing_in_period", "overdue")
    names = ["sales_pipeline_value", *(f"sales_pipeline_value.{name}" for name in variants)]
    rows = ask(tables, *names)
    assert _values(rows) == [7, 3.5, 7, 7]
    for row in rows:
        assert (row["n"], dict(row["coverage"])["missing_is_closed"]) == (1, 1)
    (later,) = ask(tables, names[0], period="2026-02")
    assert (later["value"], "missing_is_closed" in dict(later["coverage"])) == (7, False)


def test_two_products_of_one_family_are_one_part_of_a_deal(ask: Ask) -> None:
    tables = """
@opportunities
id,created_at,close_date,is_closed,is_won,amount
1,2025-12-01,2026-01-03,true,true,100
2,2025-12-01,2026-01-04,true,true,300
@opportunity_items
opportunity_id,product_id,quantity,total_amount
1,p,1,40
1,q,1,60
2,p,1,300
@products
id,family
p,f
q,f
"""
    (row,) = ask(tables, "average_deal_size.median", by=["family"])
    assert (row["value"], row["n"]) == (200, 2)


def test_one_order_of_an_account_is_new_wherever_customer_type_is_asked(ask: Ask) -> None:
    orders = """
@orders
id,account_id,campaign_id,ordered_at,status,total_amount
2,A,C1,2026-01-05T00:00:00Z,paid,20
1,A,C1,2026-01-05T00:00:00Z,paid,10
3,A,C1,2026-01-06T00:00:00Z,paid,40
@order_items
order_id,quantity,total_amount
1,1,10
2,3,20
3,5,40
"""
    packs = ("marketing", "revenue")
    rows = ask(orders, "campaign_orders.amount", packs=packs)
    rows += ask(orders, "revenue", "items_per_order", packs=packs, by=["customer_type"])
    found = {(row["kpi"], dict(row["segment"])["customer_type"]): row["value"] for row in rows}
    assert found == {
        ("campaign_orders", "new"): 10,
        ("campaign_orders", "existing"): 60,
        ("revenue", "new"): 10,
        ("revenue", "existing"): 60,
        ("items_per_order", "new"): 1,
        ("items_per_order", "existing"): 4,
    }


# --- quotas --------------------------------------------------------------------------------------

MONTHLY = """
@quotas
owner_id,kpi_id,period_start,period_end,target_amount
{owner},won_amount,2026-01-01,2026-02-01,100
@opportunities
id,owner_id,account_id,created_at,close_date,is_closed,is_won,amount
1,u1,A,2025-12-01,2026-01-31,true,true,60
2,u1,A,2025-12-01,2026-02-01,true,true,500
3,u1,A,2025-12-01,2026-01-31,false,false,120
4,u1,A,2025-12-01,2026-02-01,false,false,7000
"""
"""A quota of January alone, seen in the quarter: the deals of the other months are not its own."""


@pytest.mark.parametrize("owner", ["", "u1"])
def test_only_deals_of_the_quotas_days_count_towards_it(owner: str, ask: Ask) -> None:
    tables = MONTHLY.format(owner=owner)
    names = ("quota_attainment", "pipeline_coverage", "quota_attainment.pace")
    rows = ask(tables, *names, period="2026-Q1", as_of="2026-01-16")
    # 60 of 100; 120 open for the 40 that remain; 15 of the 31 days of the quota are over.
    assert _values(rows) == pytest.approx([0.6, 3, 0.6 / (15 / 31)])
    rows = ask(tables, "pipeline_coverage", period="2026-Q1", as_of="2026-01-16", by=["segment"])
    assert _values(rows) == [3]


def test_an_owner_is_at_target_by_the_deals_of_the_quotas_days(ask: Ask) -> None:
    tables = MONTHLY.format(owner="u1")
    (row,) = ask(tables, "quota_attainment.share_at_target", period="2026-Q1")
    assert (row["numerator"], row["denominator"]) == (0, 1)
    by_owner = ask(tables, "quota_attainment", period="2026-Q1", by=["owner_id"])
    assert _values(by_owner) == pytest.approx([0.6])


def test_a_quota_without_a_rate_is_left_out_with_its_deals(ask: Ask) -> None:
    rows = ask(
        """
@quotas
owner_id,kpi_id,period_start,period_end,target_amount,currency
u1,won_amount,2026-01-01,2026-02-01,100,USD
u2,won_amount,2026-01-01,2026-02-01,100,XXX
@opportunities
id,owner_id,created_at,close_date,is_closed,is_won,amount
1,u1,2025-12-01,2026-01-10,true,true,50
2,u2,2025-12-01,2026-01-11,true,true,500
3,u1,2025-12-01,2026-01-12,true,true,
""",
        "quota_attainment",
        "quota_attainment.share_at_target",
        "pipeline_coverage",
    )
    attainment, at_target, coverage = rows
    assert attainment["value"] == 0.5
    assert dict(attainment["coverage"])["missing_rate"] == 1
    assert dict(attainment["coverage"])["missing_amount"] == 1
    assert (at_target["numerator"], at_target["denominator"]) == (0, 1)
    assert (coverage["denominator"], dict(coverage["coverage"])["missing_rate"]) == (50, 1)


# --- forecasts -----------------------------------------------------------------------------------


def test_an_earlier_forecast_does_not_stand_in_for_one_without_a_rate(ask: Ask) -> None:
    rows = ask(
        """
@forecasts
owner_id,period_start,period_end,submitted_at,forecast_category,forecast_amount,currency
u1,2026-01-01,2026-02-01,2025-12-20,commit,90,USD
u1,2026-01-01,2026-02-01,2025-12-30,commit,100,XXX
u2,2026-01-01,2026-02-01,2025-12-30,commit,40,USD
@opportunities
id,owner_id,created_at,close_date,is_closed,is_won,amount
1,u1,2025-12-01,2026-01-10,true,true,90
2,u2,2025-12-01,2026-01-10,true,true,50
""",
        "sales_forecast_accuracy",
    )
    (row,) = rows
    assert (row["value"], row["denominator"]) == (pytest.approx(0.8), 50)
    assert dict(row["coverage"])["missing_rate"] == 1
    assert "missing_forecast" not in dict(row["coverage"])


def test_a_company_forecast_without_a_rate_is_no_forecast_of_zero(ask: Ask) -> None:
    (row,) = ask(
        """
@forecasts
owner_id,period_start,period_end,submitted_at,forecast_category,forecast_amount,currency
,2026-01-01,2026-02-01,2025-12-30,commit,100,XXX
u1,2026-01-01,2026-02-01,2025-12-30,commit,40,USD
@opportunities
id,owner_id,created_at,close_date,is_closed,is_won,amount
1,u1,2025-12-01,2026-01-10,true,true,90
""",
        "sales_forecast_accuracy.company_level",
    )
    assert (row["value"], row["status"]) == (None, "no_data")
    assert dict(row["coverage"])["missing_rate"] == 1


# --- owners of several sources -------------------------------------------------------------------

HERE = """
@users
id,role,team,created_at
u1,sales,here,2025-01-01
@quotas
owner_id,kpi_id,period_start,period_end,target_amount
u1,won_amount,2026-01-01,2026-02-01,100
@forecasts
owner_id,period_start,period_end,submitted_at,forecast_category,forecast_amount
u1,2026-01-01,2026-02-01,2025-12-20,commit,120
@opportunities
id,owner_id,created_at,close_date,is_closed,is_won,amount
1,u1,2025-12-01,2026-01-10,true,true,80
2,u1,2025-12-01,2026-01-20,false,false,30
"""
THERE = """
@users
id,role,team,created_at
u1,sales,there,2025-01-01
@opportunities
id,owner_id,created_at,close_date,is_closed,is_won,amount
1,u1,2025-12-01,2026-01-10,true,true,500
2,u1,2025-12-01,2026-01-20,false,false,7000
"""


@pytest.mark.parametrize("by", [[], ["team"]])
def test_owners_of_two_sources_with_one_id_are_two_owners(by: list[str], ask: Ask) -> None:
    rows = ask(
        {"here": HERE, "there": THERE},
        "quota_attainment",
        "sales_forecast_accuracy",
        "pipeline_coverage",
        as_of="2026-01-15",
        by=by,
    )
    assert _values(rows) == pytest.approx([0.8, 0.5, 1.5])
    assert {tuple(row["segment"]) for row in rows} == ({(("team", "here"),)} if by else {()})


def test_targets_of_another_source_find_the_owners_deals(ask: Ask) -> None:
    users, deals = "@users\nid,role,created_at\nu1,sales,2025-01-01\n", THERE[THERE.index("@opp") :]
    quotas = HERE[HERE.index("@quotas") : HERE.index("@forecasts")]
    rows = ask({"crm": users + deals, "plans": quotas}, "quota_attainment", by=["owner_id"])
    assert _values(rows) == [5]


def test_pipeline_coverage_states_what_is_open_and_what_it_counts(ask: Ask) -> None:
    tables = """
@accounts
id,segment
A,big
@quotas
owner_id,kpi_id,period_start,period_end,target_amount
u1,won_amount,2030-01-01,2030-02-01,100
u2,won_amount,2030-01-01,2030-02-01,100
@opportunities
id,owner_id,account_id,created_at,close_date,is_closed,is_won,amount
1,u1,A,2029-12-01,2030-01-31,false,false,50
2,u1,A,2029-12-01,2030-01-31,false,false,
"""
    rows = ask(tables, "pipeline_coverage", period="2030-01", by=["owner_id"])
    # Nothing open is a sum of zero (N3).
    assert [(row["value"], row["numerator"]) for row in rows] == [(0.5, 50), (0, 0)]
    (row,) = ask(tables, "pipeline_coverage", period="2030-01", by=["segment"])
    assert (row["value"], row["n"], dict(row["coverage"])) == (
        0.25,
        1,
        {"rows_used": 1, "missing_amount": 1},
    )


def test_owners_without_a_forecast_of_a_category_are_counted_in_it(ask: Ask) -> None:
    tables = """
@forecasts
owner_id,period_start,period_end,submitted_at,forecast_category,forecast_amount
u1,2026-01-01,2026-02-01,2025-12-30T10:00:00Z,commit,90
u1,2026-01-01,2026-02-01,2025-12-30T10:00:00Z,best_case,90
u2,2026-01-01,2026-02-01,2025-12-30T10:00:00Z,commit,40
@opportunities
id,owner_id,created_at,close_date,is_closed,is_won,amount
1,u1,2025-12-01,2026-01-10,true,true,100
2,u2,2025-12-01,2026-01-10,true,true,50
3,u3,2025-12-01,2026-01-10,true,true,70
"""
    rows = ask(tables, "sales_forecast_accuracy", by=["forecast_category"])
    found = {
        dict(row["segment"])["forecast_category"]: dict(row["coverage"])["missing_forecast"]
        for row in rows
    }
    assert found == {"commit": 1, "best_case": 2}
