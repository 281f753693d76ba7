"""The history of deals and tickets leaves with them, though a job reads nothing else of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from crmetrics.engine import Project
from crmetrics.engine.loading import sync
from simulators.hubspot import HubSpotSimulator, Pipeline, Stage

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def project(unlimited: HubSpotSimulator, tmp_path: Path) -> Project:
    """Deals that were in their first stage for 10, 20 and 30 days, up to December."""
    unlimited.clock.now = NOW
    account = unlimited.account
    stages = [Stage("a", "New", {"isClosed": "false", "probability": "0.2"}),
              Stage("b", "Later", {"isClosed": "false", "probability": "0.4"})]  # fmt: skip
    account.pipelines["deals"] = [Pipeline("p", "Sales", stages)]
    for days in (10, 20, 30):
        name = str(days)
        left = NOW - 20 * DAY
        values = {"pipeline": "p", "dealstage": "a"}
        account.create("deals", values, record_id=name, at=left - days * DAY)
        account.update("deals", name, left, dealstage="b")
    source = {"connector": "hubspot", "base_url": unlimited.base_url,
              "auth": {"token": unlimited.token}}  # fmt: skip
    document = {"version": 1, "project": "stays", "sources": {"hs": source},
                "metrics": {"packs": ["sales"]}}  # fmt: skip
    (tmp_path / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    return Project(tmp_path, environ={}, now=unlimited.clock)


def days_in_new(project: Project) -> tuple[float, int]:
    """The median, and of how many deals, read by a job of this KPI alone."""
    plan = project.plan()
    needs = {"opportunity_stage_history": next(
        read.columns for read in plan.plan.reads if read.dataset == "opportunity_stage_history"
    )}  # fmt: skip
    assert sync(project, (), needs=needs).error is None
    found = project.query(["stage_duration"], period="2025-12").to_pylist()
    (row,) = [row for row in found if dict(row["segment"])["stage"] == "New"]
    return row["value"], row["n"]


def test_stays_of_a_deal_in_the_recycle_bin_count_nowhere(
    unlimited: HubSpotSimulator, project: Project
) -> None:
    assert days_in_new(project) == (20, 3)
    unlimited.account.archive("deals", "10")
    unlimited.clock.now += HOUR
    assert days_in_new(project) == (25, 2)
    unlimited.clock.now += HOUR
    assert days_in_new(project) == (25, 2)
    unlimited.account.restore("deals", "10")
    unlimited.clock.now += HOUR
    assert days_in_new(project) == (20, 3)


def test_stays_of_a_deal_that_vanished_go_with_the_next_walk(
    unlimited: HubSpotSimulator, project: Project
) -> None:
    assert days_in_new(project) == (20, 3)
    unlimited.account.purge("deals", "10")
    unlimited.clock.now += 25 * HOUR
    assert days_in_new(project) == (25, 2)


def test_a_list_that_is_short_takes_no_stays_with_it(
    unlimited: HubSpotSimulator, project: Project
) -> None:
    assert days_in_new(project) == (20, 3)
    unlimited.clock.now += 25 * HOUR
    body = json.dumps({"results": []}).encode()
    unlimited.faults.answer(200, body, on="GET /crm/objects/2026-09/deals.*archived=false")
    assert days_in_new(project) == (20, 3)
    path = str(project.engine_settings.path)
    with duckdb.connect(path, read_only=True) as base:
        rows = "select count(*) from crm.opportunity_stage_history where is_deleted"
        assert base.execute(rows).fetchone() == (0,)


def test_stays_of_a_deal_that_is_restored_during_a_walk_are_back_with_it(
    unlimited: HubSpotSimulator, project: Project
) -> None:
    account = unlimited.account
    assert days_in_new(project) == (20, 3)
    account.archive("deals", "10")
    unlimited.clock.now += HOUR
    assert days_in_new(project) == (25, 2)
    unlimited.clock.now += 25 * HOUR
    bin_is_asked = "GET /crm/objects/2026-09/deals.*archived=true"
    unlimited.faults.before(lambda: account.restore("deals", "10"), on=bin_is_asked)
    assert days_in_new(project) == (20, 3), "the list of deals came before"
    unlimited.clock.now += HOUR
    assert days_in_new(project) == (20, 3)
