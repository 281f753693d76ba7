"""The pack `leads`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import Facts, Span
from crmetrics.testing.projects import load_tables, write_project
from metrics.comparing import assert_same, by_kpi
from metrics.leads_records import CHANNEL_TO_SOURCE, Preparation, Records
from metrics.leads_recount import BUSINESS_HOURS, COUNTS, FIGURES, source_figures

NOW = datetime(2030, 1, 1, tzinfo=UTC)
EFFECTIVENESS = ("", "revenue_index", "leads", "customers", "won_amount", "cost_per_customer")

RESPONSE = (
    "lead_response_time",
    "lead_response_time.mean",
    "lead_response_time.p90",
    "lead_response_time.business_hours",
)
COHORTS = (
    "lead_conversion_rate",
    "lead_conversion_rate.event_dated",
    "lead_to_customer_rate",
    "lead_to_customer_rate.event_dated",
)
WORTH = ("revenue_per_lead", "revenue_per_lead.event_dated")
COSTS = ("cost_per_lead", "cost_per_lead.per_qualified_lead", "cost_per_lead.fully_loaded")
OUTREACH = (
    "prospect_response_rate",
    "prospect_response_rate.attempts_per_response",
    "prospect_response_rate.time_to_response",
)
IN_VAIN = tuple(name for name in FIGURES if name.startswith("unresponsive_prospects"))
CREATED = ("leads_created", "leads_created.net_new_accounts")
QUALITY = ("qualified_lead_rate", "qualified_lead_rate.qualified_leads")
ACCOUNTS = ("conversion_rate", "conversion_rate.event_dated")
GROUPS: Mapping[str, Sequence[str]] = {
    "lead_source": tuple(FIGURES),
    "segment": (*CREATED, *COHORTS, *WORTH, *QUALITY, *ACCOUNTS),
    "team": ("lead_conversion_rate", "sales_accepted_lead_rate", *RESPONSE),
    "owner_id": ("lead_to_customer_rate", *OUTREACH, *IN_VAIN),
    "channel": (*COSTS, *QUALITY),
    "campaign_id": (*COSTS, *OUTREACH, *IN_VAIN),
    "country": CREATED,
    "activity_type": OUTREACH,
    "hour": (*RESPONSE, *OUTREACH),
    "weekday": RESPONSE,
}

in_new_york = pytest.mark.parametrize("zone", ["America/New_York"], indirect=True)
"""For what one zone is enough: the one whose days are not those of UTC."""


class TestLeadsPack(PackContract):
    @pytest.fixture
    def pack(self) -> MetricPack:
        return MetricPack.from_package("crmetrics_leads")

    @pytest.fixture
    def companions(self) -> Sequence[MetricPack]:
        return [MetricPack.from_package(f"crmetrics_{name}") for name in ("sales", "marketing")]


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=7)


@pytest.fixture(scope="module", params=["UTC", "America/New_York"])
def zone(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def project(crm: SampleCrm, zone: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    directory = tmp_path_factory.mktemp("leads") / zone.replace("/", "_")
    settings = {
        "cost_per_lead": {"channel_to_lead_source": CHANNEL_TO_SOURCE},
        "business_hours": BUSINESS_HOURS,
    }
    write_project(directory, {}, packs=["leads"], settings=settings, reporting={"timezone": zone})
    load_tables(directory, crm.tables)
    return Project(directory, environ={}, now=lambda: NOW)


@pytest.fixture(scope="module")
def facts(crm: SampleCrm, zone: str) -> Facts:
    return Facts(crm.records, crm.start, crm.end, timezone=zone)


@pytest.fixture(scope="module")
def records(crm: SampleCrm, facts: Facts) -> Records:
    return Preparation(facts, crm.records).records


@pytest.fixture(scope="module")
def monthly(project: Project, crm: SampleCrm) -> Mapping[str, Mapping[date, Any]]:
    table = project.query(list(FIGURES), start=crm.start, end=crm.end, grain="month")
    return by_kpi(table.to_pylist(), lambda row: row["period_start"])


@pytest.mark.parametrize("kpi", FIGURES)
def test_a_kpi_equals_the_recount_of_the_sample_in_every_month(
    kpi: str, monthly: Mapping[str, Mapping[date, Any]], records: Records, facts: Facts
) -> None:
    expected = {span.start: FIGURES[kpi](records, span)[0] for span in facts.spans()}
    assert_same(monthly[kpi], expected, kpi)


@in_new_york
@pytest.mark.parametrize("dimension", GROUPS)
def test_groups_equal_the_recount_row_by_row(
    dimension: str, project: Project, crm: SampleCrm, records: Records, facts: Facts
) -> None:
    names = GROUPS[dimension]
    table = project.query(names, start=crm.start, end=crm.end, grain="quarter", by=[dimension])
    rows = [row for row in table.to_pylist() if row["segment"]]
    found = by_kpi(rows, lambda row: (row["period_start"], dict(row["segment"])[dimension]))
    groups = records.by(dimension)
    for name in names:
        answers = {
            (span.start, group): FIGURES[name](own, span)
            for span in facts.spans("quarter")
            for group, own in groups.items()
        }
        expected = {key: value for key, (value, rows) in answers.items() if rows}
        assert_same(found[name], expected, (dimension, name))


@in_new_york
def test_the_effectiveness_of_sources_equals_the_recount(
    project: Project, crm: SampleCrm, records: Records, facts: Facts
) -> None:
    names = [f"lead_source_effectiveness.{variant}".rstrip(".") for variant in EFFECTIVENESS]
    table = project.query(names, start=crm.start, end=crm.end, grain="quarter")
    _assert_sources(table.to_pylist(), records, facts.spans("quarter"))


def _assert_sources(rows: list[dict[str, Any]], records: Records, spans: Sequence[Span]) -> None:
    found: dict[str, dict[Any, Any]] = {}
    for row in rows:
        source = dict(row["segment"]).get("lead_source")
        if source is not None:
            found.setdefault(row["variant"], {})[row["period_start"], source] = row["value"]
    for variant in EFFECTIVENESS:
        expected = {
            (span.start, source): value
            for span in spans
            for source, value in source_figures(records, span).get(variant, {}).items()
        }
        assert_same(found[variant], expected, variant)


@in_new_york
def test_the_effectiveness_within_segments_equals_the_recount_of_each(
    project: Project, crm: SampleCrm, records: Records, facts: Facts
) -> None:
    names = [f"lead_source_effectiveness.{variant}".rstrip(".") for variant in EFFECTIVENESS[:4]]
    table = project.query(names, start=crm.start, end=crm.end, grain="year", by=["segment"])
    found: dict[str, dict[Any, Any]] = {}
    for row in table.to_pylist():
        segment = dict(row["segment"])
        key = row["period_start"], segment["segment"], segment["lead_source"]
        found.setdefault(row["variant"], {})[key] = row["value"]
    for variant in EFFECTIVENESS[:4]:
        expected = {
            (span.start, segment, source): value
            for segment, own in records.by("segment").items()
            for span in facts.spans("year")
            for source, value in source_figures(own, span).get(variant, {}).items()
        }
        assert_same(found[variant], expected, variant)


def test_the_recounts_exercise_every_kpi(
    monthly: Mapping[str, Mapping[date, Any]], project: Project
) -> None:
    assert [kpi for kpi in FIGURES if not any(monthly[kpi].values())] == []
    mine = {kpi.id: kpi for kpi in project.catalog.kpis.values() if kpi.pack == "leads"}
    known = {
        f"{name}.{variant}".rstrip(".") for name, kpi in mine.items() for variant in kpi.variants
    }
    named = {f"lead_source_effectiveness.{variant}".rstrip(".") for variant in EFFECTIVENESS}
    assert known == {*FIGURES, *named}


def test_counts_beside_the_values_equal_the_recount(
    project: Project, crm: SampleCrm, records: Records, facts: Facts
) -> None:
    names = ["lead_response_time", "sales_accepted_lead_rate", "lead_conversion_rate"]
    table = project.query(names, start=crm.start, end=crm.end, grain="month")
    found: dict[str, dict[date, float]] = {}
    for row in table.to_pylist():
        for name, count in dict(row["coverage"]).items():
            found.setdefault(f"{row['kpi']}/{name}", {})[row["period_start"]] = count
    for name, count_in in COUNTS.items():
        counts = {span.start: count_in(records, span) for span in facts.spans()}
        assert_same(found[name], {day: count for day, count in counts.items() if count}, name)
