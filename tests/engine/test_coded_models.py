"""Kept models have numbers in place of texts that they only pass on: the same answers."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from crmetrics.compiler.expressions import gives, is_made_of, names_columns, passes_on
from crmetrics.engine import Project
from crmetrics.engine.answer import Question
from crmetrics.engine.explaining import explained
from crmetrics.engine.records import records
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

CRM = """
@opportunities
id,created_at,is_deleted
1,2026-01-01T00:00:00Z,false
2,2026-01-01T00:00:00Z,false
3,2026-01-01T00:00:00Z,true
@opportunity_stage_history
id,opportunity_id,stay_id,stage,entered_at,exited_at,is_closed
h1,1,s1,Proposal,2026-01-01T00:00:00Z,2026-01-03T00:00:00Z,false
h2,1,s1,Proposal,2026-01-03T00:00:00Z,2026-01-05T00:00:00Z,false
h3,1,,Angebot für später,2026-01-05T00:00:00Z,2026-01-08T00:00:00Z,false
h4,2,s4,,2026-01-05T00:00:00Z,2026-01-10T00:00:00Z,false
h5,2,s5,(none),2026-01-05T00:00:00Z,2026-01-12T00:00:00Z,false
h6,3,s6,Only of a left deal,2026-01-05T00:00:00Z,2026-01-12T00:00:00Z,false
h7,lost,s7,Zulu,2026-01-05T00:00:00Z,,false
"""
MODELS = {
    "stays": "-- materialized\nselect source, opportunity_id, stage, exited_at\n"
    "from live_opportunity_stage_history",
    "passed": "select * from stays where exited_at is not null",
    "shouted": "select source, opportunity_id, upper(stage) as stage, exited_at, stage as plain\n"
    "from passed",
}
DEFINITIONS = """
kpis:
  exits:
    title: Exits
    question: How many?
    unit: count
    better: higher
    from: passed
    time: exited_at
    covered_by: [opportunity_stage_history.entered_at]
    value: count(*)
    dimensions: [stage]
    variants:
      last: {value: "max(length(stage))"}
      early: {where: "stage < 'B'"}
      none_such: {where: "stage in ('Nothing', 'Zulu', 'Proposal')"}
  loud:
    title: Loud exits
    question: How many?
    unit: count
    better: higher
    from: shouted
    time: exited_at
    covered_by: [opportunity_stage_history.entered_at]
    value: count(*)
    dimensions: [stage, plain]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: Any) -> Project:
    folder: Path = tmp_path_factory.mktemp("coded")
    write_project(folder, {}, packs=("sales",))
    (folder / "metrics" / "sql").mkdir(parents=True)
    (folder / "metrics" / "own.yaml").write_text(DEFINITIONS)
    for name, text in MODELS.items():
        (folder / "metrics" / "sql" / f"{name}.sql").write_text(text + "\n")
    load_tables(folder, read_tables(CRM))
    return Project(folder, environ={}, now=lambda: datetime(2026, 3, 1, tzinfo=UTC))


def _answer(
    project: Project, large_rows: int, *kpis: str, by: tuple[str, ...] = ()
) -> tuple[pa.Table, dict[str, str]]:
    """The answer, and the types of the stage in the models that were read."""
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    question = Question(kpis, periods, ((), *((name,) for name in by)))
    with project.answerer(periods) as answerer:
        answerer.large_rows = large_rows
        found = answerer.answer(question).drop_columns(["run_id", "computed_at"])
        names = [name for name in (*MODELS, "stage_stays") if name in answerer.relations.made]
        types = {name: answerer.session.describe(name)["stage"] for name in names}
    return found, types


def _values(found: pa.Table, kpi: str) -> dict[str, float]:
    return {
        "".join(dict(row["segment"]).values()): row["value"]
        for row in found.to_pylist()
        if f"{row['kpi']}.{row['variant']}".strip(".") == kpi
    }


def test_stays_by_stage_are_those_of_texts(project: Project) -> None:
    plain, texts = _answer(project, 1000, "stage_duration")
    coded, types = _answer(project, 1, "stage_duration")
    assert texts["stage_stays"] == "VARCHAR"
    assert types["stage_stays"].startswith("ENUM(")
    assert coded.equals(plain)
    # The stage that is called like the empty group is in it: 5 and 7 days of one deal, apart.
    assert _values(coded, "stage_duration") == {
        "Proposal": 4,
        "Angebot für später": 3,
        "(none)": 6,
    }


def test_a_model_that_reads_one_has_what_it_would_have_of_texts(project: Project) -> None:
    asked = ("exits", "exits.last", "exits.early", "exits.none_such", "loud")
    plain, _ = _answer(project, 1000, *asked, by=("stage",))
    coded, types = _answer(project, 1, *asked, by=("stage",))
    assert coded.equals(plain)
    assert types["stays"].startswith("ENUM(") and types["passed"] == types["stays"]
    assert types["shouted"] == "VARCHAR"
    assert _values(coded, "loud") == {
        "": 5,
        "PROPOSAL": 2,
        "ANGEBOT FÜR SPÄTER": 1,
        "(NONE)": 1,
        "(none)": 1,
    }
    assert _values(coded, "exits.last")[""] == len("Angebot für später")
    assert _values(coded, "exits.early")[""] == 2
    assert _values(coded, "exits.none_such")[""] == 2


def test_a_stage_that_only_left_deals_have_is_counted_among_what_left(project: Project) -> None:
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    with project.answerer(periods) as answerer:
        answerer.large_rows = 1
        answerer.answer(Question(("stage_duration",), periods))
        left = answerer.session.rows('select "by stage", e0 from excluded_1')
    assert left == [("Only of a left deal", 1)]


def test_a_column_that_the_warehouse_does_not_store_yet_is_coded_as_empty(tmp_path: Path) -> None:
    write_project(tmp_path, {}, packs=("sales",))
    (tmp_path / "metrics" / "sql").mkdir(parents=True)
    model = "-- materialized\nselect source, lead_source, created_at from live_opportunities\n"
    (tmp_path / "metrics" / "sql" / "passed.sql").write_text(model)
    (tmp_path / "metrics" / "own.yaml").write_text(
        DEFINITIONS.partition("    variants:")[0]
        .replace("[stage]", "[lead_source]")
        .replace("exited_at", "created_at")
        .replace("opportunity_stage_history.entered_at", "opportunities.created_at")
    )
    load_tables(tmp_path, read_tables(CRM))
    project = Project(tmp_path, environ={}, now=lambda: datetime(2026, 3, 1, tzinfo=UTC))
    with duckdb.connect(str(project.config.warehouse.path)) as con:
        con.execute("alter table crm.opportunities drop column lead_source")
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    with project.answerer(periods) as answerer:
        answerer.large_rows = 1
        found = answerer.answer(Question(("exits",), periods, ((), ("lead_source",))))
        kind = answerer.session.describe("passed")["lead_source"]
    assert kind == "ENUM('(none)')"
    assert _values(found, "exits") == {"": 2, "(none)": 2}


def test_records_show_texts(project: Project) -> None:
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    with project.answerer(periods) as answerer:
        answerer.large_rows = 1
        answerer.answer(Question(("exits",), periods, ((), ("stage",))))
        rows = records(answerer, Question(("exits",), periods, (("stage",),))).to_pylist()
    stages = sorted(dict(row["segment"])["stage"] for row in rows)
    assert stages == ["(none)", "(none)", "Angebot für später", "Proposal", "Proposal"]


@pytest.mark.parametrize("kpi", ["stage_duration", "exits", "loud"])
def test_the_script_of_an_explanation_runs_by_itself(project: Project, kpi: str) -> None:
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    with project.answerer(periods) as answerer:
        answerer.large_rows = 1
        found = explained(answerer, Question((kpi,), periods, ((), ("stage",))))
    with project.answerer(periods) as answerer:
        for statement in found.statements[:-1]:
            answerer.session.execute(statement)
        again = answerer.session.arrow(found.statements[-1])
    assert found.results.num_rows > 1
    assert again.column("value").to_pylist() == found.results.column("value").to_pylist()


PASSES = [
    "select stage from t",
    "select t.stage, count(*) as n from t group by stage",
    "select stage as stage from t group by all",
    "with s as (select id, stage from t) select * from s",
    "select id from t",
    "with u as (select id, stage from t) select id, stage from u union select id, stage from t",
]
DOES_MORE = [
    "select upper(stage) as stage from t",
    "select max(stage) as last_stage from t",
    "select id as stage from t",
    "select 'x' as stage from t",
    "select stage as place from t",
    "select id from t where stage = 'x'",
    "select stage from t order by stage",
    "select max(t) as row from t",
    "select max(columns(*)) from t",
    "select s.stage from (select id from t) s(stage)",
    "select id, row_number() over (partition by stage) as n from t",
]
MARKS = [
    "select stage, hash(stage) as mark from t",
    "select id, max(hash(t.stage)) as mark, stage from t group by id, stage",
]
NAMES_ANOTHER = [
    "select upper(stage) as stage from t",
    "select id as Stage from t",
    "select * replace (lower(stage) as stage) from t",
    "select * rename (id as stage) from t",
    "select s.stage from (select id from t) s(stage)",
    "with u(stage) as (select id from t) select stage from u",
    "select stage, id from t union all select id, stage from t",
    "select stage from t union all select name from t",
    "select * from t union all select stage, id from t",
    "select stage, id from t union all select max(stage), id from t group by id",
    "select stage, id from t union all select 'stage', id from t",
    "select stage from t union all (select id as stage from t)",
    "with l as (select id, {'stage': hash(stage)} as s from t) select id, s.stage from l",
    "with l as (select id, {'stage': id} as s from t) select id, s.stage as stage from l",
    "with l as (select {'stage': id} as s from t) select s.* from l",
    "select max(t) as row from t",
    "select hash(stage) as stage from t",
]
OF_OTHERS = [
    "select stage from t, u",
    "select stage from t join (values ('x')) v on true",
    "select id, unnest({'stage': id}) from t",
    "select unnest({'stage': id}, recursive := true) from t",
]


@pytest.mark.parametrize("sql", PASSES)
def test_a_query_passes_a_column_on(sql: str) -> None:
    assert passes_on(sql, "stage")
    assert is_made_of(sql, ["t"])


@pytest.mark.parametrize("sql", DOES_MORE)
def test_a_query_does_more_with_a_column(sql: str) -> None:
    assert not passes_on(sql, "stage")


@pytest.mark.parametrize("sql", [*PASSES, *MARKS])
def test_what_a_query_has_under_a_name_is_the_column(sql: str) -> None:
    assert gives(sql, "stage")


@pytest.mark.parametrize("sql", MARKS)
def test_a_hash_beside_a_column_is_more_than_to_pass_it_on(sql: str) -> None:
    assert not passes_on(sql, "stage")


@pytest.mark.parametrize("sql", NAMES_ANOTHER)
def test_a_query_has_something_else_under_the_name(sql: str) -> None:
    assert not gives(sql, "stage")
    assert not passes_on(sql, "stage")


@pytest.mark.parametrize("sql", OF_OTHERS)
def test_a_query_may_have_other_values_under_the_name(sql: str) -> None:
    assert not is_made_of(sql, ["t"])


@pytest.mark.parametrize(
    "sql",
    [
        "select a, count(*) filter (where b > 1) from t group by a",
        "with u as (select a, b * 2 as b from t) select u.a from u join v using (a) group by 1",
        "select distinct a from t union select (a, b)[1] from t",
    ],
)
def test_a_query_names_the_columns_it_reads(sql: str) -> None:
    assert names_columns(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select * from t",
        "select t.* exclude (b) from t",
        "from t",
        "select a from (from t)",
        "select T from t",
        "select any_value(X).a from t as x",
        "select a from t natural join u",
        "select a from t positional join u",
        "select min(columns('a.*')) from t",
        "select a from (pivot t on b using sum(c))",
        "select column_name from (summarize t)",
        "select column_name from (describe t)",
        "this is no query",
    ],
)
def test_a_query_may_read_columns_that_it_does_not_name(sql: str) -> None:
    assert not names_columns(sql)
