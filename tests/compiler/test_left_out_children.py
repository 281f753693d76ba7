"""Groups of children that quality rules left out: those of the parents that they left with."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from crmetrics.datasets import canonical_datasets, extend
from crmetrics.engine import Project
from crmetrics.engine.answer import Question
from crmetrics.plugin import Column, Dataset
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FORMER = Dataset(
    "opportunity_stage_history",
    "",
    (Column("former_opportunity_id", "string", references="opportunities"),),
)
PLUGIN = """
from crmetrics.plugin import Column, Dataset, hookimpl

@hookimpl
def crmetrics_datasets():
    former = Column('former_opportunity_id', 'string', references='opportunities')
    return [Dataset('opportunity_stage_history', '', (former,))]
"""
KPI = """
kpis:
  entries:
    title: Entries
    question: How many stages were entered?
    unit: count
    better: higher
    from: opportunity_stage_history
    time: entered_at
    value: count(*)
"""
CRM = """
@opportunities
id,lead_source,is_closed,created_at,close_date,is_deleted
1,Web,false,2026-01-01T00:00:00Z,2026-04-05,false
2,Fair,false,2026-01-01T00:00:00Z,2026-04-06,false
3,Web,false,2026-01-01T00:00:00Z,2026-04-07,true
4,Mail,false,2026-01-01T00:00:00Z,2026-04-08,false
@opportunity_stage_history
id,opportunity_id,former_opportunity_id,stage,entered_at,is_closed,is_deleted
h1,1,2,Offer,2026-01-02T00:00:00Z,false,false
h2,2,3,Offer,2026-01-03T00:00:00Z,false,false
h3,3,2,Offer,2026-01-04T00:00:00Z,false,false
h4,3,,Proof,2026-01-05T00:00:00Z,false,false
h5,4,4,Proof,2026-01-05T00:00:00Z,false,false
"""
OF_ITS_OWN = "h6,1,4,Proof,2026-01-06T00:00:00Z,false,true\n"
OWN, FORMERS = "opportunity.lead_source", "former_opportunity.lead_source"


def _counts(
    folder: Path, crm: str, large_rows: int
) -> tuple[str, dict[tuple[str, str], dict[str, float]]]:
    """The statement that counts what was left out, and dimension and group -> value and counts of
    what was left out."""
    known = extend(canonical_datasets(), [FORMER])
    write_project(folder, {}, packs=())
    for name, text in (("plugins/former.py", PLUGIN), ("metrics/own.yaml", KPI)):
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)
    load_tables(folder, read_tables(crm, datasets=known), datasets=known)
    project = Project(folder, environ={}, now=lambda: NOW)
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    question = Question(("entries",), periods, ((), (OWN,), (FORMERS,)))
    with project.answerer(periods) as answerer:
        answerer.large_rows = large_rows
        texts = [statement.sql for statement in answerer.program(question).statements]
        rows = answerer.answer(question).to_pylist()
    found = {}
    for row in rows:
        ((dimension, group),) = dict(row["segment"]).items() or [("", "")]
        left = {k: n for k, n in dict(row["coverage"]).items() if k.startswith("excluded_")}
        found[dimension, group] = {"value": row["value"], **left}
    (statement,) = [text for text in texts if "excluded_1 as" in text.partition("\n")[0]]
    return statement, found


@pytest.mark.parametrize("large_rows", [1, 1000])
def test_what_left_with_its_deal_stands_in_its_group(large_rows: int, tmp_path: Path) -> None:
    statement, found = _counts(tmp_path, CRM, large_rows)
    assert found == {
        ("", ""): {"value": 3, "excluded_parent": 2},
        (OWN, "Web"): {"value": 1, "excluded_parent": 2},
        (OWN, "Fair"): {"value": 1},
        (OWN, "Mail"): {"value": 1},
        # A former deal is no reason to leave: it stays, and may be found among the others only.
        (FORMERS, "Fair"): {"value": 1, "excluded_parent": 1},
        (FORMERS, "Mail"): {"value": 1},
        # The former deal of a row that stays has left, and so has its name; h4 has none.
        (FORMERS, "(none)"): {"value": 1, "excluded_parent": 1},
    }
    # The deals that rows left with are not looked for among those that stay; former ones are.
    assert statement.count("as known") == 1


@pytest.mark.parametrize("large_rows", [1, 1000])
def test_what_left_by_itself_stands_in_the_group_of_a_deal_that_stays(
    large_rows: int, tmp_path: Path
) -> None:
    statement, found = _counts(tmp_path, CRM + OF_ITS_OWN, large_rows)
    assert found[OWN, "Web"] == {"value": 1, "excluded_parent": 2, "excluded_deleted": 1}
    assert found[FORMERS, "Mail"] == {"value": 1, "excluded_deleted": 1}
    assert statement.count("as known") == 2
