"""The pack `roi`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import NONE, Span
from crmetrics.testing.projects import load_tables, write_project
from metrics.comparing import name_of
from metrics.recounts import Answers, dimensions, known, recounted, together
from metrics.roi_recount import CRM, LONG_AGO, Recount, profitable

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ZONE = "America/New_York"
SEGMENTS = ("enterprise", "mid_market", "smb", NONE)

FIGURES: Mapping[str, Callable[[Recount, Span], float | None]] = {
    "customer_acquisition_cost": Recount.cac,
    "customer_acquisition_cost.media_only": Recount.media_cac,
    "customer_acquisition_cost.lagged": Recount.lagged_cac,
    "ltv_to_cac_ratio": Recount.ltv_to_cac,
    "ltv_to_cac_ratio.revenue_based": Recount.revenue_ltv_to_cac,
    "ltv_to_cac_ratio.payback_months": Recount.payback_months,
    "crm_roi": lambda all_, span: all_.return_on(Span(LONG_AGO, span.end)),
    "crm_roi.period": Recount.return_on,
    "crm_roi.revenue_over_cost": lambda all_, span: all_.revenue_over_cost(
        Span(LONG_AGO, span.end)
    ),
    "crm_roi.payback_days": lambda all_, span: all_.payback_days(span.end),
    "expense_to_revenue_ratio": Recount.expense_ratio,
    "expense_to_revenue_ratio.all_in": Recount.all_in_ratio,
    "cost_savings": lambda all_, span: float(all_.benefits(span, ("cost_saving",))),
    "cost_savings.with_efficiency": lambda all_, span: float(
        all_.benefits(span, ("cost_saving", "efficiency_gain"))
    ),
    "customer_profitability": lambda all_, span: profitable(all_.results(span)),
    "customer_profitability.with_acquisition": lambda all_, span: profitable(
        all_.acquired_results(span)
    ),
}
"""What each KPI and variant is per month, for the days the data cover."""


OF_COSTS = {"": list(FIGURES)}
BY_CHANNEL = {"channel": ["customer_acquisition_cost.media_only"]}
BY_SEGMENT = {
    "segment": [
        "customer_acquisition_cost.media_only",
        "ltv_to_cac_ratio",
        "ltv_to_cac_ratio.revenue_based",
        "ltv_to_cac_ratio.payback_months",
    ]
}
RETURNS = {"category": ["crm_roi", "crm_roi.period", "crm_roi.revenue_over_cost"]}
BY_CATEGORY = {
    "category": [
        "expense_to_revenue_ratio",
        "expense_to_revenue_ratio.all_in",
        "expense_to_revenue_ratio.by_category",
    ]
}
SAVINGS = {"category": ["cost_savings", "cost_savings.with_efficiency"]}
PROFITABLE = {
    by: ["customer_profitability", "customer_profitability.with_acquisition"]
    for by in ("segment", "is_loyalty_member")
}
RESULTS = {by: ["customer_profitability.amount"] for by in ("account_id", "account_id, segment")}


class TestRoiPack(PackContract):
    @pytest.fixture
    def pack(self) -> MetricPack:
        return MetricPack.from_package("crmetrics_roi")

    @pytest.fixture
    def companions(self) -> Sequence[MetricPack]:
        return [
            MetricPack.from_package(f"crmetrics_{name}")
            for name in ("sales", "retention", "revenue", "marketing")
        ]


# --- the sample CRM ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=7)


@pytest.fixture(scope="module")
def recount(crm: SampleCrm) -> Recount:
    return Recount(crm, ZONE)


@pytest.fixture(scope="module")
def project(crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory) -> Project:
    directory = tmp_path_factory.mktemp("roi")
    write_project(directory, {}, packs=("roi",), reporting={"timezone": ZONE})
    load_tables(directory, crm.tables)
    return Project(directory, environ={}, now=lambda: NOW)


def _rows(project: Project, kpis: Sequence[str], crm: SampleCrm, **asked: Any) -> list[Any]:
    table = project.query(list(kpis), start=crm.start, end=crm.end, grain="month", **asked)
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        row["name"] = name_of(row)
        row["segment"] = dict(row["segment"])
        row["coverage"] = dict(row["coverage"])
    return rows


@pytest.fixture(scope="module")
def monthly(project: Project, crm: SampleCrm) -> list[Any]:
    return _rows(project, list(FIGURES), crm)


@pytest.fixture(scope="module")
def answers(project: Project, crm: SampleCrm) -> Answers:
    tables = (OF_COSTS, BY_CHANNEL, BY_SEGMENT, RETURNS, BY_CATEGORY, SAVINGS, PROFITABLE, RESULTS)
    return Answers(project, crm.start, crm.end, together(*tables))


def _same(found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
    """The same keys, and equal values, nulls included."""
    assert found.keys() == expected.keys()
    wrong = {
        key: (value, wanted)
        for key, value in found.items()
        if (wanted := expected[key]) is None
        or value is None
        or value != pytest.approx(wanted, rel=1e-8, abs=1e-6)
    }
    assert not {key: pair for key, pair in wrong.items() if pair != (None, None)}


def _covered(crm: SampleCrm, kpi: str) -> date:
    """First day after which a month is covered: benefits begin later than the rest."""
    if kpi.startswith(("crm_roi", "cost_savings")):
        first: date = min(row["benefit_date"] for row in crm.records["benefits"])
        return first
    return crm.start


@recounted(OF_COSTS)
def test_a_kpi_equals_the_recount_of_the_sample_in_every_month(
    kpi: str, by: str, monthly: list[Any], recount: Recount, crm: SampleCrm
) -> None:
    rows = [row for row in monthly if row["name"] == kpi]
    found = {row["period_start"]: row["value"] for row in rows}
    expected = {
        span.start: FIGURES[kpi](recount, span) if span.end > _covered(crm, kpi) else None
        for span in recount.spans()
    }
    assert any(value is not None for value in expected.values()), "the recount says nothing"
    _same(found, expected)
    uncovered = {row["status"] for row in rows if row["period_end"] <= _covered(crm, kpi)}
    assert uncovered <= {"missing_dataset"}


@recounted(BY_CHANNEL)
def test_spend_per_new_customer_by_channel_equals_the_recount(
    kpi: str, by: str, answers: Answers, recount: Recount
) -> None:
    expected: dict[tuple[date, str], float | None] = {}
    for span in recount.spans():
        new = [recount.channels.get(account, NONE) for account in recount.newcomers(span)]
        spent = {c.channel for c in recount.costs if c.is_media and c.day in span}
        for channel in spent | set(new):
            usd = recount.cost(span, lambda c, at=channel: c.is_media and c.channel == at)
            count = new.count(channel)
            expected[span.start, channel] = float(usd) / count if count else None
    _same(answers.of(kpi, by), expected)
    assert len({channel for _, channel in expected}) > 3


PARTS: Mapping[str, Callable[[Recount, Span, str], float | None]] = {
    "ltv_to_cac_ratio": Recount.ltv_to_cac,
    "ltv_to_cac_ratio.revenue_based": Recount.revenue_ltv_to_cac,
    "ltv_to_cac_ratio.payback_months": Recount.payback_months,
}


@recounted(BY_SEGMENT)
def test_by_segment_each_part_is_set_against_all_spend_and_all_acquisition_cost(
    kpi: str, by: str, answers: Answers, recount: Recount
) -> None:
    found = answers.of(kpi, by)
    expected: dict[tuple[date, str], float | None] = {}
    for span in recount.spans():
        if kpi in PARTS:
            expected |= {(span.start, each): PARTS[kpi](recount, span, each) for each in SEGMENTS}
            continue
        spend = float(recount.cost(span, lambda cost: cost.is_media))
        new = [recount.segment(account) for account in recount.newcomers(span)]
        expected |= {(span.start, each): spend / new.count(each) for each in set(new)}
    _same(known(found), known(expected))
    assert {segment for _, segment in known(found)} >= set(SEGMENTS[:3])


@recounted(RETURNS)
def test_returns_by_category_set_benefits_and_costs_of_a_category_against_each_other(
    kpi: str, by: str, answers: Answers, project: Project, crm: SampleCrm, recount: Recount
) -> None:
    """A category has benefits, or it has costs: what its formula leaves is one of them."""
    rows = [row for row in _rows(project, [kpi], crm, by=[by]) if by in row["segment"]]
    rows = [row for row in rows if row["period_end"] > _covered(crm, kpi)]
    expected: dict[tuple[date, str], float] = {}
    for span in recount.spans():
        if span.end <= _covered(crm, kpi):
            continue
        days = span if kpi.endswith("period") else Span(LONG_AGO, span.end)
        for kind in {row["category"] for row in recount.live.rows("benefits")}:
            expected[span.start, kind] = float(recount.benefits(days, (kind,)))
        for kind in CRM:
            usd = recount.cost(days, lambda c, at=kind: c.category == at)
            expected[span.start, kind] = 0.0 if kpi.endswith("over_cost") else -float(usd)
    numerators = {(r["period_start"], r["segment"][by]): r["numerator"] for r in rows}
    assert {key: value for key, value in numerators.items() if value} == pytest.approx(
        {key: value for key, value in expected.items() if value}
    )
    nothing_back = 0 if kpi.endswith("over_cost") else -1
    for row in rows:
        assert row["value"] == (nothing_back if row["segment"][by] in CRM else None)


@recounted(BY_CATEGORY)
def test_costs_by_category_are_set_against_all_revenue(
    kpi: str, by: str, answers: Answers, recount: Recount
) -> None:
    categories = {"sales", "marketing", "service"}
    if kpi.endswith("all_in"):
        categories |= {cost.category for cost in recount.costs}
    expected = {
        (span.start, category): recount.expense_ratio(span, category)
        for span in recount.spans()
        for category in categories
    }
    found = {key: value or None for key, value in answers.of(kpi, by).items()}
    _same(known(found), known({key: value or None for key, value in expected.items()}))


@recounted(SAVINGS)
def test_savings_by_category_equal_the_recount(
    kpi: str, by: str, answers: Answers, recount: Recount
) -> None:
    wanted = ["cost_saving", *(["efficiency_gain"] if kpi.endswith("efficiency") else [])]
    expected = {
        (span.start, category): float(recount.benefits(span, (category,)))
        for span in recount.spans()
        for category in wanted
    }
    # A group whose rows were all left out has no value of its own.
    found = {key: value for key, value in answers.of(kpi, by).items() if value}
    assert found == pytest.approx({key: value for key, value in expected.items() if value})


def test_doubts_about_savings_equal_the_recount(monthly: list[Any], recount: Recount) -> None:
    counted = [row for row in monthly if row["name"] == "cost_savings"]
    for row in counted:
        span = Span(row["period_start"], row["period_end"])
        assert row["coverage"].get("missing_baseline", 0) == recount.without_baseline(span)
        assert row["coverage"].get("inconsistent_amount", 0) == recount.inconsistent(span)
    assert sum(row["coverage"].get("missing_baseline", 0) for row in counted) > 0


@recounted(PROFITABLE)
def test_profitable_customers_by_group_equal_the_recount(
    kpi: str, by: str, answers: Answers, recount: Recount
) -> None:
    results = recount.acquired_results if kpi.endswith("acquisition") else recount.results
    expected: dict[tuple[date, str], float | None] = {}
    for span in recount.spans():
        groups: dict[str, dict[str, float]] = {}
        for account, result in results(span).items():
            of = recount.segment(account) if by == "segment" else recount.is_loyal(account, span)
            groups.setdefault(of, {})[account] = result
        expected |= {(span.start, of): profitable(some) for of, some in groups.items()}
    _same(answers.of(kpi, by), expected)


@recounted(RESULTS)
def test_the_result_of_every_account_equals_the_recount(
    kpi: str, by: str, answers: Answers, recount: Recount
) -> None:
    named = {"segment": recount.segment}
    expected = {
        (span.start, account, *(named[name](account) for name in dimensions(by)[1:])): result
        for span in recount.spans()
        for account, result in recount.results(span).items()
    }
    assert any(result < 0 for result in expected.values())
    _same(answers.of(kpi, by), expected)


def test_uncosted_revenue_stands_beside_the_share(monthly: list[Any], recount: Recount) -> None:
    for row in monthly:
        if row["name"] == "customer_profitability":
            span = Span(row["period_start"], row["period_end"])
            buyers = {s.account for s in recount.sales if not s.is_refund and s.ordered in span}
            uncosted = sum(
                float(sale.uncosted)
                for sale in recount.booked(span)
                if sale.account in buyers and sale.uncosted is not None
            )
            assert row["coverage"].get("uncosted_revenue", 0) == pytest.approx(uncosted, abs=1e-3)
