"""Foreign keys between sources (see `crmetrics.warehouse.references`)."""

from __future__ import annotations

from pathlib import Path

from crmetrics.warehouse.compute import ComputeSession
from warehouse.sample_crm import ask, open_crm


def joined(crm: ComputeSession, child: str, key: str) -> list[tuple[object, ...]]:
    """(id of the child, source and id of the row that its key finds)."""
    dataset = crm.datasets[child]
    parent = dataset.column(key).references
    condition = crm.reference_condition("c", "p", dataset.column(key), child)
    return ask(
        crm,
        f"select c.id, p.source, p.id from live_{child} as c "
        f"left join live_{parent} as p on {condition} order by c.source, c.id",
    )


def test_one_source_is_joined_on_the_key_alone(tmp_path: Path) -> None:
    with open_crm(tmp_path, "@accounts\nid\nA\n@orders\nid,account_id\n1,A\n2,B\n3,") as crm:
        fk = crm.datasets["orders"].column("account_id")
        assert crm.reference_condition("o", "a", fk, "orders") == "a.id = o.account_id"
        assert joined(crm, "orders", "account_id") == [
            ("1", "test", "A"),
            ("2", None, None),
            ("3", None, None),
        ]


def test_a_source_of_files_points_into_the_only_crm(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        source,id
        crm,A
        @orders
        source,id,account_id
        shop,1,A
        crm,2,A
        """,
    ) as crm:
        assert joined(crm, "orders", "account_id") == [("2", "crm", "A"), ("1", "crm", "A")]


def test_with_two_crms_each_row_stays_in_its_own(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        source,id
        hs,1
        sf,1
        sf,2
        @opportunities
        source,id,account_id
        hs,a,1
        hs,b,2
        sf,c,1
        """,
    ) as crm:
        fk = crm.datasets["opportunities"].column("account_id")
        assert (
            crm.reference_condition("o", "a", fk, "opportunities")
            == "a.id = o.account_id and a.source = o.source"
        )
        assert joined(crm, "opportunities", "account_id") == [
            ("a", "hs", "1"),
            ("b", None, None),
            ("c", "sf", "1"),
        ]


def test_a_third_source_finds_an_id_only_where_it_is_unique(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        source,id,is_deleted
        hs,1,false
        sf,1,false
        sf,2,false
        hs,3,true
        sf,3,false
        @orders
        source,id,account_id
        shop,a,1
        shop,b,2
        shop,c,3
        shop,d,4
        sf,e,1
        """,
    ) as crm:
        assert joined(crm, "orders", "account_id") == [
            ("e", "sf", "1"),
            ("a", None, None),
            ("b", "sf", "2"),
            ("c", None, None),
            ("d", None, None),
        ]
        found = ask(
            crm,
            "select id, source_of_accounts(source, account_id) from live_orders order by id",
        )
        assert found == [("a", "shop"), ("b", "sf"), ("c", "shop"), ("d", "shop"), ("e", "sf")]


def test_merges_and_deletions_reach_rows_of_other_sources(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        source,id,merged_into_id,is_deleted
        hs,1,,false
        sf,1,2,false
        sf,2,,false
        sf,3,2,false
        sf,4,,true
        sf,5,4,false
        hs,6,,true
        sf,6,,false
        @orders
        source,id,account_id
        shop,a,1
        shop,b,3
        shop,c,4
        shop,d,5
        shop,e,6
        sf,f,1
        hs,g,1
        hs,h,3
        hs,i,6
        """,
    ) as crm:
        assert ask(crm, "select id, account_id from live_orders order by id") == [
            ("a", "1"),
            ("b", "2"),
            ("e", "6"),
            ("f", "2"),
            ("g", "1"),
            ("h", "3"),
        ]
        assert ask(crm, "select id, account_id from excluded_orders order by id") == [
            ("c", "4"),
            ("d", "4"),
            ("i", "6"),
        ]


def test_with_one_crm_its_merges_and_deletions_reach_everybody(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        source,id,merged_into_id,is_deleted
        crm,1,2,false
        crm,2,,false
        crm,3,,true
        crm,4,3,false
        @orders
        source,id,account_id
        shop,a,1
        shop,b,3
        mail,c,1
        mail,d,4
        crm,e,1
        """,
    ) as crm:
        assert ask(crm, "select id, account_id from live_orders order by id") == [
            ("a", "2"),
            ("c", "2"),
            ("e", "2"),
        ]
        assert ask(crm, "select id from excluded_orders order by id") == [("b",), ("d",)]


def test_a_reference_to_a_dataset_that_nobody_supplies_finds_nothing(tmp_path: Path) -> None:
    with open_crm(tmp_path, "@orders\nsource,id,account_id\nx,1,A\ny,2,A") as crm:
        assert joined(crm, "orders", "account_id") == [("1", None, None), ("2", None, None)]
        assert ask(
            crm, "select source_of_accounts(source, account_id) from live_orders order by id"
        ) == [
            ("x",),
            ("y",),
        ]


def test_a_join_along_a_key_never_multiplies_rows(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @users
        source,id
        a,1
        b,1
        b,2
        c,2
        @opportunities
        source,id,owner_id
        a,1,1
        a,2,2
        b,1,1
        d,1,1
        d,2,2
        """,
    ) as crm:
        fk = crm.datasets["opportunities"].column("owner_id")
        for child in ("opportunities", None):
            condition = crm.reference_condition("o", "u", fk, child)
            sql = (
                "select o.source, o.id, u.source from live_opportunities as o "
                f"left join live_users as u on {condition} order by all"
            )
            assert ask(crm, sql) == [
                ("a", "1", "a"),
                ("a", "2", None),
                ("b", "1", "b"),
                ("d", "1", None),
                ("d", "2", None),
            ]
