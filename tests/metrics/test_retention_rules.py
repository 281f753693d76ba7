"""The pack `retention` on small tables: statuses, coverage, currencies, models and hostile rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2030, 1, 1, tzinfo=UTC)
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Rows of KPIs over the tables of a text; `also` names datasets that are loaded empty."""

    def answer(
        text: str,
        kpi: str,
        *,
        period: str = "2026-01",
        by: tuple[str, ...] = (),
        as_of: str | None = None,
        settings: Mapping[str, Any] | None = None,
        also: tuple[str, ...] = (),
        sources: Mapping[str, str] | None = None,
        packs: tuple[str, ...] = ("retention",),
        totals: bool = False,
    ) -> list[dict[str, Any]]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        write_project(folder, {}, packs=packs, settings=settings)
        for dataset, table in read_tables(text, also=also).items():
            load_tables(folder, {dataset: table}, source=(sources or {}).get(dataset, "test"))
        project = Project(folder, environ={}, now=lambda: NOW)
        table = project.query([kpi], period=period, by=list(by), as_of=as_of, totals=totals)
        return [
            {**row, "segment": dict(row["segment"]), "coverage": dict(row["coverage"])}
            for row in table.to_pylist()
        ]

    return answer


SUBSCRIPTIONS = """
@subscriptions
account_id,start_date,end_date,mrr
A,2025-01-01,,100
B,2025-01-01,2026-01-15,100
"""


# --- status --------------------------------------------------------------------------------------


def test_without_subscriptions_revenue_retention_is_out_of_reach(ask: Ask) -> None:
    (row,) = ask("@orders\naccount_id,ordered_at\nA,2025-12-01\n", "gross_revenue_retention")
    assert (row["value"], row["status"]) == (None, "missing_dataset")


def test_an_accounts_table_without_the_flag_makes_no_referenceability(
    tmp_path: Path,
) -> None:
    write_project(tmp_path, {}, packs=("retention",))
    text = "@accounts\nid,created_at\nA,2025-01-01\n" + SUBSCRIPTIONS
    tables = read_tables(text)
    tables["accounts"] = tables["accounts"].select(["id", "created_at"])
    load_tables(tmp_path, tables)
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    (row,) = project.query(["referenceability_rate"], period="2026-01").to_pylist()
    assert (row["value"], row["status"]) == (None, "missing_column")


def test_before_the_first_subscription_nothing_is_known(ask: Ask) -> None:
    (row,) = ask(SUBSCRIPTIONS, "active_customers", period="2024-06")
    assert (row["value"], row["status"]) == (None, "missing_dataset")


def test_trials_cover_a_period_in_which_nobody_is_a_customer(ask: Ask) -> None:
    text = "@subscriptions\naccount_id,start_date,mrr,is_trial\nA,2025-12-01,0,true\n"
    for kpi, value, status in (
        ("active_customers", 0, "ok"),
        ("active_customers.average", 0, "ok"),
        ("customer_retention_rate", None, "no_data"),
        ("gross_revenue_retention", None, "no_data"),
        ("customer_churn_rate.value_weighted", None, "no_data"),
        ("win_back_rate", None, "no_data"),
    ):
        (row,) = ask(text, kpi)
        assert (row["value"], row["status"]) == (value, status), kpi


def test_a_window_that_is_still_open_is_maturing(ask: Ask) -> None:
    orders = "@orders\naccount_id,ordered_at,total_amount\nA,2025-12-05,10\nA,2026-01-10,10\n"
    (open_,) = ask(orders, "repeat_purchase_rate.cohort", period="2025-12", as_of="2026-03-31")
    (over,) = ask(orders, "repeat_purchase_rate.cohort", period="2025-12", as_of="2026-04-01")
    assert (open_["value"], open_["status"]) == (1, "maturing")
    assert (over["value"], over["status"]) == (1, "ok")


def test_the_second_order_must_come_within_the_window(ask: Ask) -> None:
    text = "@orders\naccount_id,ordered_at,total_amount\nA,2026-01-05T10:00:00Z,10\nA,{},10\n"
    for second, value in (("2026-04-05T09:59:59Z", 1), ("2026-04-05T10:00:00Z", 0)):
        (row,) = ask(text.format(second), "repeat_purchase_rate.cohort")
        assert row["value"] == value
    (row,) = ask(
        text.format("2026-01-15T10:00:00Z"),
        "repeat_purchase_rate.cohort",
        settings={"repeat_purchase_rate": {"window_days": 10}},
    )
    assert row["value"] == 0


def test_orders_of_one_day_count_once_only_when_the_setting_says_so(ask: Ask) -> None:
    orders = (
        "@orders\naccount_id,ordered_at,total_amount\n"
        "A,2026-01-05T10:00:00Z,10\nA,2026-01-05T11:00:00Z,10\nB,2026-01-06,10\n"
    )
    for kpi in ("repeat_purchase_rate", "repeat_purchase_rate.cohort"):
        (plain,) = ask(orders, kpi)
        (merged,) = ask(orders, kpi, settings={"repeat_purchase_rate": {"merge_same_day": True}})
        assert (plain["value"], merged["value"]) == (0.5, 0), kpi


# --- as_of ---------------------------------------------------------------------------------------


def test_a_past_as_of_reads_the_customers_of_its_last_day(ask: Ask) -> None:
    for as_of, lost in (("2026-01-15", 0), ("2026-01-16", 0.5)):
        for kpi in ("customer_churn_rate", "customer_churn_rate.event_dated"):
            (row,) = ask(SUBSCRIPTIONS, kpi, as_of=as_of)
            assert (row["value"], row["status"]) == (lost, "partial"), (kpi, as_of)


def test_silence_is_measured_to_as_of_and_later_touches_are_unknown(ask: Ask) -> None:
    text = SUBSCRIPTIONS + (
        "@activities\naccount_id,activity_type,occurred_at\n"
        "A,call,2026-01-01T00:00:00Z\nA,call,2026-01-20T00:00:00Z\n"
    )
    (row,) = ask(text, "time_since_last_interaction", as_of="2026-01-11T12:00:00Z")
    assert row["value"] == 10.5
    assert row["coverage"]["never_contacted"] == 1


def test_a_flag_changed_after_as_of_is_not_reproducible(ask: Ask) -> None:
    text = (
        "@accounts\nid,created_at,is_referenceable,updated_at\n"
        "A,2025-01-01,true,2026-03-01\nB,2025-01-01,true,2026-01-01\n"
    ) + SUBSCRIPTIONS
    (row,) = ask(text, "referenceability_rate", as_of="2026-02-10")
    assert (row["value"], row["status"]) == (1, "not_reproducible")


# --- currencies ----------------------------------------------------------------------------------

FOREIGN = """
@subscriptions
account_id,start_date,end_date,mrr,currency
A,2025-01-01,2026-01-10,100,EUR
A,2026-01-10,,120,EUR
B,2025-01-01,,100,
C,2025-01-01,,500,CHF
D,2025-01-01,,100,USD
D,2025-01-01,,100,CHF
E,2026-01-05,,100,CHF
@exchange_rates
currency,valid_from,rate
EUR,2025-01-01,2.0
EUR,2026-01-05,5.0
"""


def test_both_sides_are_converted_at_the_rate_of_the_opening_day(ask: Ask) -> None:
    (gross,) = ask(FOREIGN, "gross_revenue_retention")
    (net,) = ask(FOREIGN, "net_revenue_retention")
    assert gross["value"] == 1
    assert net["value"] == pytest.approx((240 + 100 + 100) / 400)
    assert (net["numerator"], net["denominator"], net["n"]) == (440, 400, 3)


def test_segments_without_a_rate_are_left_out_and_counted(ask: Ask) -> None:
    # C and the second segment of D; E is new and would not have entered.
    for kpi in ("gross_revenue_retention", "net_revenue_retention"):
        (row,) = ask(FOREIGN, kpi)
        assert row["coverage"]["missing_rate"] == 2, kpi
    (row,) = ask(FOREIGN, "customer_churn_rate.value_weighted")
    assert row["coverage"]["missing_rate"] == 2


def test_without_any_rate_only_the_reporting_currency_counts(ask: Ask) -> None:
    text = FOREIGN.partition("@exchange_rates")[0]
    (row,) = ask(text, "net_revenue_retention")
    assert (row["value"], row["n"], row["coverage"]["missing_rate"]) == (1, 2, 3)


def test_a_null_amount_is_left_out_and_counted(ask: Ask) -> None:
    text = "@subscriptions\naccount_id,start_date,mrr\nA,2025-01-01,100\nB,2025-01-01,\n"
    (row,) = ask(text, "gross_revenue_retention")
    assert (row["value"], row["n"], row["coverage"]["missing_mrr"]) == (1, 1, 1)
    (row,) = ask(text, "active_customers")
    assert row["value"] == 1


def test_the_lift_per_customer_leaves_out_customers_without_a_rate(ask: Ask) -> None:
    text = (
        "@accounts\nid,created_at,loyalty_joined_at\n"
        "A,2024-01-01,2025-06-01\nB,2024-01-01,\nC,2024-01-01,\nD,2024-01-01,\n"
    ) + FOREIGN
    (row,) = ask(text, "loyalty_retention_lift.arpu_lift")
    # A 120 x 5 on the snapshot day; B 100, D 100 without its francs, C left out.
    assert row["value"] == pytest.approx((600 - 100) / 100)
    assert row["coverage"]["missing_rate"] == 3


# --- models of customers -------------------------------------------------------------------------

PURCHASES = """
@products
id,name,family
p1,One,Core
p2,Two,Extra
@orders
id,account_id,ordered_at,status,total_amount,refunded_amount
1,A,2025-01-10,paid,100,
2,B,2025-06-01,paid,100,
3,C,2025-01-20,paid,100,
4,C,2026-01-10,paid,100,
5,D,2025-03-01,cancelled,100,
6,E,2025-03-01,paid,100,100
@order_items
order_id,product_id,quantity,total_amount
1,p1,1,100
2,p1,1,100
3,p1,1,100
4,p2,1,100
"""


def test_a_buyer_is_lost_when_the_purchase_days_pass(ask: Ask) -> None:
    (churn,) = ask(PURCHASES, "customer_churn_rate")
    (dated,) = ask(PURCHASES, "customer_churn_rate.event_dated")
    assert (churn["value"], churn["denominator"]) == (pytest.approx(1 / 3), 3)
    assert dated["value"] == pytest.approx(1 / 3)
    (short,) = ask(PURCHASES, "active_customers", settings={"purchase_days": 90})
    assert short["value"] == 1


def test_a_buyer_of_another_product_is_lost_for_the_first_one(ask: Ask) -> None:
    rows = ask(PURCHASES, "customer_churn_rate", by=("product_id",))
    assert {row["segment"]["product_id"]: row["value"] for row in rows} == {
        "p1": pytest.approx(2 / 3)
    }
    rows = ask(PURCHASES, "active_customers", by=("product_id",))
    assert {row["segment"]["product_id"]: row["value"] for row in rows} == {"p1": 1, "p2": 1}


def test_days_of_grace_bridge_a_gap_in_total_and_by_product(ask: Ask) -> None:
    text = (
        "@subscriptions\naccount_id,product_id,start_date,end_date,mrr\n"
        "A,p1,2025-01-01,2026-01-25,10\nA,p1,2026-02-05,,10\nA,p1,2025-02-01,2025-03-01,5\n"
        "B,p1,2025-01-01,,10\n"
    )
    for by in ((), ("product_id",)):
        (strict,) = ask(text, "customer_churn_rate", by=by)
        (kind,) = ask(text, "customer_churn_rate", by=by, settings={"grace_days": 11})
        (short,) = ask(text, "customer_churn_rate", by=by, settings={"grace_days": 10})
        assert (strict["value"], kind["value"], short["value"]) == (0.5, 0, 0.5), by


def test_recorded_customer_dates_make_customers_when_nothing_else_is_there(ask: Ask) -> None:
    text = (
        "@accounts\nid,created_at,account_type,customer_since_at,updated_at\n"
        "A,2025-01-01,customer,2025-01-01,2025-01-01\n"
        "B,2025-01-01,former_customer,2025-01-01,2026-01-15\n"
        "C,2025-01-01,prospect,,2025-01-01\n"
    )
    (row,) = ask(text, "customer_retention_rate")
    assert (row["value"], row["denominator"]) == (0.5, 2)
    assert row["status"] == "not_reproducible"  # nobody recorded when B left
    (row,) = ask(text.replace("former_customer", "customer"), "customer_retention_rate")
    assert (row["value"], row["status"]) == (1, "ok")


# --- hostile rows --------------------------------------------------------------------------------


def test_deleted_test_duplicate_and_merged_rows_change_nothing(ask: Ask) -> None:
    text = """
@accounts
id,created_at,is_test,merged_into_id,updated_at
A,2025-01-01,false,,2025-01-01
B,2025-01-01,false,,2025-01-01
T,2025-01-01,true,,2025-01-01
M,2025-01-01,false,A,2025-01-01
@subscriptions
id,account_id,start_date,end_date,mrr,is_deleted,updated_at
1,A,2025-01-01,,100,false,2025-01-01
2,B,2025-01-01,2026-01-15,100,false,2025-01-01
3,T,2025-01-01,,100,false,2025-01-01
4,M,2025-01-01,,50,false,2025-01-01
5,B,2025-01-01,,900,true,2025-01-01
"""
    (row,) = ask(text, "customer_retention_rate")
    assert (row["value"], row["denominator"]) == (0.5, 2)
    (row,) = ask(text, "gross_revenue_retention")
    assert (row["value"], row["denominator"], row["n"]) == (pytest.approx(0.6), 250, 2)


def test_subscriptions_of_a_finance_system_belong_to_the_accounts_of_the_crm(ask: Ask) -> None:
    text = "@accounts\nid,segment,created_at\nA,größe ☂,2025-01-01\n" + SUBSCRIPTIONS
    sources = {"accounts": "crm", "subscriptions": "finance"}
    for kpi in ("customer_churn_rate", "gross_revenue_retention.churn_rate"):
        rows = ask(text, kpi, by=("segment",), sources=sources)
        assert {row["segment"]["segment"]: row["value"] for row in rows} == {
            "größe ☂": 0,
            "(none)": 1,
        }, kpi


def test_rows_without_an_account_make_no_customer(ask: Ask) -> None:
    text = "@subscriptions\naccount_id,start_date,mrr\n,2025-01-01,100\nA,2025-01-01,100\n"
    for kpi in ("active_customers", "gross_revenue_retention", "net_revenue_retention"):
        (row,) = ask(text, kpi)
        assert row["n"] == 1, kpi


def test_only_touches_between_people_count(ask: Ask) -> None:
    text = (
        SUBSCRIPTIONS.replace("2026-01-15", "")
        + """
@users
id,user_type,created_at
h,human,2025-01-01
m,integration,2025-01-01
@activities
account_id,activity_type,occurred_at,user_id,is_automated,is_completed
A,note,2026-01-30,h,false,true
A,call,2026-01-29,m,false,true
A,email,2026-01-28,h,true,true
A,meeting,2026-02-10,h,false,true
A,chat,2026-01-22,h,false,true
@cases
id,account_id,created_at,is_spam
1,B,2026-01-01,false
2,A,2026-01-01,true
@case_messages
case_id,sent_at,author_type,is_public
1,2026-01-27,customer,true
1,2026-01-30,agent,false
1,2026-01-31,bot,true
2,2026-01-31,customer,true
"""
    )
    (row,) = ask(text, "time_since_last_interaction.mean")
    assert row["value"] == (10 + 5) / 2


# --- returns, cohorts, references ----------------------------------------------------------------


def test_who_left_again_within_the_window_was_not_won_back_for_good(ask: Ask) -> None:
    text = (
        "@subscriptions\naccount_id,start_date,end_date,mrr,is_trial\n"
        "A,2025-01-01,2025-12-01,10,false\nA,2026-01-10,2026-04-10,10,false\n"
        "B,2025-01-01,2025-12-01,10,false\nB,2026-01-10,2026-04-11,10,false\n"
        "C,2024-01-01,2025-01-01,10,false\nD,2024-01-01,2024-12-31,10,false\n"
        "E,2025-01-01,2025-12-01,10,false\nE,2026-01-10,,0,true\n"
    )
    (back,) = ask(text, "win_back_rate")
    (stayed,) = ask(text, "win_back_rate.still_active_90d")
    assert (back["value"], back["denominator"]) == (pytest.approx(2 / 4), 4)
    assert stayed["value"] == pytest.approx(1 / 4)
    (row,) = ask(text, "win_back_rate.still_active_90d", as_of="2026-04-30")
    assert row["status"] == "maturing"


def test_cells_of_cohorts_by_product_follow_the_product_of_the_first_day(ask: Ask) -> None:
    text = (
        "@subscriptions\naccount_id,product_id,start_date,end_date,mrr\n"
        "A,p1,2025-10-03,2025-12-10,100\nA,p2,2025-12-10,,100\nB,p1,2025-10-05,,300\n"
    )
    for kpi, kept in (("cohort_retention", 0.5), ("cohort_retention.revenue", 0.75)):
        rows = ask(text, kpi, period="2025-10", by=("product_id",), as_of="2026-02-01")
        cells = {(row["segment"]["product_id"], row["segment"]["k"]): row["value"] for row in rows}
        assert cells[("p1", "1")] == 1, kpi
        assert cells[("p1", "3")] == kept, kpi
        assert ("p1", "4") not in cells, kpi


def test_a_customer_refers_by_a_lead_of_the_period(ask: Ask) -> None:
    text = SUBSCRIPTIONS.replace("2026-01-15", "") + (
        "@leads\nid,created_at,referred_by_account_id\n"
        "1,2026-01-10,A\n2,2026-01-12,A\n3,2026-02-01,B\n4,2026-01-03,Z\n"
    )
    (row,) = ask(text, "referenceability_rate.referral_rate")
    assert (row["value"], row["n"]) == (0.5, 2)


# --- answers -------------------------------------------------------------------------------------

ANSWERS = """
@survey_responses
id,survey_type,contact_id,account_id,product_id,case_id,score,scale_min,scale_max,responded_at
1,nps,c1,A,p1,,10,0,10,2026-01-05
2,nps,c1,A,p2,k1,2,0,10,2026-01-20
3,nps,,B,p1,,9,0,10,2026-01-06
4,nps,,Z,p1,,0,0,10,2026-01-06
5,nps,c2,A,,k2,,0,10,2026-01-07
6,nps,c3,A,p1,k2,5,1,5,2026-01-08
"""


def test_the_latest_answer_of_a_contact_counts_in_every_group_anew(ask: Ask) -> None:
    (total,) = ask(ANSWERS, "net_promoter_score")
    assert (total["value"], total["n"]) == (pytest.approx(-100 / 3), 3)
    assert (total["coverage"]["missing_score"], total["coverage"]["out_of_scale"]) == (1, 1)
    rows = ask(ANSWERS, "net_promoter_score", by=("product_id",), totals=True)
    found = {row["segment"].get("product_id"): (row["value"], row["n"]) for row in rows}
    assert found == {
        None: (pytest.approx(-100 / 3), 3),
        "p1": (pytest.approx(100 / 3), 3),
        "p2": (-100, 1),
    }


def test_several_groupings_find_their_latest_answers_each_along_its_own_keys(ask: Ask) -> None:
    text = ANSWERS + "@accounts\nid,segment,country\nA,smb,DE\nB,smb,FR\n"
    rows = ask(text, "net_promoter_score", by=(("product_id",), ("segment",)), totals=True)
    found = {
        next(iter(row["segment"].items()), None): (row["value"], row["n"], row["coverage"])
        for row in rows
    }
    counts = {"missing_score": 1, "out_of_scale": 1}
    assert found == {
        None: (pytest.approx(-100 / 3), 3, {"rows_used": 3, **counts}),
        ("product_id", "p1"): (pytest.approx(100 / 3), 3, {"rows_used": 3, "out_of_scale": 1}),
        ("product_id", "p2"): (-100, 1, {"rows_used": 1}),
        ("segment", "smb"): (0, 2, {"rows_used": 2, **counts}),
        ("segment", "(none)"): (-100, 1, {"rows_used": 1, "orphan": 1}),
    }


def test_totals_of_an_entry_that_is_always_by_product_repeat_no_row(ask: Ask) -> None:
    rows = ask(ANSWERS, "nps_by_product", by=("product_id",), totals=True)
    assert sorted(row["segment"]["product_id"] for row in rows) == ["p1", "p2"]


def test_answers_with_and_without_a_case_are_two_scores(ask: Ask) -> None:
    (relation,) = ask(ANSWERS, "net_promoter_score.relationship")
    (service,) = ask(ANSWERS, "net_promoter_score.transactional")
    assert (relation["value"], relation["n"]) == (pytest.approx(100 / 3), 3)
    assert (service["value"], service["n"]) == (-100, 1)
    assert service["coverage"]["out_of_scale"] == 1
    assert "missing_score" not in relation["coverage"]


def test_answers_weigh_as_much_as_their_accounts(ask: Ask) -> None:
    text = (
        ANSWERS + "@subscriptions\naccount_id,start_date,mrr\nA,2025-01-01,100\nB,2025-01-01,300\n"
    )
    (row,) = ask(text, "net_promoter_score.by_revenue")
    assert (row["value"], row["n"]) == (pytest.approx(100 * (300 - 100) / 400), 2)
    assert row["coverage"]["missing_mrr"] == 1


def test_the_score_carries_its_normal_interval_and_classes_that_of_wilson(ask: Ask) -> None:
    (score,) = ask(ANSWERS, "net_promoter_score")
    spread = 1.959963984540054 * 100 * ((1 - 1 / 9) / 3) ** 0.5
    assert score["interval_low"] == pytest.approx(-100 / 3 - spread)
    assert score["interval_high"] == pytest.approx(-100 / 3 + spread)
    assert "low_sample" in score["flags"]
    (share,) = ask(ANSWERS, "net_promoter_score.promoters")
    assert 0 < share["interval_low"] < share["value"] < share["interval_high"] < 1


# --- packs that build on this one ----------------------------------------------------------------


def test_a_pack_finds_the_vectors_of_another_that_it_uses(tmp_path: Path) -> None:
    write_project(tmp_path, {}, packs=())
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "own.yaml").write_text(
        "uses: [retention]\n"
        "kpis:\n"
        "  opening_revenue:\n"
        "    title: Opening revenue\n"
        "    unit: currency\n"
        "    better: higher\n"
        "    from: account_mrr\n"
        "    value: sum(opening_mrr)\n"
        "    needs: {subscriptions: [mrr]}\n",
        encoding="utf-8",
    )
    load_tables(tmp_path, read_tables(SUBSCRIPTIONS))
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    (row,) = project.query(["opening_revenue"], period="2026-01").to_pylist()
    assert row["value"] == 200
    assert "active_customers" not in project.catalog.kpis
