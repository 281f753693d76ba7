"""Real exports as projects: mapped by their project file alone, to the figures that are known."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project

PROJECTS = Path(__file__).resolve().parent / "projects"
NOW = datetime(2026, 1, 1, tzinfo=UTC)

Open = Callable[[str, str], Project]


@pytest.fixture(scope="module")
def open_project(tmp_path_factory: pytest.TempPathFactory) -> Open:
    """`open_project(name, variable)`: a copy of a project whose data lie beside the checkout."""
    known: dict[str, Project] = {}
    shared = PROJECTS.parent.parent.parent / "shared" / "data"

    def opened(name: str, variable: str) -> Project:
        data = shared / name
        if not data.is_dir():
            pytest.skip(f"needs the public data set {name} beside the checkout (../shared/data)")
        if name not in known:
            directory = tmp_path_factory.mktemp("projects") / name
            shutil.copytree(PROJECTS / name, directory)
            known[name] = Project(directory, environ={variable: str(data)}, now=lambda: NOW)
            known[name].ensure_loaded()
        return known[name]

    return opened


@pytest.fixture(scope="module")
def maven(open_project: Open) -> Project:
    return open_project("maven_crm_sales", "MAVEN_DATA")


@pytest.fixture(scope="module")
def expected(shared_figures: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return shared_figures("maven_crm_sales")


@pytest.fixture(scope="module")
def shared_figures() -> Callable[[str], dict[str, Any]]:
    def read(name: str) -> dict[str, Any]:
        file = PROJECTS.parent.parent.parent / "shared" / "data" / name / "expected.json"
        if not file.is_file():
            pytest.skip(f"needs the public data set {name} beside the checkout (../shared/data)")
        figures: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return figures

    return read


def ask(project: Project, kpis: list[str], **asked: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = project.query(kpis, **asked).to_pylist()
    for row in rows:
        row["segment"] = dict(row["segment"])
        row["name"] = f"{row['kpi']}.{row['variant']}" if row["variant"] else row["kpi"]
    return rows


def test_maven_whole_year(maven: Project, expected: dict[str, Any]) -> None:
    names = {
        "win_rate": "win rate, won / (won + lost)",
        "won_amount": "won revenue, sum of close_value",
        "won_amount.won_count": "opportunities, Won",
        "average_deal_size": "average deal size, won",
        "average_deal_size.median": "median deal size, won",
        "sales_cycle_length": "sales cycle, won, median days",
        "sales_cycle_length.mean": "sales cycle, won, mean days (close - engage)",
    }
    found = {row["name"]: row["value"] for row in ask(maven, list(names), period="2017")}
    for name, figure in names.items():
        assert found[name] == pytest.approx(expected[figure], rel=1e-12), name


def test_maven_quarters_and_months(maven: Project, expected: dict[str, Any]) -> None:
    names = ["win_rate", "won_amount", "won_amount.won_count"]
    for grain, figure, label in (
        ("quarter", "Per close quarter (2017)", "close_quarter"),
        ("month", "Per close month (2017)", "m"),
    ):
        rows = ask(maven, names, period="2017", grain=grain)
        found = {(row["name"], row["period_start"]): row["value"] for row in rows}
        for line in expected[figure]:
            start = maven.calendar.parse(line[label], NOW).start
            assert found["win_rate", start] == pytest.approx(line["win_rate"], rel=1e-12)
            assert found["won_amount", start] == line["revenue"]
            assert found["won_amount.won_count", start] == line["won"]


@pytest.mark.parametrize(
    ("by", "figure", "label"),
    [
        ("owner_id", "Per sales agent", "sales_agent"),
        ("owner.team", "Per manager", "manager"),
        ("segment", "Per account sector (spelling as in the file)", "sector"),
        ("pipeline", "Per product (GTXPro mapped to GTX Pro)", "p"),
    ],
)
def test_maven_groups(
    by: str, figure: str, label: str, maven: Project, expected: dict[str, Any]
) -> None:
    rows = ask(maven, ["win_rate", "won_amount"], period="2017", by=[by])
    found = {(row["name"], row["segment"][by]): row["value"] for row in rows}
    for line in expected[figure]:
        assert found["win_rate", line[label]] == pytest.approx(line["win_rate"], rel=1e-12)
        assert found["won_amount", line[label]] == line["revenue"]
    assert len(found) == 2 * len(expected[figure])


def test_maven_regions_are_the_sums_of_their_managers(
    maven: Project, expected: dict[str, Any]
) -> None:
    offices: dict[str, list[float]] = {}
    for line in expected["Per manager"]:
        sums = offices.setdefault(line["office"], [0, 0, 0])
        for place, value in enumerate((line["won"], line["lost"], line["revenue"])):
            sums[place] += value
    rows = ask(maven, ["win_rate", "won_amount"], period="2017", by=["owner.role"])
    found = {(row["name"], row["segment"]["owner.role"]): row["value"] for row in rows}
    for office, (won, lost, revenue) in offices.items():
        assert found["win_rate", office] == pytest.approx(won / (won + lost), rel=1e-12)
        assert found["won_amount", office] == revenue
    assert len(found) == 2 * len(offices)


def test_maven_products_split_the_won_amount(maven: Project, expected: dict[str, Any]) -> None:
    rows = ask(maven, ["won_amount", "won_amount.won_count"], period="2017", by=["product_id"])
    found = {(row["name"], row["segment"]["product_id"]): row["value"] for row in rows}
    for line in expected["Per product (GTXPro mapped to GTX Pro)"]:
        assert found["won_amount", line["p"]] == line["revenue"]
        assert found["won_amount.won_count", line["p"]] == line["won"]
    families = ask(maven, ["won_amount"], period="2017", by=["family"])
    assert sum(row["value"] for row in families) == expected["won revenue, sum of close_value"]


def test_maven_velocity_of_the_whole_history(maven: Project, expected: dict[str, Any]) -> None:
    # The published figure takes every factor over all of 2017; ours takes the last 90 days, so
    # only what the two share can be compared: the open deals of the export.
    (row,) = ask(maven, ["sales_velocity.open_opportunities"], period="2017")
    engaging = expected["opportunities, Engaging"]
    assert row["value"] == engaging, "prospecting deals have no creation date and are not counted"


def test_an_unmapped_product_is_reported_and_nothing_is_dropped(
    maven: Project, tmp_path: Path
) -> None:
    directory = tmp_path / "unmapped"
    shutil.copytree(PROJECTS / "maven_crm_sales", directory)
    file = directory / "crmetrics.yaml"
    text = file.read_text("utf-8")
    mapping = "product_id: case product when 'GTXPro' then 'GTX Pro' else product end"
    assert mapping in text
    file.write_text(text.replace(mapping, "product_id: product"), "utf-8")
    project = Project(directory, environ=maven.environ, now=lambda: NOW)
    report = project.sync()
    (orphans,) = [o for o in report.orphans if o.key == "product_id"]
    assert (orphans.rows, orphans.examples) == (1480, ("GTXPro",))
    rows = ask(project, ["won_amount"], period="2017", by=["product.family"], totals=True)
    values = {row["segment"].get("product.family", "total"): row["value"] for row in rows}
    assert values["total"] == 10_005_534
    assert values["(none)"] == 3_510_578
    assert sum(v for name, v in values.items() if name != "total") == values["total"]


def test_open_deals_without_an_account_are_a_group_of_their_own(maven: Project) -> None:
    (report,) = [r for r in maven.sync(full=True).reports if r.dataset == "opportunities"]
    assert (report.fetched, report.landed, report.rejected) == (8800, 8800, 0)
    rows = ask(maven, ["sales_velocity.open_opportunities"], period="2017", by=["segment"])
    assert {row["segment"]["segment"]: row["value"] for row in rows}["(none)"] == 1088


def test_ravenstack_new_customers(open_project: Open, shared_data: Path) -> None:
    project = open_project("ravenstack_saas", "RAVENSTACK_DATA")
    first: dict[str, str] = {}
    with (shared_data / "ravenstack_saas" / "subscriptions.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            if line["is_trial"] == "FALSE" and float(line["mrr_amount"]) > 0:
                account = line["account_id"]
                first[account] = min(first.get(account, "9999"), line["start_date"])
    rows = ask(project, ["new_customers"], start="2023-01-01", end="2025-01-01", grain="month")
    found = {f"{row['period_start']:%Y-%m}": row["value"] for row in rows}
    months = [day[:7] for day in first.values()]
    assert found == {month: months.count(month) for month in found}
    assert sum(found.values()) == len(first) == 500


def test_ravenstack_has_no_deals_and_says_so(open_project: Open) -> None:
    project = open_project("ravenstack_saas", "RAVENSTACK_DATA")
    rows = ask(project, ["win_rate", "sales_pipeline_value", "quota_attainment"], period="2024-12")
    assert {row["status"] for row in rows} == {"missing_dataset"}
    assert {row["value"] for row in rows} == {None}


def test_online_retail_new_customers(
    open_project: Open, shared_figures: Callable[[str], dict[str, Any]]
) -> None:
    project = open_project("uci_online_retail", "RETAIL_DATA")
    figures = shared_figures("uci_online_retail")
    rows = ask(project, ["new_customers"], start="2010-12-01", end="2012-01-01", grain="month")
    found = {f"{row['period_start']:%Y-%m}": row["value"] for row in rows}
    assert found == {line["m"]: line["new_customers"] for line in figures["Per month, clean sales"]}
    assert sum(found.values()) == figures["clean customers"]


def test_every_line_of_the_retail_export_is_accounted_for(
    open_project: Open, shared_figures: Callable[[str], dict[str, Any]]
) -> None:
    project = open_project("uci_online_retail", "RETAIL_DATA")
    figures = shared_figures("uci_online_retail")
    (report,) = project.sync(full=True).reports
    assert report.fetched == figures["rows"]
    assert report.fetched == report.landed + report.rejected + report.duplicates
    assert report.rejected == 0
    assert date(2011, 12, 9) == maximum_day(project)


def maximum_day(project: Project) -> date:
    with project.answerer(
        project.calendar.periods(date(2011, 1, 1), date(2012, 1, 1), "year")
    ) as a:
        found = a.session.scalar("select max(ordered_at)::date from crm.orders")
    assert isinstance(found, date)
    return found
