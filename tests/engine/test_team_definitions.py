"""What a team defines itself: KPIs that replace those of packs, and segments."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.errors import ConfigError
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DOCS = Path(__file__).parents[2] / "docs" / "analyst.md"
LEADS = """
@leads
id,created_at,mql_at,sql_at,segment,lead_source,account_id,is_deleted
1,2026-01-05,2026-01-06,2026-01-10,Enterprise,Web,A,false
2,2026-01-06,2026-01-06,,Enterprise,Web,A,false
3,2026-01-07,2026-01-08,2026-01-09,Small,Web,B,false
4,2026-01-08,2026-01-08,2026-01-09,Mid-Market,Purchased list,B,false
5,2026-01-09,2026-01-10,2026-03-09,Mid-Market,Web,B,false
6,2025-12-09,,2025-12-10,Mid-Market,Web,B,false
7,2026-01-09,,2026-01-10,Enterprise,Web,A,true
"""


def _documented() -> str:
    """The example of the documentation, as it stands there."""
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if "overrides: qualified_lead_rate" in block]
    return str(found)


def _project(
    folder: Path, *own: str, text: str = LEADS, packs: tuple[str, ...] = ("leads",)
) -> Project:
    write_project(folder, {}, packs=packs)
    (folder / "metrics").mkdir()
    for number, content in enumerate(own, start=1):
        (folder / "metrics" / f"own{number}.yaml").write_text(content, encoding="utf-8")
    load_tables(folder, read_tables(text))
    return Project(folder, environ={}, now=lambda: NOW)


def _rows(project: Project, *kpis: str, **asked: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = project.query(kpis, **{"period": "2026-01", **asked}).to_pylist()
    return [{**row, "segment": dict(row["segment"])} for row in rows]


def _messages(project: Project) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _ = project.catalog
    return [str(finding) for finding in caught.value.findings]


# --- the documented agreement --------------------------------------------------------------------


def test_the_documented_agreement_takes_the_place_of_the_packs_definition(tmp_path: Path) -> None:
    (packs,) = _rows(_project(tmp_path / "pack"), "qualified_lead_rate")
    agreed, counted = _rows(
        _project(tmp_path / "own", _documented()),
        "qualified_lead_rate",
        "qualified_lead_rate.qualified_leads",
    )
    # Of five live leads all five were marketing's, one was accepted in time out of the market.
    assert (packs["value"], packs["numerator"], packs["denominator"]) == (1.0, 5, 5)
    assert (agreed["value"], agreed["numerator"], agreed["denominator"]) == (0.2, 1, 5)
    assert counted["value"] == 1
    assert agreed["coverage"][-1] == ("excluded_deleted", 1)
    assert agreed["definition_hash"] != packs["definition_hash"]


def test_the_agreement_is_told_with_its_owners_and_its_day(tmp_path: Path) -> None:
    project = _project(tmp_path, _documented())
    definition = project.explain("qualified_lead_rate", period="2026-01").definition
    assert definition["Owners"] == "@marketing-ops, @sales-ops"
    assert definition["Effective from"] == "2026-01-01"
    assert definition["Overrides"] == "qualified_lead_rate of the packs"
    assert definition["Defined at"].startswith("metrics/own1.yaml:")


def test_periods_before_the_agreement_are_flagged(tmp_path: Path) -> None:
    project = _project(tmp_path, _documented())
    rows = _rows(project, "qualified_lead_rate", period=None, start="2025-12-01", end="2026-02-01")
    flagged = ["before_effective_date" in row["flags"] for row in rows]
    assert flagged == [True, False]
    (other,) = _rows(project, "leads_created", period="2025-12")
    assert "before_effective_date" not in other["flags"]


def test_the_hash_changes_with_the_agreement_and_not_with_its_words(tmp_path: Path) -> None:
    text = _documented()
    texts = {
        "as it is": text,
        "title": text.replace("as agreed", "as we agreed"),
        "segment": text.replace("'Mid-Market'", "'Middle'"),
        "window": text.replace("window_days: 30", "window_days: 14"),
    }
    found = {}
    for name, own in texts.items():
        (row,) = _rows(_project(tmp_path / name, own), "qualified_lead_rate")
        found[name] = row["definition_hash"]
    assert found["title"] == found["as it is"]
    assert len(set(found.values())) == 3


# --- segments ------------------------------------------------------------------------------------

TIERS = """
segments:
  tier:
    of: accounts
    groups:
      top: country = 'US' and industry in ('Banking', 'Energy')
      home: country = 'US'
"""
DEALS = """
@accounts
id,country,industry
A,US,Banking
B,US,
C,FR,Energy
@opportunities
id,account_id,created_at,close_date,is_closed,is_won,amount
1,A,2026-01-01,2026-01-10,true,true,100
2,B,2026-01-01,2026-01-10,true,true,20
3,B,2026-01-01,2026-01-10,true,false,1
4,C,2026-01-01,2026-01-10,true,true,3
5,,2026-01-01,2026-01-10,true,true,4
"""


@pytest.fixture
def tiers(tmp_path: Path) -> Project:
    return _project(tmp_path, TIERS, text=DEALS, packs=("sales",))


@pytest.mark.parametrize("name", ["tier", "account.tier"])
def test_a_segment_is_a_dimension_wherever_its_dataset_is(name: str, tiers: Project) -> None:
    rows = _rows(tiers, "won_amount", by=[name])
    found = {row["segment"][name]: row["value"] for row in rows}
    assert found == {"top": 100, "home": 20, "(none)": 7}


def test_a_segment_filters(tiers: Project) -> None:
    (row,) = _rows(tiers, "win_rate", where="account.tier = 'home'")
    assert (row["numerator"], row["denominator"]) == (1, 2)


def test_records_are_listed_by_segment(tiers: Project) -> None:
    rows = tiers.rows("won_amount", period="2026-01", by=["tier"]).to_pylist()
    found = {row["record"]: dict(row["segment"])["tier"] for row in rows}
    assert found == {"1": "top", "2": "home", "4": "(none)", "5": "(none)"}


def test_a_job_loads_what_its_segments_read(tmp_path: Path) -> None:
    write_project(
        tmp_path,
        dict(read_tables(DEALS)),
        sections={"jobs": {"won": {"kpis": ["won_amount"], "by": [["tier"]], "sinks": []}}},
    )
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "own.yaml").write_text(TIERS, encoding="utf-8")
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    (accounts,) = [read for read in project.plan("won").plan.reads if read.dataset == "accounts"]
    assert {"country", "industry"} <= set(accounts.columns)
    assert "tier" not in accounts.columns
    report = project.run("won", date="2026-01-31")
    found = {dict(row["segment"]).get("tier"): row["value"] for row in report.results.to_pylist()}
    assert found == {None: 127, "top": 100, "home": 20, "(none)": 7}


def test_wrong_segments_are_told_with_their_places(tmp_path: Path) -> None:
    own = """\
segments:
  tier:
    of: account
    groups: {top: country = 'US'}
  industry:
    of: accounts
    groups: {top: country = 'US'}
  size:
    of: accounts
    groups:
      big: contry = 'US'
      odd: 7
      broken: country =
  half:
    groups: {top: country = 'US'}
    effective_from: soon
"""
    assert _messages(_project(tmp_path, own, text=DEALS, packs=("sales",))) == [
        "metrics/own1.yaml:3:5: segments.tier.of: there is no dataset 'account'. Did you mean"
        " 'accounts'?",
        "metrics/own1.yaml:6:5: segments.industry: accounts has a column of this name. Take another"
        " name, or map the column in the source's `columns:`.",
        "metrics/own1.yaml:11:12: segments.size.groups.big: accounts has no column 'contry'. Did"
        " you mean 'country'?",
        "metrics/own1.yaml:12:12: expected a condition that is true or false, found '7'.",
        "metrics/own1.yaml:13:15: this is no SQL expression: 'country =' (Required keyword:"
        " 'expression' missing for <class 'sqlglot.expressions.core.EQ'>).",
        "metrics/own1.yaml:15:5: segments.half: 'of' is missing.",
        "metrics/own1.yaml:16:21: segments.half.effective_from: expected a day such as 2026-01-31,"
        " found 'soon'.",
    ]


# --- one definition ------------------------------------------------------------------------------

OWN = """
kpis:
  win_rate:
    {overrides}title: Our win rate
    unit: percent
    better: higher
    from: opportunities
    time: close_date
    numerator: count(*) filter (where is_won)
    denominator: count(*)
"""


def test_a_kpi_of_a_pack_is_replaced_only_on_purpose(tmp_path: Path) -> None:
    project = _project(tmp_path, OWN.format(overrides=""), text=DEALS, packs=("sales",))
    (message,) = _messages(project)
    assert message.startswith("metrics/own1.yaml:")
    assert "win_rate: pack 'sales' defines this KPI already." in message


def test_two_files_that_replace_one_kpi_are_an_error(tmp_path: Path) -> None:
    own = OWN.format(overrides="overrides: win_rate\n    ")
    (message,) = _messages(_project(tmp_path, own, own, text=DEALS, packs=("sales",)))
    assert message.startswith("metrics/own2.yaml:")
    assert "win_rate: metrics/own1.yaml:4 defines this KPI already." in message


def test_two_segments_of_one_name_are_an_error(tmp_path: Path) -> None:
    (message,) = _messages(_project(tmp_path, TIERS, TIERS, text=DEALS, packs=("sales",)))
    assert "segments.tier: pack 'project' states one of this name already." in message


@pytest.mark.parametrize("name", ["at", "order"])
def test_a_model_may_date_its_rows_by_a_reserved_word(tmp_path: Path, name: str) -> None:
    own = f"""
kpis:
  lead_touches:
    title: Lead touches
    question: How many?
    unit: count
    better: higher
    from: touches
    time: {name}
    value: count(*)
"""
    project = _project(tmp_path, own)
    (tmp_path / "metrics" / "sql").mkdir()
    text = f'select id, source, created_at as "{name}" from live_leads\n'
    (tmp_path / "metrics" / "sql" / "touches.sql").write_text(text)
    assert [row["value"] for row in _rows(project, "lead_touches")] == [5]
    (before,) = _rows(project, "lead_touches", period="2025-11")
    assert (before["value"], before["status"]) == (None, "missing_dataset")
