"""Spend by day, exchange rates by day, and the rule of conversion."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

from crmetrics.warehouse.currency import converted
from warehouse.sample_crm import ask, open_crm

SPEND = (
    "select id, day::varchar, campaign_id, channel, own_amount::double, amount::double "
    "from spend_by_day order by id, day"
)


def test_the_example_of_total_marketing_spend(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @campaigns
        id,start_date,end_date,budgeted_cost
        C1,2026-01-22,2026-02-10,1000
        @marketing_spend
        spend_date,campaign_id,amount
        2026-01-05,,300
        2026-02-01,,999
        ,C1,800
        """,
    ) as crm:
        january = "day >= date '2026-01-01' and day < date '2026-02-01'"
        assert ask(crm, f"select sum(amount)::double from spend_by_day where {january}") == [
            (700.0,)
        ]
        spread = ask(
            crm, "select count(*), min(amount), max(amount) from spend_by_day where id = '3'"
        )
        assert spread == [(20, Decimal(40), Decimal(40))]
        assert ask(crm, "select count(*) from undated_spend") == [(0,)]


def test_both_ends_of_a_campaign_get_their_share(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @campaigns
        id,start_date,end_date,channel
        C1,2026-01-31,2026-02-01,email
        C2,2026-01-15,2026-01-15,
        @marketing_spend
        spend_date,campaign_id,amount,channel
        ,C1,10,social
        ,C2,7,paid
        2026-03-01,C1,5,social
        2026-03-01,C9,5,social
        2026-03-01,,5,
        """,
    ) as crm:
        assert ask(crm, SPEND) == [
            ("1", "2026-01-31", "C1", "email", 5.0, 5.0),
            ("1", "2026-02-01", "C1", "email", 5.0, 5.0),
            ("2", "2026-01-15", "C2", "paid", 7.0, 7.0),
            ("3", "2026-03-01", "C1", "email", 5.0, 5.0),
            ("4", "2026-03-01", "C9", "social", 5.0, 5.0),
            ("5", "2026-03-01", None, None, 5.0, 5.0),
        ]


def test_spend_without_any_day_is_kept_apart(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @campaigns
        id,start_date,end_date,is_deleted
        C1,2026-01-31,,false
        C2,,2026-01-31,false
        C3,2026-01-31,2026-01-30,false
        C4,2026-01-01,2026-01-31,true
        @marketing_spend
        campaign_id,spend_date,amount,currency,channel
        C1,,1,,x
        C2,,2,,x
        C3,,3,,x
        C4,,4,,x
        ,,5,EUR,x
        ,,6,GBP,x
        C1,2026-01-01,7,,x
        @exchange_rates
        currency,valid_from,rate
        EUR,2026-01-01,2
        EUR,2026-02-01,3
        """,
        as_of="2026-01-31T23:00:00Z",
    ) as crm:
        assert ask(
            crm, "select id, own_amount::double, amount::double from undated_spend order by id"
        ) == [
            ("1", 1.0, 1.0),
            ("2", 2.0, 2.0),
            ("3", 3.0, 3.0),
            ("4", 4.0, 4.0),
            ("5", 5.0, 10.0),
            ("6", 6.0, None),
        ]
        assert ask(crm, "select id from spend_by_day") == [("7",)]


def test_each_day_is_converted_at_its_own_rate(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @campaigns
        id,start_date,end_date
        C1,2025-12-31,2026-01-02
        @marketing_spend
        campaign_id,amount,currency
        C1,30,EUR
        @exchange_rates
        currency,valid_from,rate
        EUR,2026-01-01,1.1
        EUR,2026-01-02,1.2
        """,
    ) as crm:
        assert ask(crm, SPEND) == [
            ("1", "2025-12-31", "C1", None, 10.0, None),
            ("1", "2026-01-01", "C1", None, 10.0, 11.0),
            ("1", "2026-01-02", "C1", None, 10.0, 12.0),
        ]


def test_a_campaign_without_end_in_sight_stays_small(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @campaigns
        id,start_date,end_date
        C1,2026-01-01,9999-12-31
        C2,0001-01-01,2026-01-01
        C3,2027-06-01,2027-07-01
        @marketing_spend
        campaign_id,amount
        C1,2912443
        C2,739617
        C3,5
        """,
        as_of="2026-06-01",
        horizon=date(2026, 1, 10),
    ) as crm:
        assert ask(
            crm,
            "select campaign_id, count(*), min(day)::varchar, max(day)::varchar, "
            "round(min(amount), 3)::double from spend_by_day group by 1 order by 1",
        ) == [
            ("C1", 152, "2026-01-01", "2026-06-01", 1.0),
            ("C2", 20455, "1970-01-01", "2026-01-01", 1.0),
        ]


def test_spend_of_another_source_finds_its_campaign(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @campaigns
        source,id,channel,start_date,end_date
        crm,C1,email,2026-01-01,2026-01-02
        @marketing_spend
        source,id,campaign_id,amount,spend_date
        finance,1,C1,10,
        """,
    ) as crm:
        assert [row[:4] for row in ask(crm, SPEND)] == [
            ("1", "2026-01-01", "C1", "email"),
            ("1", "2026-01-02", "C1", "email"),
        ]


# --- rates -----------------------------------------------------------------------------------

RATES = (
    "select currency, min(day)::varchar, max(day)::varchar, rate from rates_by_day "
    "group by currency, rate order by currency, 2"
)


def test_a_rate_holds_until_the_next_one_and_the_last_to_the_end(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @exchange_rates
        currency,valid_from,rate
        EUR,2026-01-15,1.20
        EUR,2026-01-01,1.10
        GBP,2026-01-31,1.3
        CHF,2027-01-01,1.1
        USD,2026-01-01,1
        """,
        as_of="2026-01-20",
        horizon=date(2026, 1, 31),
    ) as crm:
        assert ask(crm, RATES) == [
            ("EUR", "2026-01-01", "2026-01-14", 1.1),
            ("EUR", "2026-01-15", "2026-01-31", 1.2),
            ("GBP", "2026-01-31", "2026-01-31", 1.3),
        ]
        assert ask(crm, "select count(*) = count(distinct (currency, day)) from rates_by_day") == [
            (True,)
        ]


def test_the_rate_of_the_as_of_day_is_there_whatever_the_horizon(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        "@exchange_rates\ncurrency,valid_from,rate\nEUR,2026-01-01,1.1",
        as_of="2026-06-01",
        horizon=date(2026, 1, 31),
    ) as crm:
        assert ask(crm, RATES) == [("EUR", "2026-01-01", "2026-06-01", 1.1)]


def test_a_rate_that_is_no_positive_number_is_none(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @exchange_rates
        currency,valid_from,rate
        EUR,2026-01-01,1.1
        EUR,2026-01-02,0
        EUR,2026-01-03,nan
        EUR,2026-01-04,inf
        EUR,2026-01-05,-1
        EUR,2026-01-06,
        EUR,2026-01-07,1.2
        """,
        as_of="2026-01-08",
        horizon=date(2026, 1, 8),
    ) as crm:
        assert ask(crm, RATES) == [
            ("EUR", "2026-01-01", "2026-01-06", 1.1),
            ("EUR", "2026-01-07", "2026-01-08", 1.2),
        ]


def test_rates_from_the_beginning_of_time_begin_in_1970(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @exchange_rates
        currency,valid_from,rate
        EUR,0001-01-01,1.1
        EUR,1960-01-01,1.2
        """,
        as_of="1970-01-03",
        horizon=date(1970, 1, 3),
    ) as crm:
        assert ask(crm, RATES) == [("EUR", "1970-01-01", "1970-01-03", 1.2)]


def test_two_sources_of_rates_do_not_double_an_amount(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @exchange_rates
        source,currency,valid_from,rate
        b,EUR,2026-01-01,9
        a,EUR,2026-01-01,1.1
        """,
        as_of="2026-01-02",
        horizon=date(2026, 1, 2),
    ) as crm:
        assert ask(crm, RATES) == [("EUR", "2026-01-01", "2026-01-02", 1.1)]


def test_without_rates_the_join_disappears(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @marketing_spend
        spend_date,amount,currency
        2026-01-01,5,
        2026-01-01,5,USD
        2026-01-01,5,EUR
        """,
    ) as crm:
        assert [row[5] for row in ask(crm, SPEND)] == [5.0, 5.0, None]
        assert ask(crm, "select count(*) from rates_by_day") == [(0,)]


def test_the_rule_of_conversion(tmp_path: Path) -> None:
    with open_crm(tmp_path, "") as crm:
        text = converted("amount", "currency", "rate", "USD")
        rows = crm.rows(
            f"select {text} from (values (1, 10.5::decimal(18, 4), null, null::double), "
            "(2, 10.5, 'USD', 7), (3, 10.5, 'EUR', 1.2), (4, 10.5, 'EUR', null), "
            "(5, null, 'EUR', 1.2)) as facts(id, amount, currency, rate) order by id"
        )
        assert [value for (value,) in rows] == [
            Decimal("10.5"),
            Decimal("10.5"),
            Decimal("12.6"),
            None,
            None,
        ]
        kind = crm.describe(
            f"select {text} as amount from (select 1::decimal(18, 4) as amount, "
            "'EUR' as currency, 1.0::double as rate)"
        )
        assert kind == {"amount": "DECIMAL(28,10)"}


def test_the_example_of_won_amount(tmp_path: Path) -> None:
    with open_crm(
        tmp_path,
        """
        @opportunities
        id,close_date,is_closed,is_won,amount,currency,is_deleted
        1,2026-01-01,true,true,1000,USD,false
        2,2026-01-31,true,true,500,EUR,false
        3,2026-02-01,true,true,900,USD,false
        4,2026-01-20,true,false,700,USD,false
        5,2026-01-20,true,true,,USD,false
        6,2026-01-10,true,true,300,USD,true
        @exchange_rates
        currency,valid_from,rate
        EUR,2026-01-01,1.10
        EUR,2026-01-15,1.20
        """,
    ) as crm:
        amount = converted("deals.amount", "deals.currency", "rates.rate", "USD")
        assert ask(
            crm,
            f"select sum({amount})::double, count(*) filter (where amount is null) "
            "from live_opportunities as deals left join rates_by_day as rates "
            "on rates.currency = deals.currency and rates.day = deals.close_date "
            "where is_won and close_date >= date '2026-01-01' and close_date < date '2026-02-01'",
        ) == [(1600.0, 1)]


def test_without_rates_only_the_reporting_currency_converts(tmp_path: Path) -> None:
    with open_crm(tmp_path, "") as crm:
        text = converted("amount", "currency", None, "U'D")
        rows = crm.rows(
            f"select {text} from (values (1, 2, 'U''D'), (2, 2, 'EUR'), (3, 2, null)) "
            "as facts(id, amount, currency) order by id"
        )
        assert [value for (value,) in rows] == [Decimal(2), None, Decimal(2)]
