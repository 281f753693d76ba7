"""The pack `sales`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
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
from metrics.comparing import assert_same, by_kpi
from metrics.recounts import Answers, recounted, together

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KPIS = [name for name in FIGURES if name != "lost_count"]
IN_TOTAL = {"": KPIS}
BY_TEAM_AND_SEGMENT = {
    group: [name for name in BY_GROUP if name != "lost_count"] for group in ("team", "segment")
}


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
def answers(project: Project, crm: SampleCrm) -> Answers:
    return Answers(project, crm.start, crm.end, together(IN_TOTAL, BY_TEAM_AND_SEGMENT))


@recounted(IN_TOTAL)
def test_a_kpi_equals_the_recount_of_the_sample_in_every_month(
    kpi: str, by: str, answers: Answers, crm: SampleCrm, zone: str
) -> None:
    expected = {(start,): value for start, value in crm.truth_in(zone).figure(kpi).items()}
    assert_same(answers.of(kpi, by), expected)


@recounted(BY_TEAM_AND_SEGMENT)
def test_groups_equal_the_recount_row_by_row(
    kpi: str, by: Any, answers: Answers, crm: SampleCrm, zone: str
) -> None:
    assert_same(answers.of(kpi, by), crm.truth_in(zone).groups(kpi, by), (kpi, by))


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
    assert_same(found, crm.truth_in(zone).stage_duration(variant))


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
        found = by_kpi(table.to_pylist(), lambda row: row["period_start"])
        for kpi in KPIS:
            expected = truth.figure(kpi, grain=grain)  # type: ignore[arg-type]
            # Forecasts are monthly: there is none for a quarter or a year.
            is_monthly = kpi.startswith("sales_forecast_accuracy")
            assert_same(found[kpi], expected, (kpi, grain), may_be_empty=is_monthly)


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


# --- variants that the recount leaves out: SQL by hand over the raw tables -----------------------

WON = """
with deals as (
  select *, timezone('{zone}', created_at)::date as created_day,
    timezone('{zone}', closed_at)::date as closed_day
  from crm.opportunities o
  where not is_deleted and not is_test
),
rates as (
  select d.day, arg_max(rate, valid_from) as rate, currency
  from crm.exchange_rates join days d on valid_from <= d.day
  where rate > 0
  group by d.day, currency
)
"""


@pytest.fixture(scope="module")
def by_hand(project: Project, zone: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`by_hand(sql)`: rows of a query over the raw tables, with `deals` and `rates`."""
    import duckdb

    # A copy: one process cannot hold a file open with two configurations.
    copy = tmp_path_factory.mktemp("raw") / "raw.duckdb"
    shutil.copy(project.engine_settings.path, copy)
    connection = duckdb.connect(str(copy), read_only=True)
    connection.execute("set timezone = 'UTC'")
    connection.execute(
        "create temp table days as select unnest(generate_series(date '2023-01-01',"
        " date '2030-01-02', interval 1 day))::date as day"
    )
    yield lambda sql: connection.execute(WON.format(zone=zone) + sql).fetchall()
    connection.close()


def _monthly_values(project: Project, crm: SampleCrm, name: str) -> dict[date, float | None]:
    table = project.query([name], start=crm.start, end=crm.end, grain="month")
    return {row["period_start"]: row["value"] for row in table.to_pylist()}


def _in_usd(day: str) -> str:
    return (
        "case when coalesce(d.currency, 'USD') = 'USD' then d.amount::double"
        f" else d.amount::double * (select rate from rates r where r.currency = d.currency"
        f" and r.day = {day}) end"
    )


@pytest.mark.parametrize(
    ("name", "dated", "rate_day"),
    [
        ("won_amount.by_closed_at", "closed_day", "d.close_date"),
        ("won_amount.constant_currency", "close_date", "date '2030-01-01'"),
    ],
)
def test_won_amounts_of_other_days_and_rates(
    name: str, dated: str, rate_day: str, project: Project, crm: SampleCrm, by_hand: Any, zone: str
) -> None:
    if zone != "UTC" and "constant" in name:
        rate_day = "date '2029-12-31'"  # as_of is 2030-01-01 00:00 UTC
    rows = by_hand(
        f"select date_trunc('month', d.{dated})::date, sum({_in_usd(rate_day)})"
        f" from deals d where is_won and d.{dated} is not null group by 1"
    )
    expected = {month: value or 0 for month, value in rows if crm.start <= month < crm.end}
    found = {m: v for m, v in _monthly_values(project, crm, name).items() if v or m in expected}
    assert_same(found, expected, name)


def test_pace_of_a_complete_quarter_is_its_attainment(project: Project) -> None:
    names = ["quota_attainment", "quota_attainment.pace"]
    attainment, pace = project.query(names, period="2025-Q2").to_pylist()
    assert pace["value"] == pytest.approx(attainment["value"])
    running = project.query(names, period="2025-Q2", as_of="2025-05-01").to_pylist()
    # 30 of the 91 days of the quarter are over on the first of May.
    assert running[1]["value"] == pytest.approx(running[0]["value"] / (30 / 91))
