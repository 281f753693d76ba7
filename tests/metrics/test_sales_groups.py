"""The pack `sales` by groups: velocity, cycles, growth, time in stage, quotas and forecasts.

The expected values are those of `sales_recount`, plain loops over the records of the sample.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import Span, months_later
from crmetrics.testing.projects import load_tables, write_project
from metrics.comparing import assert_same
from metrics.recounts import Answers, known, recounted, together
from metrics.sales_recount import CYCLES, GROWTH, VELOCITY, SalesRecount

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ZONE = "America/New_York"
STAGE = ["stage_duration", *(f"stage_duration.{name}" for name in ("mean", "p90", "won_only"))]
CUSTOMERS = ["new_customers", "new_customers.include_reactivated"]
ATTAINMENT = [
    "quota_attainment",
    *(f"quota_attainment.{name}" for name in ("share_at_target", "pace")),
]
COVERAGE = ["pipeline_coverage", "pipeline_coverage.weighted"]
ACCURACY = ["sales_forecast_accuracy", "sales_forecast_accuracy.mape",
            "sales_forecast_accuracy.bias"]  # fmt: skip
COMPANY = "sales_forecast_accuracy.company_level"

OF_DEALS = {
    "": [*VELOCITY, *CYCLES, *GROWTH, "win_rate.by_amount"],
    "segment": [*VELOCITY, *CYCLES, *GROWTH, "win_rate.by_amount"],
    "pipeline": [*VELOCITY],
    "owner_id": [*CYCLES, "win_rate.by_amount"],
    "team": [*GROWTH],
    "country": [*GROWTH],
}
SOLD = ["won_amount", "won_amount.won_count", "average_deal_size", "average_deal_size.median"]
OF_PRODUCTS = {"product_id": SOLD, "family": SOLD}
IN_STAGES = {
    "stage": STAGE,
    "stage, pipeline": STAGE,
    "stage, owner_id": STAGE,
    "stage, segment": STAGE,
}
OF_CUSTOMERS = dict.fromkeys(("country", "lead_source", "campaign_id"), CUSTOMERS)
OF_QUOTAS = dict.fromkeys(("", "team", "owner_id"), ATTAINMENT)
AHEAD = {"": COVERAGE, "team": COVERAGE, "owner_id": COVERAGE, "segment": COVERAGE}
OF_FORECASTS = {
    "team": ACCURACY,
    "owner_id": ACCURACY,
    "forecast_category": [*ACCURACY, COMPANY],
}


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=7, scale=0.3)


@pytest.fixture(scope="module")
def recount(crm: SampleCrm) -> SalesRecount:
    return SalesRecount(crm.records, crm.start, crm.end, timezone=ZONE)


@pytest.fixture(scope="module")
def project(crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("sales")
    write_project(folder, {}, packs=("sales",), reporting={"timezone": ZONE})
    load_tables(folder, crm.tables)
    return Project(folder, environ={}, now=lambda: NOW)


@pytest.fixture(scope="module")
def answers(project: Project, crm: SampleCrm) -> Answers:
    asked = together(OF_DEALS, OF_PRODUCTS, IN_STAGES, OF_CUSTOMERS, OF_QUOTAS, OF_FORECASTS)
    return Answers(project, crm.start, crm.end, asked)


def _assert_same(found: Any, expected: Any, what: object) -> None:
    assert_same(known(found), known(expected), what)


@recounted(OF_DEALS)
def test_figures_of_deals_equal_the_recount(
    kpi: str, by: str, answers: Answers, recount: SalesRecount
) -> None:
    found, expected = answers.of(kpi, by), recount.of_deals(kpi, by)
    if kpi.endswith("open_opportunities"):  # a group in which nothing is open has no row
        expected = {key: value or None for key, value in expected.items()}
    _assert_same(found, expected, (kpi, by))


@recounted(OF_PRODUCTS)
def test_parts_of_deals_equal_the_recount(
    kpi: str, by: str, answers: Answers, recount: SalesRecount
) -> None:
    found = {key: value or None for key, value in answers.of(kpi, by).items()}
    _assert_same(found, recount.parts(kpi, by), (kpi, by))


@recounted(IN_STAGES)
def test_time_in_stage_equals_the_recount(
    kpi: str, by: str, answers: Answers, recount: SalesRecount
) -> None:
    expected = recount.stage_days(kpi.partition(".")[2], by.removeprefix("stage").strip(", "))
    _assert_same(answers.of(kpi, by), expected, (kpi, by))


@recounted(OF_CUSTOMERS)
def test_new_customers_equal_the_recount(
    kpi: str, by: str, answers: Answers, recount: SalesRecount
) -> None:
    _assert_same(answers.of(kpi, by), recount.new_customers(kpi, by), (kpi, by))


@recounted(OF_QUOTAS)
def test_attainment_equals_the_recount(
    kpi: str, by: str, answers: Answers, recount: SalesRecount
) -> None:
    _assert_same(answers.of(kpi, by), recount.attainment(kpi, by), (kpi, by))


@recounted(AHEAD)
def test_coverage_equals_the_recount_seen_from_the_export(
    kpi: str, by: str, project: Project, crm: SampleCrm, recount: SalesRecount
) -> None:
    start = date(crm.end.year - 1, 7, 1)
    spans = [Span(months_later(start, n), months_later(start, n + 1)) for n in range(9)]
    asked = Answers(project, start, spans[-1].end, {by: [kpi]}, as_of=crm.exported_at)
    found = known(asked.of(kpi, by))
    expected = known(recount.coverage(kpi, by, spans, crm.exported_at))
    assert_same(found, expected, (kpi, by))
    assert sum(value > 0 for value in expected.values()) > 2


@recounted(OF_FORECASTS)
def test_accuracy_equals_the_recount(
    kpi: str, by: str, answers: Answers, recount: SalesRecount
) -> None:
    is_company = kpi == COMPANY
    expected = recount.company_accuracy(by) if is_company else recount.accuracy(kpi, by)
    _assert_same(answers.of(kpi, by), expected, (kpi, by))
