"""The known answers: right on tables small enough to count by hand, consistent on the sample."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import NONE, quantile
from crmetrics.testing.data.live import LiveRecords
from crmetrics.testing.data.truth import BY_GROUP, FIGURES, Truth

JANUARY = date(2026, 1, 1)


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm()


@pytest.fixture(scope="module")
def truth(crm: SampleCrm) -> Truth:
    return crm.truth


def deal(identity: str, closes: str, outcome: str, amount: int | None, **values: Any) -> Any:
    return {
        "id": identity,
        "account_id": None,
        "owner_id": None,
        "currency": "USD",
        "amount": None if amount is None else Decimal(amount),
        "close_date": date.fromisoformat(closes),
        "is_closed": outcome != "open",
        "is_won": outcome == "won",
        "created_at": datetime(2025, 12, 1, 9, tzinfo=UTC),
        "updated_at": datetime(2026, 3, 1, tzinfo=UTC),
        **values,
    }


def january(timezone: str = "UTC", **records: list[Any]) -> Truth:
    return Truth({"exchange_rates": [], **records}, JANUARY, date(2026, 2, 1), timezone=timezone)


# --- by hand: the worked examples of the catalogue ----------------------------------------------


def test_won_amount_converts_at_the_day_and_leaves_out_what_does_not_count() -> None:
    truth = january(
        opportunities=[
            deal("1", "2026-01-01", "won", 1000),
            deal("2", "2026-01-31", "won", 500, currency="EUR"),
            deal("3", "2026-02-01", "won", 900),
            deal("4", "2026-01-20", "lost", 700),
            deal("5", "2026-01-20", "won", None),
            deal("6", "2026-01-10", "won", 300, is_deleted=True),
        ],
        exchange_rates=[
            {"currency": "EUR", "valid_from": date(2026, 1, 15), "rate": Decimal("1.20")},
            {"currency": "EUR", "valid_from": date(2026, 1, 1), "rate": Decimal("1.10")},
        ],
    )
    assert truth.figure("won_amount") == {JANUARY: 1600}
    assert truth.figure("won_amount.won_count") == {JANUARY: 3}


def test_win_rate_counts_decided_deals_of_the_period() -> None:
    truth = january(
        opportunities=[
            deal("1", "2026-01-02", "won", 1),
            deal("2", "2026-01-09", "won", 1),
            deal("3", "2026-01-31", "won", 1),
            deal("4", "2026-01-15", "lost", 1),
            deal("5", "2026-01-16", "lost", 1),
            deal("6", "2026-01-20", "open", 1),
            deal("7", "2026-01-21", "won", 1, is_deleted=True),
            deal("8", "2025-12-31", "lost", 1),
        ]
    )
    assert truth.figure("win_rate") == {JANUARY: 0.6}


def test_win_rate_of_no_decided_deal_is_null() -> None:
    truth = january(opportunities=[deal("1", "2026-01-20", "open", 1)])
    assert truth.figure("win_rate") == {JANUARY: None}
    assert truth.figure("won_amount") == {JANUARY: 0}


def test_deal_size_and_cycle_follow_the_worked_examples() -> None:
    def at(day: str) -> datetime:
        return datetime.fromisoformat(day).replace(hour=9, tzinfo=UTC)

    truth = january(
        opportunities=[
            deal("1", "2026-01-11", "won", 1000, created_at=at("2026-01-01")),
            deal("2", "2026-01-28", "won", 3000, created_at=at("2026-01-08")),
            deal("3", "2026-01-31", "won", 8000, created_at=at("2025-12-02")),
            deal("4", "2026-01-31", "lost", 90000, created_at=at("2026-01-02")),
            deal("5", "2026-01-15", "won", None, created_at=at("2026-01-20")),
        ]
    )
    assert truth.figure("average_deal_size") == {JANUARY: 4000}
    assert truth.figure("average_deal_size.median") == {JANUARY: 3000}
    assert truth.figure("sales_cycle_length") == {JANUARY: 20}
    assert truth.figure("sales_cycle_length.mean") == {JANUARY: 30}


def test_sales_velocity_follows_the_worked_example() -> None:
    def row(identity: str, created: str, closes: str, outcome: str, amount: int) -> Any:
        instant = datetime.fromisoformat(created).replace(tzinfo=UTC)
        return deal(identity, closes, outcome, amount, created_at=instant)

    opened = [f"2026-01-0{day}" for day in range(5, 9)] + ["2026-02-02"]
    truth = january(
        opportunities=[
            row("1", "2025-12-01", "2026-01-10", "won", 10000),
            row("2", "2025-11-11", "2026-01-10", "won", 20000),
            row("3", "2025-12-05", "2026-01-20", "lost", 9000),
            row("4", "2025-12-06", "2026-01-21", "lost", 7000),
            *(row(day, day, "2026-03-01", "open", 5000) for day in opened),
        ]
    )
    assert truth.figure("sales_velocity") == {JANUARY: 600}


def span(deal_id: str, stage: str, start: str, end: str | None, **values: Any) -> Any:
    def at(day: str) -> datetime:
        return datetime.fromisoformat(day).replace(tzinfo=UTC)

    return {
        "id": f"{deal_id} {start}",
        "opportunity_id": deal_id,
        "stay_id": None,
        "stage": stage,
        "entered_at": at(start),
        "exited_at": None if end is None else at(end),
        "is_closed": False,
        "is_won": False,
        "amount": None,
        "probability": None,
        "close_date": date(2026, 6, 1),
        "updated_at": at(start),
        **values,
    }


def test_stage_duration_follows_the_worked_example() -> None:
    truth = january(
        opportunity_stage_history=[
            span("O1", "Proposal", "2026-01-01", "2026-01-05"),
            span("O1", "Negotiation", "2026-01-05", "2026-01-07"),
            span("O1", "Proposal", "2026-01-07", "2026-01-09"),
            span("O2", "Proposal", "2025-12-20", "2026-01-01"),
            span("O3", "Proposal", "2026-01-20", None),
        ]
    )
    assert truth.stage_duration() == {(JANUARY, "Negotiation"): 2, (JANUARY, "Proposal"): 9}


def test_rows_of_one_stay_are_one_stay() -> None:
    truth = january(
        opportunity_stage_history=[
            span("O1", "Proposal", "2026-01-01", "2026-01-05", stay_id="s"),
            span("O1", "Proposal", "2026-01-05", "2026-01-09", stay_id="s"),
            span("O2", "Proposal", "2026-01-01", "2026-01-05", stay_id="t"),
            span("O2", "Proposal", "2026-01-05", None, stay_id="t"),
        ]
    )
    assert truth.stage_duration("mean") == {(JANUARY, "Proposal"): 8}


def test_pipeline_value_follows_the_worked_example() -> None:
    def stay(
        deal_id: str, start: str, end: str | None, amount: int, probability: float, **values: Any
    ) -> Any:
        values = {"amount": Decimal(amount), "probability": probability, **values}
        return span(deal_id, "Proposal", start, end, **values)

    truth = january(
        opportunities=[deal(name, "2026-06-01", "open", 1) for name in ("O1", "O2", "O3", "O4")],
        opportunity_stage_history=[
            stay("O1", "2026-01-10", None, 1000, 0.5),
            stay("O2", "2026-01-12", "2026-02-03", 2000, 0.25),
            stay("O2", "2026-02-03", None, 9999, 0.5),
            stay("O3", "2026-01-02", "2026-01-20", 700, 0.5),
            stay("O3", "2026-01-20", None, 700, 1, is_closed=True),
            stay("O4", "2026-02-02", None, 800, 0.1),
        ],
    )
    assert truth.figure("sales_pipeline_value") == {JANUARY: 3000}
    assert truth.figure("sales_pipeline_value.weighted") == {JANUARY: 1000}


def test_new_customers_follow_the_worked_example() -> None:
    def segment(account: str, start: str, end: str | None = None, **values: Any) -> Any:
        return {
            "id": f"{account} {start}",
            "account_id": account,
            "start_date": date.fromisoformat(start),
            "end_date": None if end is None else date.fromisoformat(end),
            "mrr": Decimal(50),
            "updated_at": datetime(2026, 1, 1, tzinfo=UTC),
            **values,
        }

    truth = january(
        subscriptions=[
            segment("A", "2026-01-05"),
            segment("B", "2025-05-01", "2025-09-01"),
            segment("B", "2026-01-10"),
            segment("C", "2026-01-12", mrr=Decimal(0), is_trial=True),
            segment("D", "2026-01-31"),
            segment("E", "2026-02-01"),
        ]
    )
    assert truth.figure("new_customers") == {JANUARY: 2}
    assert truth.figure("new_customers.include_reactivated") == {JANUARY: 3}


def quota(owner: str | None, start: str, end: str, target: int) -> Any:
    return {
        "id": f"{owner} {start}",
        "owner_id": owner,
        "kpi_id": "won_amount",
        "period_start": date.fromisoformat(start),
        "period_end": date.fromisoformat(end),
        "target_amount": Decimal(target),
        "updated_at": datetime(2025, 12, 1, tzinfo=UTC),
    }


def test_quota_attainment_follows_the_worked_example() -> None:
    truth = Truth(
        {
            "exchange_rates": [],
            "quotas": [
                quota("u1", "2026-01-01", "2026-04-01", 100),
                quota("u2", "2026-01-01", "2026-04-01", 300),
            ],
            "opportunities": [
                deal("1", "2026-01-10", "won", 120, owner_id="u1"),
                deal("2", "2026-03-31", "won", 180, owner_id="u2"),
                deal("3", "2026-04-01", "won", 500, owner_id="u2"),
                deal("4", "2026-02-01", "won", 999, owner_id="u3"),
            ],
        },
        JANUARY,
        date(2026, 4, 1),
    )
    assert truth.figure("quota_attainment", grain="quarter") == {JANUARY: 0.75}
    assert truth.figure("quota_attainment.share_at_target", grain="quarter") == {JANUARY: 0.5}
    # A quota is longer than a month: it is not split.
    assert set(truth.figure("quota_attainment").values()) == {None}


def test_pipeline_coverage_follows_the_worked_example() -> None:
    truth = january(
        quotas=[quota(None, "2026-01-01", "2026-04-01", 100_000)],
        opportunities=[
            deal("1", "2026-01-15", "won", 20_000),
            deal("2", "2026-02-15", "open", 140_000),
            deal("3", "2026-03-31", "open", 100_000),
            deal("4", "2026-04-01", "open", 500_000),
            deal("5", "2026-01-20", "lost", 9_000),
        ],
    )
    as_of = datetime(2026, 2, 1, tzinfo=UTC)
    assert truth.pipeline_coverage(JANUARY, date(2026, 4, 1), as_of) == 3


def test_forecast_accuracy_follows_the_worked_example() -> None:
    def forecast(owner: str, submitted: str, amount: int) -> Any:
        instant = datetime.fromisoformat(submitted).replace(tzinfo=UTC)
        return {
            "id": f"{owner} {submitted}",
            "owner_id": owner,
            "period_start": JANUARY,
            "period_end": date(2026, 2, 1),
            "submitted_at": instant,
            "forecast_category": "commit",
            "forecast_amount": Decimal(amount),
            "updated_at": instant,
        }

    truth = january(
        forecasts=[
            forecast("u1", "2025-12-30T10:00", 90),
            forecast("u1", "2025-12-31T10:00", 100),
            forecast("u1", "2026-01-25T10:00", 80),
            forecast("u2", "2025-12-31T11:00", 50),
        ],
        opportunities=[
            deal("1", "2026-01-10", "won", 80, owner_id="u1"),
            deal("2", "2026-01-11", "won", 70, owner_id="u2"),
        ],
    )
    accuracy = truth.figure("sales_forecast_accuracy")[JANUARY]
    assert accuracy == pytest.approx(0.7333333333)
    assert truth.figure("sales_forecast_accuracy.bias") == {JANUARY: 0}


def test_growth_follows_the_worked_example() -> None:
    truth = january(
        opportunities=[
            deal("1", "2025-12-03", "won", 1500),
            deal("2", "2025-12-31", "won", 500),
            deal("3", "2026-01-01", "won", 2500),
            deal("4", "2026-02-01", "won", 8000),
        ]
    )
    assert truth.figure("sales_growth_rate") == {JANUARY: 0.25}
    assert truth.figure("sales_growth_rate.year_over_year") == {JANUARY: None}


def test_the_zone_decides_the_day_of_creation() -> None:
    created = datetime(2026, 1, 11, 3, tzinfo=UTC)
    deals = [deal("1", "2026-01-11", "won", 1, created_at=created)]
    assert january("UTC", opportunities=deals).figure("sales_cycle_length") == {JANUARY: 0}
    truth = january("America/New_York", opportunities=deals)
    assert truth.figure("sales_cycle_length") == {JANUARY: 1}


def test_percentiles_interpolate_between_ranks() -> None:
    assert quantile([1, 2, 4], 50) == 2
    assert quantile([1, 2, 4, 8], 50) == 3
    assert quantile([0, 10], 90) == 9
    assert quantile([], 50) is None


# --- live records -------------------------------------------------------------------------------


def live(**records: list[Any]) -> LiveRecords:
    stamp = datetime(2026, 1, 1, tzinfo=UTC)
    return LiveRecords(
        {name: [{"updated_at": stamp, **row} for row in rows] for name, rows in records.items()}
    )


def test_children_of_a_merged_account_move_along_the_chain_to_the_survivor() -> None:
    created = datetime(2025, 1, 1, tzinfo=UTC)
    records = live(
        accounts=[
            {"id": "A", "created_at": created.replace(month=3)},
            {"id": "B", "created_at": created.replace(month=2), "merged_into_id": "A"},
            {"id": "C", "created_at": created, "merged_into_id": "B", "is_deleted": True},
        ],
        orders=[{"id": "1", "account_id": "C"}],
    )
    assert [row["account_id"] for row in records.rows("orders")] == ["A"]
    assert records.rows("accounts") == [
        {"id": "A", "created_at": created, "updated_at": datetime(2026, 1, 1, tzinfo=UTC)}
    ]


def test_children_go_with_a_deleted_parent_and_stay_without_any() -> None:
    records = live(
        orders=[{"id": "o1", "account_id": None, "is_deleted": True}],
        order_items=[{"id": "i1", "order_id": "o1"}, {"id": "i2", "order_id": "nowhere"}],
    )
    assert [row["id"] for row in records.rows("order_items")] == ["i2"]


def test_history_of_a_merged_case_leaves_with_it_and_other_children_move() -> None:
    records = live(
        cases=[{"id": "a"}, {"id": "b", "merged_into_id": "a"}],
        case_messages=[{"id": "m", "case_id": "b"}],
        survey_responses=[{"id": "s", "case_id": "b"}],
    )
    assert records.rows("case_messages") == []
    assert [row["case_id"] for row in records.rows("survey_responses")] == ["a"]


def test_the_dirty_sample_lives_as_the_clean_one(crm: SampleCrm) -> None:
    clean = SampleCrm(is_dirty=False)
    before, after = LiveRecords(clean.records), LiveRecords(crm.records)
    # The dirt points some rows elsewhere, and an older loser of a merge brings its creation along.
    moved = {"account_id", "product_id", "user_id", "campaign_id", "owner_id", "created_at"}
    for name in crm.records:
        if name in ("exchange_rates", "users"):
            continue
        assert set(after.by_id(name)) == set(before.by_id(name)), name
        for identity, row in after.by_id(name).items():
            former = before.by_id(name)[identity]
            changed = {key for key in row if row[key] != former.get(key)}
            assert changed <= moved, (name, identity, changed)


# --- the sample ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kpi", sorted(FIGURES))
def test_every_figure_is_known_for_each_of_the_36_months(truth: Truth, kpi: str) -> None:
    figures = truth.figure(kpi)
    assert len(figures) == 36
    late = [value for month, value in figures.items() if month >= date(2025, 1, 1)]
    assert all(value is not None for value in late)


@pytest.mark.parametrize("kpi", ["won_amount", "won_amount.won_count", "lost_count"])
@pytest.mark.parametrize("by", ["team", "segment", "owner_id"])
def test_groups_add_up_to_the_total(truth: Truth, kpi: str, by: Any) -> None:
    totals = dict.fromkeys(truth.figure(kpi), 0.0)
    for (month, _), value in truth.groups(kpi, by).items():
        totals[month] += value or 0
    assert totals == pytest.approx(truth.figure(kpi))


@pytest.mark.parametrize("kpi", ["won_amount", "lost_count", "new_customers"])
def test_months_add_up_to_years(truth: Truth, kpi: str) -> None:
    years = truth.figure(kpi, grain="year")
    months = truth.figure(kpi)
    for year, value in years.items():
        parts = [part or 0 for month, part in months.items() if month.year == year.year]
        assert sum(parts) == pytest.approx(value)


def test_win_rate_is_won_over_decided_in_every_group(truth: Truth) -> None:
    won = truth.groups("won_amount.won_count", "team")
    lost = truth.groups("lost_count", "team")
    rates = truth.groups("win_rate", "team")
    assert set(rates) == set(won) | set(lost)
    for key, rate in rates.items():
        wins = won.get(key) or 0
        assert rate == wins / (wins + (lost.get(key) or 0))


def test_orphans_and_unowned_deals_form_the_group_none(truth: Truth) -> None:
    for by in ("team", "segment"):
        groups = truth.groups("win_rate", by, grain="year")  # type: ignore[arg-type]
        assert (date(2025, 1, 1), NONE) in groups


def test_deals_without_a_rate_count_but_bring_no_amount(truth: Truth) -> None:
    swiss = [deal for deal in truth.deals if deal.row["currency"] == "CHF"]
    assert swiss
    assert all(deal.usd is None for deal in swiss)
    assert any(deal.row["is_won"] for deal in swiss)


def test_the_sample_tells_a_story(truth: Truth) -> None:
    rates = truth.groups("win_rate", "team", grain="year")
    first, last = date(2023, 1, 1), date(2025, 1, 1)
    west_before, west_now = rates[first, "Commercial West"], rates[last, "Commercial West"]
    east_now = rates[last, "Commercial East"]
    assert west_before is not None and west_now is not None and east_now is not None
    assert west_now < 0.7 * west_before  # West falls behind
    assert west_now < 0.7 * east_now
    sizes = truth.groups("average_deal_size", "segment", grain="year")
    enterprise, smb = sizes[last, "enterprise"], sizes[last, "smb"]
    assert enterprise is not None and smb is not None
    assert enterprise > 5 * smb
    amounts = truth.figure("won_amount", grain="year")
    assert (amounts[last] or 0) > 1.15 * (amounts[first] or 0)
    counts = truth.figure("won_amount.won_count")
    ends = sum(value or 0 for month, value in counts.items() if month.month % 3 == 0)
    assert ends > 1.1 * sum(counts.values(), start=0.0) / 3  # type: ignore[arg-type]


def test_every_group_figure_is_a_figure() -> None:
    assert set(BY_GROUP) <= set(FIGURES)
