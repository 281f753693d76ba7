"""The pack `sales`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.truth import BY_GROUP, FIGURES
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KPIS = [name for name in FIGURES if name != "lost_count"]


class TestSalesPack(PackContract):
    @pytest.fixture
    def pack(self) -> MetricPack:
        return MetricPack.from_package("crmetrics_sales")


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=7)


@pytest.fixture(scope="module", params=["UTC", "America/New_York"])
def zone(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def project(crm: SampleCrm, zone: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    directory = tmp_path_factory.mktemp("sales") / zone.replace("/", "_")
    write_project(directory, {}, reporting={"timezone": zone})
    load_tables(directory, crm.tables)
    return Project(directory, environ={}, now=lambda: NOW)


@pytest.fixture(scope="module")
def monthly(project: Project, crm: SampleCrm) -> Mapping[str, Mapping[date, Any]]:
    table = project.query(KPIS, start=crm.start, end=crm.end, grain="month")
    return _by_kpi(table.to_pylist(), lambda row: row["period_start"])


def _assert_same(found: Mapping[Any, Any], expected: Mapping[Any, Any], what: object = "") -> None:
    """The same keys, nulls in the same places, and equal numbers."""
    assert found.keys() == expected.keys(), what
    empty = {key for key, value in expected.items() if value is None}
    assert {key for key, value in found.items() if value is None} == empty, what
    numbers = {key: value for key, value in expected.items() if value is not None}
    assert {key: found[key] for key in numbers} == pytest.approx(numbers, rel=1e-9, abs=1e-6), what


def _by_kpi(rows: list[dict[str, Any]], key: Any) -> dict[str, dict[Any, Any]]:
    found: dict[str, dict[Any, Any]] = {}
    for row in rows:
        name = f"{row['kpi']}.{row['variant']}" if row["variant"] else row["kpi"]
        found.setdefault(name, {})[key(row)] = row["value"]
    return found


@pytest.mark.parametrize("kpi", KPIS)
def test_a_kpi_equals_the_recount_of_the_sample_in_every_month(
    kpi: str, monthly: Mapping[str, Mapping[date, Any]], crm: SampleCrm, zone: str
) -> None:
    expected = crm.truth_in(zone).figure(kpi)
    assert any(value is not None for value in expected.values()), "the recount says nothing"
    _assert_same(monthly[kpi], expected)


@pytest.mark.parametrize("group", ["team", "segment"])
def test_groups_equal_the_recount_row_by_row(
    group: Any, project: Project, crm: SampleCrm, zone: str
) -> None:
    truth = crm.truth_in(zone)
    names = [name for name in BY_GROUP if name != "lost_count"]
    table = project.query(names, start=crm.start, end=crm.end, grain="month", by=[group])
    found = _by_kpi(
        table.to_pylist(), lambda row: (row["period_start"], dict(row["segment"])[group])
    )
    for name in names:
        _assert_same(found[name], truth.groups(name, group), name)


@pytest.mark.parametrize("variant", ["", "mean", "p90", "won_only"])
def test_time_in_stage_equals_the_recount(
    variant: Any, project: Project, crm: SampleCrm, zone: str
) -> None:
    name = f"stage_duration.{variant}" if variant else "stage_duration"
    table = project.query([name], start=crm.start, end=crm.end, grain="month")
    found = {
        (row["period_start"], dict(row["segment"])["stage"]): row["value"]
        for row in table.to_pylist()
        if row["segment"]
    }
    _assert_same(found, crm.truth_in(zone).stage_duration(variant))


def _quarters(crm: SampleCrm) -> Iterator[tuple[str, date, date]]:
    year = crm.end.year - 1
    for number in range(4):
        start = date(year, 3 * number + 1, 1)
        end = date(year + number // 3, (3 * number + 3) % 12 + 1, 1)
        yield f"{year}-Q{number + 1}", start, end


def test_pipeline_coverage_equals_the_recount_seen_from_the_export(
    project: Project, crm: SampleCrm, zone: str
) -> None:
    as_of = crm.exported_at
    truth = crm.truth_in(zone)
    for label, start, end in _quarters(crm):
        (row,) = project.query(["pipeline_coverage"], period=label, as_of=as_of).to_pylist()
        assert row["value"] == pytest.approx(truth.pipeline_coverage(start, end, as_of)), label


def test_quarters_and_years_equal_the_recount(project: Project, crm: SampleCrm, zone: str) -> None:
    truth = crm.truth_in(zone)
    for grain in ("quarter", "year"):
        table = project.query(KPIS, start=crm.start, end=crm.end, grain=grain)
        found = _by_kpi(table.to_pylist(), lambda row: row["period_start"])
        for kpi in KPIS:
            expected = truth.figure(kpi, grain=grain)  # type: ignore[arg-type]
            _assert_same(found[kpi], expected, (kpi, grain))


def test_the_products_parts_add_up_to_the_won_amount(project: Project, crm: SampleCrm) -> None:
    table = project.query(
        ["won_amount"], start=crm.start, end=crm.end, grain="year", by=["product_id"], totals=True
    )
    totals: dict[date, float] = {}
    parts: dict[date, float] = {}
    for row in table.to_pylist():
        side = parts if row["segment"] else totals
        side[row["period_start"]] = side.get(row["period_start"], 0) + row["value"]
    assert parts == pytest.approx(totals)
    assert all(value > 0 for value in totals.values())


def test_the_number_of_scans_follows_the_row_sets(project: Project, tmp_path: Path) -> None:
    from crmetrics.engine.answer import Question

    periods = project.calendar.periods(date(2024, 1, 1), date(2026, 1, 1), "month")
    names = (
        "won_amount",
        "won_amount.won_count",
        "win_rate",
        "average_deal_size",
        "average_deal_size.median",
        "sales_cycle_length",
        "sales_cycle_length.lost",
    )
    groupings = ((), ("owner.team",), ("account.segment",), ("lead_source",))
    with project.answerer(periods) as answerer:
        one = answerer.program(Question(("won_amount",), tuple(periods[:1])))
        many = answerer.program(Question(names, tuple(periods), groupings))
    assert len(one.scans()) == 1
    assert len(many.scans()) == 1
