"""Definitions that are wrong: each with its place and a way out, all of them at once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from crmetrics.catalog import load_catalog
from crmetrics.engine import Project
from crmetrics.errors import ConfigError, CrmetricsError, UsageError
from crmetrics.plugin import MetricPack
from crmetrics.testing.projects import write_project

NOW = datetime(2026, 1, 5, tzinfo=UTC)
GOOD = """\
kpis:
  deals:
    title: Deals
    unit: count
    better: higher
    from: opportunities
    time: close_date
    value: count(*)
"""


def project(directory: Path, text: str, **models: str) -> Project:
    write_project(directory, {}, packs=())
    folder = directory / "metrics"
    (folder / "sql").mkdir(parents=True)
    (folder / "own.yaml").write_text(text)
    for name, sql in models.items():
        (folder / "sql" / f"{name}.sql").write_text(sql)
    return Project(directory, environ={}, now=lambda: NOW)


def errors(opened: Project) -> list[str]:
    return [f"{r.message} {r.fix}" for r in opened.check() if r.state == "error"]


def test_a_right_definition_has_no_finding(tmp_path: Path) -> None:
    assert errors(project(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("wrong", "right", "place", "message"),
    [
        ("count(*)", "sum(amuont)", "own.yaml:8:12", "amount"),
        ("count(*)", "sum(amount", "own.yaml:8:12", "no SQL expression"),
        ("count(*)", "amount", "own.yaml:8:12", "aggregate"),
        ("count(*)", "sum(amount) + amount", "own.yaml:8:12", "outside of an aggregate"),
        ("count(*)", "sum((select 1))", "own.yaml:8:12", "without a query"),
        ("close_date", "close_dat", "own.yaml:7:11", "close_date"),
        ("opportunities", "oportunities", "", "opportunities"),
        ("    unit: count", "    unit: cuont", "own.yaml:4:11", "count"),
        ("    better: higher", "    beter: higher", "own.yaml:5:5", "better"),
        ("    better: higher", "    better: higher\n    at: opening", "own.yaml:6:5", "'at'"),
        ("count(*)", "sum(amount) filter (where $min_amout > 1)", "own.yaml:8:12", "min_amout"),
    ],
)
def test_a_wrong_definition_says_where_and_what(
    wrong: str, right: str, place: str, message: str, tmp_path: Path
) -> None:
    assert wrong in GOOD
    found = errors(project(tmp_path, GOOD.replace(wrong, right)))
    assert found
    assert any(place in text and message in text for text in found), found


def test_all_findings_come_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("count(*)", "sum(amuont)") + GOOD.replace("kpis:\n", "").replace(
        "deals:", "more:"
    ).replace("close_date", "close_dat")
    found = errors(project(tmp_path, text))
    assert len(found) == 2


@pytest.mark.parametrize(
    "sql",
    [
        "delete from crm.opportunities",
        "copy (select 1) to 'x.csv'",
        "select * from read_csv('/etc/passwd')",
        "attach 'other.duckdb'",
        "with x as (insert into crm.opportunities select * from crm.opportunities returning 1) "
        "select * from x",
        "set threads = 1",
        "select 1; select 2",
    ],
)
def test_a_model_can_only_read_the_warehouse(sql: str, tmp_path: Path) -> None:
    text = GOOD.replace("from: opportunities", "from: deals_model")
    with pytest.raises(CrmetricsError):
        project(tmp_path, text, deals_model=sql).query(["deals"], period="2025-12")


def test_two_definitions_of_one_id_need_a_word(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pack.yaml").write_text(GOOD)
    packs = [MetricPack(name, tmp_path / name) for name in ("one", "two")]
    with pytest.raises(ConfigError, match="overrides: deals"):
        load_catalog(packs)
    overriding = GOOD.replace("    title: Deals", "    title: Ours\n    overrides: deals")
    (tmp_path / "two" / "pack.yaml").write_text(overriding)
    assert load_catalog(packs).kpis["deals"].title == "Ours"


def test_a_disabled_kpi_is_not_there_and_a_misspelt_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pack.yaml").write_text(GOOD)
    pack = MetricPack("one", tmp_path)
    with pytest.raises(UsageError):
        load_catalog([pack], disable=["deals"]).resolve("deals")
    with pytest.raises(ConfigError, match="deals"):
        load_catalog([pack], disable=["deal"])
