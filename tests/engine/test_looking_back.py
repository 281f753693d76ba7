"""`looked_at`: how far back the models of a question have to reach."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Question
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
"""

ENDED = """select source, opportunity_id, entered_at, exited_at from live_opportunity_stage_history
where exited_at is null or exited_at >= (select start_at from {})
"""


def _project(folder: Path, definitions: str = "", **models: str) -> Project:
    write_project(folder, {}, packs=("sales",))
    (folder / "metrics" / "sql").mkdir(parents=True)
    (folder / "metrics" / "own.yaml").write_text(definitions or "kpis: {}\n")
    for name, text in models.items():
        (folder / "metrics" / "sql" / f"{name}.sql").write_text(text)
    load_tables(folder, read_tables(CRM))
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


@pytest.mark.parametrize("name", ["looked_at", '"looked_at"', "Looked_At"])
def test_a_vector_reads_what_its_model_looks_back_for(tmp_path: Path, name: str) -> None:
    project = _project(tmp_path, VECTOR, ended=ENDED.format(name))
    periods = tuple(project.calendar.periods(date(2025, 10, 1), date(2026, 2, 1), "month"))
    for beside in ((), ("stage_duration",)):
        with project.answerer(periods) as answerer:
            rows = answerer.answer(Question(("open_stays", *beside), periods)).to_pylist()
        values = [row["value"] for row in rows if row["kpi"] == "open_stays"]
        assert values == [2, 1, 1, 0]


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
