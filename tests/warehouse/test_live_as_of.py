"""A run sees nothing later than its as_of (rules P5 and P12)."""

from __future__ import annotations

from pathlib import Path

from warehouse.sample_crm import ask, open_crm

NOON = "2026-01-31T12:00:00Z"


def test_rows_created_after_as_of_are_invisible_and_one_at_it_is_not(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @leads
        id,created_at,is_deleted
        1,2026-01-31T11:59:59Z,false
        2,2026-01-31T12:00:00Z,false
        3,2026-01-31T12:00:00.000001Z,false
        4,,false
        5,2026-01-30T00:00:00Z,true
        6,2026-02-01T00:00:00Z,true
        """,
        as_of=NOON,
    ) as crm:
        assert ask(crm, "select id from live_leads order by id") == [("1",), ("2",), ("4",)]
        assert ask(crm, "select id from excluded_leads") == [("5",)]


def test_events_after_as_of_are_read_as_null_and_states_stay(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @opportunities
        id,created_at,closed_at,is_closed,is_won,updated_at
        1,2026-01-01T00:00:00Z,2026-01-31T12:00:00Z,true,true,2026-02-05T00:00:00Z
        2,2026-01-01T00:00:00Z,2026-01-31T12:00:01Z,true,true,2026-02-05T00:00:00Z
        """,
        as_of=NOON,
    ) as crm:
        assert ask(
            crm,
            "select id, closed_at is null, is_won, updated_at is null "
            "from live_opportunities order by id",
        ) == [("1", False, True, False), ("2", True, True, False)]


def test_a_stay_that_ends_after_as_of_still_runs(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @case_status_history
        id,case_id,entered_at,exited_at
        1,c,2026-01-30T00:00:00Z,2026-02-02T00:00:00Z
        2,c,2026-02-02T00:00:00Z,
        """,
        as_of=NOON,
    ) as crm:
        found = ask(crm, "select id, exited_at is null from live_case_status_history")
        assert found == [("1", True)]


def test_a_refund_after_as_of_has_not_happened(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @orders
        id,account_id,ordered_at,total_amount,refunded_amount,refunded_at
        1,A,2026-01-05T00:00:00Z,100,40,2026-02-03T00:00:00Z
        2,A,2026-01-05T00:00:00Z,100,40,2026-01-06T00:00:00Z
        3,A,2026-01-05T00:00:00Z,100,40,
        """,
        as_of=NOON,
    ) as crm:
        assert ask(
            crm,
            "select id, refunded_amount::integer, refunded_at is null from live_orders order by id",
        ) == [("1", None, True), ("2", 40, False), ("3", 40, True)]


def test_a_survivor_is_visible_from_the_first_creation_of_its_group(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        id,created_at,merged_into_id
        A,2026-02-10T00:00:00Z,
        B,2026-01-05T00:00:00Z,A
        C,2026-02-10T00:00:00Z,
        D,2026-02-11T00:00:00Z,C
        """,
        as_of=NOON,
    ) as crm:
        assert ask(crm, "select id, created_at::date::varchar from live_accounts") == [
            ("A", "2026-01-05")
        ]
        assert ask(crm, "select id from excluded_accounts") == [("B",)]


def test_as_of_given_as_a_date_is_its_first_moment_in_the_reporting_zone(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @leads
        id,created_at
        1,2026-02-01T04:59:59Z
        2,2026-02-01T05:00:00Z
        3,2026-02-01T05:00:01Z
        """,
        timezone="America/New_York",
        as_of="2026-02-01",
    ) as crm:
        assert ask(crm, "select id from live_leads order by id") == [("1",), ("2",)]
        assert crm.view.as_of_day.isoformat() == "2026-02-01"


def test_a_dataset_without_a_date_of_creation_is_always_visible(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @subscriptions
        id,account_id,start_date,mrr
        1,A,2027-01-01,10
        """,
        as_of=NOON,
    ) as crm:
        assert ask(crm, "select id from live_subscriptions") == [("1",)]
