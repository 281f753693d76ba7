"""The pack `leads` at its edges: what is missing, early, late, shared or excluded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from crmetrics.engine import Project
from crmetrics.testing import load_tables, read_tables, write_project
from metrics.leads_tables import (
    EVERYTHING,
    LEAD_KPIS,
    NOW,
    Ask,
    asker,
    counts_of,
    name_of,
    value_of,
)


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    return asker(tmp_path_factory.mktemp("leads"))


# --- nothing there


@pytest.mark.parametrize(
    "missing",
    [
        {
            "lead_conversion_rate": "leads.converted_at",
            "leads_created.net_new_accounts": "leads.account_id",
            "lead_to_customer_rate": "leads.converted_opportunity_id",
            "qualified_lead_rate": "leads.mql_at",
            "cost_per_lead.per_qualified_lead": "leads.mql_at",
            "prospect_response_rate": "activities.outcome",
            "conversion_rate": "subscriptions.mrr",
        },
        {
            "sales_accepted_lead_rate": "leads.sql_at",
            "unresponsive_prospects": "leads.disqualified_at",
            "lead_response_time": "activities.direction",
            "revenue_per_lead": "opportunities.close_date",
        },
    ],
)
def test_a_missing_column_gives_a_status_and_no_number(
    ask: Ask, missing: Mapping[str, str]
) -> None:
    rows = ask(EVERYTHING, *missing, drop=tuple(dict.fromkeys(missing.values())))
    assert {(row["value"], row["status"]) for row in rows} == {(None, "missing_column")}
    assert {name_of(row): row["flags"] for row in rows} == {
        kpi: [f"missing_column:{column}"] for kpi, column in missing.items()
    }


def test_a_missing_dataset_gives_a_status_and_no_number(ask: Ask) -> None:
    rows = ask(
        "@leads\nid,created_at\n1,2026-01-05",
        "lead_to_customer_rate",
        "revenue_per_lead",
        "cost_per_lead",
        "conversion_rate",
        "lead_response_time",
        "prospect_response_rate",
        "unresponsive_prospects",
    )
    assert {(row["value"], row["status"]) for row in rows} == {(None, "missing_dataset")}


def test_without_rows_no_lead_kpi_has_a_number(ask: Ask) -> None:
    empty = ("leads", "activities", "opportunities", "accounts", "subscriptions", "marketing_spend")
    rows = ask("", *LEAD_KPIS, also=empty)
    assert {row["value"] for row in rows} == {None}
    assert {row["status"] for row in rows} == {"missing_dataset"}


def test_a_month_without_leads_has_no_rate_but_a_count_of_zero(ask: Ask) -> None:
    rows = ask(EVERYTHING, *LEAD_KPIS, period="2027-03")
    found = {name_of(row): (row["value"], row["status"]) for row in rows}
    counts = (
        "leads_created",
        "leads_created.net_new_accounts",
        "qualified_lead_rate.qualified_leads",
    )
    for name in counts:
        assert found.pop(name) == (0, "ok")
    # The snapshot still sees the lead that nobody closed.
    assert found.pop("unresponsive_prospects.share") == (0, "ok")
    assert set(found.values()) == {(None, "no_data")}


# --- windows


def test_a_window_ends_before_its_last_instant(ask: Ask) -> None:
    rows = ask(
        """
        @leads
        id,created_at,converted_at,mql_at,sql_at
        in,2026-01-05T10:00:00Z,2026-04-05T09:59:59Z,2026-01-05T10:00:00Z,2026-01-19T09:59:59Z
        out,2026-01-05T10:00:00Z,2026-04-05T10:00:00Z,2026-01-05T10:00:00Z,2026-01-19T10:00:00Z
        """.replace("        ", ""),
        "lead_conversion_rate",
        "sales_accepted_lead_rate",
    )
    assert [row["value"] for row in rows] == [0.5, 0.5]
    assert counts_of(rows[1])["late"] == 1


def test_days_of_a_window_are_24_hours_over_a_clock_change(ask: Ask) -> None:
    # New York moved its clocks on 8 March: 24 hours later the wall shows one hour more.
    text = """@leads
id,created_at,mql_at
in,2026-03-07T17:00:00Z,2026-03-08T16:59:59Z
out,2026-03-07T17:00:00Z,2026-03-08T17:00:00Z
"""
    settings = {"qualified_lead_rate": {"window_days": 1}}
    rows = ask(
        text, "qualified_lead_rate", settings=settings, zone="America/New_York", period="2026-03"
    )
    assert value_of(rows) == 0.5


def test_days_between_an_instant_and_a_date_are_local_days(ask: Ask) -> None:
    # 2026-01-06T03:00Z is 5 January in New York, the deal closed 180 days after the 6th.
    text = """@leads
id,created_at,converted_opportunity_id
1,2026-01-06T03:00:00Z,O1
@opportunities
id,is_closed,is_won,amount,close_date
O1,true,true,10,2026-07-04
"""
    kpis = ("lead_to_customer_rate", "revenue_per_lead")
    assert [row["value"] for row in ask(text, *kpis)] == [1, 10]
    assert [row["value"] for row in ask(text, *kpis, zone="America/New_York")] == [0, 0]


def test_a_cohort_matures_with_its_window_and_an_event_dated_rate_does_not(ask: Ask) -> None:
    kpis = ("lead_conversion_rate", "lead_conversion_rate.event_dated")
    early = ask(EVERYTHING, *kpis, as_of="2026-05-01")
    late = ask(EVERYTHING, *kpis, as_of="2026-05-02")
    assert [row["status"] for row in early] == ["maturing", "ok"]
    assert [row["status"] for row in late] == ["ok", "ok"]


def test_what_happened_after_as_of_is_not_seen(ask: Ask) -> None:
    kpis = ("leads_created", "lead_conversion_rate", "lead_to_customer_rate", "revenue_per_lead")
    rows = ask(EVERYTHING, *kpis, as_of="2026-01-06T12:00")
    assert [row["value"] for row in rows] == [2, 0, 0, 0]
    rows = ask(EVERYTHING, *kpis, as_of="2026-01-05T12:00")
    assert [row["value"] for row in rows] == [1, 0, 0, 0]
    assert rows[0]["status"] == "partial"


# --- too early


def test_events_before_their_start_do_not_count_and_are_reported(ask: Ask) -> None:
    text = """@leads
id,created_at,converted_at,mql_at,sql_at,became_customer_at,first_response_at
1,2026-01-10,2026-01-09,2026-01-10,2026-01-09,2026-01-08,2026-01-09
2,2026-01-10,,2026-01-05,,,2026-01-10T00:10:00Z
"""
    rows = ask(
        text,
        "lead_conversion_rate",
        "lead_to_customer_rate",
        "sales_accepted_lead_rate",
        "lead_response_time",
        "lead_response_time.within_target",
        also=("opportunities", "activities"),
    )
    assert [row["value"] for row in rows] == [0, 0, 0, 600, 1]
    assert [counts_of(row)["invalid_duration"] for row in rows] == [1] * 5
    assert value_of(ask(text, "qualified_lead_rate", also=("opportunities", "activities"))) == 1


def test_a_lead_not_accepted_in_time_is_counted_apart_once(ask: Ask) -> None:
    text = """@leads
id,created_at,mql_at,sql_at,disqualified_at
accepted,2026-01-01,2026-01-02,2026-01-03,2026-01-04
rejected_late,2026-01-01,2026-01-02,2026-01-30,2026-02-04
late,2026-01-01,2026-01-02,2026-01-30,
untouched,2026-01-01,2026-01-02,,
"""
    (row,) = ask(text, "sales_accepted_lead_rate")
    assert row["value"] == 0.25
    counts = counts_of(row)
    assert (counts["rejected"], counts["late"], counts["untouched"]) == (1, 1, 1)


# --- leads, deals and customers


def test_deleted_test_and_merged_leads_change_nothing_but_thecounts_of(ask: Ask) -> None:
    left_out = """
@leads
id,created_at,converted_at,converted_opportunity_id,account_id,mql_at,sql_at,merged_into_id,is_deleted,is_test
1,2026-01-05,2026-01-09,O1,A,2026-01-06,2026-01-07,,false,false
2,2026-01-06,,,,,,,false,false
3,2026-01-06,2026-01-07,O1,A,2026-01-07,2026-01-07,,true,false
4,2026-01-06,2026-01-07,O1,A,2026-01-07,2026-01-07,,false,true
5,2026-01-06,2026-01-07,O1,A,2026-01-07,2026-01-07,1,true,false
"""
    rest = EVERYTHING[EVERYTHING.index("@opportunities") :]
    # Without their dates the answers are the touches of the activities.
    clean = {name_of(row): row for row in ask(EVERYTHING, *LEAD_KPIS)}
    dirty = {name_of(row): row for row in ask(left_out + rest, *LEAD_KPIS)}
    assert {name: row["value"] for name, row in dirty.items()} == {
        name: row["value"] for name, row in clean.items()
    }
    counted = ("leads_created", "lead_conversion_rate", "lead_to_customer_rate", "revenue_per_lead")
    for name in (*counted, "leads_created.net_new_accounts", "qualified_lead_rate"):
        counts = counts_of(dirty[name])
        found = (counts["excluded_deleted"], counts["excluded_test"], counts["merged"])
        assert found == (1, 1, 1), name


def test_excluded_sources_leave_every_lead_kpi(ask: Ask) -> None:
    text = """@leads
id,created_at,converted_at,converted_opportunity_id,account_id,mql_at,sql_at,lead_source
1,2026-01-05,2026-01-09,O1,A,2026-01-06,2026-01-07,web
2,2026-01-04,,,A,,,list
3,2026-01-06,2026-01-07,O1,A,2026-01-07,2026-01-08,list
@activities
lead_id,direction,occurred_at
1,outbound,2026-01-05T01:00:00Z
3,outbound,2026-01-06T01:00:00Z
"""
    text += EVERYTHING[EVERYTHING.index("@opportunities") : EVERYTHING.index("@activities")]
    text += EVERYTHING[EVERYTHING.index("@marketing_spend") :]
    rows = ask(text, *LEAD_KPIS, settings={"exclude_lead_sources": ["list"]})
    found = {name_of(row): row["value"] for row in rows}
    assert found == {
        "leads_created": 1,
        "leads_created.net_new_accounts": 1,
        "lead_conversion_rate": 1,
        "lead_conversion_rate.event_dated": 1,
        "lead_to_customer_rate": 1,
        "lead_to_customer_rate.event_dated": 1,
        "lead_response_time": 3600,
        "lead_response_time.within_target": 0,
        "lead_response_time.business_hours": 0,
        "revenue_per_lead": 1000,
        "cost_per_lead": 100,
        "cost_per_lead.per_qualified_lead": 100,
        "qualified_lead_rate": 1,
        "qualified_lead_rate.qualified_leads": 1,
        "sales_accepted_lead_rate": 1,
        "prospect_response_rate": 0,
        "unresponsive_prospects.share": None,
    }


def test_a_deal_of_several_leads_is_split_over_their_cohorts(ask: Ask) -> None:
    text = """@leads
id,created_at,converted_opportunity_id
1,2026-01-02,O1
2,2026-02-03,O1
3,2026-02-04,O2
@opportunities
id,is_closed,is_won,amount,currency,close_date
O1,true,true,1000,EUR,2026-02-10
O2,true,true,500,XXX,2026-02-11
O3,true,true,,,2026-02-11
@exchange_rates
currency,valid_from,rate
EUR,2026-02-01,2
"""
    january = ask(text, "revenue_per_lead")
    february = ask(text, "revenue_per_lead", period="2026-02")
    assert (value_of(january), value_of(february)) == (1000, 500)
    assert counts_of(february[0])["missing_rate"] == 1


def test_a_won_deal_without_an_amount_is_counted_and_its_lead_stays(ask: Ask) -> None:
    text = """@leads
id,created_at,converted_opportunity_id
1,2026-01-02,O1
2,2026-01-02,O2
@opportunities
id,is_closed,is_won,amount,close_date
O1,true,true,,2026-02-10
O2,true,true,100,2026-02-10
"""
    (row,) = ask(text, "revenue_per_lead")
    assert (row["value"], row["n"], counts_of(row)["missing_amount"]) == (50, 2, 1)


def test_leads_of_customers_are_no_acquisition(ask: Ask) -> None:
    text = """@leads
id,created_at,became_customer_at,account_id
1,2026-01-10,2026-01-20,before
2,2026-01-10,2026-01-20,same_day
3,2026-01-10,,
@subscriptions
account_id,start_date,mrr
before,2026-01-09,10
same_day,2026-01-10,10
"""
    kpis = ("lead_to_customer_rate", "lead_to_customer_rate.event_dated")
    rows = ask(text, *kpis, "leads_created.net_new_accounts", also=("opportunities",))
    assert [(row["value"], row["n"]) for row in rows] == [(0.5, 2), (0.5, 2), (1, 1)]


def test_an_account_is_net_new_with_its_first_lead_only(ask: Ask) -> None:
    text = """@leads
id,created_at,account_id
1,2025-12-31,A
2,2026-01-10,A
3,2026-01-11,B
4,2026-01-12,B
5,2026-01-13,
"""
    (row,) = ask(text, "leads_created.net_new_accounts")
    assert (row["value"], counts_of(row)["missing_account_id"]) == (1, 1)


# --- several sources


def test_leads_find_their_deals_and_accounts_in_other_sources(tmp_path: Path) -> None:
    write_project(tmp_path, {}, packs=["leads"])
    leads = """@leads
id,created_at,converted_opportunity_id,account_id
1,2026-01-05,O1,A
2,2026-01-05,,B
"""
    load_tables(tmp_path, read_tables(leads), source="forms")
    load_tables(tmp_path, read_tables(leads.replace("1,2026", "3,2026")), source="fairs")
    deals = """@opportunities
id,is_closed,is_won,amount,close_date
O1,true,true,900,2026-02-01
"""
    load_tables(tmp_path, read_tables(deals), source="crm")
    accounts = """@accounts
id,created_at
A,2026-01-02
B,2026-01-02
@subscriptions
account_id,start_date,mrr
B,2026-01-03,10
"""
    load_tables(tmp_path, read_tables(accounts), source="books")
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    kpis = ["revenue_per_lead", "lead_to_customer_rate", "leads_created.net_new_accounts"]
    rows = project.query([*kpis, "conversion_rate"], period="2026-01").to_pylist()
    # The deal is shared by the leads of both forms; account B was a customer before its leads.
    assert [(row["value"], row["n"]) for row in rows] == [(225, 4), (1, 2), (1, 1), (0.5, 2)]


def test_the_records_behind_a_rate_say_which_ones_count(tmp_path: Path) -> None:
    write_project(tmp_path, {}, packs=["leads"])
    text = """@leads
id,created_at,first_response_at
quick,2026-01-05T10:00:00Z,2026-01-05T10:15:00Z
slow,2026-01-05T10:00:00Z,2026-01-05T10:15:01Z
"""
    load_tables(tmp_path, read_tables(text, also=("activities",)))
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    rows = project.rows("lead_response_time.within_target", period="2026-01").to_pylist()
    assert {row["record"]: row["in_numerator"] for row in rows} == {"quick": True, "slow": False}
