"""Accounts that change while they are read: nothing is skipped, nothing is taken for removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from crmetrics.engine import Project
from crmetrics.engine.loading import SyncReport, sync
from simulators.hubspot import HubSpotSimulator
from simulators.messages import Answer

T = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
Synced = Callable[[datetime], SyncReport]


@pytest.fixture
def synced(unlimited: HubSpotSimulator, tmp_path: Path) -> Synced:
    """`synced(now)` reads deals and products into a project; it must succeed."""
    source = {
        "connector": "hubspot",
        "base_url": unlimited.base_url,
        "auth": {"token": unlimited.token},
    }
    document = {"version": 1, "project": "p", "sources": {"crm": source}}
    (tmp_path / "crmetrics.yaml").write_text(json.dumps(document))

    def go(now: datetime) -> SyncReport:
        unlimited.clock.now = now
        project = Project(tmp_path, environ={}, now=unlimited.clock)
        needs = {"opportunities": ("id", "amount"), "products": ("id",)}
        report = sync(project, (), needs=needs)
        assert report.error is None
        return report

    return go


def asked(folder: Path, query: str) -> object:
    path = str(folder / ".crmetrics" / "warehouse.duckdb")
    with duckdb.connect(path, read_only=True) as base:
        return base.execute(query).fetchall()[0][0]


def test_records_edited_while_a_search_is_paged_hide_no_others(
    unlimited: HubSpotSimulator, synced: Synced, tmp_path: Path
) -> None:
    account = unlimited.account
    ids = [account.create("deals", {"amount": "1"}, at=T - 48 * HOUR).id for _ in range(600)]
    synced(T)
    for number, name in enumerate(ids):
        at = T + timedelta(minutes=10, milliseconds=100 * number)
        account.update("deals", name, at, amount="100")

    def edit() -> None:
        for name in ids[:5]:
            account.update("deals", name, T + HOUR, amount="100")

    unlimited.faults.before(edit, on="/deals/search", skip=1)
    synced(T + HOUR)
    assert asked(tmp_path, "select sum(amount) from crm.opportunities") == 60_000


def test_a_list_that_is_a_little_short_removes_nothing_and_is_walked_again(
    unlimited: HubSpotSimulator, synced: Synced, tmp_path: Path
) -> None:
    for _ in range(20):
        unlimited.account.create("products", {"name": "x"}, at=T - 48 * HOUR)
    synced(T)

    def cut(answer: Answer) -> Answer:
        body = json.loads(answer.body)
        body["results"] = body["results"][:1]
        return replace(answer, body=json.dumps(body).encode())

    unlimited.faults.spoil(cut, on="GET .*/products.*archived=false")
    report = synced(T + 30 * HOUR)
    alive = "select count(*) from crm.products where not is_deleted"
    assert asked(tmp_path, alive) == 20
    notices = [notice for each in report.reports for notice in each.notices]
    assert any("gave 1 records, HubSpot's search counts 20" in notice for notice in notices)
    gone = next(iter(unlimited.account.objects["products"].records))
    unlimited.account.purge("products", gone)
    synced(T + 31 * HOUR)
    assert asked(tmp_path, alive) == 19
