"""Groups of kept rows by values of enumerations: the same answers as by texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from crmetrics.compiler.coding import Coded
from crmetrics.datasets import Column, canonical_datasets
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


@pytest.mark.parametrize("count", [3, 11, 12, 40])
def test_a_text_becomes_its_value_and_an_unknown_one_an_error(count: int, tmp_path: Path) -> None:
    coded = Coded("f", "live_things", "colour", "things")
    with duckdb.connect(tmp_path / "stored.duckdb") as con:
        con.execute(
            "create table things as from range(3000) r(i)"
            " select case when i % 7 > 0 then 'colour ' || i % ? end as colour",
            [count],
        )
        # Stored, so that the texts come as entries of a dictionary.
        con.execute("checkpoint")
        con.execute(coded.type_sql())
        value = coded.value_of("colour")
        kind = con.execute(f"select any_value(typeof({value})) from things").fetchone()
        query = f"select count(*), count(colour) from things where {value}::text {{}} colour"
        same = con.execute(query.format("is not distinct from")).fetchone()
        assert kind is not None and kind[0].startswith("ENUM")
        assert same == (3000, con.execute("select count(colour) from things").fetchall()[0][0])
        con.execute("insert into things values ('unheard of')")
        with pytest.raises(duckdb.ConversionException, match="unheard of"):
            con.execute(f"create table kept as select {value} from things")


def test_an_enumeration_is_of_what_is_stored_unless_it_is_computed(tmp_path: Path) -> None:
    """A column of a segment's name that a plugin left in the table is not the segment."""
    known = dict(canonical_datasets())
    accounts = known["accounts"]
    known["accounts"] = replace(accounts, columns=(*accounts.columns, Column("tier", "string")))
    head, _, rest = CRM.partition("@accounts\n")
    rows, _, deals = rest.partition("@opportunities\n")
    tiers = ["tier", *["gold"] * 4]
    rows = "\n".join(f"{row},{tier}" for row, tier in zip(rows.splitlines(), tiers, strict=True))
    write_project(tmp_path, {}, packs=("sales",))
    text = f"{head}@accounts\n{rows}\n@opportunities\n{deals}"
    load_tables(tmp_path, read_tables(text, datasets=known), source="crm", datasets=known)
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "own.yaml").write_text(
        "segments:\n  tier: {of: accounts, groups: {large: segment = 'big'}, otherwise: other}\n"
    )
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    question = _question(project, "tier", "lead_source")
    with project.answerer(question.periods) as answerer:
        answerer.large_rows = 1
        types = [text for text in _texts(answerer, question) if " type values_of_" in text]
        found = answerer.answer(question).drop_columns(["run_id", "computed_at"])
    assert ["from live_accounts " in text for text in types if "_tier" in text] == [True]
    assert ["from crm.opportunities " in text for text in types if "_lead" in text] == [True]
    assert found.equals(_answer(project, 1000, "tier", "lead_source")[0])
    assert {"large", "other"} <= _groups(found, "stage_duration", "tier").keys()


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
