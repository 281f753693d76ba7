"""Identities between KPIs (rule Q5): they hold on sound data, and break where it is not."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crmetrics.catalog import load_catalog
from crmetrics.engine import Project
from crmetrics.engine.asking import Asked
from crmetrics.engine.identities import Checked, answered
from crmetrics.errors import ConfigError
from crmetrics.plugin import MetricPack
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PACKS = ("sales", "leads", "retention", "revenue", "service")

CUSTOMERS = """
@subscriptions
subscription_id,account_id,start_date,end_date,mrr
1,A,2025-01-01,,100
2,B,2025-01-01,2026-01-10,50
3,C,2025-01-01,2026-01-20,25
4,D,2025-01-01,,10
5,E,2026-01-05,,7
@accounts
id,segment
A,big
B,big
C,small
D,small
E,small
"""
OWN_CHURN = """
kpis:
  customer_churn_rate:
    overrides: customer_churn_rate
    title: Churn as our finance team counts it
    unit: percent
    better: lower
    from: active_accounts
    numerator: count(*) filter (where opening_active and closing_active is null)
    denominator: count(*) filter (where closing_active)
    needs: {customer_spells: []}
    covered_by: [customer_spells.start_date]
"""


def _project(folder: Path, text: str, *, own: str = "", **written: Any) -> Project:
    write_project(folder, {}, **{"packs": PACKS, **written})
    if own:
        (folder / "metrics").mkdir()
        (folder / "metrics" / "own.yaml").write_text(own, encoding="utf-8")
    if text:
        load_tables(folder, read_tables(text))
    return Project(folder, environ={}, now=lambda: NOW)


def _check(project: Project, *kpis: str, companions: bool = False, **asked: Any) -> Checked:
    question = project.question(Asked(kpis, **{"period": "2026-01", **asked}))
    with project.answerer(question.periods) as answerer:
        return answered(answerer, question, with_companions=companions)


def _texts(checked: Checked) -> list[str]:
    return [breach.text for breach in checked.breaches]


# --- they hold -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, SampleCrm]:
    crm = SampleCrm(seed=7)
    folder = tmp_path_factory.mktemp("identities")
    packs = (*PACKS, "marketing", "adoption", "roi")
    write_project(folder, {}, packs=packs, reporting={"timezone": "America/New_York"})
    load_tables(folder, crm.tables)
    return Project(folder, environ={}, now=lambda: NOW), crm


@pytest.mark.parametrize(
    ("identity", "by"),
    [
        ("kept_and_lost", "segment"),
        ("gross_below_net", "segment"),
        ("gross_at_most_all", "owner_id"),
        ("mrr_moves", "segment"),
        ("mrr_moves", "family"),
        ("arpu_times_customers", "segment"),
        ("backlog_moves", "team"),
        ("backlog_moves", "priority"),
    ],
)
def test_an_identity_holds_in_every_month_of_the_sample(
    identity: str, by: str, sample: tuple[Project, SampleCrm]
) -> None:
    project, crm = sample
    kpis = project.catalog.identities[identity].kpis
    for grain in ("month", "week") if by == "team" else ("month",):
        checked = _check(
            project, *kpis, period=None, start=crm.start, end=crm.end, grain=grain,
            by=[by], totals=True,
        )  # fmt: skip
        assert identity in checked.identities
        assert _texts(checked) == []


def test_every_identity_of_the_packs_is_claimed_when_all_packs_are_enabled(
    sample: tuple[Project, SampleCrm],
) -> None:
    project, _ = sample
    names = [kpi for one in project.catalog.identities.values() for kpi in one.kpis]
    checked = _check(project, *dict.fromkeys(names), period="2025-06")
    assert set(checked.identities) == {
        "kept_and_lost", "gross_below_net", "gross_at_most_all", "mrr_moves",
        "arpu_times_customers", "backlog_moves",
    }  # fmt: skip


def test_no_group_of_the_sample_is_larger_than_its_total(
    sample: tuple[Project, SampleCrm],
) -> None:
    project, crm = sample
    kpis = ("won_amount", "leads_created", "case_volume", "active_customers", "mrr", "revenue")
    checked = _check(
        project, *kpis, period=None, start=crm.start, end=crm.end, by=["segment"], totals=True
    )
    assert _texts(checked) == []


# --- they break ----------------------------------------------------------------------------------


def test_a_teams_own_churn_that_leaves_a_gap_is_found(tmp_path: Path) -> None:
    project = _project(tmp_path, CUSTOMERS, own=OWN_CHURN)
    checked = _check(project, "customer_retention_rate", "customer_churn_rate")
    # Four at the opening, two of them lost; three at the closing.
    assert _texts(checked) == [
        "identity kept_and_lost is broken in 2026-01: a customer of the opening is either kept"
        " or lost. Expected kept + lost = 1, found 1.166667 and 1 (kept = customer_retention_rate,"
        " lost = customer_churn_rate). Look at the definition first: customer_churn_rate is"
        " redefined at metrics/own.yaml:4."
    ]
    flags = {row["kpi"]: row["flags"] for row in checked.results.to_pylist()}
    assert "broken_identity:kept_and_lost" in flags["customer_retention_rate"]
    assert "broken_identity:kept_and_lost" in flags["customer_churn_rate"]


def test_the_broken_group_is_named_and_only_its_rows_are_flagged(tmp_path: Path) -> None:
    project = _project(tmp_path, CUSTOMERS, own=OWN_CHURN)
    kpis = ("customer_retention_rate", "customer_churn_rate", "active_customers")
    checked = _check(project, *kpis, by=["segment"], totals=True)
    broken = [(dict(breach.segment), breach.left) for breach in checked.breaches]
    # big: A kept, B lost, A at the closing; small: D kept, C lost, D and E at the closing.
    assert broken == [
        ({}, pytest.approx(2 / 4 + 2 / 3)),
        ({"segment": "big"}, pytest.approx(1 / 2 + 1 / 1)),
    ]
    assert "is broken in 2026-01 for segment = big:" in _texts(checked)[1]
    flagged = {
        (row["kpi"], dict(row["segment"]).get("segment", ""))
        for row in checked.results.to_pylist()
        if any(flag.startswith("broken_identity") for flag in row["flags"])
    }
    rates = ("customer_retention_rate", "customer_churn_rate")
    assert flagged == {(kpi, segment) for kpi in rates for segment in ("", "big")}


def test_a_case_that_leaves_the_backlog_unsolved_is_a_defect_of_the_data(tmp_path: Path) -> None:
    text = """
@cases
id,created_at,is_closed
1,2025-12-20,true
2,2026-01-10,false
3,2026-01-11,false
@case_status_history
case_id,status_category,entered_at,exited_at
1,open,2025-12-20,2026-01-05
1,solved,2026-01-05,2026-01-08
1,open,2026-01-08,2026-01-09
1,solved,2026-01-09,
2,new,2026-01-10,2026-01-15
3,new,2026-01-11,
"""
    checked = _check(_project(tmp_path, text), "case_backlog")
    # 1 + 2 created + 1 reopened - 2 solved; of the two left one is in no status since the 15th.
    assert _texts(checked) == [
        "identity backlog_moves is broken in 2026-01: the backlog is what it was, plus cases"
        " created and reopened, less cases solved. Expected closing = opening + created + reopened"
        " - solved, found 1 and 2 (closing = case_backlog, opening = case_backlog of the period"
        " before). The definitions are the pack's: the data contradict themselves."
    ]


def test_lines_worth_more_than_their_deals_break_the_total(tmp_path: Path) -> None:
    own = """
kpis:
  deal_value:
    title: Deal value
    unit: currency
    better: higher
    from: opportunities
    time: close_date
    value: sum(amount_rc)
    alternatives:
      - for: [product_id]
        from: deal_lines
"""
    lines = (
        "select o.close_date, o.currency, i.product_id, i.total_amount as amount"
        " from live_opportunity_items i"
        " join live_opportunities o on o.source = i.source and o.id = i.opportunity_id"
    )
    text = """
@opportunities
id,created_at,close_date,is_closed,is_won,amount
1,2026-01-02,2026-01-20,true,true,100
@opportunity_items
opportunity_id,product_id,quantity,total_amount
1,p1,1,130
1,p2,1,20
"""
    project = _project(tmp_path, text, own=own)
    (tmp_path / "metrics" / "sql").mkdir()
    (tmp_path / "metrics" / "sql" / "deal_lines.sql").write_text(lines, encoding="utf-8")
    checked = _check(project, "deal_value", by=["product_id"], totals=True)
    assert _texts(checked) == [
        "identity totals is broken in 2026-01 for product_id = p1: deal_value is 130 there and"
        " 100 in total. What the group is read from contradicts what the total is read from."
    ]
    assert [breach.chat_text for breach in checked.breaches] == [
        "identity totals is broken in 2026-01 for a group by product_id: deal_value is more there"
        " than in total. What the group is read from contradicts what the total is read from."
        " Its figures: `crmetrics run`."
    ]


def test_groups_with_refunds_may_exceed_their_total(tmp_path: Path) -> None:
    text = """
@orders
id,account_id,ordered_at,total_amount,refunded_amount,refunded_at
1,A,2026-01-05,100,,
2,B,2025-11-05,40,40,2026-01-10
@accounts
id,segment
A,big
B,small
"""
    checked = _check(_project(tmp_path, text), "revenue", by=["segment"], totals=True)
    assert sorted(checked.results.column("value").to_pylist()) == [-40, 60, 100]
    assert _texts(checked) == []


# --- when they are looked at ---------------------------------------------------------------------


def test_a_question_checks_only_what_it_asks_for_and_a_run_computes_the_other_side(
    tmp_path: Path,
) -> None:
    project = _project(tmp_path, CUSTOMERS, own=OWN_CHURN)
    alone = _check(project, "customer_churn_rate")
    assert (alone.identities, alone.breaches) == ((), ())
    run = _check(project, "customer_churn_rate", companions=True)
    assert run.identities == ("kept_and_lost",)
    assert len(run.breaches) == 1
    assert run.results.column("kpi").to_pylist() == ["customer_churn_rate"]


def test_a_filter_and_a_running_period_are_not_judged(tmp_path: Path) -> None:
    project = _project(tmp_path, CUSTOMERS, own=OWN_CHURN)
    kpis = ("customer_retention_rate", "customer_churn_rate")
    assert _check(project, *kpis, where="account.segment = 'big'").identities == ()
    project.now = lambda: datetime(2026, 1, 25, tzinfo=UTC)
    running = _check(project, *kpis)
    assert (running.identities, running.breaches) == (("kept_and_lost",), ())


def test_customers_without_a_rate_break_no_identity(tmp_path: Path) -> None:
    text = """
@subscriptions
account_id,start_date,mrr,currency
A,2025-01-01,100,
B,2025-01-01,50,CHF
"""
    kpis = ("average_revenue_per_user", "active_customers", "mrr")
    checked = _check(_project(tmp_path, text), *kpis)
    assert [row["value"] for row in checked.results.to_pylist()] == [100, 2, 100]
    assert (checked.identities, checked.breaches) == (("arpu_times_customers",), ())


def test_a_companion_that_cannot_be_computed_does_not_stop_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = OWN_CHURN.replace("where closing_active)", "where no_such_column)")
    project = _project(tmp_path, CUSTOMERS, own=own)
    with caplog.at_level(logging.WARNING, logger="crmetrics"):
        checked = _check(project, "customer_retention_rate", companions=True)
    assert checked.results.column("value").to_pylist() == [0.5]
    assert checked.identities == ()
    assert "identities of KPIs that were not asked for are not checked" in caplog.text


def test_a_query_tells_of_a_broken_identity_beside_the_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = _project(tmp_path, CUSTOMERS, own=OWN_CHURN)
    with caplog.at_level(logging.WARNING, logger="crmetrics"):
        project.query(["customer_retention_rate", "customer_churn_rate"], period="2026-01")
    assert "identity kept_and_lost is broken in 2026-01" in caplog.text


def test_a_run_reports_records_and_delivers_a_broken_identity(tmp_path: Path) -> None:
    sections = {
        "sinks": {"reports": {"sink": "files", "path": "reports", "formats": ["markdown"]}},
        "jobs": {
            "customers": {
                "kpis": ["customer_retention_rate", "customer_churn_rate"],
                "sinks": ["reports"],
            }
        },
    }
    project = _project(tmp_path, CUSTOMERS, own=OWN_CHURN, sections=sections)
    report = project.run("customers", date="2026-01-31")
    (breach,) = report.breaches
    assert report.identities == ("kept_and_lost",)
    assert breach.text in report.notes
    assert breach.text in report.message.notes
    assert report.message.chat_notes is not None
    [told] = [note for note in report.message.chat_notes if "kept_and_lost" in note]
    assert told == (
        "identity kept_and_lost is broken in 2026-01: "
        "a customer of the opening is either kept or lost. Look at the definition first: "
        "customer_churn_rate is redefined at metrics/own.yaml:4. "
        "Its figures: `crmetrics run`."
    )
    assert [line.tone for line in report.message.kpis] == ["warning", "warning"]
    (delivered,) = (tmp_path / "reports").iterdir()
    assert "identity kept_and_lost is broken" in delivered.read_text().replace("\\", "")
    with duckdb.connect(tmp_path / ".crmetrics" / "warehouse.duckdb", read_only=True) as warehouse:
        (summary,) = warehouse.execute("select summary from meta.runs").fetchone() or ("",)
        flags = warehouse.execute("select distinct flags from meta.results").fetchall()
    assert json.loads(summary)["identities"] == {
        "checked": ["kept_and_lost"],
        "broken": [breach.text],
    }
    assert [json.loads(text) for (text,) in flags] == [
        ["low_sample", "broken_identity:kept_and_lost"]
    ]


# --- how they are stated -------------------------------------------------------------------------


def _findings(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "own.yaml").write_text(text, encoding="utf-8")
    packs = [MetricPack.from_package("crmetrics_retention")]
    with pytest.raises(ConfigError) as caught:
        load_catalog(packs, project=tmp_path / "metrics")
    return [str(finding) for finding in caught.value.findings]


def test_a_wrong_identity_is_an_error_with_its_place(tmp_path: Path) -> None:
    text = """\
identities:
  one:
    inputs: {kept: {kpi: customer_retention_rate}}
    holds: kept + lost = 1
  two:
    inputs: {kept: {kpi: customer_retention_rate}}
    holds: kept
  three:
    inputs: {kept: {kpi: customer_retention}}
    holds: kept <= 1
  four:
    inputs: {kept: {kpi: customer_retention_rate.monthly}}
    holds: kept <= 1
    tolerance: 1
  kept_and_lost:
    inputs: {kept: {kpi: customer_retention_rate}}
    holds: kept >= 0
"""
    assert _findings(tmp_path, text) == [
        "metrics/own.yaml:4:12: identities.one.holds: 'lost' is no input. Inputs: kept.",
        "metrics/own.yaml:7:12: identities.two.holds: expected one comparison with =, <= or >=,"
        " found 'kept'. Say for example `kept + lost = 1`.",
        "metrics/own.yaml:14:5: identities.four: unknown key 'tolerance'. Known keys: about, by,"
        " holds, inputs, title, unless, when.",
        "metrics/own.yaml:16:5: identities.kept_and_lost: pack 'retention' states one of this"
        " name already. Give it another name.",
        "metrics/own.yaml:9:5: identities.three: there is no KPI 'customer_retention' in the"
        " enabled packs. Did you mean 'customer_retention_rate' or 'cohort_retention' or"
        " 'customer_churn_rate'?",
        "metrics/own.yaml:12:5: identities.four: KPI 'customer_retention_rate' has no variant"
        " 'monthly'.",
    ]


def test_a_teams_own_identity_is_checked_like_those_of_the_packs(tmp_path: Path) -> None:
    own = """
identities:
  large_part:
    title: large deals are part of all deals
    inputs:
      whole: {kpi: won_amount}
      average: {kpi: average_deal_size}
    holds: average <= whole / 2
"""
    text = """
@opportunities
id,created_at,close_date,is_closed,is_won,amount
1,2026-01-02,2026-01-20,true,true,100
"""
    project = _project(tmp_path, text, own=own)
    checked = _check(project, "won_amount", "average_deal_size.median")
    assert checked.identities == ()
    checked = _check(project, "won_amount", "average_deal_size")
    assert [(one.identity, one.left, one.right) for one in checked.breaches] == [
        ("large_part", 100, 50)
    ]


def test_check_binds_identities_and_names_what_does_not(tmp_path: Path) -> None:
    own = """
identities:
  odd:
    inputs:
      won: {from: opportunities, time: close_date, value: sum(amout_rc)}
      whole: {kpi: won_amount}
    holds: won <= whole
"""
    project = _project(tmp_path, "", own=own, packs=("sales",))
    (error,) = [result for result in project.check() if result.state == "error"]
    assert "metrics/own.yaml:5:" in error.message
    assert "no column 'amout_rc'" in error.message


def test_the_gate_keeps_figures_back_that_contradict_each_other(tmp_path: Path) -> None:
    job = {"kpis": ["customer_churn_rate"], "sinks": [], "block_on": ["broken_identity"]}
    project = _project(tmp_path, CUSTOMERS, own=OWN_CHURN, sections={"jobs": {"churn": job}})
    report = project.run("churn", date="2026-01-31")
    assert report.exit_code == 7
    assert report.blocked == (
        "kept back by the quality gate: figures contradict each other: customer_churn_rate"
    )
