"""Value with evidence: every KPI can be explained, and lists the records behind its numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.catalog import Measure
from crmetrics.engine import Project, explaining
from crmetrics.engine.answer import Answerer, Question
from crmetrics.engine.asking import Asked
from crmetrics.engine.records import records
from crmetrics.errors import UsageError
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PERIOD = "2025-06"
PACKS = ("sales", "leads", "retention", "revenue", "marketing", "service", "adoption", "roi")
KPIS = {
    "sales": 12, "leads": 12, "retention": 13, "revenue": 12, "marketing": 8, "service": 12,
    "adoption": 5, "roi": 7,
}  # fmt: skip
SETTINGS = {
    "data_completeness_rate": {
        "required_fields": {"accounts": ["industry", "country"], "contacts": ["account_id"]},
        "match_keys": {"accounts": ["country", "industry"]},
        "rules": {"opportunities": ["amount >= 0"]},
    }
}
# What the value or the side is made of when the number of its rows is the number itself.
_ROWS = re.compile(r"count\(\*\)( filter \(where .*\))?", re.DOTALL)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("evidence")
    write_project(folder, {}, packs=PACKS, settings=SETTINGS)
    load_tables(folder, SampleCrm(seed=7, scale=0.3).tables)
    return Project(folder, environ={}, now=lambda: NOW)


def _assert_evidence(answerer: Answerer, question: Question) -> None:
    (name,) = question.kpis
    kpi, variant = answerer.catalog.resolve(name)
    measure = kpi.variant(variant).measure
    explained = explaining.explained(answerer, question)
    assert explained.missing == "", name
    assert explained.steps and explained.statements and explained.definition, name
    assert explained.definition_hash, name
    assert explained.results is not None
    results = explained.results.to_pylist()
    if measure.projected:
        with pytest.raises(UsageError, match="continues the complete periods before"):
            records(answerer, question)
        return
    rows = records(answerer, question).to_pylist()
    for row in rows:
        assert row["in_numerator"] or row["in_denominator"] or row["coverage"], (name, row)
        assert row["record"] is None or row["record_of"], (name, row)
    used = [row for row in rows if row["in_numerator"] or row["in_denominator"]]
    if any(result["n"] for result in results):
        assert used, f"{name} counts {results[0]['n']} and lists nothing"
    if measure.shape != "derived":
        _assert_counts(name, measure, results, used)


def _assert_counts(
    name: str, measure: Measure, results: list[dict[str, Any]], used: list[dict[str, Any]]
) -> None:
    """A side that counts rows has as many of them listed, in each of the value's groups."""
    sides = {"numerator": measure.numerator, "denominator": measure.denominator}
    if not measure.is_ratio:
        sides = {"value": measure.value}
    for result in results:
        # The row over all groups of an always-by dimension counts the rows of each.
        group = [row for row in used if result["segment"] in ([], row["segment"])]
        for side, sql in sides.items():
            flag = "in_denominator" if side == "denominator" else "in_numerator"
            listed = sum(bool(row[flag]) for row in group)
            if _ROWS.fullmatch(sql.strip()) and result[side] is not None:
                assert listed == result[side], (name, side, result["segment"])
            else:
                assert listed or not result[side], (name, side, result["segment"])


@pytest.mark.slow
@pytest.mark.parametrize("pack", PACKS)
def test_every_kpi_and_variant_is_explained_and_lists_its_records(
    pack: str, sample: Project
) -> None:
    kpis = [kpi for kpi in sample.catalog.kpis.values() if kpi.pack == pack]
    assert len(kpis) == KPIS[pack]
    with sample.answerer(sample.question(Asked((kpis[0].id,), PERIOD)).periods) as answerer:
        for kpi in kpis:
            for variant in kpi.variants:
                asked = Asked((f"{kpi.id}.{variant}".rstrip("."),), PERIOD)
                _assert_evidence(answerer, sample.question(asked))


# --- by hand -------------------------------------------------------------------------------------

DEALS = """
@opportunities
id,created_at,close_date,is_closed,is_won,amount,currency,is_deleted,is_test,owner_id
won,2026-01-01,2026-01-10,true,true,100,,false,false,u1
lost,2026-01-01,2026-01-11,true,false,50,,false,false,u2
open,2026-01-01,2026-01-12,false,false,50,,false,false,u1
no amount,2026-01-01,2026-01-13,true,true,,,false,false,u1
no rate,2026-01-01,2026-01-14,true,true,7,CHF,false,false,u1
gone,2026-01-01,2026-01-15,true,true,10,,true,false,u1
trial,2026-01-01,2026-01-16,true,true,10,,false,true,u1
gone before,2025-12-01,2025-12-15,true,true,10,,true,false,u1
later,2026-02-01,2026-02-15,true,true,10,,false,false,u1
@users
id,team
u1,North
u2,South
"""


@pytest.fixture
def deals(tmp_path: Path) -> Project:
    write_project(tmp_path, {}, packs=("sales", "service", "retention"))
    load_tables(tmp_path, read_tables(DEALS, also=("case_messages", "case_status_history")))
    return Project(tmp_path, environ={}, now=lambda: NOW)


def _rows(project: Project, name: str, **asked: Any) -> dict[str, tuple[Any, ...]]:
    rows = project.rows(name, **{"period": "2026-01", **asked}).to_pylist()
    return {row["record"]: (row["in_numerator"], row["in_denominator"], *row["coverage"])
            for row in rows}  # fmt: skip


def test_rows_say_which_side_counts_them_and_why_others_do_not(deals: Project) -> None:
    assert _rows(deals, "win_rate") == {
        "won": (True, True),
        "lost": (False, True),
        "no amount": (True, True),
        "no rate": (True, True),
        "gone": (False, False, "excluded_deleted"),
        "trial": (False, False, "excluded_test"),
    }
    assert _rows(deals, "won_amount") == {
        "won": (True, None),
        "no amount": (False, None, "missing_amount"),
        "no rate": (False, None, "missing_rate"),
        "gone": (False, False, "excluded_deleted"),
        "trial": (False, False, "excluded_test"),
    }


def test_rows_by_a_dimension_carry_their_group(deals: Project) -> None:
    rows = deals.rows("win_rate", period="2026-01", by=["team"]).to_pylist()
    groups = {row["record"]: dict(row["segment"])["team"] for row in rows}
    assert (groups["won"], groups["lost"], groups["gone"]) == ("North", "South", "North")


def test_explain_counts_the_rows_of_each_step(deals: Project) -> None:
    steps = deals.explain("won_amount", period="2026-01").steps
    assert [(step.what, step.rows, step.is_left_out) for step in steps] == [
        ("opportunities: loaded", 9, False),
        ("opportunities: excluded_deleted", 2, True),
        ("opportunities: excluded_test", 1, True),
        ("opportunities: live", 6, False),
        ("won_amount: in the periods", 3, False),
        ("won_amount: in the value", 1, False),
        ("coverage: missing_amount", 1, True),
        ("coverage: missing_rate", 1, True),
        ("coverage: excluded_deleted", 1, True),
        ("coverage: excluded_test", 1, True),
    ]


def test_explain_leaves_out_what_was_created_after_as_of(deals: Project) -> None:
    steps = deals.explain("win_rate", period="2026-01", as_of="2026-01-20").steps
    assert [(step.what, step.rows) for step in steps if step.what.startswith("opp")] == [
        ("opportunities: loaded", 9),
        ("opportunities: excluded_deleted", 2),
        ("opportunities: excluded_test", 1),
        ("opportunities: after_as_of", 1),
        ("opportunities: live", 5),
    ]


def test_the_record_of_a_stay_is_its_case_and_not_its_account(tmp_path: Path) -> None:
    text = """
@cases
id,account_id,created_at,is_closed
c1,A,2025-12-20,false
@case_status_history
case_id,status_category,entered_at
c1,open,2025-12-20
"""
    write_project(tmp_path, {}, packs=("service",))
    load_tables(tmp_path, read_tables(text))
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    (row,) = project.rows("case_backlog", period="2026-01").to_pylist()
    assert (row["record"], row["record_of"]) == ("c1", "case_id")


def test_only_the_latest_of_the_same_answers_is_listed(tmp_path: Path) -> None:
    text = """
@survey_responses
id,survey_type,contact_id,account_id,product_id,sent_at,responded_at,score,scale_min,scale_max
first,nps,p,A,p1,2026-01-02,2026-01-03,2,0,10
second,nps,p,A,p2,2026-01-05,2026-01-06,9,0,10
third,nps,p,A,p2,2026-01-05,2026-01-05,8,0,10
"""
    write_project(tmp_path, {}, packs=("retention",))
    load_tables(tmp_path, read_tables(text))
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    rows = project.rows("net_promoter_score", period="2026-01").to_pylist()
    assert [row["record"] for row in rows] == ["second"]
    # Of several groupings: what is the latest in any of their groups, once.
    groups = (("product_id",), ("account_id",))
    rows = project.rows("net_promoter_score", period="2026-01", by=groups).to_pylist()
    assert sorted(row["record"] for row in rows) == ["first", "second"]


def test_rows_of_a_goal_are_the_goals(tmp_path: Path) -> None:
    goal = {
        "title": "Close more", "kpi": "win_rate", "objective": "growth", "baseline": 0.3,
        "target": 0.4, "start": "2026-01-01", "due": "2026-03-31", "owner": "@sales",
        "rationale": "new step", "guardrails": {"won_amount": {"min": 1}},
    }  # fmt: skip
    write_project(tmp_path, {}, packs=("sales", "roi"), sections={"goals": [goal]})
    load_tables(tmp_path, read_tables(DEALS))
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    (row,) = project.rows("goal_attainment", period="2026-01").to_pylist()
    assert (row["record"], row["record_of"]) == ("Close more", "goal")
    assert dict(row["columns"])["baseline"] == "0.3"


def test_a_kpi_without_rows_of_its_own_says_why(deals: Project) -> None:
    with pytest.raises(UsageError, match=r"has no rows: missing_dataset \(quotas\)"):
        deals.rows("quota_attainment", period="2026-01")


COUNTED = (
    "customer_churn_rate.event_dated",
    "sales_velocity.win_rate",
    "upsell_rate.by_opportunity_type",
    "case_volume.top_categories",
)
OF_MONEY = ("gross_revenue_retention", "customer_churn_rate.revenue", "win_rate.by_amount")


def test_a_share_of_few_is_a_small_sample_also_when_it_is_made_of_inputs(tmp_path: Path) -> None:
    tables = """
@subscriptions
account_id,start_date,end_date,mrr,cancel_reason
A,2025-01-01,2026-01-01,1,price
B,2025-01-01,,1,
@opportunities
id,created_at,close_date,is_closed,is_won,amount,account_id,opportunity_type
1,2025-12-01,2026-01-03,true,true,1,B,expansion
@cases
id,category,created_at,status,is_closed
1,x,2026-01-05,open,false
"""
    write_project(tmp_path, {}, packs=PACKS)
    load_tables(tmp_path, read_tables(tables))
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    rows = project.query([*COUNTED, *OF_MONEY], period="2026-01").to_pylist()
    few = {f"{row['kpi']}.{row['variant']}".rstrip(".") for row in rows if row["flags"]}
    assert few == set(COUNTED)
    (lost,) = project.query(
        ["customer_churn_rate"], period="2026-01", by=["cancel_reason"]
    ).to_pylist()
    assert (lost["denominator"], lost["flags"]) == (2, ["low_sample"])
