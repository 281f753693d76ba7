"""The pack `leads`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache

import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Question
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import Facts
from crmetrics.testing.projects import load_tables, write_project
from metrics.comparing import assert_same
from metrics.leads_records import CHANNEL_TO_SOURCE, Preparation, Records
from metrics.leads_recount import BUSINESS_HOURS, COUNTS, FIGURES, source_figures
from metrics.recounts import Answers, known, recounted, together

NOW = datetime(2030, 1, 1, tzinfo=UTC)

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
IN_TOTAL = {"": tuple(FIGURES)}
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
WITHIN_TARGET = {"team": ("lead_response_time.within_target",)}
EFFECTIVENESS = tuple(
    f"lead_source_effectiveness.{variant}".rstrip(".")
    for variant in ("", "revenue_index", "leads", "customers", "won_amount", "cost_per_customer")
)
BY_SOURCE = {
    "lead_source": EFFECTIVENESS,
    "segment, lead_source": EFFECTIVENESS[:5],
    "campaign_id, lead_source": EFFECTIVENESS,
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
def answers(project: Project, crm: SampleCrm) -> Answers:
    asked = together(IN_TOTAL, GROUPS, WITHIN_TARGET, BY_SOURCE)
    return Answers(project, crm.start, crm.end, asked)


@pytest.fixture(scope="module")
def parts(records: Records) -> Callable[[str], Mapping[str, Records]]:
    """The records of each group of a dimension."""
    return cache(records.by)


Parts = Callable[[str], Mapping[str, Records]]


@recounted(IN_TOTAL)
def test_a_kpi_equals_the_recount_of_the_sample_in_every_month(
    kpi: str, by: str, answers: Answers, records: Records, facts: Facts
) -> None:
    expected = {(span.start,): FIGURES[kpi](records, span)[0] for span in facts.spans()}
    assert_same(answers.of(kpi, by), expected, kpi)


@in_new_york
@recounted(GROUPS)
def test_groups_equal_the_recount_row_by_row(
    kpi: str, by: str, answers: Answers, parts: Parts, facts: Facts
) -> None:
    expected = {}
    for group, own in parts(by).items():
        for span in facts.spans():
            value, rows = FIGURES[kpi](own, span)
            if rows:
                expected[span.start, group] = value
    assert_same(answers.of(kpi, by), expected, (by, kpi))


@in_new_york
@recounted(WITHIN_TARGET)
def test_leads_answered_in_time_equal_the_recount_of_each_group(
    kpi: str, by: str, answers: Answers, parts: Parts, facts: Facts
) -> None:
    expected = {
        (span.start, group): FIGURES[kpi](own, span)[0]
        for group, own in parts(by).items()
        for span in facts.spans()
    }
    assert_same(known(answers.of(kpi, by)), known(expected), (by, kpi))


@in_new_york
@recounted(BY_SOURCE)
def test_the_effectiveness_of_sources_equals_the_recount(
    kpi: str, by: str, answers: Answers, records: Records, parts: Parts, facts: Facts
) -> None:
    dimension, _, _ = by.partition(", ")
    groups = {"": records} if dimension == "lead_source" else parts(dimension)
    expected = {
        (span.start, *filter(None, [group]), source): value
        for group, own in groups.items()
        for span in facts.spans()
        for source, value in source_figures(own, span).get(kpi.partition(".")[2], {}).items()
    }
    assert_same(known(answers.of(kpi, by)), known(expected), (by, kpi))


def test_the_recounts_exercise_every_kpi(answers: Answers) -> None:
    assert [kpi for kpi in FIGURES if not any(answers.of(kpi).values())] == []


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


def test_first_answers_are_looked_for_once_for_answered_and_unanswered_leads(
    project: Project,
) -> None:
    months = tuple(project.calendar.periods(date(2025, 1, 1), date(2025, 3, 1), "month"))
    kpis = ("lead_response_time", "lead_response_time.within_target")
    with project.answerer(months) as answerer:
        program = answerer.program(Question(kpis, months))
    readers = [sql for sql in program.scans() if "from lead_responses f" in sql]
    searches = [each.sql for each in program.statements if "lead_first_response" in each.sql]
    assert (len(readers), len(searches)) == (3, 1)
