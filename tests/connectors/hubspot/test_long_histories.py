"""Histories longer than HubSpot tells: no deal counts twice, and none with a value nobody knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crmetrics.engine import Project
from crmetrics.engine.loading import sync
from simulators.hubspot import HubSpotSimulator, Limits, Pipeline, Stage

MADE = datetime(2026, 1, 5, 9, tzinfo=UTC)
DAY = timedelta(days=1)
READ = ("opportunities", "opportunity_stage_history", "cases", "case_status_history")
FIRST, END = date(2026, 1, 5), date(2026, 3, 2)
WEEKS = [FIRST + 7 * DAY * number for number in range(8)]
CHANGES = 26  # of which HubSpot tells the last 20, from 20 January on


@pytest.fixture
def selling() -> Iterator[HubSpotSimulator]:
    limits = Limits(per_ten_s=None, searches_per_s=None, per_day=None)
    with HubSpotSimulator(limits=limits) as service:
        service.clock.now = MADE
        service.account.time_zone = "UTC"
        stages = [
            Stage("new", "New", {"isClosed": "false", "probability": "0.2"}),
            Stage("mid", "Mid", {"isClosed": "false", "probability": "0.5"}),
        ]
        states = [Stage("1", "New", {"ticketState": "OPEN"}), Stage("2", "Waiting", {})]
        service.account.pipelines = {
            "deals": [Pipeline("default", "Sales", stages)],
            "tickets": [Pipeline("0", "Support", states)],
        }
        yield service


def load(
    folder: Path, service: HubSpotSimulator, *, without: str = "", full: bool = False
) -> Project:
    """without: a column of stage history that is not asked for."""
    folder.mkdir(exist_ok=True)
    document = {
        "version": 1,
        "project": "long",
        "reporting": {"timezone": "UTC", "currency": "USD"},
        "sources": {
            "crm": {
                "connector": "hubspot",
                "base_url": service.base_url,
                "auth": {"token": service.token},
            }
        },
        "metrics": {"packs": ["sales", "service"]},
    }
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    project = Project(folder, environ={}, now=service.clock)
    needs = {name: project.registry.datasets[name].column_names for name in READ}
    history = needs["opportunity_stage_history"]
    needs["opportunity_stage_history"] = tuple(name for name in history if name != without)
    assert sync(project, (), needs=needs, full=full).error is None
    return project


def weekly(project: Project, kpi: str) -> list[Any]:
    """The values at the ends of WEEKS."""
    table = project.query([kpi], grain="week", start=FIRST, end=END)
    found = {row["period_start"]: row["value"] for row in table.to_pylist()}
    return [found.get(week) for week in WEEKS]


def a_deal(service: HubSpotSimulator) -> str:
    values = {"dealstage": "new", "pipeline": "default", "amount": "100"}
    closing = {"closedate": "2026-06-15T00:00:00Z"}
    return service.account.create("deals", {**values, **closing}, at=MADE).id


def change(service: HubSpotSimulator, kind: str, record: str, number: int, **values: str) -> None:
    """The change of that number, from 1; one every second day from 7 January on."""
    service.clock.now = MADE + 2 * number * DAY
    service.account.update(kind, record, service.clock.now, **values)
    service.clock.advance(3600)


def push(service: HubSpotSimulator, deal: str, number: int) -> None:
    day = date(2026, 7, 1) + number * DAY
    change(service, "deals", deal, number, closedate=f"{day}T00:00:00Z")


def test_a_close_date_pushed_again_and_again_does_not_double_the_pipeline(
    selling: HubSpotSimulator, tmp_path: Path
) -> None:
    deal = a_deal(selling)
    for number in range(1, CHANGES + 1):
        push(selling, deal, number)
        if number in (4, 11, 19, 26):
            often = load(tmp_path / "often", selling)
    assert weekly(often, "sales_pipeline_value") == [100] * 8, "also before what is left"
    # After the refresh, which goes through all deals, and after one more push.
    selling.clock.advance(30 * 3600)
    assert weekly(load(tmp_path / "often", selling), "sales_pipeline_value") == [100] * 8
    push(selling, deal, CHANGES + 1)
    assert weekly(load(tmp_path / "often", selling), "sales_pipeline_value") == [100] * 8


def spans_of(project: Project) -> list[Any]:
    with duckdb.connect(str(project.engine_settings.path), read_only=True) as base:
        return base.execute(
            "select id, stay_id, stage, entered_at, exited_at, amount, close_date "
            "from crm.opportunity_stage_history where not is_deleted order by entered_at, id"
        ).fetchall()


def test_one_more_column_keeps_spans_that_hubspot_tells_no_more(
    selling: HubSpotSimulator, tmp_path: Path
) -> None:
    deal = a_deal(selling)
    narrow, once = tmp_path / "narrow", tmp_path / "once"
    for number in range(1, CHANGES + 1):
        change(selling, "deals", deal, number, dealstage="mid" if number % 2 else "new")
        if number in (4, 11, 19, 26):
            project = load(narrow, selling, without="probability")
    before = spans_of(project)
    assert len(before) == CHANGES + 1
    selling.clock.advance(3600)
    assert spans_of(load(narrow, selling)) == before, "probability is asked for now"
    change(selling, "deals", deal, CHANGES + 1, dealstage="mid")
    assert len(spans_of(load(narrow, selling))) == CHANGES + 2
    assert spans_of(load(narrow, selling, full=True)) == spans_of(load(once, selling))


def test_one_more_column_brings_back_no_span_that_was_let_go(
    selling: HubSpotSimulator, tmp_path: Path
) -> None:
    deal = a_deal(selling)
    for number in range(1, CHANGES + 1):
        change(selling, "deals", deal, number, dealstage="mid" if number % 2 else "new")
        if number == 2:
            load(tmp_path / "rarely", selling, without="probability")
    load(tmp_path / "rarely", selling, without="probability")
    selling.clock.advance(3600)
    found = spans_of(load(tmp_path / "rarely", selling))
    assert found == spans_of(load(tmp_path / "once", selling)) and len(found) == 20


def test_one_more_column_takes_no_oldest_span_from_a_deal_of_which_none_is_stored(
    selling: HubSpotSimulator, tmp_path: Path
) -> None:
    """It was in the recycle bin at the last read: its stored spans are deleted."""
    deal = a_deal(selling)
    for number in range(1, CHANGES + 1):
        change(selling, "deals", deal, number, amount=str(5000 + number))
    load(tmp_path / "narrow", selling, without="probability")
    selling.account.archive("deals", deal)
    selling.clock.advance(3600)
    load(tmp_path / "narrow", selling, without="probability")
    selling.account.restore("deals", deal)
    selling.clock.advance(3600)
    found = spans_of(load(tmp_path / "narrow", selling))
    assert found == spans_of(load(tmp_path / "once", selling)) and len(found) == 21


def test_what_happened_unseen_is_missing_and_not_counted_twice(
    selling: HubSpotSimulator, tmp_path: Path
) -> None:
    """Seen after two changes and after the last: that of the oldest left is 19 January."""
    deal = a_deal(selling)
    for number in range(1, CHANGES + 1):
        change(selling, "deals", deal, number, dealstage="mid" if number % 2 else "new")
        if number == 2:
            load(tmp_path / "rarely", selling)
    rarely = weekly(load(tmp_path / "rarely", selling), "sales_pipeline_value")
    once = weekly(load(tmp_path / "once", selling), "sales_pipeline_value")
    assert rarely == once
    assert once == [None] * 2 + [100] * 6
    selling.clock.advance(30 * 3600)
    assert weekly(load(tmp_path / "rarely", selling), "sales_pipeline_value") == once


def test_a_close_date_pushed_again_and_again_takes_nothing_from_stages_and_amounts(
    selling: HubSpotSimulator, tmp_path: Path
) -> None:
    """The deal is in New from 5 January on, and goes on 54 days later."""
    deal = a_deal(selling)
    for number in range(1, CHANGES + 1):
        push(selling, deal, number)
        if number == 2:
            load(tmp_path / "rarely", selling)
    selling.clock.now = MADE + 54 * DAY
    selling.account.update("deals", deal, selling.clock.now, dealstage="mid")
    selling.clock.advance(3600)
    for name in ("rarely", "once"):
        project = load(tmp_path / name, selling)
        assert weekly(project, "sales_pipeline_value") == [100] * 8
        table = project.query(
            ["stage_duration"], grain="month", start=date(2026, 2, 1), end=date(2026, 3, 1)
        )
        assert [row["value"] for row in table.to_pylist()] == [54]
        with duckdb.connect(str(tmp_path / name / ".crmetrics" / "warehouse.duckdb")) as base:
            query = """select close_date from crm.opportunity_stage_history
                where not is_deleted order by entered_at"""
            days = [day for (day,) in base.execute(query).fetchall()]
        # What is known of close dates begins with the 7th push.
        assert days[0] is None
        assert None not in days[1:]


def test_a_deal_does_not_count_before_the_oldest_amount_that_is_known(
    selling: HubSpotSimulator, tmp_path: Path
) -> None:
    deal = a_deal(selling)
    for number in range(1, CHANGES + 1):
        change(selling, "deals", deal, number, amount=str(5000 + number))
    project = load(tmp_path / "once", selling)
    # 19 January is the 7th change, 25 January a Sunday after the 10th; the 26th is 26 February.
    assert weekly(project, "sales_pipeline_value") == [
        0, 0, 5010, 5013, 5017, 5020, 5024, 5026,
    ]  # fmt: skip
    table = project.query(["sales_pipeline_value"], grain="week", start=FIRST, end=END)
    lacking = [dict(row["coverage"]).get("missing_amount", 0) for row in table.to_pylist()]
    assert lacking == [1, 1, 0, 0, 0, 0, 0, 0]


def test_a_value_that_is_written_again_and_again_does_not_hide_where_spans_begin(
    selling: HubSpotSimulator, tmp_path: Path
) -> None:
    """An integration writes the same amount every night; then the deal goes on."""
    deal = a_deal(selling)
    for number in range(1, CHANGES + 1):
        change(selling, "deals", deal, number, amount="100")
        if number in (4, 11, 19):
            load(tmp_path / "often", selling)
    change(selling, "deals", deal, CHANGES + 1, dealstage="mid")
    assert weekly(load(tmp_path / "often", selling), "sales_pipeline_value") == [100] * 8


def test_a_deal_that_changed_much_before_it_came_out_of_the_bin_counts_once(
    selling: HubSpotSimulator, tmp_path: Path
) -> None:
    deal = a_deal(selling)
    push(selling, deal, 1)
    load(tmp_path / "often", selling)
    for number in range(2, CHANGES + 1):
        push(selling, deal, number)
    selling.account.archive("deals", deal)
    selling.clock.advance(3600)
    load(tmp_path / "often", selling)
    selling.clock.advance(3600)
    load(tmp_path / "often", selling)
    selling.account.restore("deals", deal)
    selling.clock.advance(3600)
    assert weekly(load(tmp_path / "often", selling), "sales_pipeline_value")[-2:] == [100] * 2


def test_a_ticket_that_moved_much_unseen_is_in_one_status(
    selling: HubSpotSimulator, tmp_path: Path
) -> None:
    values = {"hs_pipeline": "0", "hs_pipeline_stage": "1"}
    ticket = selling.account.create("tickets", values, at=MADE).id
    load(tmp_path / "rarely", selling)
    for number in range(1, CHANGES + 1):
        stage = "2" if number % 2 else "1"
        change(selling, "tickets", ticket, number, hs_pipeline_stage=stage)
    load(tmp_path / "rarely", selling)
    with duckdb.connect(str(tmp_path / "rarely" / ".crmetrics" / "warehouse.duckdb")) as base:
        lasting = base.execute(
            "select status from crm.case_status_history where exited_at is null and not is_deleted"
        ).fetchall()
    assert lasting == [("New",)]
