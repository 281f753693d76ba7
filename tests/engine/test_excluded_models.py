"""What quality rules left out of KPIs over models, vectors and derived views (rule Q6)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Question
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PACKS = ("sales", "retention", "revenue", "marketing", "service", "adoption")
REASONS = ("excluded_deleted", "excluded_test", "excluded_spam", "excluded_parent", "merged")


def _project(folder: Path, text: str, **settings: Any) -> Project:
    write_project(folder, {}, packs=PACKS, settings=settings)
    load_tables(folder, read_tables(text))
    return Project(folder, environ={}, now=lambda: NOW)


def _left_out(project: Project, kpi: str, **asked: Any) -> dict[str, float]:
    (row,) = project.query([kpi], **{"period": "2026-01", **asked}).to_pylist()
    return {name: count for name, count in row["coverage"] if name in REASONS}


ORDERS = """
@accounts
id,segment,is_deleted
A,big,false
B,small,false
X,big,true
@orders
id,account_id,ordered_at,status,total_amount,is_deleted,is_test
kept,A,2026-01-05,paid,10,false,false
gone,A,2026-01-06,paid,10,true,false
draft,A,2026-01-06,draft,10,true,false
trial,B,2026-01-07,paid,10,false,true
before,A,2025-12-07,paid,1,true,false
of a gone account,X,2026-01-08,paid,10,false,false
@order_items
order_id,product_id,quantity,total_amount
kept,p,1,10
gone,p,1,6
gone,q,1,4
trial,p,1,10
"""


DEALS = """
@accounts
id,segment
A,big
@opportunities
id,account_id,amount,currency,is_won,is_closed,close_date,is_deleted
1,A,10,EUR,true,true,2026-01-05,false
2,A,20,EUR,true,true,2026-01-06,true
3,A,30,EUR,false,true,2026-01-07,true
4,,40,EUR,true,true,2026-01-08,true
@exchange_rates
currency,valid_from,rate
EUR,2020-01-01,1.5
"""


def test_records_left_out_are_counted_from_what_decides_whether_they_count(tmp_path: Path) -> None:
    project = _project(tmp_path, DEALS)
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    with project.answerer(periods) as answerer:
        program = answerer.program(Question(("won_amount",), periods, ((), ("segment",))))
        rows = answerer.run(program).to_pylist()
    (values,) = program.scans()
    (counts,) = (item.sql for item in program.statements if item.kind == "excluded")
    assert "rates_by_day" in values and "rates_by_day" not in counts
    assert "live_accounts" in counts and "is_won" in counts
    assert "'deleted'" in counts and "'test'" not in counts, "no test record is loaded"
    found = {tuple(dict(row["segment"]).values()): row for row in rows}
    left_out = {group: dict(row["coverage"])["excluded_deleted"] for group, row in found.items()}
    assert left_out == {(): 2, ("big",): 1}
    assert found[()]["value"] == 15


def test_records_left_out_are_kept_where_three_statements_count_them(tmp_path: Path) -> None:
    project = _project(tmp_path, DEALS)
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    read, left_out = [], []
    with project.answerer(periods) as answerer:
        for kpis in (("won_amount",), ("won_amount", "sales_velocity", "win_rate.cohort")):
            program = answerer.program(Question(kpis, periods))
            counts = [item.sql for item in program.statements if item.kind == "excluded"]
            read.append([re.findall(r"from (\w+_opportunities) f", sql) for sql in counts])
            (row, *_) = answerer.run(program).to_pylist()
            left_out.append((row["kpi"], dict(row["coverage"])["excluded_deleted"]))
    assert read == [[["excluded_opportunities"]], [["removed_opportunities"]] * 3]
    assert left_out == [("won_amount", 2)] * 2


def test_orders_that_would_have_counted_are_counted_by_reason(tmp_path: Path) -> None:
    project = _project(tmp_path, ORDERS)
    found = {"excluded_deleted": 1, "excluded_test": 1, "excluded_parent": 1}
    assert _left_out(project, "revenue") == found
    assert _left_out(project, "average_deal_size.average_order_value") == found
    # By product the lines count that left with their orders.
    assert _left_out(project, "items_per_order") == {"excluded_deleted": 2, "excluded_test": 1}


def test_left_out_rows_are_those_of_the_period_and_the_group(tmp_path: Path) -> None:
    project = _project(tmp_path, ORDERS)
    assert _left_out(project, "revenue", period="2025-12") == {"excluded_deleted": 1}
    rows = project.query(["revenue"], period="2026-01", by=["segment"]).to_pylist()
    found = {dict(row["segment"])["segment"]: dict(row["coverage"]) for row in rows}
    assert found["big"]["excluded_deleted"] == 1
    assert "excluded_test" not in found["big"]


def test_what_was_left_out_is_told_where_nothing_is_left(tmp_path: Path) -> None:
    text = """
@opportunities
id,created_at,close_date,is_closed,is_won,amount,is_deleted,owner_id
1,2025-01-01,2025-12-10,true,true,10,false,u
2,2026-01-01,2026-01-10,true,true,10,true,u
"""
    project = _project(tmp_path, text)
    (won,) = project.query(["won_amount"], period="2026-01").to_pylist()
    assert (won["value"], dict(won["coverage"])) == (0, {"excluded_deleted": 1})
    (rate,) = project.query(["win_rate"], period="2026-01").to_pylist()
    assert (rate["value"], rate["status"]) == (None, "no_data")
    assert dict(rate["coverage"]) == {"excluded_deleted": 1}
    assert project.query(["won_amount"], period="2026-01", by=["owner_id"]).num_rows == 0


def test_won_deals_that_stand_for_orders_are_counted(tmp_path: Path) -> None:
    text = """
@opportunities
id,account_id,created_at,close_date,is_closed,is_won,amount,is_deleted
1,A,2026-01-01,2026-01-10,true,true,10,false
2,A,2026-01-01,2026-01-10,true,true,10,true
3,A,2026-01-01,2026-01-10,true,false,10,true
"""
    project = _project(tmp_path, text, orders_from="opportunities")
    assert _left_out(project, "revenue") == {"excluded_deleted": 1}


def test_customers_of_excluded_subscriptions_are_counted_where_they_would_have_been(
    tmp_path: Path,
) -> None:
    text = """
@subscriptions
id,account_id,start_date,end_date,mrr,is_deleted,is_test
1,A,2025-01-01,,10,false,false
2,B,2025-01-01,2026-01-10,10,true,false
3,C,2026-01-10,,10,true,false
4,D,2025-01-01,,10,false,true
"""
    project = _project(tmp_path, text)
    # B is there at the opening only, C at the closing only, D at both.
    deleted_and_test = {"excluded_deleted": 1, "excluded_test": 1}
    assert _left_out(project, "active_customers") == deleted_and_test
    assert _left_out(project, "customer_retention_rate") == deleted_and_test
    assert _left_out(project, "gross_revenue_retention") == deleted_and_test
    assert _left_out(project, "new_customers") == {"excluded_deleted": 1}
    rows = project.query(["net_new_mrr"], period="2026-01").to_pylist()
    # D moved nothing.
    assert [dict(row["coverage"]) for row in rows] == [{"excluded_deleted": 2}]


def test_cases_with_their_history_are_counted_once(tmp_path: Path) -> None:
    text = """
@cases
id,created_at,is_closed,is_deleted,is_test,merged_into_id,team
1,2025-12-20,false,false,false,,one
2,2025-12-20,false,true,false,,one
3,2025-12-20,false,false,true,,two
4,2025-12-20,false,true,false,1,one
5,2025-12-20,true,true,false,,one
@case_status_history
case_id,status_category,entered_at,exited_at
1,open,2025-12-20,
2,new,2025-12-20,2025-12-22
2,open,2025-12-22,
3,open,2025-12-20,
4,open,2025-12-20,
5,open,2025-12-20,2026-01-15
5,solved,2026-01-15,
"""
    project = _project(tmp_path, text)
    found = {"excluded_deleted": 1, "excluded_test": 1, "merged": 1}
    assert _left_out(project, "case_backlog") == found
    solved = _left_out(project, "resolution_time.first_resolution")
    assert solved == {"excluded_deleted": 1}
    rows = project.query(["case_backlog"], period="2026-01", by=["team"]).to_pylist()
    teams = {dict(row["segment"])["team"]: dict(row["coverage"]) for row in rows}
    assert {key: teams["one"].get(key) for key in found} == {
        "excluded_deleted": 1,
        "excluded_test": None,
        "merged": 1,
    }


def test_excluded_records_of_a_model_are_listed(tmp_path: Path) -> None:
    rows = _project(tmp_path, ORDERS).rows("revenue", period="2026-01").to_pylist()
    assert {row["record"]: row["coverage"] for row in rows} == {
        "kept": [],
        "gone": ["excluded_deleted"],
        "trial": ["excluded_test"],
        "of a gone account": ["excluded_parent"],
    }


@pytest.mark.parametrize(
    "model",
    [
        "select * from counted_orders where amount >= 10",
        # The first of each reason: each reason is looked at as if there were no other.
        "select * from counted_orders where amount >= 10\n"
        "qualify row_number() over (order by booked_on, id) = 1",
        "select * from counted_orders order by booked_on desc, id limit 1",
        "select * from counted_orders where amount >= 10 using sample 100 percent",
    ],
)
def test_a_teams_own_model_says_what_its_rows_stand_for(model: str, tmp_path: Path) -> None:
    own = """
kpis:
  big_orders:
    title: Big orders
    unit: count
    better: higher
    from: big_orders
    time: booked_on
    value: count(*)
    covered_by: [orders.ordered_at]
"""
    project = _project(tmp_path, ORDERS)
    (tmp_path / "metrics" / "sql").mkdir(parents=True)
    (tmp_path / "metrics" / "own.yaml").write_text(own, encoding="utf-8")
    (tmp_path / "metrics" / "sql" / "big_orders.sql").write_text(
        f"-- excluded: orders\n{model}", encoding="utf-8"
    )
    assert _left_out(project, "big_orders") == {
        "excluded_deleted": 1,
        "excluded_test": 1,
        "excluded_parent": 1,
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, SampleCrm]:
    crm = SampleCrm(seed=7)
    folder = tmp_path_factory.mktemp("excluded")
    write_project(folder, {}, packs=PACKS)
    load_tables(folder, crm.tables)
    return Project(folder, environ={}, now=lambda: NOW), crm


@pytest.mark.parametrize(
    ("kpi", "dataset", "day", "counts"),
    [
        ("average_deal_size.average_order_value", "orders", "ordered_at",
         lambda row: row["status"] not in ("draft", "cancelled")),
        ("campaign_volume.sends_per_person", "campaign_members", "sent_at", lambda row: True),
    ],
)  # fmt: skip
def test_counts_of_the_sample_are_those_of_its_raw_rows(
    kpi: str, dataset: str, day: str, counts: Any, sample: tuple[Project, SampleCrm]
) -> None:
    project, crm = sample
    for year in (2023, 2024, 2025):
        left_out = [
            row
            for row in crm.tables[dataset].to_pylist()
            if (row["is_deleted"] or row["is_test"])
            and row[day] is not None
            and row[day].year == year
            and counts(row)
        ]
        expected = {
            "excluded_deleted": sum(row["is_deleted"] for row in left_out),
            "excluded_test": sum(row["is_test"] and not row["is_deleted"] for row in left_out),
        }
        (row,) = project.query([kpi], period=str(year)).to_pylist()
        found = dict(row["coverage"])
        assert {name: found.get(name, 0) for name in expected} == expected


GONE_DEALS = """
@users
id,team
u1,East
@opportunities
id,owner_id,lead_source,forecast_category,created_at,close_date,is_closed,is_deleted
kept,u1,web,pipeline,2026-01-01T00:00:00Z,2026-03-01,false,false
gone,u1,web,pipeline,2026-01-01T00:00:00Z,2026-03-01,false,true
gone and omitted,u1,web,omitted,2026-01-01T00:00:00Z,2026-03-01,false,true
@opportunity_stage_history
id,opportunity_id,stage,entered_at,exited_at,amount,is_closed
1,kept,Proposal,2026-01-01T00:00:00Z,2026-01-05T00:00:00Z,100,false
2,kept,Review,2026-01-05T00:00:00Z,,100,false
3,gone,Proposal,2026-01-01T00:00:00Z,2026-01-09T00:00:00Z,100,false
4,gone,Review,2026-01-09T00:00:00Z,,100,false
5,gone and omitted,Proposal,2026-01-01T00:00:00Z,2026-01-09T00:00:00Z,100,false
6,gone and omitted,Review,2026-01-09T00:00:00Z,,100,false
"""


@pytest.mark.parametrize("by", ["owner.team", "lead_source"])
def test_rows_that_left_with_their_parent_are_counted_in_its_group(by: str, tmp_path: Path) -> None:
    project = _project(tmp_path, GONE_DEALS)
    found = {}
    for kpi in ("sales_pipeline_value", "stage_duration"):
        for row in project.query([kpi], period="2026-01", by=[by]).to_pylist():
            left_out = dict(row["coverage"]).get("excluded_parent", 0)
            if left_out:
                found[kpi, dict(row["segment"])[by]] = left_out
    # The omitted deal would have been in no pipeline, but it spent its days in the stage.
    entry = {"owner.team": "East", "lead_source": "web"}[by]
    assert found == {("sales_pipeline_value", entry): 1, ("stage_duration", entry): 2}


QUOTAS = """
@accounts
id,segment
A,big
@users
id,team
u1,East
u2,West
@quotas
owner_id,kpi_id,period_start,period_end,target_amount
u1,won_amount,2026-01-01,2026-02-01,100
u2,won_amount,2026-01-01,2026-02-01,200
@opportunities
id,owner_id,account_id,created_at,close_date,is_closed,is_won,amount,is_deleted
1,u1,A,2025-12-01T00:00:00Z,2026-01-10,true,true,40,false
2,u1,A,2025-12-01T00:00:00Z,2026-01-30,false,false,60,false
3,u1,A,2025-12-01T00:00:00Z,2026-01-11,true,true,40,true
4,u1,A,2025-12-01T00:00:00Z,2026-01-30,false,false,60,true
5,u1,A,2025-12-01T00:00:00Z,2026-02-28,true,true,40,true
6,u3,A,2025-12-01T00:00:00Z,2026-01-10,true,true,40,true
"""


@pytest.mark.parametrize(
    ("kpi", "by", "expected"),
    [
        ("quota_attainment", [], {"": 1}),
        ("quota_attainment", ["team"], {"East": 1, "West": 0}),
        ("quota_attainment.pace", [], {"": 1}),
        ("pipeline_coverage", [], {"": 2}),
        ("pipeline_coverage", ["owner_id"], {"u1": 2, "u2": 0}),
        ("pipeline_coverage", ["segment"], {"big": 1}),
    ],
)
def test_what_is_left_out_of_a_quota_are_deals_of_its_owners(
    kpi: str, by: list[str], expected: dict[str, int], tmp_path: Path
) -> None:
    write_project(tmp_path, {}, packs=("sales",))
    load_tables(tmp_path, read_tables(QUOTAS))
    project = Project(tmp_path, environ={}, now=lambda: datetime(2026, 1, 20, tzinfo=UTC))
    rows = project.query([kpi], period="2026-01", by=by).to_pylist()
    found = {
        next(iter(dict(row["segment"]).values()), ""): dict(row["coverage"]).get(
            "excluded_deleted", 0
        )
        for row in rows
    }
    assert found == expected


TWO_MONTHS = (
    QUOTAS.replace(
        "@opportunities",
        "u1,won_amount,2026-02-01,2026-03-01,100\nu2,won_amount,2026-02-01,2026-03-01,200\n@opportunities",
    )
    + "7,u2,A,2025-12-01T00:00:00Z,2026-02-10,true,true,40,true\n"
)


def test_what_several_counts_read_of_a_kept_model_is_looked_at_once(tmp_path: Path) -> None:
    write_project(tmp_path, {}, packs=("sales",))
    load_tables(tmp_path, read_tables(TWO_MONTHS))
    project = Project(tmp_path, environ={}, now=lambda: datetime(2026, 3, 20, tzinfo=UTC))
    months = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 3, 1), "month"))
    made: list[int] = []
    found = []
    with project.answerer(months) as answerer:
        # The second question asks for another month, the third for the first one again.
        for month in (months[0], months[1], months[0]):
            program = answerer.program(Question(("quota_attainment",), (month,), ((), ("team",))))
            texts = [statement.sql for statement in program.statements]
            made.append(sum(" temp table left_out_opportunities_" in text for text in texts))
            counts = [item.sql for item in program.statements if item.kind == "excluded"]
            assert len(counts) == 2
            assert not any("_opportunities where _reason" in sql for sql in counts)
            rows = answerer.run(program).to_pylist()
            found.append(
                {
                    next(iter(dict(row["segment"]).values()), ""): dict(row["coverage"]).get(
                        "excluded_deleted", 0
                    )
                    for row in rows
                }
            )
    assert made == [1, 1, 1]
    january, february = {"": 1, "East": 1, "West": 0}, {"": 2, "East": 1, "West": 1}
    assert found == [january, february, january]


def test_a_count_that_is_alone_reads_no_kept_model(tmp_path: Path) -> None:
    write_project(tmp_path, {}, packs=("sales",))
    load_tables(tmp_path, read_tables(TWO_MONTHS))
    project = Project(tmp_path, environ={}, now=lambda: datetime(2026, 1, 20, tzinfo=UTC))
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    with project.answerer(periods) as answerer:
        program = answerer.program(Question(("quota_attainment",), periods))
        assert not any(" left_out_opportunities_" in item.sql for item in program.statements)
        (row,) = answerer.run(program).to_pylist()
    assert dict(row["coverage"])["excluded_deleted"] == 1


def test_records_left_out_of_models_over_one_kept_model_are_listed(tmp_path: Path) -> None:
    own = """
kpis:
  share_of_big_orders:
    title: Share of big orders
    unit: percent
    better: higher
    inputs:
      big: {from: big_orders, time: booked_on, value: count(*), covered_by: [orders.ordered_at]}
      every: {from: every_order, time: booked_on, value: count(*), covered_by: [orders.ordered_at]}
    numerator: big
    denominator: every
"""
    models = {
        "kept_orders": "-- materialized\nselect * from counted_orders",
        "big_orders": "-- excluded: orders\nselect * from kept_orders where amount >= 10",
        "every_order": "-- excluded: orders\nselect * from kept_orders",
    }
    project = _project(tmp_path, ORDERS.replace("A,2026-01-06,paid,10", "A,2026-01-06,paid,9"))
    (tmp_path / "metrics" / "sql").mkdir(parents=True)
    (tmp_path / "metrics" / "own.yaml").write_text(own, encoding="utf-8")
    for name, text in models.items():
        (tmp_path / "metrics" / "sql" / f"{name}.sql").write_text(text, encoding="utf-8")
    listed = {
        (row["input"], row["record"]): row["coverage"]
        for row in project.rows("share_of_big_orders", period="2026-01").to_pylist()
    }
    both = {"trial": ["excluded_test"], "of a gone account": ["excluded_parent"], "kept": []}
    assert listed == {
        **{(name, record): found for name in ("big", "every") for record, found in both.items()},
        ("every", "gone"): ["excluded_deleted"],
    }
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    with project.answerer(periods) as answerer:
        program = answerer.program(Question(("share_of_big_orders",), periods))
    assert sum(" temp table left_out_orders_kept_orders" in s.sql for s in program.statements) == 1


def test_two_counts_of_left_out_children_read_the_columns_they_name_from_a_table(
    tmp_path: Path,
) -> None:
    kept = "\n".join(f"kept {n},u1,web,pipeline,2026-01-01T00:00:00Z,2026-03-01,false,false"
                     for n in range(30))  # fmt: skip
    text = GONE_DEALS.replace("@opportunity_stage_history", f"{kept}\n@opportunity_stage_history")
    project = _project(tmp_path, text)
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    asked = Question(("sales_pipeline_value", "stage_duration"), periods, (("owner.team",),))
    with project.answerer(periods) as answerer:
        program = answerer.program(asked)
        rows = answerer.run(program).to_pylist()
    texts = [item.sql for item in program.statements]
    (made,) = (text for text in texts if " table left_out_of_opportunity_stage_history " in text)
    columns = re.findall(r"\w+", made.splitlines()[1])[1:]
    # What the rows of both are read for, and not what else their statements name of other records.
    of_stays = {"stay_id", "stage", "source"}
    of_both = {"opportunity_id", "entered_at", "exited_at", "is_closed", "_reason"}
    assert {*columns} == {"amount"} | of_both | of_stays
    counts = [item.sql for item in program.statements if item.kind == "excluded"]
    assert not any("from excluded_opportunity_stage_history" in sql for sql in counts)
    left_out = {row["kpi"]: dict(row["coverage"]).get("excluded_parent") for row in rows}
    assert left_out == {"sales_pipeline_value": 1, "stage_duration": 2}


@pytest.mark.parametrize(
    ("model", "is_kept"),
    [
        ("select id, entered_at from live_opportunity_stage_history", True),
        ("select id, entered_at from (select * from live_opportunity_stage_history)", False),
        ("select distinct * from live_opportunity_stage_history", False),
        ("select any_value(h).id as id, max(entered_at) as entered_at"
         " from live_opportunity_stage_history h group by id", False),
        ("select id, entered_at from live_opportunity_stage_history where id not in"
         " (select id from excluded_opportunity_stage_history where id = 'none')", False),
    ],
)  # fmt: skip
def test_models_that_may_read_whole_rows_read_all_that_was_left_out(
    model: str, is_kept: bool, tmp_path: Path
) -> None:
    own = """
kpis:
  share_of_entries:
    title: Share of entries
    unit: percent
    better: higher
    inputs:
      some:
        from: some_entries
        time: entered_at
        value: count(*)
        covered_by: [opportunity_stage_history.entered_at]
      every: {from: opportunity_stage_history, time: entered_at, value: count(*)}
    numerator: some
    denominator: every
"""
    deals = "\n".join(f"{n},{str(n == 3).lower()}" for n in range(30))
    history = "\n".join(f"h{n},{n},2026-01-05T00:00:00Z" for n in range(30))
    text = (
        f"@opportunities\nid,is_deleted\n{deals}\n"
        f"@opportunity_stage_history\nid,opportunity_id,entered_at\n{history}\n"
    )
    project = _project(tmp_path, text)
    (tmp_path / "metrics" / "sql").mkdir(parents=True)
    (tmp_path / "metrics" / "own.yaml").write_text(own, encoding="utf-8")
    stated = f"-- excluded: opportunity_stage_history\n{model}"
    (tmp_path / "metrics" / "sql" / "some_entries.sql").write_text(stated, encoding="utf-8")
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    with project.answerer(periods) as answerer:
        program = answerer.program(Question(("share_of_entries",), periods))
        (row,) = answerer.run(program).to_pylist()
    texts = [item.sql for item in program.statements]
    assert any(" left_out_of_opportunity_stage_history as" in text for text in texts) == is_kept
    assert (row["numerator"], row["denominator"]) == (29, 29)
    assert dict(row["coverage"])["excluded_parent"] == 1
