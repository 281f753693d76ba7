"""Questions of one session: what an earlier one set up stands, and never in the way of a later."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Answerer, Question
from crmetrics.engine.records import records
from crmetrics.periods import Grain
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2025, 8, 20, 7, 30, tzinfo=UTC)
PACKS = ("sales", "revenue", "service")
RUN_ONLY = ["run_id", "computed_at"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("standing")
    write_project(folder, {}, packs=PACKS)
    crm = SampleCrm(seed=5, scale=0.1, start=date(2024, 6, 1), end=date(2025, 8, 1))
    load_tables(folder, crm.tables)
    return Project(folder, environ={}, now=lambda: NOW)


def question(project: Project, kpis: str, start: date, grain: Grain, *by: str) -> Question:
    periods = tuple(project.calendar.periods(start, date(2025, 8, 1), grain))
    return Question(tuple(kpis.split()), periods, ((), *((name,) for name in by)))


def made(answerer: Answerer) -> dict[str, int]:
    """Temporary tables and when they were made: DuckDB numbers them as they come."""
    query = "select table_name, table_oid from duckdb_tables() where temporary"
    return {str(name): int(number) for name, number in answerer.session.rows(query)}


def test_a_question_after_others_has_the_answer_that_it_has_alone(project: Project) -> None:
    # Kept models, states, vectors and parents, over periods that come, go and come again.
    spring, july = date(2025, 3, 1), date(2025, 7, 1)
    asked = [
        question(project, "stage_duration win_rate", spring, "month", "team"),
        question(project, "stage_duration", july, "week"),
        question(project, "sales_pipeline_value net_new_mrr", spring, "month", "segment"),
        question(project, "stage_duration win_rate", spring, "month", "team"),
        question(project, "sales_velocity first_response_time", july, "month", "team"),
        question(project, "stage_duration sales_velocity", spring, "quarter", "segment"),
    ]
    with project.answerer(asked[0].periods) as together:
        for each in asked:
            found = together.answer(each).drop_columns(RUN_ONLY)
            with project.answerer(asked[0].periods) as alone:
                wanted = alone.answer(each).drop_columns(RUN_ONLY)
            assert found.num_rows > 1
            assert found.to_pylist() == wanted.to_pylist(), each.kpis


CALLS = """
@activities
activity_type,case_id,occurred_at,talk_seconds,is_completed,is_automated
call,1,2025-07-01T09:00:00Z,60,true,false
call,1,2025-07-01T10:00:00Z,120,true,false
@cases
id,created_at,closed_at,status,is_closed
1,2025-07-01T09:00:00Z,2025-07-02T09:00:00Z,solved,true
"""


def test_a_model_is_made_although_less_is_left_of_the_one_that_it_reads(tmp_path: Path) -> None:
    # Of contacts the first reads the seconds; the second makes another model of them and of cases.
    write_project(tmp_path, {}, packs=PACKS)
    load_tables(tmp_path, read_tables(CALLS))
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    names = "average_handle_time", "average_handle_time.per_case", "average_handle_time"
    asked = [question(project, name, date(2025, 7, 1), "month") for name in names]
    with project.answerer(asked[0].periods) as answerer:
        assert [answerer.answer(each)["value"].to_pylist() for each in asked] == [[90], [180], [90]]


def test_what_the_next_question_needs_alike_is_not_made_again(project: Project) -> None:
    spring = date(2025, 3, 1)
    first = question(project, "stage_duration", spring, "month", "team")
    with project.answerer(first.periods) as answerer:
        answerer.answer(first)
        before = made(answerer)
        answerer.answer(question(project, "stage_duration", spring, "month", "segment"))
        after = made(answerer)
        kept = {name for name, number in before.items() if after.get(name) == number}
        assert {"stage_stays", "slices", "windows_1"} <= kept
        assert "rowset_1" not in kept
        # A question that looks further back needs stays that were left out.
        answerer.answer(question(project, "stage_duration", date(2025, 1, 1), "month"))
        later = made(answerer)
        assert all(later[name] != after[name] for name in ("stage_stays", "slices", "windows_1"))


def test_records_stand_in_no_questions_way(project: Project) -> None:
    spring = question(project, "stage_duration", date(2025, 3, 1), "month")
    with project.answerer(spring.periods) as answerer:
        wanted = answerer.answer(spring).drop_columns(RUN_ONLY).to_pylist()
        july = question(project, "stage_duration", date(2025, 7, 1), "month")
        assert records(answerer, july).num_rows
        assert answerer.answer(spring).drop_columns(RUN_ONLY).to_pylist() == wanted
