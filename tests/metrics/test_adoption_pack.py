"""The pack `adoption`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.projects import load_tables, write_project
from metrics.adoption_recount import NONE, PER_USER, AdoptionRecount, filled, ratio

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ZONE = "America/New_York"
REQUIRED = {
    "opportunities": ["amount", "close_date", "owner_id", "lead_source"],
    "leads": ["owner_id", "segment", "campaign_id"],
    "campaigns": ["budgeted_cost"],
}
MATCH_KEYS = {"contacts": ["account_id", "owner_id", "lifecycle_stage"], "leads": ["account_id"]}
RULES = {
    "opportunities": ["close_date >= created_at::date", "amount > 1000 or lead_source = 'web'"],
    "cases": ["closed_at >= created_at"],
}


class TestAdoptionPack(PackContract):
    @pytest.fixture
    def pack(self) -> MetricPack:
        return MetricPack.from_package("crmetrics_adoption")


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=7)


@pytest.fixture(scope="module")
def truth(crm: SampleCrm) -> AdoptionRecount:
    return AdoptionRecount(crm.records, crm.start, crm.end, timezone=ZONE)


@pytest.fixture(scope="module")
def project(crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory) -> Project:
    directory = tmp_path_factory.mktemp("adoption")
    checks = {"required_fields": REQUIRED, "match_keys": MATCH_KEYS, "rules": RULES}
    write_project(
        directory,
        {},
        packs=("adoption",),
        reporting={"timezone": ZONE},
        settings={"data_completeness_rate": checks},
    )
    load_tables(directory, crm.tables)
    return Project(directory, environ={}, now=lambda: NOW)


def _found(
    project: Project, crm: SampleCrm, names: Sequence[str], by: Sequence[str] = ()
) -> dict[str, dict[Any, Any]]:
    """KPI -> (period, group, ...) -> value, every month of the sample."""
    table = project.query(names, start=crm.start, end=crm.end, grain="month", by=list(by))
    found: dict[str, dict[Any, Any]] = {name: {} for name in names}
    for row in table.to_pylist():
        name = f"{row['kpi']}.{row['variant']}" if row["variant"] else row["kpi"]
        segment = dict(row["segment"])
        group = tuple(segment[dimension] for dimension in by if dimension in segment)
        if len(group) == len(by):
            found[name][row["period_start"], *group] = row["value"]
    return found


def _assert_same(found: Mapping[Any, Any], expected: Mapping[Any, Any], what: object = "") -> None:
    """The same keys, nulls in the same places, and equal numbers."""
    assert found.keys() == expected.keys(), what
    empty = {key for key, value in expected.items() if value is None}
    assert {key for key, value in found.items() if value is None} == empty, what
    numbers = {key: value for key, value in expected.items() if value is not None}
    assert any(numbers.values()), f"the recount says nothing: {what}"
    assert {key: found[key] for key in numbers} == pytest.approx(numbers, rel=1e-9, abs=1e-9), what


def test_ratios_over_users_equal_the_recount_in_every_month(
    project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    found = _found(project, crm, list(PER_USER))
    for name, count in PER_USER.items():
        expected = {(span.start,): ratio(count(truth, span).values()) for span in truth.spans()}
        _assert_same(found[name], expected, name)


@pytest.mark.parametrize("dimension", ["team", "role"])
def test_ratios_over_users_equal_the_recount_group_by_group(
    dimension: str, project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    found = _found(project, crm, list(PER_USER), [dimension])
    for name, count in PER_USER.items():
        expected = {}
        for span in truth.spans():
            groups: dict[str, list[tuple[float, float]]] = {}
            for user, pair in count(truth, span).items():
                groups.setdefault(truth.by_user(user, dimension), []).append(pair)
            for group, pairs in groups.items():
                expected[span.start, group] = ratio(pairs)
        _assert_same(found[name], expected, name)


def test_adoption_by_tenure_equals_the_recount(
    project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    found = _found(project, crm, ["user_adoption_rate"], ["tenure_band"])
    expected: dict[Any, float | None] = {}
    for span in truth.spans():
        groups: dict[str, list[tuple[float, float]]] = {}
        for user, pair in truth.adoption(span).items():
            groups.setdefault(truth.tenure(user, span), []).append(pair)
        expected |= {(span.start, group): ratio(pairs) for group, pairs in groups.items()}
    _assert_same(found["user_adoption_rate"], expected)


@pytest.mark.parametrize("dimension", ["", "team", "role"])
def test_the_frequency_of_use_equals_the_recount(
    dimension: str, project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    by = ["activity_group", *([dimension] if dimension else [])]
    found = _found(project, crm, ["user_activity_frequency"], by)
    expected = {
        (span.start, *group): events / seats if seats else None
        for span in truth.spans()
        for group, (events, seats) in truth.frequency(span, dimension).items()
    }
    _assert_same(found["user_activity_frequency"], expected)


def test_object_types_add_up_to_the_frequency_of_their_group(
    project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    by = ["activity_group", "object_type"]
    split = _found(project, crm, ["user_activity_frequency"], by)["user_activity_frequency"]
    sums: dict[Any, float] = {}
    for (start, kind, _), value in split.items():
        sums[start, kind] = sums.get((start, kind), 0) + value
    for span in truth.spans():
        for (kind,), (events, seats) in truth.frequency(span).items():
            if events:
                assert sums[span.start, kind] == pytest.approx(events / seats)
    assert len({kind for _, _, kind in split}) > 3


def test_training_equals_the_recount(
    project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    names = ["training_completion_rate.on_time", "training_completion_rate.overdue"]
    found = _found(project, crm, names)
    by_course = _found(project, crm, ["training_completion_rate.by_course"], ["course"])
    split = _found(project, crm, ["training_completion_rate"], ["course"])
    on_time, overdue, courses = {}, {}, {}
    for span in truth.spans():
        due = truth.due(span)
        kept = [row for row in due if row["completed_at"] and row["completed_at"] <= row["due_at"]]
        on_time[(span.start,)] = len(kept) / len(due) if due else None
        overdue[(span.start,)] = len([row for row in due if not truth.is_done(row, span)])
        groups: dict[str, list[tuple[float, float]]] = {}
        for row in truth.required(span):
            pair = (float(truth.is_done(row, span)), 1.0)
            groups.setdefault(row["course"], []).append(pair)
        courses.update({(span.start, name): ratio(pairs) for name, pairs in groups.items()})
    first = min(start for start, _ in courses)
    _assert_same(_since(found[names[0]], first), _since(on_time, first), "on_time")
    _assert_same(_since(found[names[1]], first), _since(overdue, first), "overdue")
    _assert_same(by_course["training_completion_rate.by_course"], courses)
    _assert_same(split["training_completion_rate"], courses)


def _since(values: Mapping[Any, Any], first: Any) -> dict[Any, Any]:
    """Without the months before the first enrollment, which nothing covers (N3)."""
    return {key: value for key, value in values.items() if key[0] >= first}


@pytest.mark.parametrize("dimension", ["", "team", "user_id"])
def test_finished_work_equals_the_recount(
    dimension: str, project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    by = ["role", *([dimension] if dimension else [])]
    names = ["employee_productivity", "employee_productivity.amount_per_rep"]
    found = _found(project, crm, names, by)
    items, amounts = {}, {}
    for span in truth.spans():
        for group, (count, people, _, amount) in truth.work(span, dimension).items():
            items[span.start, *group] = count / people if people else None
            if group[0] == "sales" and (people or amount):
                amounts[span.start, *group] = amount / people if people else None
    _assert_same(found[names[0]], items)
    _assert_same(found[names[1]], amounts)


def test_the_index_of_each_user_equals_the_recount(
    project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    found = _found(project, crm, ["employee_productivity.index"], ["role", "user_id"])
    expected = {
        (span.start, *group): value
        for span in truth.spans()
        for group, value in truth.index(span).items()
    }
    _assert_same(found["employee_productivity.index"], expected)


def test_work_of_queues_and_machines_is_reported_as_unassigned(
    project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    table = project.query(["employee_productivity"], start=crm.start, end=crm.end, grain="month")
    found = {
        (row["period_start"], dict(row["segment"])["role"]): dict(row["coverage"]).get(
            "unassigned", 0
        )
        for row in table.to_pylist()
    }
    expected = {
        (span.start, role): sums[2]
        for span in truth.spans()
        for (role,), sums in truth.work(span).items()
    }
    assert found == expected
    assert any(expected.values())


# --- completeness --------------------------------------------------------------------------------


def _created(row: Mapping[str, Any]) -> Any:
    return row.get("created_at") or datetime(1970, 1, 1, tzinfo=UTC)


def _passed(dataset: str, row: Mapping[str, Any], truth: AdoptionRecount) -> list[bool]:
    if dataset == "cases":
        return [bool(row.get("closed_at")) and row["closed_at"] >= row["created_at"]]
    is_after = row["close_date"] >= truth.local_day(row["created_at"])
    is_big = row["amount"] is not None and row["amount"] > 1000
    return [is_after, is_big or row["lead_source"] == "web"]


@pytest.mark.parametrize("dimension", ["", "dataset", "field", "owner_id", "team"])
def test_completeness_equals_the_recount(
    dimension: str, project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    by = [dimension] if dimension else []
    found = _found(project, crm, ["data_completeness_rate"], by)["data_completeness_rate"]
    expected = {}
    for span in truth.spans()[-12:]:
        end = truth.instant(span.end)
        groups: dict[tuple[str, ...], list[tuple[float, float]]] = {}
        for dataset, fields in REQUIRED.items():
            for row in truth.live.rows(dataset):
                if _created(row) >= end:
                    continue
                owner = row.get("owner_id")
                named = {"dataset": dataset, "owner_id": owner or NONE}
                named["team"] = truth.by_user(owner, "team")
                for field in fields:
                    named["field"] = field
                    key = (named[dimension],) if dimension else ()
                    pair = (float(filled(row.get(field))), 1.0)
                    groups.setdefault(key, []).append(pair)
        expected.update({(span.start, *key): ratio(pairs) for key, pairs in groups.items()})
    first = min(key[0] for key in expected)
    _assert_same(_since(found, first), expected, dimension)


def test_the_other_checks_of_the_data_equal_the_recount(
    project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    names = [f"data_completeness_rate.{name}" for name in ("duplicate_rate", "validity")]
    found = _found(project, crm, names)
    duplicates, passed = {}, {}
    seen: dict[tuple[Any, ...], int] = {}
    for dataset, keys in MATCH_KEYS.items():
        for row in truth.live.rows(dataset):
            values = (dataset, *(row.get(key) for key in keys))
            seen[values] = seen.get(values, 0) + 1
    for span in truth.spans():
        end = truth.instant(span.end)
        shared, total, good, checks = 0, 0, 0, 0
        for dataset, keys in MATCH_KEYS.items():
            for row in truth.live.rows(dataset):
                if row["created_at"] < end:
                    values = (dataset, *(row.get(key) for key in keys))
                    total += 1
                    shared += None not in values and seen[values] > 1
        for dataset in RULES:
            for row in truth.live.rows(dataset):
                if row["created_at"] < end:
                    results = _passed(dataset, row, truth)
                    checks += len(results)
                    good += sum(results)
        duplicates[(span.start,)] = shared / total
        passed[(span.start,)] = good / checks
    _assert_same(found[names[0]], duplicates)
    _assert_same(found[names[1]], passed)


@pytest.mark.parametrize("days", [0, 17, 45, 200])
def test_open_records_are_stale_when_unchanged_for_90_days_before_as_of(
    days: int, project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    name = "data_completeness_rate.stale_rate"
    as_of = crm.exported_at + timedelta(days=days)
    (row,) = project.query([name], period="2025-12", as_of=as_of).to_pylist()
    end = truth.instant(truth.end)
    opened = [
        record
        for record in truth.live.rows("leads")
        if record["created_at"] < end
        and not (_past(record, "converted_at", crm) or _past(record, "disqualified_at", crm))
    ]
    opened += [
        record
        for record in truth.live.rows("opportunities")
        if record["created_at"] < end and not record["is_closed"]
    ]
    stale = [
        record for record in opened if (as_of - record["updated_at"]).total_seconds() > 90 * 86400
    ]
    assert len(stale) > 0
    assert row["denominator"] == len(opened)
    assert row["value"] == pytest.approx(len(stale) / len(opened))


def _past(record: Mapping[str, Any], event: str, crm: SampleCrm) -> bool:
    at = record.get(event)
    return at is not None and at <= crm.exported_at
