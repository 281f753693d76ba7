"""Groups of kept rows by values of enumerations: the same answers as by texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Answerer, Question
from crmetrics.engine.records import records
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KPIS = ("win_rate", "stage_duration", "sales_pipeline_value")
BY = ("team", "segment", "lead_source")
_MADE = "select type_oid from duckdb_types() where type_name like 'values_of_%' order by all"
CRM = """
@users
id,team,is_deleted
u1,O'Neil's,false
u2,Süd,false
u3,,false
u4,(none),false
u9,Only of left deals,false
@accounts
id,segment,merged_into_id,is_deleted
A,big,,false
B,small,,false
M,"big, once",A,true
X,left,,true
@opportunities
id,owner_id,account_id,lead_source,amount,is_won,is_closed,created_at,close_date,is_deleted
1,u1,A,Web,10,true,true,2026-01-01T00:00:00Z,2026-01-05,false
2,u2,B,,20,false,true,2026-01-01T00:00:00Z,2026-01-06,false
3,u3,M,Fair,30,true,true,2026-01-01T00:00:00Z,2026-01-07,false
4,nobody,X,Web,40,true,true,2026-01-01T00:00:00Z,2026-01-08,false
5,u4,,Fair,50,false,true,2026-01-01T00:00:00Z,2026-01-09,false
6,u1,B,Web,60,,false,2026-01-01T00:00:00Z,2026-04-09,false
7,u9,A,Fax,70,true,true,2026-01-01T00:00:00Z,2026-01-10,true
@opportunity_stage_history
id,opportunity_id,stage,entered_at,exited_at,is_closed,amount
h1,1,Offer,2026-01-01T00:00:00Z,2026-01-05T00:00:00Z,false,10
h2,2,Offer,2026-01-01T00:00:00Z,2026-01-07T00:00:00Z,false,20
h3,3,Offer,2026-01-01T00:00:00Z,2026-01-03T00:00:00Z,false,30
h4,4,Offer,2026-01-01T00:00:00Z,2026-01-09T00:00:00Z,false,40
h5,5,Offer,2026-01-01T00:00:00Z,2026-01-10T00:00:00Z,false,50
h6,6,Offer,2026-01-01T00:00:00Z,,false,60
h7,7,Offer,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,false,70
h8,nothing,Offer,2026-01-01T00:00:00Z,,false,80
h9,,Offer,2026-01-01T00:00:00Z,,false,90
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: Any) -> Project:
    return _project(tmp_path_factory.mktemp("coding"), {"crm": CRM})


def _project(folder: Path, sources: Mapping[str, str]) -> Project:
    write_project(folder, {}, packs=("sales",))
    for source, text in sources.items():
        load_tables(folder, read_tables(text), source=source)
    return Project(folder, environ={}, now=lambda: NOW)


def _question(project: Project, *by: str, kpis: Sequence[str] = KPIS) -> Question:
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    return Question(tuple(kpis), periods, ((), *((name,) for name in by or BY)))


def _texts(answerer: Answerer, question: Question) -> list[str]:
    return [statement.sql for statement in answerer.program(question).statements]


def _answer(
    project: Project, large_rows: int, *by: str, kpis: Sequence[str] = KPIS
) -> tuple[pa.Table, list[str]]:
    """The answer, and the names of the enumerations it was found by."""
    question = _question(project, *by, kpis=kpis)
    with project.answerer(question.periods) as answerer:
        answerer.large_rows = large_rows
        texts = _texts(answerer, question)
        found = answerer.answer(question)
    types = [text.split()[5] for text in texts if " type " in text.partition("\n")[0]]
    return found.drop_columns(["run_id", "computed_at"]), types


def _groups(found: pa.Table, kpi: str, by: str) -> dict[str, tuple[float, dict[str, float]]]:
    """Value and coverage of a KPI in the groups of one dimension."""
    rows = [(dict(row["segment"]), row) for row in found.to_pylist() if row["kpi"] == kpi]
    return {
        segment[by]: (row["value"], dict(row["coverage"])) for segment, row in rows if by in segment
    }


def test_values_groups_and_what_was_left_out_are_the_same(project: Project) -> None:
    plain, none = _answer(project, 1000)
    coded, types = _answer(project, 1)
    assert coded.equals(plain)
    assert none == []
    assert types == [
        "values_of_users_team",
        "values_of_accounts_segment",
        "values_of_opportunities_lead_source",
    ]


def test_deals_of_one_history_are_coded_where_some_of_it_was_left_out(project: Project) -> None:
    kpis = ("win_rate", "sales_pipeline_value")
    coded, types = _answer(project, 1, kpis=kpis)
    assert coded.equals(_answer(project, 1000, kpis=kpis)[0])
    assert len(types) == 3


def test_groups_have_the_names_of_their_texts(project: Project) -> None:
    found, _ = _answer(project, 1)
    rates = _groups(found, "win_rate", "team")
    # A team that is called like the empty group is in it, as are a missing owner and a lost one.
    assert {name: value for name, (value, _) in rates.items()} == {
        "O'Neil's": 1,
        "Süd": 0,
        "(none)": 2 / 3,
    }
    assert rates["(none)"][1]["orphan"] == 1
    stays = {
        name: value for name, (value, _) in _groups(found, "stage_duration", "segment").items()
    }
    assert stays == {"big": 3, "small": 6, "(none)": 8.5}
    open_amounts = _groups(found, "sales_pipeline_value", "lead_source")
    assert {name: value for name, (value, _) in open_amounts.items()} == {"Web": 60, "(none)": 170}
    assert open_amounts["(none)"][1]["orphan"] == 1


def test_a_value_that_only_left_records_have_has_its_counts(project: Project) -> None:
    question = _question(project, "lead_source")
    with project.answerer(question.periods) as answerer:
        answerer.large_rows = 1
        answerer.answer(question)
        left = answerer.session.rows('select "by lead_source" from excluded_1 order by all')
        children = answerer.session.rows('select "by lead_source" from excluded_2 order by all')
    assert ("Fax",) in left
    assert ("Fax",) in children


@pytest.mark.parametrize("own", ["", "h11,1,Offer,2026-01-01T00:00:00Z,,false,100,true"])
def test_what_left_with_its_deal_is_not_looked_for_among_the_others(
    own: str, tmp_path: Path
) -> None:
    """The deals of left-out history are left ones, unless a row of it left by itself."""
    deals, header, rows = CRM.replace("Fax", "Web").partition("id,opportunity_id,stage")
    header, *history = (header + rows).splitlines()
    history.append("h10,7,Offer,2026-01-03T00:00:00Z,,false,70")
    lines = [f"{header},is_deleted", *(f"{row},false" for row in history), own]
    crm = deals + "\n".join(filter(None, lines))
    project = _project(tmp_path, {"crm": crm})
    question = _question(project, "lead_source", kpis=("win_rate", "sales_pipeline_value"))
    for large_rows in (1, 1000):
        with project.answerer(question.periods) as answerer:
            answerer.large_rows = large_rows
            texts = _texts(answerer, question)
            groups = _groups(answerer.answer(question), "sales_pipeline_value", "lead_source")
        (children,) = [text for text in texts if "excluded_2 as" in text.partition("\n")[0]]
        assert ("as known" in children) == bool(own)
        left = {
            (name, why): number
            for name, (_, counts) in groups.items()
            for why, number in counts.items()
            if why.startswith("excluded_")
        }
        own_count = {("Web", "excluded_deleted"): 1} if own else {}
        assert left == {("Web", "excluded_parent"): 1} | own_count


def test_what_has_as_many_values_as_records_stays_a_text(project: Project) -> None:
    coded, types = _answer(project, 1, "owner_id", "team")
    assert types == ["values_of_users_team"]
    assert coded.equals(_answer(project, 1000, "owner_id", "team")[0])


def test_records_of_several_sources_keep_their_own_values(tmp_path: Path) -> None:
    other = CRM.replace("Süd", "South").replace("Web", "Mail").replace("big", "large")
    project = _project(tmp_path, {"eu": CRM, "us": other})
    coded, types = _answer(project, 1)
    assert coded.equals(_answer(project, 1000)[0])
    assert len(types) == 3
    stays = _groups(coded, "stage_duration", "lead_source")
    assert {name: value for name, (value, _) in stays.items()} == {
        "Web": 6,
        "Mail": 6,
        "Fair": 5.5,
        "(none)": 6,
    }


def test_enumerations_are_made_once_for_the_questions_of_a_session(project: Project) -> None:
    question = _question(project)
    with project.answerer(question.periods) as answerer:
        answerer.large_rows = 1
        first = answerer.answer(question)
        made = answerer.session.rows(_MADE)
        again = answerer.answer(question)
        assert len(made) == 4
        assert made == answerer.session.rows(_MADE)
    dropped = ["run_id", "computed_at"]
    assert again.drop_columns(dropped).equals(first.drop_columns(dropped))


def test_records_behind_a_number_show_texts(project: Project) -> None:
    periods = _question(project).periods
    with project.answerer(periods) as answerer:
        answerer.large_rows = 1
        rows = records(answerer, Question(("stage_duration",), periods, (("team",),))).to_pylist()
    found = {row["record"]: dict(row["segment"])["team"] for row in rows if row["input"] == ""}
    assert found["1"] == "O'Neil's"
    assert found["4"] == "(none)"
    assert found["7"] == "Only of left deals"
