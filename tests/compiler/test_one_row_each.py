"""No KPI, period and segment stands twice in a result, whatever is asked for together."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Answerer, Question
from crmetrics.testing.examples import read_example
from crmetrics.testing.projects import load_tables, write_project

DEALS = """@opportunities
id,owner_id,close_date,is_closed,is_won,amount
1,ann,2026-01-05,true,true,100
2,bob,2026-01-06,true,true,50
3,bob,2025-12-06,true,true,30
"""
ANSWERS = """@survey_responses
id,survey_type,product_id,contact_id,score,scale_min,scale_max,responded_at
1,nps,p1,c1,10,0,10,2025-11-05
@products
id,family
p1,basic
"""
Row = tuple[str, tuple[tuple[str, str], ...]]


def ask(folder: Path, text: str, kpi: str, **asked: Any) -> dict[Row, dict[str, Any]]:
    write_project(folder, {}, packs=("sales", "retention"))
    load_tables(folder, read_example(text).tables)
    rows = Project(folder, environ={}).query([kpi], **asked).to_pylist()
    keys = [(str(row["period_start"]), tuple(row["segment"])) for row in rows]
    assert max(Counter(keys).values()) == 1, keys
    return dict(zip(keys, rows, strict=True))


def test_a_total_keeps_its_value_beside_a_grouping_that_lacks_its_data(tmp_path: Path) -> None:
    asked = {"period": "2026-01", "by": [["owner_id"], ["family"]], "totals": True}
    rows = ask(tmp_path, DEALS, "won_amount", compare=["previous"], **asked)
    total = rows["2026-01-01", ()]
    assert (total["value"], total["status"], total["previous_value"]) == (150, "ok", 30)
    assert total["flags"] == ["missing_dataset:opportunity_items"]
    ann = rows["2026-01-01", (("owner_id", "ann"),)]
    assert (ann["value"], ann["flags"]) == (100, [])
    assert len(rows) == 3


def test_a_grouping_that_lacks_its_data_says_so_once(tmp_path: Path) -> None:
    asked = {"period": "2026-01", "by": [["owner_id"], ["family"], ["product_id"]]}
    rows = ask(tmp_path, DEALS, "won_amount", **asked)
    assert rows["2026-01-01", ()]["status"] == "missing_dataset"
    assert len(rows) == 3


@pytest.mark.parametrize("by", [[["segment"], ["family"]], [["family"], ["segment"], ["country"]]])
def test_a_period_without_any_group_has_one_row(by: list[list[str]], tmp_path: Path) -> None:
    asked = {"start": "2025-11-01", "end": "2026-01-01", "grain": "month", "totals": True}
    rows = ask(tmp_path, ANSWERS, "nps_by_product", by=by, **asked)
    assert rows["2025-12-01", ()]["status"] == "no_data"
    assert ("2025-11-01", ()) not in rows
    assert rows["2025-11-01", (("product_id", "p1"),)]["value"] == 100


def test_many_kpis_are_put_together_in_turns_and_give_the_rows_of_each(tmp_path: Path) -> None:
    write_project(tmp_path, {}, packs=("sales", "retention"))
    load_tables(tmp_path, read_example(DEALS + ANSWERS).tables)
    project = Project(tmp_path, environ={}, now=lambda: datetime(2026, 2, 10, tzinfo=UTC))
    periods = tuple(project.calendar.periods(date(2025, 12, 1), date(2026, 2, 1), "month"))
    unlike = {"run_id", "computed_at"}

    def rows(answerer: Answerer, names: tuple[str, ...]) -> list[dict[str, Any]]:
        question = Question(names, periods, ((), ("owner_id",)), compare=("previous",))
        found = answerer.answer(question).drop_columns(sorted(unlike)).to_pylist()
        return sorted(found, key=str)

    with project.answerer(periods) as answerer:
        kpis = answerer.catalog.kpis.values()
        of_owners = [kpi for kpi in kpis if "owner_id" in kpi.dimensions]
        names = tuple(f"{kpi.id}.{v}".rstrip(".") for kpi in of_owners for v in ("", *kpi.variants))
        program = answerer.program(Question(names, periods, ((), ("owner_id",))))
        assembled = [each.sql for each in program.statements if each.kind == "assemble"]
        assert len(assembled) > 1
        together = rows(answerer, names)
        apart = sorted((row for name in names for row in rows(answerer, (name,))), key=str)
    assert len(together) > len(names) * len(periods)
    assert together == apart


QUOTAS = """@quotas
id,owner_id,period_start,period_end,kpi_id,target_amount,currency
1,,2026-01-01,2026-02-01,won_amount,400,USD
2,bob,2026-01-01,2026-02-01,won_amount,100,USD
"""


def test_rows_that_no_two_alternatives_have_are_not_looked_for(tmp_path: Path) -> None:
    asked = {"period": "2026-01", "by": [["owner_id"]], "totals": True}
    rows = ask(tmp_path, DEALS + QUOTAS, "quota_attainment", **asked)
    assert rows["2026-01-01", ()]["value"] == 150 / 400
    assert rows["2026-01-01", (("owner_id", "bob"),)]["value"] == 50 / 100
    project = Project(tmp_path, environ={}, now=lambda: datetime(2026, 2, 10, tzinfo=UTC))
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    with project.answerer(periods) as answerer:
        question = Question(("quota_attainment",), periods, ((), ("owner_id",)))
        program = answerer.program(question)
    (assembled,) = (each.sql for each in program.statements if each.kind == "assemble")
    assert assembled.count("'quota_attainment' as kpi") == 2
    assert "over one_row" not in assembled


OWN = """
won_by_source:
  title: Won deals by source
  question: How many deals of each source were won?
  kind: aggregate
  unit: count
  better: higher
  grain: month
  from: opportunities
  time: close_date
  where: is_won
  value: count(*)
  always_by: [lead_source]
  alternatives:
    - for: [lead_source, campaign_id]
      where: [is_won, amount > 20]
  dimensions: [lead_source, campaign_id, owner_id]
  source: a rule of this company
"""
"""Two alternatives that both give groups of the dimension that is in every row."""

FOUND = """@opportunities
id,owner_id,lead_source,campaign_id,close_date,is_closed,is_won,amount
1,ann,web,c1,2026-01-05,true,true,100
2,bob,web,c1,2026-01-06,true,true,50
3,bob,fair,c2,2026-01-06,true,true,30
4,bob,fair,c2,2025-11-06,true,true,30
"""


def test_a_group_that_two_alternatives_give_stands_once(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "own.yaml").write_text(OWN)
    asked = {"start": "2025-12-01", "end": "2026-02-01", "grain": "month", "totals": True}
    by = [["lead_source"], ["campaign_id"], ["owner_id"]]
    rows = ask(tmp_path, FOUND, "won_by_source", by=by, **asked)
    web, fair = ("lead_source", "web"), ("lead_source", "fair")
    groups = [(fair,), (web,), (fair, ("campaign_id", "c2")), (web, ("campaign_id", "c1"))]
    groups += [(fair, ("owner_id", "bob")), (web, ("owner_id", "ann")), (web, ("owner_id", "bob"))]
    wanted: dict[Row, float] = {("2026-01-01", group): 1 for group in groups}
    wanted |= {("2026-01-01", (web,)): 2, ("2026-01-01", (web, ("campaign_id", "c1"))): 2}
    assert {key: row["value"] for key, row in rows.items() if key[1]} == wanted
    assert [(key, row["value"]) for key, row in rows.items() if not key[1]] == [
        (("2025-12-01", ()), 0)
    ]
