"""The Maven export of CRM deals: four joined files with warts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from projects.opening import NOW, PROJECTS, Opened, Opener

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def maven(open_project: Opener) -> Opened:
    return open_project("maven_crm_sales")


@pytest.fixture(scope="module")
def expected(published: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return published("maven_crm_sales")


def test_regions_are_the_sums_of_their_managers(maven: Opened, expected: dict[str, Any]) -> None:
    offices: dict[str, list[float]] = {}
    for line in expected["Per manager"]:
        sums = offices.setdefault(line["office"], [0, 0, 0])
        for place, value in enumerate((line["won"], line["lost"], line["revenue"])):
            sums[place] += value
    rows = maven.ask("win_rate", "won_amount", period="2017", by=["owner.role"])
    found = {(row["name"], row["segment"]["owner.role"]): row["value"] for row in rows}
    for office, (won, lost, revenue) in offices.items():
        assert found["win_rate", office] == pytest.approx(won / (won + lost), rel=1e-12)
        assert found["won_amount", office] == revenue
    assert len(found) == 2 * len(offices)


def test_families_split_the_won_amount(maven: Opened, expected: dict[str, Any]) -> None:
    families = maven.ask("won_amount", period="2017", by=["family"])
    assert sum(row["value"] for row in families) == expected["won revenue, sum of close_value"]


def test_an_unmapped_product_is_reported_and_nothing_is_dropped(
    maven: Opened, tmp_path: Path
) -> None:
    directory = tmp_path / "unmapped"
    shutil.copytree(PROJECTS / "maven_crm_sales", directory)
    file = directory / "crmetrics.yaml"
    text = file.read_text("utf-8")
    mapping = "product_id: case product when 'GTXPro' then 'GTX Pro' else product end"
    assert mapping in text
    file.write_text(text.replace(mapping, "product_id: product"), "utf-8")
    project = Project(directory, environ=maven.project.environ, now=lambda: NOW)
    report = project.sync()
    (orphans,) = [o for o in report.orphans if o.key == "product_id"]
    assert (orphans.rows, orphans.examples) == (1480, ("GTXPro",))
    rows = Opened(project, report).ask(
        "won_amount", period="2017", by=["product.family"], totals=True
    )
    values = {row["segment"].get("product.family", "total"): row["value"] for row in rows}
    assert values["total"] == 10_005_534
    assert values["(none)"] == 3_510_578
    assert sum(v for name, v in values.items() if name != "total") == values["total"]


def test_open_deals_without_an_account_are_a_group_of_their_own(maven: Opened) -> None:
    (report,) = [r for r in maven.report.reports if r.dataset == "opportunities"]
    assert (report.fetched, report.landed, report.rejected) == (8800, 8800, 0)
    rows = maven.ask("sales_velocity.open_opportunities", period="2017", by=["segment"])
    assert {row["segment"]["segment"]: row["value"] for row in rows}["(none)"] == 1088
