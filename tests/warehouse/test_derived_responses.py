"""First responses to leads, solves of cases, the first lead of an account."""

from __future__ import annotations

from pathlib import Path

from warehouse.sample_crm import ask, open_crm

ANSWERS = (
    "select lead_id, strftime(timezone('UTC', first_response_at), '%d %H:%M') "
    "from lead_first_response order by lead_id"
)


def test_the_example_of_lead_response_time(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @leads
        id,created_at
        1,2026-01-05T09:00:00Z
        2,2026-01-05T10:00:00Z
        3,2026-01-05T11:00:00Z
        4,2026-01-06T09:00:00Z
        @activities
        lead_id,activity_type,direction,occurred_at,is_automated
        1,email,outbound,2026-01-05T09:01:00Z,true
        1,call,outbound,2026-01-05T09:30:00Z,false
        2,email,outbound,2026-01-05T11:00:00Z,false
        2,email,outbound,2026-01-05T12:00:00Z,false
        3,email,inbound,2026-01-05T11:05:00Z,false
        3,call,outbound,2026-01-05T21:00:00Z,false
        """,
    ) as crm:
        assert ask(crm, ANSWERS) == [
            ("1", "05 09:30"),
            ("2", "05 11:00"),
            ("3", "05 21:00"),
            ("4", None),
        ]


def test_what_is_no_answer_by_a_human(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @leads
        id,created_at
        1,2026-01-05T09:00:00Z
        2,2026-01-05T09:00:00Z
        3,2026-01-05T09:00:00Z
        @users
        id,user_type,is_deleted
        bot,integration,false
        oldbot,integration,true
        u,human,false
        @activities
        lead_id,activity_type,direction,occurred_at,is_completed,user_id
        1,email,outbound,2026-01-05T08:59:59Z,true,u
        1,task,outbound,2026-01-05T10:00:00Z,true,u
        1,note,outbound,2026-01-05T10:00:00Z,true,u
        1,call,outbound,2026-01-05T10:00:00Z,false,u
        1,call,,2026-01-05T10:00:00Z,true,u
        1,email,outbound,2026-01-05T10:00:00Z,true,bot
        1,email,outbound,2026-01-05T10:00:00Z,true,oldbot
        2,chat,outbound,2026-01-05T09:00:00Z,true,
        3,meeting,outbound,2026-01-05T11:00:00Z,true,unknown
        ,call,outbound,2026-01-05T10:00:00Z,true,u
        """,
    ) as crm:
        assert ask(crm, ANSWERS) == [("1", None), ("2", "05 09:00"), ("3", "05 11:00")]


def test_the_lead_s_own_column_wins(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @leads
        id,created_at,first_response_at
        1,2026-01-05T09:00:00Z,2026-01-05T15:00:00Z
        2,2026-01-05T09:00:00Z,2026-01-04T15:00:00Z
        3,2026-01-05T09:00:00Z,2026-01-07T15:00:00Z
        @activities
        lead_id,direction,occurred_at
        1,outbound,2026-01-05T10:00:00Z
        2,outbound,2026-01-05T10:00:00Z
        3,outbound,2026-01-05T10:00:00Z
        3,outbound,2026-01-06T10:00:00Z
        """,
        as_of="2026-01-06",
    ) as crm:
        # The third lead's answer lies after as_of, so the activities decide.
        assert ask(crm, ANSWERS) == [("1", "05 15:00"), ("2", "04 15:00"), ("3", "05 10:00")]


def test_answers_follow_a_merged_lead_and_its_earliest_creation(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @leads
        id,created_at,merged_into_id
        1,2026-01-06T09:00:00Z,
        2,2026-01-05T09:00:00Z,1
        @activities
        lead_id,direction,occurred_at
        2,outbound,2026-01-05T10:00:00Z
        """,
    ) as crm:
        assert ask(crm, ANSWERS) == [("1", "05 10:00")]


def test_activities_of_another_source_answer_a_lead(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @leads
        source,id,created_at
        crm,1,2026-01-05T09:00:00Z
        @users
        source,id,user_type
        crm,bot,integration
        @activities
        source,lead_id,direction,occurred_at,user_id
        phone,1,outbound,2026-01-05T09:30:00Z,bot
        phone,1,outbound,2026-01-05T10:00:00Z,u
        """,
    ) as crm:
        assert ask(crm, ANSWERS) == [("1", "05 10:00")]


# --- cases -----------------------------------------------------------------------------------

SOLVES = (
    "select case_id, strftime(timezone('UTC', first_solved_at), '%d'), "
    "strftime(timezone('UTC', last_solved_at), '%d'), reopen_count "
    "from case_solves order by case_id"
)


def test_the_example_of_reopen_rate_needs_no_cases(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @cases
        id
        @case_status_history
        case_id,status,status_category,entered_at
        1,solved,solved,2026-01-05T00:00:00Z
        2,solved,solved,2026-01-05T00:00:00Z
        2,open,open,2026-01-08T00:00:00Z
        3,solved,solved,2026-01-05T00:00:00Z
        3,open,open,2026-01-20T00:00:00Z
        4,solved,solved,2026-02-05T00:00:00Z
        """,
    ) as crm:
        assert ask(crm, SOLVES) == [
            ("1", "05", "05", 0),
            ("2", "05", "05", 1),
            ("3", "05", "05", 1),
            ("4", "05", "05", 0),
        ]


def test_a_solve_is_a_move_into_solved(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @cases
        id,closed_at
        1,2026-01-30T00:00:00Z
        2,2026-01-30T00:00:00Z
        3,
        4,2026-01-30T00:00:00Z
        @case_status_history
        case_id,status,status_category,entered_at
        1,open,open,2026-01-01T00:00:00Z
        1,solved,solved,2026-01-02T00:00:00Z
        1,closed,solved,2026-01-03T00:00:00Z
        1,open,open,2026-01-04T00:00:00Z
        1,pending,pending,2026-01-05T00:00:00Z
        1,solved,solved,2026-01-06T00:00:00Z
        1,closed,solved,2026-01-07T00:00:00Z
        1,,,2026-01-08T00:00:00Z
        2,open,open,2026-01-01T00:00:00Z
        """,
    ) as crm:
        assert ask(crm, SOLVES) == [
            ("1", "02", "06", 1),
            # With history, closed_at is not asked.
            ("2", None, None, 0),
            ("3", None, None, None),
            ("4", "30", "30", None),
        ]


def test_stays_of_no_length_keep_their_order(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @case_status_history
        id,case_id,status,status_category,entered_at,exited_at
        c,1,solved,solved,2026-01-02T00:00:00Z,
        b,1,open,open,2026-01-02T00:00:00Z,2026-01-02T00:00:00Z
        a,1,solved,solved,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z
        """,
    ) as crm:
        assert ask(crm, SOLVES) == [("1", "01", "02", 1)]


def test_a_past_run_sees_the_solves_of_its_time(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @cases
        id,created_at
        1,2026-01-01T00:00:00Z
        @case_status_history
        case_id,status,status_category,entered_at
        1,solved,solved,2026-01-02T00:00:00Z
        1,open,open,2026-01-10T00:00:00Z
        1,solved,solved,2026-01-12T00:00:00Z
        """,
        as_of="2026-01-05",
    ) as crm:
        assert ask(crm, SOLVES) == [("1", "02", "02", 0)]


# --- accounts --------------------------------------------------------------------------------


def test_an_account_has_the_origin_of_its_earliest_lead(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        id,merged_into_id
        A,
        B,A
        C,
        @leads
        id,account_id,created_at,lead_source,campaign_id
        1,A,2026-01-05T00:00:00Z,web,c1
        2,B,2026-01-04T00:00:00Z,,c2
        3,C,2026-01-05T00:00:00Z,event,c3
        0,C,2026-01-05T00:00:00Z,fair,
        4,,2026-01-01T00:00:00Z,web,c1
        5,C,,web,c1
        """,
    ) as crm:
        assert ask(
            crm,
            "select account_id, lead_id, lead_source, campaign_id "
            "from account_first_lead order by account_id",
        ) == [("A", "2", None, "c2"), ("C", "0", "fair", None)]
