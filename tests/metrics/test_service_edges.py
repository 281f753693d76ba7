"""The pack `service` at its edges: what must not count, what is missing, what is still open."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from metrics.service_asking import ANSWERS, ask, by_segment, one

# --- first_response_time --------------------------------------------------------------------------


def test_machines_and_internal_notes_do_not_answer(tmp_path: Path) -> None:
    text = """@users
id,user_type
bot,integration
ann,human
@cases
id,created_at,is_closed
1,2026-01-05T09:00:00Z,false
@case_messages
case_id,sent_at,author_type,is_public,user_id
1,2026-01-05T08:59:00Z,agent,true,ann
1,2026-01-05T09:01:00Z,agent,true,bot
1,2026-01-05T09:02:00Z,system,true,
1,2026-01-05T09:03:00Z,agent,false,ann
1,2026-01-05T09:10:00Z,agent,true,ann
"""
    assert one(ask(tmp_path, text, "first_response_time"))["value"] == 600


def test_a_recorded_response_wins_also_where_an_agent_opened_the_case(tmp_path: Path) -> None:
    text = """@cases
id,created_at,first_response_at,is_created_by_agent,is_closed
1,2026-01-05T09:00:00Z,2026-01-05T09:05:00Z,true,false
2,2026-01-05T09:00:00Z,2026-01-05T08:00:00Z,false,false
@case_messages
case_id,sent_at,author_type
1,2026-01-05T09:00:00Z,agent
1,2026-01-05T10:00:00Z,agent
"""
    row = one(ask(tmp_path, text, "first_response_time"))
    assert (row["value"], row["n"], row["coverage"]["invalid_duration"]) == (300, 1, 1)


def test_an_answer_after_the_period_leaves_the_case_unanswered_in_it(tmp_path: Path) -> None:
    text = """@cases
id,created_at,first_response_at,is_closed
1,2026-01-31T09:00:00Z,2026-02-01T09:00:00Z,true
2,2026-01-31T09:00:00Z,,true
3,2026-01-31T09:00:00Z,2026-01-31T10:00:00Z,true
@case_messages
case_id
"""
    names = ["first_response_time", "first_response_time.within_target"]
    median, share = ask(tmp_path, text, names)
    assert (median["value"], median["coverage"]["unanswered"]) == (3600, 2)
    assert (share["numerator"], share["denominator"]) == (1, 3)
    early, _ = ask(tmp_path, text, names, as_of="2026-01-31T09:30:00Z")
    assert (early["value"], early["status"], early["coverage"]["unanswered"]) == (
        None,
        "no_data",
        3,
    )


def test_business_hours_are_those_of_the_case_team_else_of_the_owner(tmp_path: Path) -> None:
    text = """@users
id,team
ann,night
@cases
id,created_at,first_response_at,team,owner_id,is_closed
1,2026-01-05T08:00:00Z,2026-01-05T10:00:00Z,day,ann,false
2,2026-01-06T08:00:00Z,2026-01-06T10:00:00Z,,ann,false
@case_messages
case_id
"""
    rows = ask(
        tmp_path,
        text,
        "first_response_time.business_hours",
        settings={"business_hours": {"night": {"hours": ["00:00", "08:30"]}}},
        by=["id"],
    )
    assert by_segment(rows) == {"1": 3600, "2": 1800}


# --- average_handle_time --------------------------------------------------------------------------


def test_a_transferred_contact_belongs_to_its_last_leg(tmp_path: Path) -> None:
    text = """@activities
id,activity_type,user_id,occurred_at,ended_at,interaction_id,talk_seconds,hold_seconds,is_completed
1,call,ann,2026-01-31T23:50:00Z,2026-01-31T23:59:00Z,x,60,30,true
2,call,,2026-01-31T23:59:30Z,2026-02-01T00:10:00Z,x,600,,true
3,call,ann,2026-01-10T09:00:00Z,,,0,40,true
4,call,ann,2026-01-10T09:00:00Z,,,,40,true
5,call,ann,2026-01-10T09:00:00Z,,,500,,false
6,call,ann,2026-01-10T09:00:00Z,,,200,,true
"""
    january = one(ask(tmp_path, text, "average_handle_time", by=["user_id"]))
    assert (january["segment"], january["value"]) == ({"user_id": "ann"}, 200)
    assert january["coverage"]["missing_talk_seconds"] == 1
    february = one(ask(tmp_path, text, "average_handle_time", period="2026-02", by=["user_id"]))
    assert (february["segment"], february["value"]) == ({"user_id": "(none)"}, 690)


# --- first_contact_resolution_rate, reopen_rate ---------------------------------------------------

HISTORY = "@case_status_history\ncase_id,status,status_category,entered_at\n"


def test_a_thank_you_does_not_reopen_but_an_agents_work_does(tmp_path: Path) -> None:
    text = (
        HISTORY
        + """thanks,solved,solved,2026-01-05T00:00:00Z
thanks,open,open,2026-01-06T00:00:00Z
thanks,solved,solved,2026-01-06T00:30:00Z
worked,solved,solved,2026-01-05T00:00:00Z
worked,open,open,2026-01-06T00:00:00Z
worked,solved,solved,2026-01-06T00:30:00Z
slow,solved,solved,2026-01-05T00:00:00Z
slow,open,open,2026-01-06T00:00:00Z
slow,solved,solved,2026-01-06T01:00:00Z
both,solved,solved,2026-01-05T00:00:00Z
both,open,open,2026-01-06T00:00:00Z
both,pending,pending,2026-01-06T00:10:00Z
both,solved,solved,2026-01-06T00:30:00Z
both,open,open,2026-01-11T23:59:59Z
late,solved,solved,2026-01-05T00:00:00Z
late,open,open,2026-01-12T00:00:00Z
@cases
id,created_at,is_closed
thanks,2026-01-01,true
@case_messages
case_id,sent_at,author_type
thanks,2026-01-06T00:10:00Z,customer
thanks,2026-01-06T00:31:00Z,agent
worked,2026-01-06T00:30:00Z,agent
"""
    )
    rate, moves = ask(tmp_path, text, ["reopen_rate", "reopen_rate.reopens_per_case"])
    assert (rate["numerator"], rate["denominator"]) == (3, 5)
    assert moves["numerator"] == 3


def test_reopens_need_no_messages_and_a_stay_of_the_same_instant_is_none(tmp_path: Path) -> None:
    text = (
        HISTORY
        + """1,new,new,2026-01-05T00:00:00Z
1,solved,solved,2026-01-05T00:00:00Z
@cases
id,created_at,is_closed
1,2026-01-05,true
"""
    )
    names = ["reopen_rate", "first_contact_resolution_rate"]
    reopened, resolved = ask(tmp_path, text, names)
    assert (reopened["value"], reopened["status"]) == (0, "ok")
    assert (resolved["value"], resolved["status"]) == (None, "missing_dataset")


def test_calls_count_on_the_phone_and_messages_elsewhere(tmp_path: Path) -> None:
    text = (
        HISTORY
        + """1,solved,solved,2026-01-05T00:00:00Z
2,solved,solved,2026-01-05T00:00:00Z
3,solved,solved,2026-01-05T00:00:00Z
@cases
id,created_at,channel,is_closed,is_created_by_agent
1,2026-01-04,phone,true,false
2,2026-01-04,email,true,false
3,2026-01-04,email,true,true
@case_messages
case_id,sent_at,author_type
1,2026-01-04T01:00:00Z,agent
1,2026-01-04T02:00:00Z,agent
2,2026-01-04T02:00:00Z,agent
2,2026-01-05T00:00:01Z,agent
@activities
case_id,activity_type,occurred_at,is_automated,is_completed
1,call,2026-01-04T01:00:00Z,false,true
1,call,2026-01-04T02:00:00Z,false,false
1,call,2026-01-04T03:00:00Z,true,true
2,call,2026-01-04T01:00:00Z,false,true
2,call,2026-01-04T02:00:00Z,false,true
"""
    )
    row = one(ask(tmp_path, text, "first_contact_resolution_rate"))
    assert (row["numerator"], row["denominator"]) == (2, 2)


def test_the_window_makes_a_rate_mature(tmp_path: Path) -> None:
    text = (
        HISTORY
        + """1,solved,solved,2026-01-30T00:00:00Z
@cases
id,created_at,is_closed
1,2026-01-04,true
@case_messages
case_id
"""
    )
    names = ["first_contact_resolution_rate", "first_contact_resolution_rate.one_touch"]
    open_window = datetime(2026, 2, 7, 23, 59, tzinfo=UTC)
    assert [row["status"] for row in ask(tmp_path, text, names, now=open_window)] == [
        "maturing",
        "ok",
    ]
    over = datetime(2026, 2, 8, tzinfo=UTC)
    assert {row["status"] for row in ask(tmp_path, text, names, now=over)} == {"ok"}


def test_the_same_trouble_of_the_same_person_is_a_repeat_contact(tmp_path: Path) -> None:
    text = (
        HISTORY
        + """1,solved,solved,2026-01-05T00:00:00Z
2,solved,solved,2026-01-05T00:00:00Z
@cases
id,created_at,contact_id,category,is_closed,is_created_by_agent
1,2026-01-04,con,billing,true,false
2,2026-01-04,con,bug,true,false
3,2026-01-11T23:59:59Z,con,billing,false,false
4,2026-01-12T00:00:00Z,con,bug,false,false
5,2026-01-06,con,bug,false,true
@case_messages
case_id
"""
    )
    row = one(ask(tmp_path, text, "first_contact_resolution_rate.repeat_contact"))
    assert (row["numerator"], row["denominator"]) == (1, 2)


# --- resolution_time ------------------------------------------------------------------------------


def test_a_case_closed_on_creation_is_left_out_and_counted(tmp_path: Path) -> None:
    text = """@cases
id,created_at,closed_at,is_closed
1,2026-01-05T09:00:00Z,2026-01-05T09:00:01Z,true
2,2026-01-05T09:00:00Z,2026-01-05T09:00:02Z,true
3,2026-01-05T09:00:00Z,2026-01-05T08:00:00Z,true
4,,2026-01-05T08:00:00Z,true
5,2026-01-05T09:00:00Z,2026-01-06T08:00:00Z,false
"""
    row = one(ask(tmp_path, text, "resolution_time"))
    assert (row["value"], row["n"]) == (2, 1)
    expected = {"closed_on_creation": 1, "invalid_duration": 1, "missing_created_at": 1}
    assert {key: row["coverage"][key] for key in expected} == expected


# --- customer_wait_time, escalation_rate, cost_per_case -------------------------------------------


def test_a_stay_without_an_end_lasts_until_the_next_one(tmp_path: Path) -> None:
    text = """@case_status_history
case_id,status,status_category,entered_at,exited_at
1,new,new,2026-01-05T09:00:00Z,
1,pending,pending,2026-01-05T10:00:00Z,
1,on hold,on_hold,2026-01-05T12:00:00Z,
1,solved,solved,2026-01-05T13:00:00Z,
2,new,new,2026-01-05T09:00:00Z,
2,solved,solved,2026-01-05T10:00:00Z,
2,open,open,2026-01-05T11:00:00Z,
@cases
id
"""
    row = one(ask(tmp_path, text, "customer_wait_time"))
    assert (row["value"], row["n"]) == (7200, 1)


def test_an_unsatisfied_customer_without_escalation_was_avoided(tmp_path: Path) -> None:
    text = (
        ANSWERS
        + """responded_at
1,csat,1,a,u,5,1,5,2026-01-05T00:00:00Z
2,csat,1,a,u,1,1,5,2026-02-05T00:00:00Z
3,csat,1,a,u,,1,5,2026-02-06T00:00:00Z
4,csat,2,a,u,1,1,5,2026-01-05T00:00:00Z
5,csat,3,a,u,5,1,5,2026-01-05T00:00:00Z
6,csat,,a,u,1,1,5,2026-01-05T00:00:00Z
@cases
id,created_at,closed_at,is_closed,escalated_at
1,2026-01-01,2026-01-04,true,
2,2026-01-01,2026-01-04,true,2026-01-02
3,2026-01-01,2026-01-04,true,
4,2026-01-01,2026-01-04,true,
"""
    )
    names = ["escalation_rate", "escalation_rate.avoided", "escalation_rate.escalated_csat"]
    rate, avoided, difference = ask(tmp_path, text, names)
    assert (rate["value"], avoided["value"], difference["value"]) == (0.25, 1, -1)


def test_an_expense_without_a_rate_is_left_out_and_counted(tmp_path: Path) -> None:
    text = """@expenses
expense_date,category,amount,currency
2026-01-31,service,900,
2026-01-31,service,900,XXX
@exchange_rates
currency,valid_from,rate
EUR,2026-01-01,1.1
@cases
id,created_at,closed_at,is_closed
1,2026-01-05,2026-01-06,true
"""
    row = one(ask(tmp_path, text, "cost_per_case"))
    assert row["value"] == 900
    assert row["coverage"]["missing_rate"] == 1
    without = one(ask(tmp_path, text, "cost_per_case", period="2026-02"))
    assert (without["value"], without["status"]) == (None, "no_data")


@pytest.mark.parametrize(
    ("kpi", "text", "status", "what"),
    [
        ("first_response_time", "@cases\nid\n1\n", "missing_dataset", "case_messages"),
        ("customer_wait_time", "@cases\nid\n1\n", "missing_dataset", "case_status_history"),
        ("cost_per_case", "@cases\nid\n1\n", "missing_dataset", "expenses"),
        ("csat", "@cases\nid\n1\n", "missing_dataset", "survey_responses"),
    ],
)
def test_what_is_not_there_is_named(
    tmp_path: Path, kpi: str, text: str, status: str, what: str
) -> None:
    row = one(ask(tmp_path, text, kpi))
    assert (row["value"], row["status"]) == (None, status)
    assert any(what in flag for flag in row["flags"])


def test_a_kpi_may_have_business_hours_of_its_own(tmp_path: Path) -> None:
    text = """@cases
id,created_at,is_closed,closed_at,team
1,2026-01-05T08:00:00Z,true,2026-01-05T20:00:00Z,
2,2026-01-05T08:00:00Z,true,2026-01-05T20:00:00Z,night
@case_messages
case_id,sent_at,author_type
1,2026-01-05T18:00:00Z,agent
2,2026-01-05T18:00:00Z,agent
@case_status_history
case_id,status_category,entered_at,exited_at
1,new,2026-01-05T08:00:00Z,2026-01-05T20:00:00Z
1,solved,2026-01-05T20:00:00Z,
"""
    own = {"default": {"hours": ["06:00", "22:00"]}, "night": {"hours": ["19:00", "23:00"]}}
    settings = {
        "business_hours": {"default": {"hours": ["10:00", "12:00"]}},
        "resolution_time": {"business_hours": own},
        "customer_wait_time": {"business_hours": own},
    }
    found = {
        kpi: by_segment(
            ask(tmp_path / kpi, text, f"{kpi}.business_hours", by=["team"], settings=settings)
        )
        for kpi in ("first_response_time", "resolution_time", "customer_wait_time")
    }
    assert found == {
        "first_response_time": {"(none)": 2 * 3600, "night": 2 * 3600},
        "resolution_time": {"(none)": 12 * 3600, "night": 1 * 3600},
        "customer_wait_time": {"(none)": 12 * 3600},
    }
