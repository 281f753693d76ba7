"""The pack `service`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import NONE, Span, mean
from crmetrics.testing.projects import load_tables, write_project
from metrics.comparing import assert_same
from metrics.recounts import Answers, known, recounted
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
COSTS = ("cost_per_case", "cost_per_case.per_contact")
GROUPED = (*BY_ITEM, *SURVEYS, *BACKLOG, "escalation_rate.escalated_csat")
EACH = ("", "team", "category")
OF_CUSTOMERS = {
    "": ["case_volume.contact_rate", "survey_response_rate.coverage"],
    "segment": ["case_volume.contact_rate", "survey_response_rate.coverage"],
    "country": ["survey_response_rate.coverage"],
    "category": ["case_volume.contact_rate"],
}
SHARES = {by: ["case_volume.top_categories"] for by in ("category", "category, segment")}

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
    rows += project.query(COSTS, **asked).to_pylist()
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


def _found(answers: list[dict[str, Any]], name: str, by: str) -> Mapping[Any, Value]:
    return _groups(answers, name, by) if by else _totals(answers, name)


@recounted(dict.fromkeys(EACH, BY_ITEM))
def test_a_kpi_equals_the_recount_in_every_month(
    kpi: str, by: str, answers: list[dict[str, Any]], recount: Recount
) -> None:
    source, figure = BY_ITEM[kpi]
    parts: dict[Any, list[Any]] = {}
    for month, items in recount.within(source(recount)).items():
        if not by:
            parts[month] = [item.value for item in items]
            continue
        for item in items:
            parts.setdefault((month, item.groups[by]), []).append(item.value)
    expected = {key: figure(values) for key, values in parts.items()}
    assert_same(_found(answers, kpi, by), expected)


@recounted(dict.fromkeys(EACH, SURVEYS))
def test_satisfaction_equals_the_recount_of_the_latest_answers(
    kpi: str, by: str, answers: list[dict[str, Any]], recount: Recount
) -> None:
    kind = "review" if kpi.endswith("reviews") else "csat"
    names = {recount.user_groups(row).get(by, "") for row in recount.answers(kind)}
    found: dict[Key, Value] = {}
    for span in recount.spans():
        for group in names:
            wanted = (by, group) if by else None
            positions = recount.latest_answers(kind, span, wanted, lambda _: True)
            if positions or not by:
                found[span.start, group] = SURVEYS[kpi](positions)
    if by:
        assert_same(_groups(answers, kpi, by), found)
    else:
        assert_same(_totals(answers, kpi), {month: value for (month, _), value in found.items()})


@recounted({by: ["escalation_rate.escalated_csat"] for by in EACH})
def test_satisfaction_after_an_escalation_equals_the_recount(
    kpi: str, by: str, answers: list[dict[str, Any]], recount: Recount
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
    if by:
        assert_same(_groups(answers, kpi, by), found)
    else:
        assert_same(_totals(answers, kpi), {month: value for (month, _), value in found.items()})


@recounted(dict.fromkeys(EACH, BACKLOG))
def test_the_backlog_equals_the_recount(
    kpi: str, by: str, answers: list[dict[str, Any]], recount: Recount
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
        if kpi.endswith("days_of_work"):
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
            if not by or values[kpi]:
                found[span.start, group] = values[kpi]
    if by:
        assert_same(_groups(answers, kpi, by), found)
    else:
        assert_same(_totals(answers, kpi), {month: value for (month, _), value in found.items()})


def _segment(recount: Recount, account: str | None, column: str = "segment") -> str:
    return recount.live.by_id("accounts").get(account or "", {}).get(column) or NONE


@recounted(SHARES)
def test_shares_of_categories_equal_the_recount(
    kpi: str, by: str, project: Project, crm: SampleCrm, recount: Recount
) -> None:
    cases: dict[Any, list[str]] = {}
    for case in recount.cases.values():
        if not case.get("is_created_by_agent"):
            month = recount.local_day(case["created_at"]).replace(day=1)
            segment = _segment(recount, case.get("account_id")) if "segment" in by else ""
            cases.setdefault((month, segment), []).append(case.get("category") or NONE)
    expected = {
        (month, category, *filter(None, [segment])): categories.count(category) / len(categories)
        for (month, segment), categories in cases.items()
        for category in categories
        if crm.start <= month < crm.end
    }
    assert_same(Answers(project, crm.start, crm.end, SHARES).of(kpi, by), expected)


@pytest.fixture(scope="module")
def of_customers(project: Project, crm: SampleCrm) -> Answers:
    return Answers(project, crm.start, crm.end, OF_CUSTOMERS)


@recounted(OF_CUSTOMERS)
def test_cases_per_customer_and_customers_surveyed_equal_the_recount(
    kpi: str, by: str, of_customers: Answers, recount: Recount
) -> None:
    """By category each part of the cases is out of all customers."""
    by_account = by not in ("", "category")
    expected: dict[Any, Value] = {}
    for span in recount.spans():
        customers: dict[str, set[str]] = {}
        for account in recount.customers(span.end - timedelta(days=1)):
            group = _segment(recount, account, by) if by_account else ""
            customers.setdefault(group, set()).add(account)
        if kpi.endswith("coverage"):
            year = Span(span.end - timedelta(days=365), span.end)
            answered = {
                row.get("account_id")
                for row in recount.live.rows("survey_responses")
                if row.get("responded_at") and recount.local_day(row["responded_at"]) in year
            }
            parts = {name: len(own & answered) for name, own in customers.items()}
        else:
            parts = {} if by == "category" else dict.fromkeys(customers, 0)
            for case in recount.cases.values():
                is_own = not case.get("is_created_by_agent")
                if is_own and recount.local_day(case["created_at"]) in span:
                    account = case.get("account_id")
                    group = _segment(recount, account, by) if by_account else ""
                    group = case.get("category") or NONE if by == "category" else group
                    parts[group] = parts.get(group, 0) + 1
        for group, count in parts.items():
            whole = customers.get(group if by_account else "", set())
            key = (span.start, group) if by else (span.start,)
            expected[key] = count / len(whole) if whole else None
    assert_same(known(of_customers.of(kpi, by)), known(expected))


@recounted({"": COSTS})
def test_costs_equal_the_recount(
    kpi: str, by: str, answers: list[dict[str, Any]], recount: Recount
) -> None:
    contacts = recount.within(recount.handled())
    expected: dict[date, Value] = {}
    for span in recount.spans():
        cost = float(recount.service_cost(span))
        closed = sum(recount.local_day(case["closed_at"]) in span for case in recount.closed())
        count = len(contacts[span.start]) if kpi.endswith("per_contact") else closed
        expected[span.start] = cost / count if count else None
    assert_same(_found(answers, kpi, by), expected)


def test_the_sample_has_cases_without_a_group(answers: list[dict[str, Any]]) -> None:
    assert any(group == NONE for _, group in _groups(answers, "survey_response_rate", "team"))
