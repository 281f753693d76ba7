"""Merged records: re-pointed to the survivor, counted once (rules E2 and E8)."""

from __future__ import annotations

from pathlib import Path

from warehouse.sample_crm import ask, open_crm


def test_keys_follow_a_chain_of_merges_to_its_end(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        id,merged_into_id
        A,
        B,A
        C,B
        D,C
        @opportunities
        id,account_id
        1,D
        2,C
        3,A
        4,
        5,X
        """,
    ) as crm:
        assert ask(crm, "select id from live_accounts") == [("A",)]
        assert ask(crm, "select id, account_id from live_opportunities order by id") == [
            ("1", "A"),
            ("2", "A"),
            ("3", "A"),
            ("4", None),
            ("5", "X"),
        ]


def test_records_merged_in_a_circle_leave_the_smallest_id(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @leads
        id,merged_into_id,created_at
        T,C,2025-05-01T00:00:00Z
        B,C,2025-06-01T00:00:00Z
        C,A,2025-04-01T00:00:00Z
        A,B,2025-07-01T00:00:00Z
        S,S,2025-08-01T00:00:00Z
        @activities
        id,lead_id
        1,T
        2,C
        3,A
        4,S
        """,
    ) as crm:
        live = ask(crm, "select id, merged_into_id, created_at::date::varchar from live_leads")
        assert sorted(live) == [("A", None, "2025-04-01"), ("S", None, "2025-08-01")]
        assert ask(crm, "select id, lead_id from live_activities order by id") == [
            ("1", "A"),
            ("2", "A"),
            ("3", "A"),
            ("4", "S"),
        ]
        gone = ask(crm, "select id, merged_into_id, _reason from excluded_leads order by id")
        assert gone == [("B", "A", "merged"), ("C", "A", "merged"), ("T", "A", "merged")]


def test_a_survivor_takes_the_earliest_creation_of_its_group(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @leads
        id,merged_into_id,created_at
        A,,2026-01-10T00:00:00Z
        B,A,2026-01-05T00:00:00Z
        C,B,2026-01-02T00:00:00Z
        D,,2026-01-20T00:00:00Z
        E,D,
        F,,
        G,F,2026-01-30T00:00:00Z
        H,,
        """,
    ) as crm:
        assert ask(crm, "select id, created_at::date::varchar from live_leads order by id") == [
            ("A", "2026-01-02"),
            ("D", "2026-01-20"),
            ("F", "2026-01-30"),
            ("H", None),
        ]
        # A merged record keeps its own: it is counted in the period of its own creation.
        assert ask(crm, "select id, created_at::date::varchar from excluded_leads order by id") == [
            ("B", "2026-01-05"),
            ("C", "2026-01-02"),
            ("E", None),
            ("G", "2026-01-30"),
        ]


def test_the_examples_of_leads_created_and_case_volume(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @leads
        id,created_at,merged_into_id,is_test
        1,2026-01-01T00:00:00Z,,false
        2,2026-01-15T10:00:00Z,,false
        3,2026-01-16T10:00:00Z,2,false
        4,2026-01-31T23:59:59Z,,false
        5,2026-02-01T00:00:00Z,,false
        6,2026-01-10T00:00:00Z,,true
        @cases
        id,created_at,category,status,is_closed,merged_into_id
        1,2026-01-01T00:00:00Z,billing,solved,true,
        2,2026-01-15T00:00:00Z,billing,open,false,
        3,2026-01-16T00:00:00Z,access,open,false,
        4,2026-01-16T01:00:00Z,access,solved,true,3
        5,2026-02-01T00:00:00Z,access,open,false,
        """,
    ) as crm:
        january = "created_at < timestamptz '2026-02-01 00:00:00+00'"
        assert ask(crm, f"select count(*) from live_leads where {january}") == [(3,)]
        assert ask(
            crm, f"select category, count(*) from live_cases where {january} group by 1 order by 1"
        ) == [("access", 1), ("billing", 2)]


def test_a_merged_case_keeps_its_creation_and_its_messages(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @cases
        id,created_at,merged_into_id
        1,2026-01-16T00:00:00Z,
        2,2026-01-10T00:00:00Z,1
        @case_messages
        id,case_id
        a,1
        b,2
        @case_status_history
        id,case_id
        a,1
        b,2
        @survey_responses
        id,case_id
        a,1
        b,2
        """,
    ) as crm:
        assert ask(crm, "select id, created_at::date::varchar from live_cases") == [
            ("1", "2026-01-16")
        ]
        assert ask(crm, "select id, case_id from live_case_messages") == [("a", "1")]
        assert ask(crm, "select id, case_id from live_case_status_history") == [("a", "1")]
        assert ask(crm, "select id, case_id, _reason from excluded_case_messages") == [
            ("b", "2", "parent")
        ]
        # All other keys go to the survivor.
        assert ask(crm, "select id, case_id from live_survey_responses order by id") == [
            ("a", "1"),
            ("b", "1"),
        ]


def test_a_merged_record_counts_as_merged_whatever_else_it_is(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        id,merged_into_id,is_deleted,is_test
        A,,false,false
        B,A,true,true
        C,,true,true
        D,,false,true
        """,
    ) as crm:
        assert ask(crm, "select id, _reason from excluded_accounts order by id") == [
            ("B", "merged"),
            ("C", "deleted"),
            ("D", "test"),
        ]
        assert ask(crm, "select id from live_accounts") == [("A",)]


def test_children_of_a_merged_record_share_the_fate_of_its_survivor(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        id,merged_into_id,is_deleted
        A,,false
        B,A,true
        C,,true
        D,C,false
        @orders
        id,account_id
        1,A
        2,B
        3,C
        4,D
        @leads
        id,account_id
        4,D
        """,
    ) as crm:
        assert ask(crm, "select id, account_id from live_orders order by id") == [
            ("1", "A"),
            ("2", "A"),
        ]
        assert ask(crm, "select id, account_id, _reason from excluded_orders order by id") == [
            ("3", "C", "parent"),
            ("4", "C", "parent"),
        ]
        # A lead is no child of an account: it stays, and points to a record that is not live.
        assert ask(crm, "select id, account_id from live_leads") == [("4", "C")]


def test_a_survivor_that_is_not_loaded_leaves_its_children_as_orphans(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        id,merged_into_id
        B,X
        @orders
        id,account_id
        1,B
        """,
    ) as crm:
        assert ask(crm, "select id, account_id from live_orders") == [("1", "X")]
        assert ask(crm, "select id from live_accounts") == []


def test_an_account_can_have_a_merged_parent(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        id,parent_account_id,merged_into_id
        A,,
        B,,A
        C,B,
        """,
    ) as crm:
        found = ask(crm, "select id, parent_account_id from live_accounts order by id")
        assert found == [("A", None), ("C", "A")]


def test_a_column_that_nobody_reads_costs_no_join(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        id,merged_into_id
        A,
        B,A
        @opportunities
        id,account_id,amount
        1,B,10
        """,
    ) as crm:
        crm.relation("live_opportunities")
        plan = crm.rows("explain select sum(amount) from live_opportunities")[0][1]
        assert "Join" not in plan
        plan = crm.rows("explain select max(account_id) from live_opportunities")[0][1]
        assert "Join" in plan


def test_without_merges_the_view_joins_nothing(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        id,is_deleted
        A,false
        B,true
        @opportunities
        id,account_id
        1,B
        """,
    ) as crm:
        assert all("join" not in text for text in crm.prelude(["live_opportunities"]))
        assert ask(crm, "select account_id from live_opportunities") == [("B",)]


def test_a_long_chain_of_merges_is_followed(tmp_path: Path) -> None:
    rows = "\n".join(f"{n},{n - 1 if n else ''}" for n in range(300))
    with open_crm(
        tmp_path, f"@accounts\nid,merged_into_id\n{rows}\n@orders\nid,account_id\n1,299"
    ) as crm:
        assert ask(crm, "select account_id from live_orders") == [("0",)]
        assert ask(crm, "select count(*) from excluded_accounts") == [(299,)]
