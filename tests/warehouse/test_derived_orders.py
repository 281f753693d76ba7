"""Orders that count, their refunds and their lines."""

from __future__ import annotations

from pathlib import Path

from warehouse.sample_crm import ask, open_crm

CATALOGUE = """
@orders
id,account_id,ordered_at,status,total_amount,refunded_amount,refunded_at
1,A,2026-01-05T00:00:00Z,paid,500,,
2,B,2026-01-20T00:00:00Z,paid,300,100,2026-02-03T00:00:00Z
3,C,2025-12-20T00:00:00Z,paid,200,50,2026-01-08T00:00:00Z
4,D,2026-01-21T00:00:00Z,cancelled,900,,
5,E,2026-01-22T00:00:00Z,paid,80,80,
"""
"""The example of revenue: 500 + 300 + 80 - 50 - 80 = 750 in January."""

COUNTED = (
    "select id, is_refund, amount::integer, booked_on::varchar, rate_day::varchar "
    "from counted_orders order by id, is_refund"
)


def test_the_example_of_revenue(tmp_path: Path) -> None:
    with open_crm(tmp_path, CATALOGUE) as crm:
        assert ask(crm, COUNTED) == [
            ("1", False, 500, "2026-01-05", "2026-01-05"),
            ("2", False, 300, "2026-01-20", "2026-01-20"),
            ("2", True, -100, "2026-02-03", "2026-01-20"),
            ("3", False, 200, "2025-12-20", "2025-12-20"),
            ("3", True, -50, "2026-01-08", "2025-12-20"),
            ("5", False, 80, "2026-01-22", "2026-01-22"),
            ("5", True, -80, "2026-01-22", "2026-01-22"),
        ]
        assert ask(
            crm,
            "select sum(amount)::integer from counted_orders "
            "where booked_on >= date '2026-01-01' and booked_on < date '2026-02-01'",
        ) == [(750,)]
        assert ask(crm, "select distinct id from counted_orders where is_fully_refunded") == [
            ("5",)
        ]


def test_orders_alone_are_read_once(tmp_path: Path) -> None:
    with open_crm(tmp_path, CATALOGUE) as crm:
        crm.prepare("counted_orders")
        plan = crm.rows("explain select sum(amount) from counted_orders where not is_refund")[0][1]
        assert plan.count("crm.orders") == 1


def test_days_are_local(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @orders
        id,account_id,ordered_at,total_amount,refunded_amount,refunded_at
        1,A,2026-02-01T04:30:00Z,10,4,2026-03-08T04:30:00Z
        """,
        timezone="America/New_York",
    ) as crm:
        assert ask(crm, COUNTED) == [
            ("1", False, 10, "2026-01-31", "2026-01-31"),
            ("1", True, -4, "2026-03-07", "2026-01-31"),
        ]


def test_a_null_status_or_refund_of_zero_is_no_row(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @orders
        id,account_id,ordered_at,status,total_amount,refunded_amount
        1,A,2026-01-05T00:00:00Z,,10,
        2,A,2026-01-05T00:00:00Z,placed,10,0
        3,A,,fulfilled,10,3
        """,
    ) as crm:
        assert ask(crm, COUNTED) == [
            ("2", False, 10, "2026-01-05", "2026-01-05"),
            ("3", False, 10, None, None),
            ("3", True, -3, None, None),
        ]


def test_lines_carry_what_is_known_of_their_order(tmp_path: Path) -> None:
    """The example of cost_of_goods_sold: the line of the cancelled order does not count."""
    with open_crm(
        tmp_path,
        """
        @orders
        id,account_id,ordered_at,status,total_amount,refunded_amount,currency
        1,A,2026-01-05T00:00:00Z,paid,100,100,EUR
        2,B,2026-01-06T00:00:00Z,cancelled,100,,
        @order_items
        order_id,product_id,quantity,total_amount,unit_cost
        1,p1,2,60,
        1,p2,1,30,12
        1,p3,-1,10,
        2,p1,5,100,
        9,p1,5,100,
        """,
    ) as crm:
        assert ask(
            crm,
            "select id, product_id, quantity, unit_cost::integer, currency, account_id, "
            "rate_day::varchar, is_fully_refunded from counted_order_items order by id",
        ) == [
            ("1", "p1", 2.0, None, "EUR", "A", "2026-01-05", True),
            ("2", "p2", 1.0, 12, "EUR", "A", "2026-01-05", True),
            ("3", "p3", -1.0, None, "EUR", "A", "2026-01-05", True),
        ]


DEALS = """
@accounts
id,is_deleted
A,false
X,true
@opportunities
id,account_id,campaign_id,close_date,is_closed,is_won,amount,currency
1,A,c,2026-01-10,true,true,100,EUR
2,A,,2026-01-11,true,false,100,
3,A,,2026-01-12,false,false,100,
4,X,,2026-01-13,true,true,100,
5,,,2026-01-14,true,true,,
6,A,,,true,true,100,
7,A,,2026-02-02,true,true,100,
@opportunity_items
id,opportunity_id,product_id,quantity,total_amount,currency
a,1,p,2,60,
b,1,q,1,40,USD
c,2,p,1,1,
@orders
id,account_id,total_amount
o,A,999
"""


def test_won_deals_stand_for_orders_when_told_so(tmp_path: Path) -> None:
    with open_crm(
        tmp_path, DEALS, orders_from="opportunities", timezone="Europe/Berlin", as_of="2026-02-01"
    ) as crm:
        assert ask(
            crm,
            "select id, opportunity_id, campaign_id, amount::integer, booked_on::varchar, "
            "rate_day::varchar, epoch_us(booked_at), is_refund from counted_orders order by id",
        ) == [
            ("1", "1", "c", 100, "2026-01-10", "2026-01-10", 1767999600000000, False),
            ("5", "5", None, None, "2026-01-14", "2026-01-14", 1768345200000000, False),
        ]
        assert ask(
            crm, "select id, product_id, currency, order_id from counted_order_items order by id"
        ) == [("a", "p", "EUR", "1"), ("b", "q", "USD", "1")]


def test_both_origins_of_orders_have_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "deals").mkdir()
    with (
        open_crm(tmp_path, "") as orders,
        open_crm(tmp_path / "deals", "", orders_from="opportunities") as deals,
    ):
        for relation in ("counted_orders", "counted_order_items"):
            assert orders.describe(relation) == deals.describe(relation)


def test_lines_of_another_source_find_their_order(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @orders
        source,id,account_id,total_amount
        crm,1,A,10
        @order_items
        source,id,order_id,quantity
        shop,a,1,2
        """,
    ) as crm:
        assert ask(crm, "select source, id, order_source, order_id from counted_order_items") == [
            ("shop", "a", "crm", "1")
        ]
