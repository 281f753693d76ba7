"""The pack `leads` at its edges: answers, attempts, costs, sources and accounts."""

from __future__ import annotations

import pytest

from metrics.leads_tables import EVERYTHING, Ask, asker, counts_of, name_of, value_of


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    return asker(tmp_path_factory.mktemp("leads"))


# --- answers and attempts


def test_an_answer_at_the_end_of_the_period_is_still_missing_in_it(ask: Ask) -> None:
    text = """@leads
id,created_at,first_response_at
1,2026-01-31T23:00:00Z,2026-02-01T00:00:00Z
2,2026-01-31T23:00:00Z,2026-01-31T23:59:59Z
"""
    (row,) = ask(text, "lead_response_time", also=("activities",))
    assert (row["value"], counts_of(row)["unanswered"]) == (3599, 1)


def test_machines_do_not_answer_leads(ask: Ask) -> None:
    text = """@leads
id,created_at
1,2026-01-05T09:00:00Z
@users
id,user_type
bot,integration
@activities
lead_id,direction,occurred_at,user_id,activity_type,is_completed
1,outbound,2026-01-05T09:01:00Z,bot,email,true
1,outbound,2026-01-05T09:02:00Z,human,task,true
1,outbound,2026-01-05T09:03:00Z,human,call,false
1,outbound,2026-01-05T08:00:00Z,human,call,true
1,outbound,2026-01-05T09:15:00Z,human,call,true
"""
    rows = ask(text, "lead_response_time", "lead_response_time.within_target")
    assert [row["value"] for row in rows] == [900, 1]


def test_responses_count_from_the_first_attempt_within_the_window(ask: Ask) -> None:
    text = """@activities
lead_id,activity_type,direction,occurred_at,outcome,is_automated,is_completed
before,email,inbound,2026-01-01,,false,true
before,call,outbound,2026-01-02,,false,true
edge,call,outbound,2026-01-02,,false,true
edge,email,inbound,2026-01-16,,false,true
auto,email,outbound,2026-01-02,,true,true
auto,email,inbound,2026-01-03,,true,true
task,task,outbound,2026-01-02,connected,false,true
planned,call,outbound,2026-01-02,connected,false,false
at_once,call,outbound,2026-01-02,connected,false,true
,call,outbound,2026-01-02,connected,false,true
"""
    rows = ask(text, "prospect_response_rate", "prospect_response_rate.time_to_response")
    assert [(row["value"], row["n"]) for row in rows] == [(0.25, 4), (0, 1)]


def test_unresponsive_prospects_are_read_at_each_period_end(ask: Ask) -> None:
    touches = "\n".join(f"A,outbound,2026-01-{day:02d}," for day in range(2, 9))
    text = f"""@leads
id,created_at,converted_at,lead_source
A,2026-01-01,2026-03-10,web
B,2026-01-01,,web
@activities
lead_id,direction,occurred_at,outcome
{touches}
A,outbound,2026-02-20,connected
B,inbound,2026-01-01,
"""
    kpis = ("unresponsive_prospects", "unresponsive_prospects.attempts_wasted")
    rows = ask(text, *kpis, "unresponsive_prospects.share", period=None, grain="month",
               start="2026-01-01", end="2026-04-01")  # fmt: skip
    values: dict[str, list[float | None]] = {}
    for row in rows:
        values.setdefault(name_of(row), []).append(row["value"])
    assert values["unresponsive_prospects"] == [1, 0, 0]
    assert values["unresponsive_prospects.attempts_wasted"] == [2, 0, 0]
    assert values["unresponsive_prospects.share"] == [1, 0, None]
    (partial,) = ask(text, "unresponsive_prospects", as_of="2026-01-06")
    assert (partial["value"], partial["status"]) == (0, "partial")
    (by_source,) = ask(text, "unresponsive_prospects", by=["lead_source"])
    assert dict(by_source["segment"]) == {"lead_source": "web"}


def test_the_lead_of_a_queue_has_an_owner_but_no_team(ask: Ask) -> None:
    text = """@leads
id,created_at,owner_id
1,2026-01-05,u1
2,2026-01-06,queue
@users
id,team
u1,East
"""
    by_team = ask(text, "lead_conversion_rate", by=["team"])
    by_owner = ask(text, "lead_conversion_rate", by=["owner_id"])
    assert {dict(row["segment"])["team"] for row in by_team} == {"East", "(none)"}
    assert {dict(row["segment"])["owner_id"] for row in by_owner} == {"u1", "queue"}


# --- costs


SPEND = """@leads
id,created_at,lead_source,campaign_id
1,2026-01-02,web,C
2,2026-01-02,email,
3,2026-01-02,,
@campaigns
id,channel,start_date,end_date
C,social,2026-01-31,2026-02-01
@marketing_spend
spend_date,campaign_id,channel,amount,currency
,C,ignored,200,
2026-01-05,,email,30,
2026-01-05,,radio,7,
2026-01-05,,,5,
2026-01-05,,email,9,XXX
@expenses
expense_date,category,amount
2026-01-31,marketing,60
2026-01-31,sales,1000
"""


def test_spend_reaches_sources_by_setting_then_byname_of(ask: Ask) -> None:
    settings = {"cost_per_lead": {"channel_to_lead_source": {"social": "web"}}}
    rows = ask(SPEND, "cost_per_lead", settings=settings, by=["lead_source"], totals=True)
    found = {dict(row["segment"]).get("lead_source", "all"): row for row in rows}
    assert {name: row["value"] for name, row in found.items()} == {
        "all": pytest.approx(142 / 3),
        "web": 100,
        "email": 30,
        "(none)": 0,
    }
    assert counts_of(found["web"])["unallocated_spend"] == 12
    assert "unallocated_spend" not in counts_of(found["all"])
    assert counts_of(found["email"])["missing_rate"] == 1
    rows = ask(SPEND, "cost_per_lead", by=["lead_source"])
    assert {dict(row["segment"])["lead_source"] for row in rows} == {"web", "email", "(none)"}
    assert counts_of(rows[0])["unallocated_spend"] == 112


def test_the_fully_loaded_cost_adds_marketing_expenses(ask: Ask) -> None:
    assert value_of(ask(SPEND, "cost_per_lead.fully_loaded")) == pytest.approx(202 / 3)
    rows = ask(SPEND, "cost_per_lead.fully_loaded", by=["lead_source"])
    assert counts_of(rows[0])["unallocated_spend"] == 172


def test_spend_by_channel_meets_the_leads_of_its_campaigns(ask: Ask) -> None:
    rows = ask(SPEND, "cost_per_lead", by=["channel"])
    found = {dict(row["segment"])["channel"]: (row["value"], row["n"]) for row in rows}
    assert found == {
        "social": (100, 1),
        "email": (None, 0),
        "radio": (None, 0),
        "(none)": (2.5, 2),
    }


# --- sources


def test_a_source_with_few_leads_carries_low_sample(ask: Ask) -> None:
    many = "\n".join(f"w{n},2026-01-02,web,2026-01-03" for n in range(20))
    text = f"""@leads
id,created_at,lead_source,became_customer_at
{many}
e1,2026-01-02,event,
"""
    kpis = ("lead_source_effectiveness", "lead_source_effectiveness.customers")
    rows = ask(text, *kpis, also=("opportunities",))
    flagged = {
        (name_of(row), dict(row["segment"])["lead_source"]): "low_sample" in row["flags"]
        for row in rows
    }
    assert flagged == {
        (kpis[0], "web"): False,
        (kpis[0], "event"): True,
        (kpis[1], "web"): False,
        (kpis[1], "event"): True,
    }


def test_rates_of_few_leads_carry_low_sample_event_dated_or_not(ask: Ask) -> None:
    kpis = ("lead_conversion_rate", "lead_conversion_rate.event_dated", "conversion_rate")
    rows = ask(EVERYTHING, *kpis)
    assert all("low_sample" in row["flags"] for row in rows)
    rows = ask(EVERYTHING, *kpis, settings={"min_sample": 1})
    assert not any("low_sample" in row["flags"] for row in rows)


def test_the_effectiveness_within_a_segment_compares_with_that_segment(ask: Ask) -> None:
    text = """@leads
id,created_at,lead_source,segment,became_customer_at
1,2026-01-02,web,smb,2026-01-03
2,2026-01-02,web,smb,
3,2026-01-02,event,smb,
4,2026-01-02,event,smb,
5,2026-01-02,web,large,2026-01-03
6,2026-01-02,,large,
"""
    rows = ask(text, "lead_source_effectiveness", by=["segment"], also=("opportunities",))
    found = {
        (dict(row["segment"])["segment"], dict(row["segment"])["lead_source"]): row["value"]
        for row in rows
    }
    assert found == {
        ("smb", "web"): 2,
        ("smb", "event"): 0,
        ("large", "web"): 2,
        ("large", "(none)"): 0,
    }


# --- accounts


def test_a_prospect_account_is_judged_by_local_days(ask: Ask) -> None:
    text = """@accounts
id,created_at,account_type
same_day,2026-01-06T03:00:00Z,
day_before,2026-01-06T12:00:00Z,
never,2026-01-07T12:00:00Z,prospect
partner,2026-01-07T12:00:00Z,partner
@subscriptions
account_id,start_date,mrr
same_day,2026-01-05,10
day_before,2026-01-05,10
"""
    kpis = ("conversion_rate", "conversion_rate.event_dated")
    in_new_york = ask(text, *kpis, zone="America/New_York")
    assert [(row["value"], row["n"]) for row in in_new_york] == [(0.5, 2), (0.5, 2)]
    in_utc = ask(text, *kpis)
    assert [(row["value"], row["n"]) for row in in_utc] == [(0, 1), (0, 1)]


def test_prospects_become_customers_by_their_first_order(ask: Ask) -> None:
    text = """@accounts
id,created_at
A,2026-01-05
B,2026-01-05
@orders
account_id,ordered_at,status,total_amount
A,2026-02-01,paid,10
B,2026-02-01,cancelled,10
"""
    assert value_of(ask(text, "conversion_rate")) == 0.5


def test_hostile_keys_and_texts_do_not_break_a_lead_kpi(ask: Ask) -> None:
    text = """@leads
id,created_at,lead_source,owner_id,campaign_id
'; drop,2026-01-05,Ünïcode “x”,nobody,nowhere
2,2026-01-05,it's,,
"""
    rows = ask(text, "leads_created", by=["lead_source"])
    assert {dict(row["segment"])["lead_source"] for row in rows} == {"Ünïcode “x”", "it's"}
    rows = ask(
        text, "leads_created", by=["lead_source"], settings={"exclude_lead_sources": ["it's"]}
    )
    assert [dict(row["segment"])["lead_source"] for row in rows] == ["Ünïcode “x”"]
