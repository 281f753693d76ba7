"""The pack `service`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import NONE, mean
from crmetrics.testing.projects import load_tables, write_project
from metrics.comparing import assert_same
from metrics.service_recount import BY_ITEM, SETTINGS, Recount, Value, satisfied, was_escalated

ZONE = "America/New_York"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
SURVEYS = {"csat": satisfied, "csat.mean_score": mean, "csat.reviews": satisfied}
BACKLOG = (
    "case_backlog",
    "case_backlog.oldest_age",
    "case_backlog.unassigned",
    "case_backlog.days_of_work",
)
ALONE = (
    "case_volume.contact_rate",
    "cost_per_case",
    "cost_per_case.per_contact",
    "survey_response_rate.coverage",
)
GROUPED = (*BY_ITEM, *SURVEYS, *BACKLOG, "escalation_rate.escalated_csat")

Key = tuple[date, str]


class TestServicePack(PackContract):
    @pytest.fixture
    def pack(self) -> MetricPack:
        return MetricPack.from_package("crmetrics_service")


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=7)


@pytest.fixture(scope="module")
def recount(crm: SampleCrm) -> Recount:
    return Recount(crm.records, crm.start, crm.end, ZONE)


@pytest.fixture(scope="module")
def project(crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory) -> Project:
    directory = tmp_path_factory.mktemp("service")
    reporting = {"timezone": ZONE}
    write_project(directory, {}, packs=("service",), reporting=reporting, settings=SETTINGS)
    load_tables(directory, crm.tables)
    return Project(directory, environ={}, now=lambda: NOW)


@pytest.fixture(scope="module")
def answers(project: Project, crm: SampleCrm) -> list[dict[str, Any]]:
    """Every KPI by month: in total, and by team and by category."""
    asked: dict[str, Any] = {"start": crm.start, "end": crm.end, "grain": "month"}
    by = [["team"], ["category"]]
    rows = project.query(GROUPED, **asked, by=by, totals=True).to_pylist()
    rows += project.query(ALONE, **asked).to_pylist()
    rows += project.query(["case_volume.top_categories"], **asked).to_pylist()
    for row in rows:
        row["segment"] = dict(row["segment"])
        row["name"] = ".".join(filter(None, (row["kpi"], row["variant"])))
    return rows


def _totals(answers: list[dict[str, Any]], name: str) -> dict[date, Value]:
    return {
        row["period_start"]: row["value"]
        for row in answers
        if row["name"] == name and not row["segment"]
    }


def _groups(answers: list[dict[str, Any]], name: str, by: str) -> dict[Key, Value]:
    return {
        (row["period_start"], row["segment"][by]): row["value"]
        for row in answers
        if row["name"] == name and list(row["segment"]) == [by]
    }


@pytest.mark.parametrize("name", BY_ITEM)
def test_a_kpi_equals_the_recount_in_every_month(
    name: str, answers: list[dict[str, Any]], recount: Recount
) -> None:
    source, figure = BY_ITEM[name]
    months = recount.within(source(recount))
    expected = {month: figure([item.value for item in items]) for month, items in months.items()}
    assert_same(_totals(answers, name), expected)


@pytest.mark.parametrize("by", ["team", "category"])
@pytest.mark.parametrize("name", BY_ITEM)
def test_groups_equal_the_recount_row_by_row(
    name: str, by: str, answers: list[dict[str, Any]], recount: Recount
) -> None:
    source, figure = BY_ITEM[name]
    parts: dict[Key, list[Any]] = {}
    for month, items in recount.within(source(recount)).items():
        for item in items:
            parts.setdefault((month, item.groups[by]), []).append(item.value)
    assert_same(_groups(answers, name, by), {key: figure(values) for key, values in parts.items()})


@pytest.mark.parametrize("by", ["", "team", "category"])
@pytest.mark.parametrize("name", SURVEYS)
def test_satisfaction_equals_the_recount_of_the_latest_answers(
    name: str, by: str, answers: list[dict[str, Any]], recount: Recount
) -> None:
    kind = "review" if name.endswith("reviews") else "csat"
    names = {recount.user_groups(row).get(by, "") for row in recount.answers(kind)}
    found: dict[Key, Value] = {}
    for span in recount.spans():
        for group in names:
            wanted = (by, group) if by else None
            positions = recount.latest_answers(kind, span, wanted, lambda _: True)
            if positions or not by:
                found[span.start, group] = SURVEYS[name](positions)
    if by:
        assert_same(_groups(answers, name, by), found)
    else:
        assert_same(_totals(answers, name), {month: value for (month, _), value in found.items()})


@pytest.mark.parametrize("by", ["", "team", "category"])
def test_satisfaction_after_an_escalation_equals_the_recount(
    by: str, answers: list[dict[str, Any]], recount: Recount
) -> None:
    cases = recount.cases
    names = {recount.user_groups(row).get(by, "") for row in recount.answers("csat")}
    found: dict[Key, Value] = {}
    for span in recount.spans():
        for group in names:
            wanted = (by, group) if by else None
            sides = [
                recount.latest_answers(
                    "csat",
                    span,
                    wanted,
                    lambda row, side=side: (
                        (row.get("case_id") or "") in cases
                        and was_escalated(cases[row["case_id"]]) == side
                    ),
                )
                for side in (True, False)
            ]
            if any(sides) or not by:
                escalated, others = map(satisfied, sides)
                is_known = escalated is not None and others is not None
                found[span.start, group] = escalated - others if is_known else None  # type: ignore[operator]
    name = "escalation_rate.escalated_csat"
    if by:
        assert_same(_groups(answers, name, by), found)
    else:
        assert_same(_totals(answers, name), {month: value for (month, _), value in found.items()})


@pytest.mark.parametrize("by", ["", "team", "category"])
@pytest.mark.parametrize("name", BACKLOG)
def test_the_backlog_equals_the_recount(
    name: str, by: str, answers: list[dict[str, Any]], recount: Recount
) -> None:
    found: dict[Key, Value] = {}
    for span in recount.spans():
        at = recount.instant(span.end)
        parts: dict[str, list[Any]] = {} if by else {"": []}
        for _, case in recount.backlog(span):
            parts.setdefault(recount.case_groups(case).get(by, ""), []).append(case)
        closed: dict[str, int] = {}
        for case in recount.closed():
            if recount.local_day(case["closed_at"]) in span:
                group = recount.case_groups(case).get(by, "")
                closed[group] = closed.get(group, 0) + 1
        if name.endswith("days_of_work"):
            days = (span.end - span.start).days
            for group in {*parts, *closed}:
                size, rate = len(parts.get(group, [])), closed.get(group, 0) / days
                found[span.start, group] = size / rate if rate else None
            continue
        for group, cases in parts.items():
            ages = [(at - case["created_at"]).total_seconds() / 86400 for case in cases if case]
            values: dict[str, Value] = {
                "case_backlog": len(cases),
                "case_backlog.oldest_age": max(ages, default=None),
                "case_backlog.unassigned": sum(1 for case in cases if not case.get("owner_id")),
            }
            if not by or values[name]:
                found[span.start, group] = values[name]
    if by:
        assert_same(_groups(answers, name, by), found)
    else:
        assert_same(_totals(answers, name), {month: value for (month, _), value in found.items()})


def test_shares_of_categories_equal_the_recount(
    answers: list[dict[str, Any]], recount: Recount
) -> None:
    expected: dict[Key, Value] = {}
    for month, items in recount.within(recount.opened()).items():
        groups = [item.groups["category"] for item in items]
        for group in set(groups):
            expected[month, group] = groups.count(group) / len(groups)
    assert_same(_groups(answers, "case_volume.top_categories", "category"), expected)


def test_cases_per_customer_and_customers_surveyed_equal_the_recount(
    answers: list[dict[str, Any]], recount: Recount
) -> None:
    opened = recount.within(recount.opened())
    rates: dict[date, Value] = {}
    for span in recount.spans():
        last = span.end - timedelta(days=1)
        rates[span.start] = len(opened[span.start]) / len(recount.customers(last))
    assert_same(_totals(answers, "case_volume.contact_rate"), rates)
    surveyed = {span.start: recount.surveyed(span) for span in recount.spans()}
    assert_same(_totals(answers, "survey_response_rate.coverage"), surveyed)


def test_costs_equal_the_recount(answers: list[dict[str, Any]], recount: Recount) -> None:
    contacts = recount.within(recount.handled())
    per_case: dict[date, Value] = {}
    per_contact: dict[date, Value] = {}
    for span in recount.spans():
        cost = float(recount.service_cost(span))
        closed = sum(recount.local_day(case["closed_at"]) in span for case in recount.closed())
        handled = len(contacts[span.start])
        per_case[span.start] = cost / closed if closed else None
        per_contact[span.start] = cost / handled if handled else None
    assert_same(_totals(answers, "cost_per_case"), per_case)
    assert_same(_totals(answers, "cost_per_case.per_contact"), per_contact)


def test_the_sample_has_cases_without_a_group(answers: list[dict[str, Any]]) -> None:
    assert any(group == NONE for _, group in _groups(answers, "survey_response_rate", "team"))
