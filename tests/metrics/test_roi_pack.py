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
        row["name"] = f"{row['kpi']}.{row['variant']}".rstrip(".")
        row["segment"] = dict(row["segment"])
        row["coverage"] = dict(row["coverage"])
    return rows


@pytest.fixture(scope="module")
def monthly(project: Project, crm: SampleCrm) -> list[Any]:
    return _rows(project, list(FIGURES), crm)


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


@pytest.mark.parametrize("kpi", FIGURES)
def test_a_kpi_equals_the_recount_of_the_sample_in_every_month(
    kpi: str, monthly: list[Any], recount: Recount, crm: SampleCrm
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


def _grouped(rows: Sequence[Any], kpi: str, by: str) -> dict[tuple[date, str], float | None]:
    found = {
        (row["period_start"], row["segment"][by]): row["value"]
        for row in rows
        if row["name"] == kpi and by in row["segment"]
    }
    assert found, kpi
    return found


def test_spend_per_new_customer_by_channel_equals_the_recount(
    project: Project, crm: SampleCrm, recount: Recount
) -> None:
    kpi = "customer_acquisition_cost.media_only"
    found = _grouped(_rows(project, [kpi], crm, by=["channel"]), kpi, "channel")
    expected: dict[tuple[date, str], float | None] = {}
    for span in recount.spans():
        new = [recount.channels.get(account, NONE) for account in recount.newcomers(span)]
        spent = {c.channel for c in recount.costs if c.is_media and c.day in span}
        for channel in spent | set(new):
            usd = recount.cost(span, lambda c, at=channel: c.is_media and c.channel == at)
            count = new.count(channel)
            expected[span.start, channel] = float(usd) / count if count else None
    _same(found, expected)
    assert len({channel for _, channel in expected}) > 3


def test_by_segment_each_part_is_set_against_all_spend_and_all_acquisition_cost(
    project: Project, crm: SampleCrm, recount: Recount
) -> None:
    ratios = ("ltv_to_cac_ratio", "ltv_to_cac_ratio.revenue_based")
    media = "customer_acquisition_cost.media_only"
    rows = _rows(project, [*ratios, media], crm, by=["segment"])
    for kpi, compute in zip(ratios, (Recount.ltv_to_cac, Recount.revenue_ltv_to_cac), strict=True):
        found = _grouped(rows, kpi, "segment")
        _same(
            found,
            {
                (span.start, segment): compute(recount, span, segment)
                for span in recount.spans()
                for segment in SEGMENTS
                if (span.start, segment) in found
            },
        )
        assert {segment for _, segment in found} >= set(SEGMENTS[:3])
    expected: dict[tuple[date, str], float | None] = {}
    for span in recount.spans():
        spend = float(recount.cost(span, lambda cost: cost.is_media))
        new = [recount.segment(account) for account in recount.newcomers(span)]
        expected |= {(span.start, each): spend / new.count(each) for each in set(new)}
    _same(_grouped(rows, media, "segment"), expected)


def test_crm_roi_by_category_sets_benefits_and_costs_of_a_category_against_each_other(
    project: Project, crm: SampleCrm, recount: Recount
) -> None:
    rows = [
        row
        for row in _rows(project, ["crm_roi.period"], crm, by=["category"])
        if row["period_end"] > _covered(crm, "crm_roi")
    ]
    numerators = {(r["period_start"], r["segment"]["category"]): r["numerator"] for r in rows}
    expected: dict[tuple[date, str], float] = {}
    for span in recount.spans():
        if span.end <= _covered(crm, "crm_roi"):
            continue
        for row in recount.live.rows("benefits"):
            if row["benefit_date"] in span:
                kind = row["category"]
                expected[span.start, kind] = float(recount.benefits(span, (kind,)))
        for cost in recount.costs:
            if cost.day in span and cost.category in CRM:
                usd = recount.cost(span, lambda c, at=cost.category: c.category == at)
                expected[span.start, cost.category] = -float(usd)
    assert {key: value for key, value in numerators.items() if value} == pytest.approx(
        {key: value for key, value in expected.items() if value}
    )
    for row in rows:
        assert row["value"] == (-1 if row["segment"]["category"] in CRM else None)


def test_costs_by_category_are_set_against_all_revenue(
    project: Project, crm: SampleCrm, recount: Recount
) -> None:
    rows = _rows(project, ["expense_to_revenue_ratio"], crm, by=["category"])
    always = _rows(project, ["expense_to_revenue_ratio.by_category"], crm)
    expected = {
        (span.start, category): recount.expense_ratio(span, category)
        for span in recount.spans()
        for category in ("sales", "marketing", "service")
    }
    _same(_grouped(rows, "expense_to_revenue_ratio", "category"), expected)
    _same(_grouped(always, "expense_to_revenue_ratio.by_category", "category"), expected)


def test_savings_by_category_and_their_doubts_equal_the_recount(
    project: Project, crm: SampleCrm, recount: Recount, monthly: list[Any]
) -> None:
    kpi = "cost_savings.with_efficiency"
    found = _grouped(_rows(project, [kpi], crm, by=["category"]), kpi, "category")
    for (start, category), value in found.items():
        span = next(span for span in recount.spans() if span.start == start)
        expected = float(recount.benefits(span, (category,)))
        # A group whose rows were all left out has no value of its own.
        assert (value or 0) == pytest.approx(expected)
    counted = [row for row in monthly if row["name"] == "cost_savings"]
    for row in counted:
        span = Span(row["period_start"], row["period_end"])
        assert row["coverage"].get("missing_baseline", 0) == recount.without_baseline(span)
        assert row["coverage"].get("inconsistent_amount", 0) == recount.inconsistent(span)
    assert sum(row["coverage"].get("missing_baseline", 0) for row in counted) > 0


@pytest.mark.parametrize("by", ["segment", "is_loyalty_member"])
def test_profitable_customers_by_group_equal_the_recount(
    by: str, project: Project, crm: SampleCrm, recount: Recount
) -> None:
    rows = _rows(project, ["customer_profitability"], crm, by=[by])
    expected: dict[tuple[date, str], float | None] = {}
    for span in recount.spans():
        groups: dict[str, dict[str, float]] = {}
        for account, result in recount.results(span).items():
            of = recount.segment(account) if by == "segment" else recount.is_loyal(account, span)
            groups.setdefault(of, {})[account] = result
        expected |= {(span.start, of): profitable(some) for of, some in groups.items()}
    _same(_grouped(rows, "customer_profitability", by), expected)


def test_the_result_of_every_account_equals_the_recount(
    project: Project, crm: SampleCrm, recount: Recount
) -> None:
    kpi = "customer_profitability.amount"
    found = _grouped(_rows(project, [kpi], crm), kpi, "account_id")
    expected = {
        (span.start, account): result
        for span in recount.spans()
        for account, result in recount.results(span).items()
    }
    assert any(result < 0 for result in expected.values())
    _same(found, expected)


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
