"""Who is a customer when: `customer_spells` and what stands on it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest

from crmetrics.errors import ConfigError
from crmetrics.warehouse.compute import ComputeSession
from warehouse.sample_crm import ask, open_crm

CATALOGUE = """
@subscriptions
account_id,start_date,end_date,mrr
A,2025-06-01,,100
B,2025-06-01,2026-01-15,100
C,2025-06-01,2026-02-01,100
D,2025-06-01,,100
E,2026-01-10,,100
F,2026-01-05,2026-01-20,100
"""
"""The example of active_customers, customer_retention_rate and customer_churn_rate."""


def spells(crm: ComputeSession) -> list[tuple[object, ...]]:
    return ask(
        crm,
        "select account_id, start_date::varchar, end_date::varchar "
        "from customer_spells order by account_id, start_date",
    )


def active(crm: ComputeSession, day: str) -> str:
    rows = ask(crm, f"select account_id from active_on(date '{day}') order by account_id")
    return "".join(str(account) for (account,) in rows)


# --- subscriptions ---------------------------------------------------------------------------


def test_the_example_of_active_customers(tmp_path: Path) -> None:
    with open_crm(tmp_path, CATALOGUE) as crm:
        assert crm.customer_model == "subscription"
        assert active(crm, "2026-01-31") == "ACDE"
        assert active(crm, "2025-12-31") == "ABCD"
        assert active(crm, "2026-01-14") == "ABCDEF"
        assert active(crm, "2026-01-15") == "ACDEF"


def test_segments_that_touch_or_overlap_are_one_spell(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @subscriptions
        account_id,start_date,end_date,mrr
        A,2026-01-01,2026-02-01,10
        A,2026-02-01,2026-03-01,20
        A,2026-01-10,2026-01-20,5
        B,2026-01-01,2026-06-01,10
        B,2026-02-01,2026-03-01,10
        B,2026-05-01,2026-07-01,10
        C,2026-01-01,2026-02-01,10
        C,2026-02-02,2026-03-01,10
        D,2026-01-01,,10
        D,2026-03-01,2026-04-01,10
        E,2026-01-01,2026-02-01,10
        E,2026-03-01,2026-04-01,10
        E,2026-03-01,2026-05-01,10
        E,2026-03-01,2026-05-01,10
        """,
    ) as crm:
        assert spells(crm) == [
            ("A", "2026-01-01", "2026-03-01"),
            ("B", "2026-01-01", "2026-07-01"),
            ("C", "2026-01-01", "2026-02-01"),
            ("C", "2026-02-02", "2026-03-01"),
            ("D", "2026-01-01", None),
            ("E", "2026-01-01", "2026-02-01"),
            ("E", "2026-03-01", "2026-05-01"),
        ]


def test_grace_days_close_a_gap_of_at_most_their_number(tmp_path: Path) -> None:
    tables = """
    @subscriptions
    account_id,start_date,end_date,mrr
    A,2026-01-01,2026-02-01,10
    A,2026-02-08,2026-03-01,10
    B,2026-01-01,2026-02-01,10
    B,2026-02-09,2026-03-01,10
    """
    with open_crm(tmp_path, tables, grace_days=7) as crm:
        assert spells(crm) == [
            ("A", "2026-01-01", "2026-03-01"),
            ("B", "2026-01-01", "2026-02-01"),
            ("B", "2026-02-09", "2026-03-01"),
        ]
        # Inside the gap that is forgiven the account stays a customer.
        assert active(crm, "2026-02-05") == "A"
        assert active(crm, "2026-03-01") == ""


def test_trials_free_and_empty_segments_make_no_customer(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @subscriptions
        account_id,start_date,end_date,mrr,is_trial
        A,2026-01-01,,10,true
        B,2026-01-01,,0,false
        C,2026-01-01,2026-01-01,10,false
        D,2026-02-01,2026-01-01,10,false
        E,2026-01-01,,,false
        ,2026-01-01,,10,false
        F,,,10,false
        G,2026-01-05,,10,false
        G,2026-01-01,2026-01-05,10,true
        """,
    ) as crm:
        assert spells(crm) == [("G", "2026-01-05", None)]


def test_the_first_day_is_the_earliest_start(tmp_path: Path) -> None:
    """The example of new_customers: A and D are new in January, B returned."""
    with open_crm(
        tmp_path,
        """
        @subscriptions
        account_id,start_date,end_date,mrr,is_trial
        A,2026-01-05,,100,false
        B,2025-05-01,2025-09-01,80,false
        B,2026-01-10,,80,false
        C,2026-01-12,,0,true
        D,2026-01-31,,50,false
        E,2026-02-01,,70,false
        """,
    ) as crm:
        assert ask(
            crm, "select account_id, first_day::varchar from customer_first_days order by all"
        ) == [("A", "2026-01-05"), ("B", "2025-05-01"), ("D", "2026-01-31"), ("E", "2026-02-01")]
        assert ask(
            crm,
            "select count(*) from customer_first_days as days "
            "join (select source, account_id, min(start_date) as start_date "
            "      from customer_spells group by all) as spells using (source, account_id) "
            "where days.first_day = spells.start_date",
        ) == [(4,)]


def test_a_merged_account_is_one_customer(tmp_path: Path) -> None:
    """After a merge the survivor's earliest day counts."""
    with open_crm(
        tmp_path,
        """
        @accounts
        id,merged_into_id
        A,
        B,A
        @subscriptions
        account_id,start_date,end_date,mrr
        A,2026-01-10,,10
        B,2025-01-01,2026-01-20,10
        """,
    ) as crm:
        assert spells(crm) == [("A", "2025-01-01", None)]
        assert ask(crm, "select first_day::varchar from customer_first_days") == [("2025-01-01",)]


def test_snapshots_of_many_days_come_from_one_query(tmp_path: Path) -> None:
    with open_crm(tmp_path, CATALOGUE) as crm:
        assert ask(
            crm,
            "select days.day::varchar, count(*) "
            "from (values (date '2025-12-31'), (date '2026-01-31')) as days(day), "
            "active_on(days.day) group by all order by all",
        ) == [("2025-12-31", 4), ("2026-01-31", 4)]


def test_the_example_of_win_back_rate(tmp_path: Path) -> None:
    """Lost in the year before January and not back on its eve: A, B and E; A returned."""
    with open_crm(
        tmp_path,
        """
        @subscriptions
        account_id,start_date,end_date,mrr
        A,2025-01-01,2025-11-01,10
        A,2026-01-20,,10
        B,2025-01-01,2025-12-01,10
        C,2024-01-01,2024-06-01,10
        C,2026-01-05,,10
        D,2025-01-01,,10
        E,2025-01-01,2025-06-01,10
        """,
    ) as crm:
        assert ask(
            crm,
            "select account_id, max(end_date)::varchar from customer_spells "
            "where start_date < date '2026-01-01' group by account_id "
            "having max(end_date) >= date '2025-01-01' order by account_id",
        ) == [("A", "2025-11-01"), ("B", "2025-12-01"), ("E", "2025-06-01")]
        assert active(crm, "2026-01-31") == "ACD"


@pytest.mark.parametrize("grace", [0, 1, 5])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_spells_and_days_agree_with_a_plain_merge_of_segments(
    tmp_path: Path, seed: int, grace: int
) -> None:
    random = Random(seed)
    first = date(2026, 1, 1)
    segments: dict[str, list[tuple[int, int]]] = {}
    for _ in range(150):
        start, length = random.randrange(120), random.randrange(1, 12)
        segments.setdefault(f"a{random.randrange(12)}", []).append((start, start + length))
    rows = "\n".join(
        f"{account},{first + timedelta(start)},{first + timedelta(end)},1"
        for account, found in segments.items()
        for start, end in found
    )
    expected = {account: merged(found, grace) for account, found in segments.items()}
    tables = f"@subscriptions\naccount_id,start_date,end_date,mrr\n{rows}"
    with open_crm(tmp_path, tables, grace_days=grace) as crm:
        found = [(account, str(start), str(end)) for account, start, end in spells(crm)]
        assert found == [
            (account, str(first + timedelta(start)), str(first + timedelta(end)))
            for account in sorted(expected)
            for start, end in expected[account]
        ]
        for day in range(-1, 135, 7):
            on_day = sorted(
                account
                for account, found in expected.items()
                if any(start <= day < end for start, end in found)
            )
            assert active(crm, str(first + timedelta(day))) == "".join(on_day)


def merged(segments: list[tuple[int, int]], grace: int) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(segments):
        if joined and start <= joined[-1][1] + grace:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


# --- purchases -------------------------------------------------------------------------------


def test_an_order_makes_a_customer_for_a_year_and_the_next_one_continues(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @orders
        account_id,ordered_at,status,total_amount
        A,2024-01-01T00:00:00Z,paid,10
        A,2024-12-31T00:00:00Z,paid,10
        B,2024-01-01T00:00:00Z,paid,10
        B,2025-01-01T00:00:00Z,paid,10
        C,2024-01-01T00:00:00Z,draft,10
        D,2024-01-01T00:00:00Z,cancelled,10
        E,2024-01-01T00:00:00Z,paid,
        """,
    ) as crm:
        assert crm.customer_model == "purchase"
        # 2024 has 366 days: A's second order comes 365 days after the first, B's one later.
        assert spells(crm) == [
            ("A", "2024-01-01", "2025-12-31"),
            ("B", "2024-01-01", "2024-12-31"),
            ("B", "2025-01-01", "2026-01-01"),
            ("E", "2024-01-01", "2024-12-31"),
        ]
        assert active(crm, "2024-12-31") == "A"
        assert active(crm, "2024-12-30") == "ABE"


def test_purchase_days_is_a_setting(tmp_path: Path) -> None:
    tables = """
    @orders
    account_id,ordered_at,total_amount
    A,2026-01-01T00:00:00Z,10
    A,2026-01-31T00:00:00Z,10
    """
    with open_crm(tmp_path, tables, purchase_days=30, grace_days=99) as crm:
        assert spells(crm) == [("A", "2026-01-01", "2026-03-02")]


def test_only_an_order_refunded_whole_makes_no_customer(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @orders
        account_id,ordered_at,total_amount,refunded_amount,refunded_at
        A,2026-01-01T00:00:00Z,10,9.9999,
        B,2026-01-01T00:00:00Z,10,10,2026-03-01T00:00:00Z
        C,2026-01-01T00:00:00Z,0,,
        D,2026-01-01T00:00:00Z,0,0,
        E,2026-01-01T00:00:00Z,10,12,
        """,
    ) as crm:
        assert [row[0] for row in spells(crm)] == ["A", "C", "D"]
    (tmp_path / "before").mkdir()
    with open_crm(
        tmp_path / "before",
        """
        @orders
        account_id,ordered_at,total_amount,refunded_amount,refunded_at
        B,2026-01-01T00:00:00Z,10,10,2026-03-01T00:00:00Z
        """,
        as_of="2026-02-01",
    ) as crm:
        assert [row[0] for row in spells(crm)] == ["B"]


def test_the_day_of_an_order_is_that_of_the_reporting_zone(tmp_path: Path) -> None:
    tables = """
    @orders
    account_id,ordered_at,total_amount
    A,2026-02-01T04:59:59Z,10
    B,2026-02-01T05:00:00Z,10
    C,2026-07-01T03:59:59Z,10
    D,2026-07-01T04:00:00Z,10
    """
    with open_crm(tmp_path, tables, timezone="America/New_York") as crm:
        assert [row[:2] for row in spells(crm)] == [
            ("A", "2026-01-31"),
            ("B", "2026-02-01"),
            ("C", "2026-06-30"),
            ("D", "2026-07-01"),
        ]


def test_won_deals_can_stand_for_orders(tmp_path: Path) -> None:
    tables = """
    @opportunities
    id,account_id,close_date,is_closed,is_won,amount
    1,A,2026-01-10,true,true,
    2,B,2026-01-10,true,false,10
    3,C,2026-01-10,false,false,10
    """
    with open_crm(tmp_path, tables, orders_from="opportunities") as crm:
        assert crm.customer_model == "purchase"
        assert spells(crm) == [("A", "2026-01-10", "2027-01-10")]


# --- the account's own field -----------------------------------------------------------------


def test_without_facts_the_account_itself_says_since_when(tmp_path: Path) -> None:
    tables = """
    @accounts
    id,account_type,customer_since_at,updated_at
    A,customer,2025-03-01T02:00:00Z,2026-01-01T00:00:00Z
    B,former_customer,2025-03-01T12:00:00Z,2026-01-05T12:00:00Z
    C,former_customer,2025-03-01T12:00:00Z,
    D,former_customer,2025-03-01T12:00:00Z,2024-01-01T00:00:00Z
    E,prospect,,2026-01-01T00:00:00Z
    F,customer,2031-01-01T00:00:00Z,
    """
    with open_crm(tmp_path, tables, timezone="America/New_York") as crm:
        assert crm.customer_model == "field"
        assert spells(crm) == [
            ("A", "2025-02-28", None),
            ("B", "2025-03-01", "2026-01-05"),
            ("C", "2025-03-01", "2025-03-01"),
            ("D", "2025-03-01", "2025-03-01"),
        ]
        assert active(crm, "2025-03-01") == "AB"
        assert active(crm, "2026-01-05") == "A"


# --- which model -----------------------------------------------------------------------------

SUBSCRIPTION = "@subscriptions\naccount_id,start_date,mrr\nS,2026-01-01,10\n"
ORDER = "@orders\naccount_id,ordered_at,total_amount\nO,2026-01-01T00:00:00Z,10\n"
WON = "@opportunities\naccount_id,close_date,is_won\nW,2026-01-01,true\n"
ACCOUNT = "@accounts\nid,customer_since_at\nF,2026-01-01T00:00:00Z\n"
NO_SUBSCRIPTIONS = "@subscriptions\nid\n"
NO_ORDERS = "@orders\nid\n"


@pytest.mark.parametrize(
    ("tables", "settings", "model", "customer"),
    [
        (SUBSCRIPTION + ORDER + ACCOUNT, {}, "subscription", "S"),
        (ORDER + ACCOUNT, {}, "purchase", "O"),
        (ACCOUNT, {}, "field", "F"),
        (WON + ACCOUNT, {}, "field", "F"),
        (WON + ACCOUNT, {"orders_from": "opportunities"}, "purchase", "W"),
        (SUBSCRIPTION + ORDER, {"customer_model": "purchase"}, "purchase", "O"),
        (SUBSCRIPTION + ORDER + ACCOUNT, {"customer_model": "field"}, "field", "F"),
        (ORDER, {"customer_model": "subscription"}, "subscription", ""),
        (NO_SUBSCRIPTIONS + ORDER, {}, "purchase", "O"),
        (NO_SUBSCRIPTIONS + NO_ORDERS + ACCOUNT, {}, "subscription", ""),
        (NO_ORDERS + ACCOUNT, {}, "purchase", ""),
        ("", {}, "field", ""),
    ],
)
def test_the_model_follows_the_setting_then_what_is_loaded(
    tmp_path: Path, tables: str, settings: dict[str, object], model: str, customer: str
) -> None:
    with open_crm(tmp_path, tables, **settings) as crm:
        assert crm.customer_model == model
        assert active(crm, "2026-01-01") == customer


def test_a_model_that_does_not_exist_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with (
        open_crm(tmp_path, "", customer_model="purchases") as crm,
        pytest.raises(ConfigError, match=r"customer_model: expected .* Did you mean 'purchase'\?"),
    ):
        crm.relation("customer_spells")


@pytest.mark.parametrize("days", [-1, "7", True, 1.5])
def test_a_number_of_days_must_be_one(tmp_path: Path, days: object) -> None:
    with (
        open_crm(tmp_path, SUBSCRIPTION, grace_days=days) as crm,
        pytest.raises(ConfigError, match="grace_days: expected a number of days"),
    ):
        crm.relation("customer_spells")


# --- several sources -------------------------------------------------------------------------


def test_the_source_of_a_customer_is_that_of_the_account(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        source,id
        crm,A
        @subscriptions
        source,account_id,start_date,end_date,mrr
        billing,A,2025-01-01,2026-01-01,10
        finance,A,2026-01-01,,10
        """,
    ) as crm:
        assert ask(
            crm, "select source, account_id, start_date::varchar, end_date from customer_spells"
        ) == [("crm", "A", "2025-01-01", None)]
        assert ask(crm, "select source, account_id from active_on(date '2026-01-01')") == [
            ("crm", "A")
        ]


def test_equal_ids_of_two_crms_are_two_customers(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @accounts
        source,id
        hs,1
        sf,1
        @subscriptions
        source,account_id,start_date,mrr
        hs,1,2025-01-01,10
        sf,1,2026-01-01,10
        """,
    ) as crm:
        assert ask(
            crm, "select source, first_day::varchar from customer_first_days order by all"
        ) == [("hs", "2025-01-01"), ("sf", "2026-01-01")]


# --- recurring revenue -----------------------------------------------------------------------


def mrr(crm: ComputeSession, day: str, *further: str) -> list[tuple[object, ...]]:
    arguments = ", ".join([f"date '{day}'", *further])
    return ask(
        crm,
        "select account_id, mrr::double, missing_rate "
        f"from mrr_on({arguments}) order by account_id",
    )


def test_the_example_of_mrr(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @subscriptions
        account_id,start_date,end_date,mrr,is_trial
        A,2025-01-01,,100,false
        B,2025-03-01,2026-02-01,200,false
        C,2025-03-01,2026-01-31,400,false
        D,2026-01-15,,0,true
        E,2026-02-01,,50,false
        """,
    ) as crm:
        assert mrr(crm, "2026-01-31") == [("A", 100.0, 0), ("B", 200.0, 0)]


def test_mrr_is_summed_per_account_at_the_rate_of_the_day(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @subscriptions
        account_id,start_date,mrr,currency
        A,2025-01-01,100,
        A,2025-01-01,10,USD
        A,2025-01-01,100,EUR
        B,2025-01-01,50,GBP
        B,2025-01-01,7,USD
        C,2025-01-01,50,GBP
        @exchange_rates
        currency,valid_from,rate
        EUR,2026-01-01,1.10
        EUR,2026-01-15,1.20
        """,
    ) as crm:
        assert mrr(crm, "2026-01-31") == [("A", 230.0, 0), ("B", 7.0, 1), ("C", None, 1)]
        # Retention converts both ends at the opening rate (rule C3).
        opening = mrr(crm, "2026-01-31", "rate_day := date '2026-01-14'")
        assert opening[0] == ("A", 220.0, 0)
        assert mrr(crm, "2025-12-31")[0] == ("A", 110.0, 1)


def test_mrr_of_several_days_comes_from_one_query(tmp_path: Path) -> None:
    """The example of gross_revenue_retention: opening 500, closing of the same accounts 420."""
    with open_crm(
        tmp_path,
        """
        @subscriptions
        account_id,start_date,end_date,mrr
        A,2025-01-01,2026-01-10,100
        A,2026-01-10,,150
        B,2025-01-01,2026-01-15,200
        B,2026-01-15,,120
        C,2025-01-01,2026-01-20,50
        D,2025-01-01,,150
        E,2026-01-05,,80
        """,
    ) as crm:
        assert ask(
            crm,
            "select days.day::varchar, sum(mrr)::double "
            "from (values (date '2025-12-31'), (date '2026-01-31')) as days(day), "
            "mrr_on(days.day) group by all order by all",
        ) == [("2025-12-31", 500.0), ("2026-01-31", 500.0)]
        assert ask(
            crm,
            "select sum(least(coalesce(closing.mrr, 0), opening.mrr))::double, "
            "sum(closing.mrr)::double "
            "from mrr_on(date '2025-12-31') as opening "
            "left join mrr_on(date '2026-01-31', rate_day := date '2025-12-31') as closing "
            "using (source, account_id)",
        ) == [(370.0, 420.0)]
