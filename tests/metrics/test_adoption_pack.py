"""The pack `adoption`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.projects import load_tables, write_project
from metrics.adoption_recount import NONE, PER_USER, AdoptionRecount, filled, ratio
from metrics.recounts import Answers, dimensions, known, recounted, together

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ZONE = "America/New_York"
REQUIRED = {
    "opportunities": ["amount", "close_date", "owner_id", "lead_source"],
    "leads": ["owner_id", "segment", "campaign_id"],
    "campaigns": ["budgeted_cost"],
}
MATCH_KEYS = {"contacts": ["account_id", "owner_id", "lifecycle_stage"], "leads": ["account_id"]}
OF_USERS = dict.fromkeys(("", "team", "role"), PER_USER)
BY_TENURE = {"tenure_band": ["user_adoption_rate"]}
FREQUENCY = {
    by: ["user_activity_frequency"]
    for by in ("activity_group", "activity_group, team", "activity_group, role")
}
DUE = {
    by: [f"training_completion_rate.{name}" for name in ("on_time", "overdue")]
    for by in ("", "team", "role")
}
COURSES = {
    "course": ["training_completion_rate", "training_completion_rate.by_course"],
    "course, team": ["training_completion_rate.by_course"],
    "course, role": ["training_completion_rate.by_course"],
}
WORK = {
    by: ["employee_productivity", "employee_productivity.amount_per_rep"]
    for by in ("role", "role, team", "role, user_id")
}
INDEX = {by: ["employee_productivity.index"] for by in ("role, user_id", "role, user_id, team")}
COMPLETE = {by: ["data_completeness_rate"] for by in ("", "dataset", "field", "owner_id", "team")}
CHECKS = {
    by: [f"data_completeness_rate.{name}" for name in ("duplicate_rate", "validity")]
    for by in ("", "dataset", "owner_id")
}
STALE = {by: ["data_completeness_rate.stale_rate"] for by in ("", "dataset", "team")}
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


@pytest.fixture(scope="module")
def answers(project: Project, crm: SampleCrm) -> Answers:
    tables = (OF_USERS, BY_TENURE, FREQUENCY, DUE, COURSES, WORK, INDEX, COMPLETE, CHECKS, STALE)
    return Answers(project, crm.start, crm.end, together(*tables))


def _assert_same(found: Mapping[Any, Any], expected: Mapping[Any, Any], what: object = "") -> None:
    """The same keys, nulls in the same places, and equal numbers."""
    assert found.keys() == expected.keys(), what
    empty = {key for key, value in expected.items() if value is None}
    assert {key for key, value in found.items() if value is None} == empty, what
    numbers = {key: value for key, value in expected.items() if value is not None}
    assert any(numbers.values()), f"the recount says nothing: {what}"
    assert {key: found[key] for key in numbers} == pytest.approx(numbers, rel=1e-9, abs=1e-9), what


@recounted(OF_USERS)
def test_ratios_over_users_equal_the_recount(
    kpi: str, by: str, answers: Answers, truth: AdoptionRecount
) -> None:
    expected: dict[Any, float | None] = {}
    for span in truth.spans():
        groups: dict[tuple[str, ...], list[tuple[float, float]]] = {} if by else {(): []}
        for user, pair in PER_USER[kpi](truth, span).items():
            key = (truth.by_user(user, by),) if by else ()
            groups.setdefault(key, []).append(pair)
        expected |= {(span.start, *key): ratio(pairs) for key, pairs in groups.items()}
    _assert_same(answers.of(kpi, by), expected, (kpi, by))


@recounted(BY_TENURE)
def test_adoption_by_tenure_equals_the_recount(
    kpi: str, by: str, answers: Answers, truth: AdoptionRecount
) -> None:
    expected: dict[Any, float | None] = {}
    for span in truth.spans():
        groups: dict[str, list[tuple[float, float]]] = {}
        for user, pair in truth.adoption(span).items():
            groups.setdefault(truth.tenure(user, span), []).append(pair)
        expected |= {(span.start, group): ratio(pairs) for group, pairs in groups.items()}
    _assert_same(answers.of(kpi, by), expected)


@recounted(FREQUENCY)
def test_the_frequency_of_use_equals_the_recount(
    kpi: str, by: str, answers: Answers, truth: AdoptionRecount
) -> None:
    dimension = by.removeprefix("activity_group").strip(", ")
    expected = {
        (span.start, *group): events / seats if seats else None
        for span in truth.spans()
        for group, (events, seats) in truth.frequency(span, dimension).items()
    }
    _assert_same(answers.of(kpi, by), expected)


def test_object_types_add_up_to_the_frequency_of_their_group(
    project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    by, kpi = "activity_group, object_type", "user_activity_frequency"
    split = Answers(project, crm.start, crm.end, {by: [kpi]}).of(kpi, by)
    sums: dict[Any, float] = {}
    for (start, kind, _), value in split.items():
        sums[start, kind] = sums.get((start, kind), 0) + (value or 0)
    for span in truth.spans():
        for (kind,), (events, seats) in truth.frequency(span).items():
            if events:
                assert sums[span.start, kind] == pytest.approx(events / seats)
    assert len({kind for _, _, kind in split}) > 3


@recounted(DUE)
def test_training_that_was_due_equals_the_recount(
    kpi: str, by: str, answers: Answers, truth: AdoptionRecount
) -> None:
    expected: dict[Any, float | None] = {}
    for span in truth.spans():
        groups: dict[tuple[str, ...], list[bool]] = {}
        for row in truth.due(span):
            in_time = bool(row["completed_at"]) and row["completed_at"] <= row["due_at"]
            has_passed = in_time if kpi.endswith("on_time") else not truth.is_done(row, span)
            key = (truth.by_user(row["user_id"], by),) if by else ()
            groups.setdefault(key, []).append(has_passed)
        for key, passed in groups.items():
            is_share = kpi.endswith("on_time")
            value = sum(passed) / len(passed) if is_share else sum(passed) or None
            expected[span.start, *key] = value
    found = {key: value or None for key, value in answers.of(kpi, by).items()}
    if kpi.endswith("on_time"):
        found = dict(answers.of(kpi, by))
    assert known(expected)
    assert known(found) == pytest.approx(known(expected))


@recounted(COURSES)
def test_training_by_course_equals_the_recount(
    kpi: str, by: str, answers: Answers, truth: AdoptionRecount
) -> None:
    expected: dict[Any, float | None] = {}
    for span in truth.spans():
        groups: dict[Any, list[tuple[float, float]]] = {}
        for row in truth.required(span):
            pair = (float(truth.is_done(row, span)), 1.0)
            key = (row["course"], *(truth.by_user(row["user_id"], n) for n in dimensions(by)[1:]))
            groups.setdefault(key, []).append(pair)
        expected |= {(span.start, *key): ratio(pairs) for key, pairs in groups.items()}
    _assert_same(answers.of(kpi, by), expected)


def _since(values: Mapping[Any, Any], first: Any) -> dict[Any, Any]:
    """Without the months before the first enrollment, which nothing covers (N3)."""
    return {key: value for key, value in values.items() if key[0] >= first}


@recounted(WORK)
def test_finished_work_equals_the_recount(
    kpi: str, by: str, answers: Answers, truth: AdoptionRecount
) -> None:
    expected: dict[Any, float | None] = {}
    dimension = by.removeprefix("role").strip(", ")
    for span in truth.spans():
        for group, (count, people, _, amount) in truth.work(span, dimension).items():
            if not kpi.endswith("amount_per_rep"):
                expected[span.start, *group] = count / people if people else None
            elif group[0] == "sales" and (people or amount):
                expected[span.start, *group] = amount / people if people else None
    _assert_same(answers.of(kpi, by), expected)


@recounted(INDEX)
def test_the_index_of_each_user_equals_the_recount(
    kpi: str, by: str, answers: Answers, truth: AdoptionRecount
) -> None:
    expected = {
        (span.start, *group, *(truth.by_user(group[1], n) for n in dimensions(by)[2:])): value
        for span in truth.spans()
        for group, value in truth.index(span).items()
    }
    _assert_same(answers.of(kpi, by), expected)


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


@recounted(COMPLETE)
def test_completeness_equals_the_recount(
    kpi: str, by: str, answers: Answers, truth: AdoptionRecount
) -> None:
    expected: dict[Any, float | None] = {}
    spans = truth.spans()[-12:]
    for span in spans:
        end = truth.instant(span.end)
        groups: dict[tuple[str, ...], list[tuple[float, float]]] = {}
        for dataset, fields in REQUIRED.items():
            for row in truth.live.rows(dataset):
                if _created(row) >= end:
                    continue
                for field in fields:
                    pair = (float(filled(row.get(field))), 1.0)
                    key = _group_of(row, by, truth, dataset=dataset, field=field)
                    groups.setdefault(key, []).append(pair)
        expected.update({(span.start, *key): ratio(pairs) for key, pairs in groups.items()})
    _assert_same(_since(answers.of(kpi, by), spans[0].start), expected, by)


def _group_of(row: Any, by: str, truth: AdoptionRecount, **named: str) -> tuple[str, ...]:
    owner = row.get("owner_id")
    groups = {**named, "owner_id": owner or NONE, "team": truth.by_user(owner, "team")}
    return (groups[by],) if by else ()


@recounted(CHECKS)
def test_the_other_checks_of_the_data_equal_the_recount(
    kpi: str, by: str, answers: Answers, truth: AdoptionRecount
) -> None:
    seen: dict[tuple[Any, ...], int] = {}
    for dataset, keys in MATCH_KEYS.items():
        for row in truth.live.rows(dataset):
            values = (dataset, *(row.get(key) for key in keys))
            seen[values] = seen.get(values, 0) + 1
    expected: dict[Any, float | None] = {}
    for span in truth.spans():
        end = truth.instant(span.end)
        groups: dict[tuple[str, ...], list[tuple[float, float]]] = {}
        for dataset in MATCH_KEYS if kpi.endswith("duplicate_rate") else RULES:
            for row in truth.live.rows(dataset):
                if row["created_at"] >= end:
                    continue
                key = _group_of(row, by, truth, dataset=dataset)
                if kpi.endswith("duplicate_rate"):
                    values = (dataset, *(row.get(name) for name in MATCH_KEYS[dataset]))
                    pairs = [(float(None not in values and seen[values] > 1), 1.0)]
                else:
                    pairs = [(float(good), 1.0) for good in _passed(dataset, row, truth)]
                groups.setdefault(key, []).extend(pairs)
        expected |= {(span.start, *key): ratio(pairs) for key, pairs in groups.items()}
    _assert_same(answers.of(kpi, by), expected)


@recounted(STALE)
def test_stale_records_equal_the_recount(
    kpi: str, by: str, project: Project, crm: SampleCrm, truth: AdoptionRecount
) -> None:
    """Seen from the export: open is what had no end by then, stale what was last changed before."""
    seen = crm.exported_at
    expected: dict[Any, float | None] = {}
    spans = truth.spans()[-12:]
    for span in spans:
        end = truth.instant(span.end)
        groups: dict[tuple[str, ...], list[tuple[float, float]]] = {}
        for dataset in ("leads", "opportunities"):
            for row in truth.live.rows(dataset):
                ended = (_past(row, name, crm) for name in ("converted_at", "disqualified_at"))
                is_open = not any(ended) if dataset == "leads" else not row["is_closed"]
                if is_open and row["created_at"] < end:
                    age = seen - row["updated_at"]
                    key = _group_of(row, by, truth, dataset=dataset)
                    groups.setdefault(key, []).append((float(age > timedelta(days=90)), 1.0))
        expected |= {(span.start, *key): ratio(pairs) for key, pairs in groups.items()}
    asked = Answers(project, spans[0].start, spans[-1].end, {by: [kpi]}, as_of=seen)
    _assert_same(asked.of(kpi, by), expected)


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
