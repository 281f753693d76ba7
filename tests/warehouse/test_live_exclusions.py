"""What never counts: deleted, test and spam records, and the children that leave with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmetrics.datasets import canonical_datasets
from warehouse.sample_crm import ask, open_crm


def test_deleted_and_test_rows_are_left_out_with_their_reason(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @opportunities
        id,is_deleted,is_test
        1,false,false
        2,true,false
        3,false,true
        4,true,true
        """,
    ) as crm:
        assert ask(crm, "select id from live_opportunities") == [("1",)]
        assert ask(crm, "select id, _reason from excluded_opportunities order by id") == [
            ("2", "deleted"),
            ("3", "test"),
            ("4", "deleted"),
        ]


def test_every_row_is_live_or_excluded_and_never_both(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @cases
        id,is_deleted,is_test,is_spam,merged_into_id
        1,false,false,false,
        2,true,false,true,
        3,false,true,true,
        4,false,false,true,
        5,false,false,true,1
        6,,,,
        """,
    ) as crm:
        assert ask(crm, "select id from live_cases order by id") == [("1",), ("6",)]
        assert ask(crm, "select id, _reason from excluded_cases order by id") == [
            ("2", "deleted"),
            ("3", "test"),
            ("4", "spam"),
            ("5", "merged"),
        ]


@pytest.mark.parametrize(("gone", "kind"), [(1, "table"), (9, "view")])
def test_few_excluded_rows_are_kept_and_many_are_read_where_they_are(
    tmp_path: Path, gone: int, kind: str
) -> None:
    deals = "\n".join(f"{n},{str(n < gone).lower()}" for n in range(30))
    items = "\n".join(f"i{n},{n % 3}" for n in range(30))
    text = f"@opportunities\nid,is_deleted\n{deals}\n@opportunity_items\nid,opportunity_id\n{items}"
    with open_crm(tmp_path, text) as crm:
        for name in ("opportunities", "opportunity_items"):
            assert f"create or replace temp {kind} " in crm.text(f"removed_{name}")
        left = sum(n % 3 < gone for n in range(30))
        for kept in ("excluded", "removed"):
            assert ask(crm, f"select count(*) from {kept}_opportunities") == [(gone,)]
            assert ask(crm, f"select count(*) from {kept}_opportunity_items") == [(left,)]


def test_spam_cases_leave_with_their_history_and_messages(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @cases
        id,is_spam
        1,true
        2,false
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
        """,
    ) as crm:
        assert ask(crm, "select id from live_case_messages") == [("b",)]
        assert ask(crm, "select id from live_case_status_history") == [("b",)]
        assert ask(crm, "select id from live_survey_responses") == [("a",)]


@pytest.mark.parametrize("flag", ["is_deleted", "is_test"])
def test_children_of_a_removed_parent_leave_and_orphans_stay(tmp_path: Path, flag: str) -> None:
    with open_crm(
        tmp_path,
        f"""
        @opportunities
        id,{flag}
        1,true
        2,false
        @opportunity_items
        id,opportunity_id
        a,1
        b,2
        c,missing
        d,
        @opportunity_stage_history
        id,opportunity_id
        a,1
        b,2
        """,
    ) as crm:
        assert ask(crm, "select id from live_opportunity_items order by id") == [
            ("b",),
            ("c",),
            ("d",),
        ]
        assert ask(crm, "select id, _reason from excluded_opportunity_items") == [("a", "parent")]
        assert ask(crm, "select id from live_opportunity_stage_history") == [("b",)]


def test_a_deleted_account_takes_its_orders_and_their_items_along(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        id,is_deleted
        A,true
        B,false
        @orders
        id,account_id
        1,A
        2,B
        @order_items
        id,order_id
        a,1
        b,2
        @subscriptions
        id,account_id
        1,A
        2,B
        @opportunities
        id,account_id
        1,A
        """,
    ) as crm:
        assert ask(crm, "select id from live_orders") == [("2",)]
        assert ask(crm, "select id from live_order_items") == [("b",)]
        assert ask(crm, "select id, _reason from excluded_order_items") == [("a", "parent")]
        assert ask(crm, "select id from live_subscriptions") == [("2",)]
        # A deal only points to its account (rule E7).
        assert ask(crm, "select id, account_id from live_opportunities") == [("1", "A")]


def test_an_own_reason_goes_before_that_of_the_parent(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        id,is_deleted
        A,true
        @orders
        id,account_id,is_test
        1,A,true
        2,A,false
        """,
    ) as crm:
        assert ask(crm, "select id, _reason from excluded_orders order by id") == [
            ("1", "test"),
            ("2", "parent"),
        ]


def test_a_dataset_that_nobody_loaded_is_empty_and_typed(tmp_path: Path) -> None:
    with open_crm(tmp_path, "@leads\nid\n1") as crm:
        for name, dataset in canonical_datasets().items():
            found = crm.describe(f"live_{name}")
            assert list(found) == list(dataset.column_names)
            assert list(crm.describe(f"excluded_{name}")) == [*dataset.column_names, "_reason"]
        assert ask(crm, "select count(*) from live_orders") == [(0,)]
        assert crm.describe("live_orders")["total_amount"] == "DECIMAL(18,4)"
        assert crm.describe("live_orders")["ordered_at"] == "TIMESTAMP WITH TIME ZONE"


def test_loaded_and_unloaded_datasets_have_the_same_types(tmp_path: Path) -> None:
    datasets = canonical_datasets()
    tables = "\n".join(f"@{name}\n{dataset.key[0]}" for name, dataset in datasets.items())
    (tmp_path / "none").mkdir()
    with open_crm(tmp_path, tables) as crm, open_crm(tmp_path / "none", "") as empty:
        for name in datasets:
            assert crm.inventory[name].exists, name
            assert crm.describe(f"live_{name}") == empty.describe(f"live_{name}")


def test_a_null_currency_stays_null(tmp_path: Path) -> None:
    with open_crm(tmp_path, "@opportunities\nid,amount,currency\n1,5,") as crm:
        assert ask(crm, "select currency from live_opportunities") == [(None,)]


def test_unusual_ids_survive(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        id,merged_into_id,is_deleted
        Größe 💶,,false
        it's,Größe 💶,false
        ' or 1=1 --,,true
        @orders
        id,account_id
        1,it's
        2,' or 1=1 --
        """,
    ) as crm:
        assert ask(crm, "select id, account_id from live_orders") == [("1", "Größe 💶")]
