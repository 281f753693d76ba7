"""The pack `roi` on small tables made by hand: what is missing, left out, dated or split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.errors import UsageError
from crmetrics.testing import read_tables
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2030, 1, 1, tzinfo=UTC)
Ask = Callable[..., list[dict[str, Any]]]

COSTS = """
@marketing_spend
id,spend_date,amount,currency,campaign_id,channel
m1,2026-01-05,300,,,email
m2,2026-01-06,100,EUR,,email
m3,2026-01-07,900,CHF,,social
m4,,310,,c1,
m5,,777,,c2,
@campaigns
id,channel,start_date,end_date
c1,paid,2026-01-01,2026-01-31
c2,paid,,
@expenses
id,expense_date,category,amount,currency,is_deleted
e1,2026-01-31,sales,1000,,false
e2,2026-01-31,sales,9999,,true
e3,2026-01-31,service,500,,false
e4,2026-02-01,sales,9999,,false
@exchange_rates
currency,valid_from,rate
EUR,2026-01-01,1.10
@subscriptions
account_id,start_date,end_date,mrr,is_trial
A,2026-01-05,,10,false
B,2026-01-31,,10,false
B,2026-01-10,,0,true
C,2025-01-01,2025-06-01,10,false
C,2026-01-07,,10,false
D,2026-02-01,,10,false
"""


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Loads the tables of a text and asks one KPI; gives the rows."""

    def asked(
        text: str, kpi: str, *, also: Sequence[str] = (), settings: Any = None,
        period: str = "2026-01", **more: Any,
    ) -> list[dict[str, Any]]:  # fmt: skip
        write_project(tmp_path, {}, packs=("roi",), settings=settings or {})
        load_tables(tmp_path, read_tables(text, also=also))
        project = Project(tmp_path, environ={}, now=lambda: NOW)
        rows: list[dict[str, Any]] = project.query([kpi], period=period, **more).to_pylist()
        for row in rows:
            row["segment"], row["coverage"] = dict(row["segment"]), dict(row["coverage"])
        return rows

    return asked


# --- customer_acquisition_cost -------------------------------------------------------------------


def test_spend_without_a_rate_or_a_day_is_left_out_of_the_acquisition_cost(ask: Ask) -> None:
    (row,) = ask(COSTS, "customer_acquisition_cost")
    # 300 + 100 x 1.10 + 310 spread over January + 1000 of sales; A and B are new.
    assert row["numerator"] == pytest.approx(1720)
    assert (row["value"], row["n"]) == (pytest.approx(860), 2)
    assert row["coverage"]["missing_rate"] == 1


def test_media_cost_by_channel_takes_the_channel_of_the_campaign(ask: Ask) -> None:
    kpi = "customer_acquisition_cost.media_only"
    rows = ask(COSTS + "@leads\nid,account_id,campaign_id\nl1,A,c1\n", kpi, by=["channel"])
    found = {row["segment"]["channel"]: (row["numerator"], row["value"]) for row in rows}
    assert found["paid"] == (pytest.approx(310), pytest.approx(310))
    assert found["email"] == (pytest.approx(410), None)
    assert found["(none)"] == (0, 0)


def test_salaries_are_not_split_by_channel(ask: Ask) -> None:
    with pytest.raises(UsageError, match="channel"):
        ask(COSTS, "customer_acquisition_cost", by=["channel"])


def test_without_new_customers_the_cost_is_shown_and_the_value_is_null(ask: Ask) -> None:
    (row,) = ask(COSTS, "customer_acquisition_cost", period="2026-03")
    assert (row["value"], row["status"], row["numerator"]) == (None, "no_data", 0)
    (row,) = ask(COSTS, "customer_acquisition_cost", period="2025-12")
    assert (row["value"], row["status"]) == (None, "missing_dataset")


def test_a_missing_ledger_is_named(ask: Ask) -> None:
    text = "@marketing_spend\nspend_date,amount\n2026-01-05,300\n@subscriptions\naccount_id,mrr\n"
    (row,) = ask(text, "customer_acquisition_cost")
    assert row["status"] == "missing_dataset"
    assert "missing_dataset:expenses" in row["flags"]


def test_lagged_costs_are_those_of_so_many_days_earlier(ask: Ask) -> None:
    kpi = "customer_acquisition_cost.lagged"
    (row,) = ask(COSTS, kpi, period="2026-02", settings={"lag_days": 31})
    # Costs of 1 to 28 January: 300 + 110 + 28 days of 10; D is new.
    assert (row["numerator"], row["value"]) == (pytest.approx(690), pytest.approx(690))
    (row,) = ask(COSTS, kpi, period="2026-02")
    assert row["status"] == "missing_dataset"
    assert "missing_dataset:opportunities" in row["flags"]


def test_the_lag_is_the_median_cycle_in_whole_days(ask: Ask) -> None:
    deals = """@opportunities
id,created_at,close_date,is_closed,is_won
1,2026-01-01T00:00:00Z,2026-01-06,true,true
2,2026-01-01T00:00:00Z,2026-01-07,true,true
3,2026-02-10T00:00:00Z,2026-02-01,true,true
4,2026-01-01T00:00:00Z,2026-02-28,true,false
"""
    # Median 5.5 days: costs of 27 January to 23 February.
    kpi = "customer_acquisition_cost.lagged"
    (row,) = ask(COSTS + deals, kpi, period="2026-02")
    assert row["numerator"] == pytest.approx(1000 + 9999 + 5 * 10)


def test_a_lag_before_the_first_cost_gives_no_number(ask: Ask) -> None:
    kpi = "customer_acquisition_cost.lagged"
    (row,) = ask(COSTS, kpi, settings={"customer_acquisition_cost": {"lag_days": 90}})
    assert (row["value"], row["status"]) == (None, "no_data")


# --- ltv_to_cac_ratio ----------------------------------------------------------------------------


def test_the_acquisition_cost_is_taken_over_periods_of_the_asked_grain(ask: Ask) -> None:
    text = """@expenses
expense_date,category,amount
2025-09-30,sales,40
2025-11-30,sales,100
2026-01-31,sales,200
@subscriptions
account_id,start_date,end_date,mrr
A,2024-01-01,2025-08-01,100
B,2024-01-01,,100
N,2026-01-05,,100
"""
    kpi = "ltv_to_cac_ratio.revenue_based"
    also = ("marketing_spend", "orders", "order_items")
    # Lifetime value 1200 x 2 years; 300 of cost in the three months to January, 1 new customer.
    (row,) = ask(text, kpi, also=also)
    assert row["value"] == pytest.approx(2400 / 300)
    one = {"ltv_to_cac_ratio": {"cac_periods": 1}}
    (row,) = ask(text, kpi, also=also, settings=one)
    assert row["value"] == pytest.approx(2400 / 200)
    (row,) = ask(text, kpi, also=also, period="2026-Q1", settings={"cac_periods": 2})
    assert row["denominator"] == pytest.approx(300)


# --- crm_roi and cost_savings --------------------------------------------------------------------

BENEFITS = """
@expenses
expense_date,category,amount,currency
2026-01-10,crm_license,100,
2026-01-20,crm_support,100,EUR
2026-01-20,crm_training,100,CHF
@benefits
id,benefit_date,category,baseline_amount,actual_amount,amount
b1,2026-01-05,efficiency_gain,,,50
b2,2026-01-15,cost_saving,200,100,100
b3,2026-01-16,cost_saving,200,,900
b4,2026-02-01,cost_saving,100,40,70
b5,2026-02-03,cost_saving,100,150,-50
@exchange_rates
currency,valid_from,rate
EUR,2026-01-01,1.50
EUR,2026-01-25,9
"""


def test_costs_so_far_count_at_the_rate_of_their_own_day(ask: Ask) -> None:
    (row,) = ask(BENEFITS, "crm_roi", period="2026-02")
    # Benefits 50 + 100 + 70 - 50, costs 100 + 150.
    assert (row["numerator"], row["denominator"]) == (pytest.approx(-80), pytest.approx(250))
    assert row["coverage"]["missing_baseline"] == 1
    assert row["coverage"]["missing_rate"] == 1


def test_benefits_before_the_first_cost_can_pay_it_back_at_once(ask: Ask) -> None:
    text = BENEFITS.replace("b1,2026-01-05,efficiency_gain,,,50", "b1,2026-01-05,x,,,100")
    (row,) = ask(text, "crm_roi.payback_days")
    assert (row["value"], row["unit"]) == (0, "days")


def test_payback_waits_for_the_day_that_reaches_the_cost(ask: Ask) -> None:
    (row,) = ask(BENEFITS, "crm_roi.payback_days")
    assert row["value"] == 5
    (row,) = ask(BENEFITS, "crm_roi.payback_days", as_of="2026-01-15")
    assert (row["value"], row["status"]) == (None, "no_data")


def test_without_crm_cost_there_is_no_return(ask: Ask) -> None:
    text = BENEFITS.replace("crm_", "other_")
    (row,) = ask(text, "crm_roi")
    assert (row["value"], row["status"], row["numerator"]) == (None, "no_data", 150)


def test_overruns_and_doubtful_savings_are_read_as_they_stand(ask: Ask) -> None:
    (row,) = ask(BENEFITS, "cost_savings", period="2026-02")
    assert (row["value"], row["n"]) == (20, 2)
    assert row["coverage"]["inconsistent_amount"] == 1
    (row,) = ask(BENEFITS, "cost_savings")
    assert (row["value"], row["coverage"]["missing_baseline"]) == (100, 1)
    (row,) = ask(BENEFITS, "cost_savings", period="2026-05")
    assert (row["value"], row["status"]) == (0, "ok")
    (row,) = ask(BENEFITS, "cost_savings", period="2025-12")
    assert (row["value"], row["status"]) == (None, "missing_dataset")


# --- expense_to_revenue_ratio and customer_profitability ------------------------------------------

SALES = """
@orders
id,account_id,ordered_at,status,total_amount,refunded_amount,refunded_at,currency
1,A,2026-01-05T00:00:00Z,paid,1000,,,
2,B,2026-01-06T00:00:00Z,paid,300,300,2026-02-06T00:00:00Z,
3,C,2026-01-06T00:00:00Z,paid,200,,,
4,D,2026-01-07T00:00:00Z,paid,500,,,CHF
5,E,2026-01-07T00:00:00Z,draft,500,,,
@order_items
order_id,product_id,quantity,total_amount,unit_cost
1,,10,800,40
1,p9,1,200,
2,,1,300,100
4,,1,500,1
@expenses
expense_date,category,amount
2026-01-31,service,400
2026-01-31,cogs,600
@cases
id,account_id,closed_at,is_closed,status
1,A,2026-01-06T00:00:00Z,true,solved
2,X,2026-01-06T00:00:00Z,true,solved
3,,2026-01-06T00:00:00Z,true,solved
4,B,2026-01-06T00:00:00Z,false,open
5,B,2026-02-06T00:00:00Z,true,solved
6,A,2026-01-09T00:00:00Z,true,solved
"""


def test_what_has_no_known_cost_is_no_margin(ask: Ask) -> None:
    rows = ask(SALES, "customer_profitability.amount")
    found = {row["segment"]["account_id"]: row["value"] for row in rows}
    # A: 800 of costed lines - 400 of cost - 2 of 4 closed cases; C has no lines, D no rate.
    assert found == {"A": 200, "B": 200, "C": 0}
    (row,) = ask(SALES, "customer_profitability")
    assert (row["value"], row["n"]) == (pytest.approx(2 / 3), 3)
    assert row["coverage"]["uncosted_revenue"] == 400
    assert row["coverage"]["missing_rate"] == 1


def test_an_account_with_only_a_refund_in_the_period_is_out(ask: Ask) -> None:
    (row,) = ask(SALES, "customer_profitability", period="2026-02")
    assert (row["value"], row["n"], row["status"]) == (None, 0, "no_data")


def test_a_period_before_the_first_closed_case_is_not_covered(ask: Ask) -> None:
    text = SALES.replace("2026-01-06T00:00:00Z,true,solved", "2026-02-06T00:00:00Z,true,solved")
    text = text.replace("2026-01-09", "2026-02-09").replace("2026-01-06T00:00:00Z,false", ",false")
    (row,) = ask(text, "customer_profitability")
    assert (row["value"], row["status"]) == (None, "missing_dataset")


def test_expenses_over_revenue_below_zero_give_no_ratio(ask: Ask) -> None:
    also = ("marketing_spend",)
    (row,) = ask(SALES, "expense_to_revenue_ratio", also=also)
    assert row["value"] == pytest.approx(400 / 1500)
    (row,) = ask(SALES, "expense_to_revenue_ratio.all_in", also=also)
    assert row["value"] == pytest.approx(1000 / 1500)
    (row,) = ask(SALES, "expense_to_revenue_ratio", also=also, period="2026-02")
    assert (row["value"], row["denominator"]) == (None, -300)


def test_the_acquisition_cost_of_the_period_is_taken_from_newcomers_alone(ask: Ask) -> None:
    more = "2026-01-31,sales,250\n@cases"
    text = SALES.replace("@cases", more, 1) + (
        "@subscriptions\naccount_id,start_date,mrr\nA,2026-01-02,10\nB,2025-01-02,10\n"
    )
    kpi = "customer_profitability.with_acquisition"
    (row,) = ask(text, kpi, also=("marketing_spend",))
    assert (row["numerator"], row["denominator"]) == (1, 3)


# --- customers and orders by other rules ----------------------------------------------------------


def test_where_orders_make_customers_they_are_what_cost_is_divided_by(ask: Ask) -> None:
    text = SALES.replace("2026-01-31,service,400", "2026-01-31,sales,800")
    (row,) = ask(text, "customer_acquisition_cost", also=("marketing_spend",))
    # A, C and D; B was refunded whole, E is a draft.
    assert (row["value"], row["n"]) == (pytest.approx(800 / 3), 3)


def test_won_deals_may_stand_for_orders(ask: Ask) -> None:
    text = """@opportunities
id,account_id,close_date,is_closed,is_won,amount
1,A,2026-01-05,true,true,1000
2,B,2026-01-06,true,true,300
3,A,2026-01-07,true,false,300
@opportunity_items
opportunity_id,product_id,quantity,total_amount
1,p1,10,1000
2,p1,5,300
@products
id,unit_cost
p1,70
@expenses
expense_date,category,amount
2026-01-31,service,400
@cases
id,account_id,closed_at,is_closed,status
1,A,2026-01-06T00:00:00Z,true,solved
"""
    kpi = "customer_profitability.amount"
    rows = ask(text, kpi, settings={"orders_from": "opportunities"})
    found = {row["segment"]["account_id"]: row["value"] for row in rows}
    assert found == {"A": 1000 - 700 - 400, "B": 300 - 350}


def test_accounts_of_two_sources_are_two_customers(ask: Ask, tmp_path: Path) -> None:
    ask(SALES, "customer_profitability.amount")
    other = read_tables(
        "@orders\nid,account_id,ordered_at,total_amount\n1,A,2026-01-09T00:00:00Z,50\n"
        "@order_items\nid,order_id,quantity,total_amount,unit_cost\n1,1,1,50,60\n",
        source="shop",
    )
    load_tables(tmp_path, other, source="shop")
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    (row,) = project.query(["customer_profitability"], period="2026-01").to_pylist()
    assert (row["numerator"], row["denominator"]) == (2, 4)
