"""`looked_at`: how far back the models of a question have to reach."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Question
from crmetrics.errors import ConfigError
from crmetrics.testing import load_tables, read_tables, write_project

NOW = datetime(2030, 1, 1, tzinfo=UTC)

CRM = """
@opportunities
id,created_at,close_date,closed_at,is_closed,is_won,amount
1,2025-07-01T00:00:00Z,2026-01-20,2026-01-20T00:00:00Z,true,true,100
2,2025-08-01T00:00:00Z,2026-03-01,,false,false,50
@opportunity_stage_history
id,opportunity_id,stage,entered_at,exited_at,is_closed
a,1,Proposal,2025-08-01T00:00:00Z,2025-11-03T00:00:00Z,false
c,1,Discovery,2025-07-02T00:00:00Z,2025-09-30T15:00:00Z,false
b,2,Proposal,2025-09-01T00:00:00Z,2026-01-20T00:00:00Z,false
"""

VECTOR = """
vectors:
  stay_states:
    about: Stays that are open.
    from: ended
    entity: [source, opportunity_id]
    span: [entered_at, exited_at]
    values: {open: sum(1)}
kpis:
  open_stays:
    title: Open stays
    question: How many?
    unit: count
    better: higher
    from: stay_states
    value: sum(closing_open)
    covered_by: [opportunity_stage_history.entered_at]
  stays_before:
    title: Open stays before
    question: How many?
    unit: count
    better: higher
    from: stay_states
    value: sum(opening_open)
    covered_by: [opportunity_stage_history.entered_at]
"""

EXITS = """
kpis:
  exits:
    title: Exits
    question: How many?
    unit: count
    better: higher
    from: ended
    time: exited_at
    value: count(*)
    covered_by: [opportunity_stage_history.entered_at]
"""

STANDING = """
kpis:
  standing:
    title: Standing
    question: How many?
    unit: count
    better: higher
    from: ended
    span: [entered_at, exited_at]
    value: count(*)
    covered_by: [opportunity_stage_history.entered_at]
"""

ENDED = """select source, opportunity_id, entered_at, exited_at from live_opportunity_stage_history
where exited_at is null or exited_at >= {}
"""
ASKED = [
    "first_looked_at()",
    "First_Looked_At( )",
    "(select start_at from looked_at)",
    '(select start_at from "looked_at")',
    "(select start_at from Looked_At)",
    "any (select start_at from looked_at)",
]


def _project(folder: Path, definitions: str = "", crm: str = CRM, **models: str) -> Project:
    write_project(folder, {}, packs=("sales",))
    (folder / "metrics" / "sql").mkdir(parents=True)
    (folder / "metrics" / "own.yaml").write_text(definitions or "kpis: {}\n")
    for name, text in models.items():
        (folder / "metrics" / "sql" / f"{name}.sql").write_text(text)
    load_tables(folder, read_tables(crm))
    return Project(folder, environ={}, now=lambda: NOW)


def _looked_at(project: Project, *kpis: str) -> list[str]:
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    with project.answerer(periods) as answerer:
        program = answerer.program(Question(kpis, periods))
    found = (re.search(r"view looked_at as\nselect timestamptz '(\S+)", s.sql)
             for s in program.statements)  # fmt: skip
    return [match[1] for match in found if match]


def test_models_look_back_as_far_as_their_own_readers(tmp_path: Path) -> None:
    project = _project(tmp_path)
    assert _looked_at(project, "sales_velocity") == ["2025-11-03"]
    assert _looked_at(project, "stage_duration") == ["2026-01-01"]
    assert _looked_at(project, "sales_velocity", "stage_duration") == ["2026-01-01"]


@pytest.mark.parametrize("asked", ASKED)
def test_a_vector_reads_what_its_model_looks_back_for(tmp_path: Path, asked: str) -> None:
    project = _project(tmp_path, VECTOR, ended=ENDED.format(asked))
    periods = tuple(project.calendar.periods(date(2025, 10, 1), date(2026, 2, 1), "month"))
    for beside in ((), ("stage_duration",)):
        with project.answerer(periods) as answerer:
            question = Question(("open_stays", "stays_before", *beside), periods)
            rows = answerer.answer(question).to_pylist()
        values = [row["value"] for row in rows if row["kpi"] == "open_stays"]
        before = [row["value"] for row in rows if row["kpi"] == "stays_before"]
        # The day before October is looked at: one stay ended in the course of it.
        assert (values, before) == ([2, 1, 1, 0], [3, 2, 1, 1])


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("kept", ["", "-- materialized\n"])
def test_questions_of_one_session_look_back_each_on_its_own(
    tmp_path: Path, asked: str, kept: str
) -> None:
    project = _project(tmp_path, EXITS, ended=kept + ENDED.format(asked))
    months = tuple(project.calendar.periods(date(2025, 9, 1), date(2026, 2, 1), "month"))
    with project.answerer(months) as answerer:
        for first in (4, 0, 2, 4, 0):
            rows = answerer.answer(Question(("exits",), months[first:])).to_pylist()
            assert [row["value"] or 0 for row in rows] == [1, 0, 1, 0, 1][first:]


def test_stays_of_one_session_are_found_anew_where_more_is_looked_at(tmp_path: Path) -> None:
    project = _project(tmp_path)
    months = tuple(project.calendar.periods(date(2025, 9, 1), date(2026, 2, 1), "month"))
    with project.answerer(months) as answerer:
        for first in (4, 0, 4):
            rows = answerer.answer(Question(("stage_duration",), months[first:])).to_pylist()
            ended = {(row["period_start"], row["value"]) for row in rows if row["n"]}
            expected = {
                (date(2025, 9, 1), 90.625),
                (date(2025, 11, 1), 94.0),
                (date(2026, 1, 1), 141.0),
            }
            assert ended == {one for one in expected if one[0] >= months[first].start}


@pytest.mark.parametrize(
    "ended",
    [
        "with since as (select start_at from looked_at) "
        "select h.* from live_opportunity_stage_history h, since where exited_at >= start_at",
        "select h.* from live_opportunity_stage_history h "
        "cross join (select start_at from looked_at) l where exited_at >= l.start_at",
        "with looked_at as (select timestamptz '2026-01-21 00:00:00+00' as start_at) "
        "select * from live_opportunity_stage_history "
        "where exited_at < (select start_at from looked_at)",
        "select * from live_opportunity_stage_history "
        "where exited_at >= first_looked_at() and '(select start_at from looked_at)' like '(%'",
    ],
)
def test_looked_at_is_a_relation_like_any_other(tmp_path: Path, ended: str) -> None:
    project = _project(tmp_path, EXITS, ended=f"-- materialized\n{ended}\n")
    (row,) = project.query(["exits"], period="2026-01").to_pylist()
    assert row["value"] == 1


@pytest.mark.parametrize("asked", ASKED)
def test_states_of_a_period_to_come_are_looked_at_as_of_now(tmp_path: Path, asked: str) -> None:
    as_of = datetime(2026, 1, 20, tzinfo=UTC)  # the very instant at which a stay ends
    values = []
    for kept in ("2020-01-01", ""):
        folder = tmp_path / (kept or "back")
        folder.mkdir()
        text = ENDED.format(f"timestamptz '{kept} 00:00:00+00'" if kept else asked)
        _project(folder, STANDING, ended=text)
        project = Project(folder, environ={}, now=lambda: as_of)
        (row,) = project.query(["standing"], period="2026-02").to_pylist()
        values.append(row["value"])
    assert values == [1, 1]


def test_a_model_may_be_called_as_what_stays_are_found_by(tmp_path: Path) -> None:
    own = """
kpis:
  staying_deals:
    title: Deals with stays
    question: How many?
    unit: count
    better: higher
    from: deals
    time: exited_at
    value: count(*)
    covered_by: [opportunity_stage_history.entered_at]
"""
    deals = "select opportunity_id, max(exited_at) as exited_at from stage_stays group by all"
    project = _project(tmp_path, own, deals=deals)
    (row,) = project.query(["staying_deals"], period="2026-01").to_pylist()
    assert row["value"] == 1


HISTORY = "live_opportunity_stage_history"
ASKS = ENDED.format("first_looked_at()")
KEPT = f"-- materialized\n{ASKS}"
ALL = f"select source, opportunity_id, entered_at, exited_at from {HISTORY}"
ASKED = "asks what is looked at"
TAKEN = "takes its rows from a materialized model"
OF_DEALS = "join live_opportunities o on o.id = e.opportunity_id"
UNDATED = {
    "is_kept": (KEPT, "", "is materialized"),
    "asks": (ASKS, "", ASKED),
    "asks_relation": (ENDED.format('(select start_at from "looked_at")'), "", ASKED),
    "joins": (f"select h.* from {HISTORY} h, looked_at l where exited_at >= start_at", "", ASKED),
    "joins_by": (
        f"select h.* from {HISTORY} h join live_users on exited_at >= first_looked_at()",
        "",
        ASKED,
    ),
    "asks_in_a_branch": (f"with e as ({ASKS}) select * from ({ALL}) union all from e", "", ASKED),
    "asks_in_the_first": (f"with e as ({ASKS}) from e union all {ALL}", "", ASKED),
    "asks_behind": (ASKS, f"select e.* from ended e left {OF_DEALS}", ASKED),
    "reads_kept": (KEPT, "with e as (from ended) from e where entered_at is not null", TAKEN),
    "reads_kept_behind": (KEPT, "select * from middle where source is not null", TAKEN),
    "joins_kept": (KEPT, f"select e.* from (from ended) e semi {OF_DEALS}", TAKEN),
    "branches_of_kept": (KEPT, f"select e.* from ended e {OF_DEALS} union all from ended", TAKEN),
}


@pytest.mark.parametrize("case", UNDATED)
def test_a_kpi_over_rows_that_are_not_there_yet_must_say_what_dates_them(
    tmp_path: Path, case: str
) -> None:
    ended, read, fault = UNDATED[case]
    name = "read" if read else "ended"
    models = {"ended": ended, "middle": "select * from ended", **({"read": read} if read else {})}
    project = _project(tmp_path, _undated(name), **models)
    problem = f"model '{name}' {fault}: a KPI that reads it must say by covered_by"
    with pytest.raises(ConfigError, match=problem) as error:
        project.query(["exits"], period="2026-01")
    place = error.value.findings[0]
    assert (place.file, place.line) == (f"metrics/sql/{name}.sql", 1)
    (told,) = [found.message for found in project.check() if found.state == "error"]
    assert problem in told


DATED = {
    "left_join": "{} h left join ended e using (source, opportunity_id)",
    "left_join_of_a_view": "{} h left join asking using (opportunity_id)",
    "left_join_of_a_query": "{} h left join (select opportunity_id as own from ended) on own = id",
    "left_join_lateral": "{} h left join lateral (from ended limit 1) on true",
    "right_join": "ended e right join {} h using (source, opportunity_id)",
    "full_join": "{} h full join ended e using (source, opportunity_id)",
    "anti_join": "{} h anti join ended e on e.entered_at > h.entered_at",
    "not_exists": "{} h where not exists (from ended where entered_at is null)",
    "union": "(select source, exited_at from {} union all select source, null from ended) h",
    "column": "(select *, exited_at as looked_at, first_looked_at() as since from {}) h",
    "own_looked_at": "(with looked_at as (select 1) select h.* from {} h, looked_at"
    " where 1 in (from looked_at)) h",
    "scalar": "(select *, (select count(*) from ended) as n from {}) h",
    "one_row": "(select count(*), 'crm' as source, (select max(exited_at) from {}) as exited_at"
    " from ended) h",
}


@pytest.mark.parametrize("model", DATED)
def test_a_model_with_rows_of_its_own_dates_them_itself(tmp_path: Path, model: str) -> None:
    read = f"select h.* from {DATED[model].format(HISTORY)}\n"
    models = {"ended": KEPT, "read": read, "asking": ASKS.replace("source, ", "")}
    project = _project(tmp_path, _undated("read"), **models)
    assert [found.message for found in project.check() if found.state == "error"] == []
    (row,) = project.query(["exits"], period="2026-01").to_pylist()
    assert (row["value"], row["status"]) == (1, "ok")


@pytest.mark.parametrize("model", ["left_join", "left_join_of_a_query", "not_exists", "union"])
def test_a_model_without_any_rows_yet_is_no_error(tmp_path: Path, model: str) -> None:
    read = f"select h.* from {DATED[model].format(HISTORY)}\n"
    crm = CRM[: CRM.index("a,1,Proposal")]
    project = _project(tmp_path, _undated("read"), crm, ended=KEPT, read=read)
    (row,) = project.query(["exits"], period="2026-01").to_pylist()
    assert (row["value"], row["status"]) == (None, "missing_dataset")


def _undated(relation: str) -> str:
    without = EXITS.replace("    covered_by: [opportunity_stage_history.entered_at]\n", "")
    return without.replace("from: ended", f"from: {relation}")
