"""The pack `revenue` at its edges: subscriptions, movements of MRR and lifetime value."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from metrics.revenue_tables import ask_tables, values

Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    return partial(ask_tables, tmp_path)


# --- subscriptions -------------------------------------------------------------------------------

PLANS = """
@subscriptions
subscription_id,account_id,product_id,start_date,end_date,mrr,quantity,currency,is_trial
s1,A,p1,2025-03-01,2026-02-15,100,5,,false
s1,A,p2,2026-02-15,,200,5,,false
s2,B,p1,2025-04-01,2026-02-20,50,,,false
s3,C,p1,2025-05-01,,70,1,CHF,false
s4,D,p1,2026-01-10,,0,1,,true
"""


def test_a_scheduled_cancellation_is_not_committed(ask: Ask) -> None:
    rows = ask(PLANS, "mrr", "mrr.committed", "mrr.arr")
    assert [row["value"] for row in rows] == [150, 100, 1800]
    assert rows[0]["coverage"]["missing_rate"] == 1


def test_customers_without_a_rate_are_in_neither_side_of_arpu(ask: Ask) -> None:
    rows = ask(
        PLANS,
        "average_revenue_per_user",
        "average_revenue_per_user.period_average",
        "average_revenue_per_user.per_seat",
    )
    assert rows[0]["value"] == 75
    assert rows[1]["value"] == pytest.approx(150 * 31 / 30.4375 / 2)
    assert rows[2]["value"] == 20
    assert rows[2]["coverage"]["missing_quantity"] == 1


def test_a_running_month_has_only_the_days_up_to_as_of(ask: Ask) -> None:
    (row,) = ask(PLANS, "revenue.recurring", as_of="2026-01-11")
    assert row["value"] == pytest.approx(150 * 10 / 30.4375)
    assert row["status"] == "partial"


def test_each_day_of_recurring_revenue_has_its_own_rate(ask: Ask) -> None:
    text = """
@subscriptions
account_id,start_date,end_date,mrr,currency
A,2025-12-20,2026-01-21,304.375,EUR
@exchange_rates
currency,valid_from,rate
EUR,2026-01-03,1.0
EUR,2026-01-11,1.2
"""
    (row,) = ask(text, "revenue.recurring")
    # Eight days at 1.0, ten at 1.2; the first two have no rate.
    assert row["value"] == pytest.approx(10 * (8 * 1.0 + 10 * 1.2))
    assert row["coverage"]["missing_rate"] == 1


def test_an_exchange_rate_moves_mrr_as_currency(ask: Ask) -> None:
    text = """
@subscriptions
account_id,start_date,end_date,mrr,currency
A,2025-06-01,2026-01-10,100,EUR
A,2026-01-10,,150,EUR
B,2026-01-05,,10,CHF
@exchange_rates
currency,valid_from,rate
EUR,2025-01-01,1.0
EUR,2026-01-20,1.5
"""
    rows = ask(text, "net_new_mrr")
    found = {row["segment"].get("movement", ""): row["value"] for row in rows}
    assert found == {"": 125, "expansion": 50, "currency": 75}
    assert rows[0]["coverage"]["missing_rate"] == 1


def test_each_days_change_is_a_gross_movement(ask: Ask) -> None:
    text = """
@subscriptions
account_id,start_date,end_date,mrr
A,2025-06-01,2026-01-05,100
A,2026-01-05,2026-01-12,160
A,2026-01-12,2026-01-20,90
A,2026-01-25,,100
N,2026-01-02,2026-01-03,7
"""
    rows = ask(text, "net_new_mrr", "net_new_mrr.gross_movements")
    found = {(row["variant"], row["segment"].get("movement", "")): row["value"] for row in rows}
    assert found == {
        ("", ""): 0,
        ("gross_movements", ""): 0,
        ("gross_movements", "expansion"): 60,
        ("gross_movements", "contraction"): -70,
        ("gross_movements", "churn"): -97,
        ("gross_movements", "reactivation"): 100,
        ("gross_movements", "new"): 7,
    }


def test_a_plan_switch_is_one_movement_of_the_account_and_two_of_its_families(ask: Ask) -> None:
    text = """
@products
id,family
a,seat
b,backup
@subscriptions
account_id,product_id,start_date,end_date,mrr
A,a,2025-06-01,2026-01-05,100
A,b,2026-01-05,,120
"""
    total = ask(text, "net_new_mrr")
    assert {r["segment"].get("movement", ""): r["value"] for r in total} == {
        "": 20,
        "expansion": 20,
    }
    rows = ask(text, "net_new_mrr", by=["family"])
    found = {(r["segment"]["family"], r["segment"].get("movement", "")): r["value"] for r in rows}
    assert found == {
        ("seat", ""): -100,
        ("seat", "churn"): -100,
        ("backup", ""): 120,
        ("backup", "new"): 120,
    }


def test_a_cohort_is_the_month_of_the_first_customer_day(ask: Ask) -> None:
    rows = ask(PLANS, "mrr", "average_revenue_per_user", by=["cohort_month"])
    found = {(row["kpi"], row["segment"]["cohort_month"]): row["value"] for row in rows}
    assert found["mrr", "2025-03"] == found["average_revenue_per_user", "2025-03"] == 100
    assert found["mrr", "2025-04"] == 50


def test_the_run_rate_is_mrr_at_as_of_for_the_months_of_the_period(ask: Ask) -> None:
    for period, months in (("2026-02", 1), ("2026-Q2", 3), ("2026", 12), ("2026-W10", 7 / 30.4375)):
        (row,) = ask(PLANS, "revenue_forecast.run_rate", period=period, as_of="2026-02-01")
        assert row["value"] == pytest.approx(150 * months), period
        assert "is_projection" in row["flags"]


# --- lifetime value ------------------------------------------------------------------------------

STAYING = "@subscriptions\naccount_id,start_date,end_date,mrr\nA,2024-01-01,,100\n"
LEAVING = STAYING + "B,2024-01-01,2025-08-01,100\n"


def test_without_churn_there_is_no_lifetime_value(ask: Ask) -> None:
    (row,) = ask(STAYING, "customer_lifetime_value")
    assert (row["value"], row["status"], row["n"]) == (None, "no_churn", 1)


def test_the_lifespan_can_be_capped_or_replaced(ask: Ask) -> None:
    kpi = "customer_lifetime_value"
    (capped,) = ask(STAYING, kpi, settings={kpi: {"max_lifespan_years": 4}})
    (shorter,) = ask(LEAVING, kpi, settings={kpi: {"max_lifespan_years": 1.5}})
    (longer,) = ask(LEAVING, kpi, settings={kpi: {"max_lifespan_years": 9}})
    (given,) = ask(STAYING, kpi, settings={kpi: {"lifespan_years": 3}})
    assert [row["value"] for row in (capped, shorter, longer, given)] == [4800, 1800, 2400, 3600]
    assert [("capped" in row["flags"]) for row in (capped, shorter, longer, given)] == [
        True,
        True,
        False,
        False,
    ]
    assert "low_sample" in longer["flags"]


def test_lifetime_value_of_a_family_reads_the_familys_customers(ask: Ask) -> None:
    text = """
@products
id,family
a,seat
b,backup
@subscriptions
account_id,product_id,start_date,end_date,mrr
A,a,2024-01-01,,100
A,b,2024-01-01,2025-06-01,40
B,b,2024-01-01,,60
C,a,2024-01-01,2025-06-01,50
"""
    rows = ask(text, "customer_lifetime_value", by=["family"])
    # Each family lost one of its two customers: two years.
    assert values(rows, "family") == {"seat": 2400, "backup": 1440}


def test_with_the_purchase_model_a_familys_customers_are_its_buyers_of_a_year(ask: Ask) -> None:
    text = """
@products
id,family
a,seat
b,backup
@orders
id,account_id,ordered_at,status,total_amount
1,A,2024-06-01T00:00:00Z,paid,100
2,A,2025-06-01T00:00:00Z,paid,300
3,B,2024-06-01T00:00:00Z,paid,100
4,B,2026-01-10T00:00:00Z,paid,500
5,C,2024-07-01T00:00:00Z,paid,40
@order_items
order_id,product_id,quantity,total_amount
1,a,1,100
2,a,1,300
3,b,1,100
4,a,1,500
5,a,1,40
"""
    rows = ask(
        text,
        "customer_lifetime_value",
        "average_revenue_per_user",
        "average_revenue_per_user.period_average",
        by=["family"],
        settings={"customer_model": "purchase"},
    )
    found = {
        (row["kpi"], row["variant"]): row["value"]
        for row in rows
        if row["segment"]["family"] == "seat"
    }
    # Seat: 800 in 365 days of the customers A and B; of A and C a year ago C is lost.
    assert found == {
        ("customer_lifetime_value", ""): 400 * 2,
        ("average_revenue_per_user", ""): 500,
        ("average_revenue_per_user", "period_average"): 500 / 1.5,
    }
