"""The pack `revenue` at its edges: orders, lines, moving up and the forecast."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from metrics.revenue_tables import ask_tables, values

Ask = Callable[..., list[dict[str, Any]]]

ORDERS = """
@orders
id,account_id,ordered_at,status,total_amount,refunded_amount,refunded_at,currency
1,A,2026-01-05T00:00:00Z,paid,100,,,
2,A,2026-01-20T00:00:00Z,paid,60,20,2026-02-10T00:00:00Z,
3,B,2026-01-21T00:00:00Z,paid,40,,,CHF
"""
LINES = """
@order_items
order_id,product_id,quantity,total_amount,unit_cost
1,p1,2,100,10
2,p1,1,30,
2,p2,3,30,5
"""
PRODUCTS = """
@products
id,family,tier_rank
p1,seat,1
p2,seat,2
p3,,
"""


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    return partial(ask_tables, tmp_path)


# --- what is not there ---------------------------------------------------------------------------


def test_what_is_not_loaded_gives_a_status_and_no_number(ask: Ask) -> None:
    kpis = ("revenue", "mrr", "net_new_mrr", "cost_of_goods_sold", "revenue_forecast")
    rows = ask("@accounts\nid\nA\n", *kpis)
    assert {row["kpi"] for row in rows} == set(kpis)
    assert {(row["value"], row["status"]) for row in rows} == {(None, "missing_dataset")}


def test_lines_are_needed_only_for_what_reads_them(ask: Ask) -> None:
    total, items = ask(ORDERS, "revenue", "items_per_order")
    assert (total["value"], total["status"]) == (160, "ok")
    assert items["status"] == "missing_dataset"
    (by_product,) = ask(ORDERS, "revenue", by=["product_id"])
    assert (by_product["value"], by_product["status"]) == (None, "missing_dataset")


def test_a_column_that_nobody_delivered_is_named(ask: Ask) -> None:
    rows = ask(ORDERS, "revenue", without={"orders": "total_amount"})
    assert [row["status"] for row in rows] == ["missing_column"]
    assert rows[0]["flags"] == ["missing_column:orders.total_amount"]


def test_a_period_before_the_first_order_is_not_covered(ask: Ask) -> None:
    rows = ask(ORDERS + LINES, "revenue", "cost_of_goods_sold", period="2025-12")
    assert {(row["value"], row["status"]) for row in rows} == {(None, "missing_dataset")}


def test_a_covered_period_without_orders_sums_to_zero_and_rates_nothing(ask: Ask) -> None:
    rows = ask(
        ORDERS + LINES,
        "revenue",
        "cost_of_goods_sold",
        "gross_margin",
        "items_per_order",
        period="2026-05",
    )
    found = {row["kpi"]: (row["value"], row["status"]) for row in rows}
    assert found["revenue"] == found["cost_of_goods_sold"] == (0, "ok")
    for kpi in ("gross_margin", "items_per_order"):
        assert found[kpi] == (None, "no_data")


# --- orders --------------------------------------------------------------------------------------


def test_a_currency_without_a_rate_is_left_out_and_counted(ask: Ask) -> None:
    (row,) = ask(ORDERS, "revenue")
    assert row["value"] == 160
    assert row["coverage"]["missing_rate"] == 1


def test_a_refund_after_as_of_is_not_known(ask: Ask) -> None:
    (early,) = ask(ORDERS, "revenue", period="2026-02", as_of="2026-02-05")
    (late,) = ask(ORDERS, "revenue", period="2026-02", as_of="2026-03-05")
    assert (early["value"], late["value"]) == (0, -20)


def test_deleted_test_and_older_rows_change_nothing(ask: Ask) -> None:
    dirty = """
@orders
id,account_id,ordered_at,status,total_amount,is_deleted,is_test,updated_at
1,A,2026-01-05T00:00:00Z,paid,900,false,false,2026-01-06T00:00:00Z
1,A,2026-01-05T00:00:00Z,paid,100,false,false,2026-01-07T00:00:00Z
2,A,2026-01-05T00:00:00Z,paid,900,true,false,
3,A,2026-01-05T00:00:00Z,paid,900,false,true,
@order_items
order_id,product_id,quantity,total_amount
1,p1,1,100
2,p1,9,900
"""
    rows = ask(dirty, "revenue", "items_per_order")
    assert [row["value"] for row in rows] == [100, 1]


def test_an_order_is_split_over_its_lines_and_one_without_lines_is_none(ask: Ask) -> None:
    rows = ask(ORDERS + LINES + PRODUCTS, "revenue", by=["product_id"])
    # Order 1: 100 to p1; order 2: 30 each.
    assert values(rows, "product_id") == {"p1": 130, "p2": 30}
    bare = ORDERS + "@order_items\norder_id,product_id,quantity,total_amount\n2,p2,1,60\n"
    assert values(ask(bare, "revenue", by=["product_id"]), "product_id") == {
        "(none)": 100,
        "p2": 60,
    }


def test_the_first_order_of_an_account_is_a_new_customers(ask: Ask) -> None:
    rows = ask(ORDERS + LINES, "revenue", by=["customer_type"])
    assert values(rows, "customer_type") == {"new": 100, "existing": 60}
    baskets = ask(ORDERS + LINES, "items_per_order", by=["customer_type"])
    assert values(baskets, "customer_type") == {"new": 2, "existing": 4}


def test_services_are_left_out_of_the_basket_by_family(ask: Ask) -> None:
    products = "@products\nid,family\np1,seat\np2,service\n"
    settings = {"items_per_order": {"exclude_families": ["service"]}}
    (row,) = ask(ORDERS + LINES + products, "items_per_order", settings=settings)
    assert row["value"] == pytest.approx((2 + 1) / 2)
    # Order 3 has no line at all.
    assert row["coverage"]["orders_without_lines"] == 1


def test_revenue_without_a_cost_is_taken_out_of_the_margin(ask: Ask) -> None:
    text = ORDERS + LINES + PRODUCTS
    margin, amount, cost = ask(text, "gross_margin", "gross_margin.amount", "cost_of_goods_sold")
    # Costed: order 1 (100, cost 20) and half of order 2 (30, cost 15); p1 has no cost in order 2.
    assert cost["value"] == 35
    assert margin["value"] == pytest.approx((130 - 35) / 130)
    assert amount["value"] == 95
    assert margin["coverage"]["uncosted_revenue"] == 30


def test_a_refunded_month_has_no_margin(ask: Ask) -> None:
    (row,) = ask(ORDERS + LINES, "gross_margin", period="2026-02")
    assert (row["value"], row["status"]) == (None, "no_data")


def test_won_deals_stand_for_orders_when_the_setting_says_so(ask: Ask) -> None:
    deals = """
@opportunities
id,account_id,close_date,is_closed,is_won,amount
1,A,2026-01-10,true,true,500
2,A,2026-01-31,true,true,300
3,A,2026-01-12,true,false,900
@opportunity_items
opportunity_id,product_id,quantity,total_amount
1,p1,4,400
2,p2,1,300
"""
    settings = {"orders_from": "opportunities"}
    rows = ask(
        deals + PRODUCTS,
        "revenue",
        "items_per_order",
        "upsell_rate",
        settings=settings,
        reporting={"timezone": "America/New_York"},
    )
    assert [row["value"] for row in rows] == [800, 2.5, 1]


# --- moving up -----------------------------------------------------------------------------------


def test_orders_of_one_instant_are_not_earlier_than_each_other(ask: Ask) -> None:
    text = """
@orders
id,account_id,ordered_at,status,total_amount
1,A,2026-01-05T00:00:00Z,paid,10
2,A,2026-01-05T00:00:00Z,paid,20
3,A,2026-01-09T00:00:00Z,paid,20
@order_items
order_id,product_id,quantity,total_amount
1,p1,1,10
2,p2,1,20
3,p2,1,20
"""
    (row,) = ask(text + PRODUCTS, "upsell_rate")
    assert (row["value"], row["n"]) == (0, 1)


def test_the_second_order_of_a_period_can_be_an_upsell_and_a_return_cannot(ask: Ask) -> None:
    text = """
@orders
id,account_id,ordered_at,status,total_amount
1,A,2026-01-05T00:00:00Z,paid,10
2,A,2026-01-06T00:00:00Z,paid,20
3,B,2025-06-05T00:00:00Z,paid,10
4,B,2026-01-06T00:00:00Z,paid,10
5,C,2025-06-05T00:00:00Z,paid,10
6,C,2026-01-06T00:00:00Z,paid,10
@order_items
order_id,product_id,quantity,total_amount
1,p1,1,10
2,p2,1,20
3,p1,1,10
4,p2,-1,-10
5,p1,1,10
6,p3,1,10
"""
    up, cross, amount = ask(text + PRODUCTS, "upsell_rate", "cross_sell_rate", "upsell_rate.amount")
    assert up["value"] == pytest.approx(1 / 3)
    assert amount["value"] == 20
    assert cross["value"] == 0
    assert up["coverage"]["missing_family"] == up["coverage"]["missing_tier_rank"] == 1


def test_who_left_a_family_stays_in_the_denominator_of_migration(ask: Ask) -> None:
    text = """
@subscriptions
account_id,product_id,start_date,end_date,mrr
A,p1,2025-01-01,2026-01-10,10
A,p2,2026-01-10,,20
B,p1,2025-01-01,2026-01-10,10
C,p2,2025-01-01,2026-01-10,20
C,p1,2026-01-10,,10
D,p3,2025-01-01,,10
"""
    up, down = ask(
        text + PRODUCTS, "product_migration_rate", "product_migration_rate.downgrade_rate"
    )
    assert (up["value"], up["n"]) == (0.5, 2)
    assert (down["value"], down["n"]) == (1, 1)
    rows = ask(text + PRODUCTS, "product_migration_rate", by=["from_tier"])
    # Who is on top already is in neither side, so there is no row for that tier.
    assert values(rows, "from_tier") == {"1": 0.5}


# --- forecast ------------------------------------------------------------------------------------

DEALS = """
@opportunities
id,close_date,is_closed,is_won,amount,probability,stage,currency,created_at
1,2025-11-10,true,true,500,1,Won,,2025-01-01T00:00:00Z
2,2025-11-12,true,false,500,0,Lost,,2025-01-01T00:00:00Z
3,2024-11-12,true,true,500,0,Won,,2024-01-01T00:00:00Z
4,2026-02-10,false,false,1000,,Proposal,,2025-01-01T00:00:00Z
5,2026-03-10,false,false,100,,Idea,,2025-01-01T00:00:00Z
6,2026-03-11,false,false,,0.5,Proposal,,2025-01-01T00:00:00Z
7,2026-03-12,false,false,100,0.5,Proposal,CHF,2025-01-01T00:00:00Z
8,2026-01-12,false,false,100,0.5,Proposal,,2025-01-01T00:00:00Z
9,2026-03-20,false,false,400,0.25,Proposal,,2025-01-01T00:00:00Z
"""
STAYS = """
@opportunity_stage_history
opportunity_id,stage,entered_at
1,Proposal,2025-02-01T00:00:00Z
1,Proposal,2025-03-01T00:00:00Z
2,Proposal,2025-02-01T00:00:00Z
3,Proposal,2024-02-01T00:00:00Z
"""


def test_a_missing_probability_is_the_win_rate_of_the_stage(ask: Ask) -> None:
    default, calibrated = ask(
        DEALS + STAYS,
        "revenue_forecast",
        "revenue_forecast.calibrated",
        period="2026-Q1",
        as_of="2026-02-01",
    )
    # Proposal was won once in two deals of the year before; Idea was never closed.
    assert default["value"] == 1000 * 0.5 + 400 * 0.25
    assert calibrated["value"] == 1000 * 0.5 + 400 * 0.5
    for row in (default, calibrated):
        assert row["coverage"]["overdue"] == 1
        assert row["coverage"]["missing_amount"] == 1
        assert row["coverage"]["missing_rate"] == 1
        assert row["flags"][-1] == "is_projection"
        assert row["status"] == "ok"
    assert default["coverage"]["missing_probability"] == 1
    assert calibrated["coverage"]["missing_win_rate"] == 1


def test_a_forecast_without_stage_history_leaves_unknown_probabilities_out(ask: Ask) -> None:
    default, calibrated = ask(
        DEALS,
        "revenue_forecast",
        "revenue_forecast.calibrated",
        period="2026-Q1",
        as_of="2026-02-01",
    )
    assert default["value"] == 400 * 0.25
    assert default["coverage"]["missing_probability"] == 2
    assert calibrated["status"] == "missing_dataset"


def test_a_period_ahead_holds_only_its_own_deals(ask: Ask) -> None:
    (row,) = ask(DEALS + STAYS, "revenue_forecast", period="2026-03", as_of="2026-02-01")
    assert row["value"] == 400 * 0.25
