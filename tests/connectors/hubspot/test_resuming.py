"""A run that is killed, at any step: the next one ends with the same records, and few calls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.errors import SourceError
from simulators.hubspot import HubSpotSimulator, Limits

MADE = datetime(2026, 1, 5, 9, tzinfo=UTC)
DEALS = 1_150  # 12 pages, and 23 with history


@pytest.fixture
def busy() -> Iterator[HubSpotSimulator]:
    """An account with deals and companies, and room for calls in real time."""
    limits = Limits(per_ten_s=1_000_000, searches_per_s=1_000_000, per_day=1_000_000)
    with HubSpotSimulator(limits=limits) as service:
        company = service.account.create("companies", {}, at=MADE).id
        for number in range(DEALS):
            values = {"amount": str(number), "dealstage": "x", "pipeline": "p"}
            deal = service.account.create("deals", values, at=MADE + timedelta(seconds=number))
            if number % 2:
                service.account.associate("deals", deal.id, "companies", company, [(5, "Primary")])
        yield service


def write_project(folder: Path, service: HubSpotSimulator, **options: Any) -> Path:
    document = {
        "version": 1,
        "project": "killed",
        "sources": {
            "hs": {
                "connector": "hubspot",
                "base_url": service.base_url,
                "auth": {"token": service.token},
                **options,
            }
        },
        "metrics": {"packs": ["sales"]},
    }
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    return folder


def sync_until(service: HubSpotSimulator, folder: Path, on: str, skip: int) -> None:
    """Start `crmetrics sync`, and kill it when it makes that call."""
    started: list[subprocess.Popen[bytes]] = []

    def kill() -> None:
        os.kill(started[0].pid, signal.SIGKILL)
        started[0].wait()

    service.faults.before(kill, on=on, skip=skip)
    command = [sys.executable, "-m", "crmetrics", "-C", str(folder), "sync"]
    quiet = subprocess.DEVNULL
    started.append(subprocess.Popen(command, stdout=quiet, stderr=quiet, stdin=quiet))
    assert started[0].wait(timeout=120) == -signal.SIGKILL


def held(folder: Path) -> dict[str, Any]:
    """Rows and sums of what the warehouse holds."""
    import duckdb

    with duckdb.connect(str(folder / ".crmetrics" / "warehouse.duckdb"), read_only=True) as base:
        found = base.execute(
            "select (select count(*) from crm.opportunities), "
            "(select sum(amount) from crm.opportunities), "
            "(select count(account_id) from crm.opportunities), "
            "(select count(*) from crm.opportunity_stage_history), "
            "(select count(distinct id) from crm.opportunity_stage_history), "
            "(select count(*) from crm.accounts)"
        ).fetchone()
    assert found is not None
    names = ("deals", "amount", "with_company", "spans", "own_spans", "accounts")
    return dict(zip(names, found, strict=True))


WHOLE = {
    "deals": DEALS,
    "amount": DEALS * (DEALS - 1) // 2,
    "with_company": DEALS // 2,
    "spans": DEALS,
    "own_spans": DEALS,
    "accounts": 1,
}

LIST = r"GET .*/deals\?.*archived=false.*after="
STEPS = {
    "a page of deals, early": (LIST, 3, 0),
    "a page of deals, late": (LIST, 10, 10),
    "the associations": ("POST .*/associations/.*deals/companies", 0, 10),
    "the recycle bin": (r"GET .*/deals\?.*archived=true", 0, 10),
    "a page of history, late": ("propertiesWithHistory=.*after=", 20, 30),
    "a dataset after them": ("/products", 0, 33),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_at_any_step_is_gone_on_with(
    busy: HubSpotSimulator, tmp_path: Path, step: str
) -> None:
    on, skip, spared = STEPS[step]
    folder = write_project(tmp_path, busy)
    sync_until(busy, folder, on, skip)
    before = busy.count(r"GET .*/deals\?")
    report = Project(folder, environ={}).sync()
    assert not report.failures, report.error
    assert held(folder) == WHOLE
    # 12 pages of deals, 23 of their history, the recycle bin for either.
    assert busy.count(r"GET .*/deals\?") - before <= 37 - spared
    assert not list(folder.rglob("*.pages"))


def test_what_changed_between_the_two_runs_is_not_lost(
    busy: HubSpotSimulator, tmp_path: Path
) -> None:
    folder = write_project(tmp_path, busy)
    sync_until(busy, folder, LIST, 10)
    now = datetime.now(UTC)
    busy.account.update("deals", "1002", now, amount="1000000")
    added = busy.account.create("deals", {"amount": "5"}, at=now)
    busy.clock.now = now + timedelta(seconds=1)
    report = Project(folder, environ={}, now=lambda: now + timedelta(hours=1)).sync()
    assert not report.failures, report.error
    (told,) = [note for r in report.reports if r.dataset == "opportunities" for note in r.notices
               if "went on where it stopped" in note]  # fmt: skip
    assert told.startswith("deals:")
    amount = WHOLE["amount"] + 1_000_000 + 5  # deal 1002 was worth nothing
    assert held(folder) | {"spans": 0, "own_spans": 0} == {
        **WHOLE, "deals": DEALS + 1, "amount": amount, "spans": 0, "own_spans": 0,
    }  # fmt: skip
    assert int(added.id) > 1002


@pytest.mark.parametrize("is_refresh", [False, True])
def test_a_list_that_ends_early_after_a_kill_is_not_hidden_by_what_changed_meanwhile(
    busy: HubSpotSimulator, tmp_path: Path, is_refresh: bool
) -> None:
    folder, now = write_project(tmp_path, busy), datetime.now(UTC)
    if is_refresh:
        write_project(folder, busy, refresh_every="1s")
        assert not Project(folder, environ={}).sync().failures
    sync_until(busy, folder, LIST, 10)
    for number in range(2, 302):
        busy.account.update("deals", str(1000 + number), now, amount="1")
    busy.faults.answer(200, b'{"results":[]}', on=LIST, times=1)
    busy.clock.now = now + timedelta(seconds=1)
    report = Project(folder, environ={}, now=lambda: now + timedelta(hours=1)).sync()
    (deals,) = [failed for failed in report.failures if failed.dataset == "opportunities"]
    assert f"the list of deals ended after 1100 records; HubSpot's search counts {DEALS}" in str(
        deals.error
    )
    report = Project(folder, environ={}, now=lambda: now + timedelta(hours=2)).sync()
    assert not report.failures, report.error
    assert held(folder)["deals"] == DEALS


def test_a_walk_that_was_complete_counts_what_was_made_since(
    busy: HubSpotSimulator, tmp_path: Path
) -> None:
    folder = write_project(tmp_path, busy)
    sync_until(busy, folder, r"GET .*/deals\?.*archived=true", 0)
    now = datetime.now(UTC)
    for number in range(60):
        busy.account.create("deals", {"amount": "1"}, at=now + timedelta(milliseconds=number))
    busy.clock.now = now + timedelta(seconds=1)
    report = Project(folder, environ={}, now=lambda: now + timedelta(hours=1)).sync()
    assert not report.failures, report.error
    assert held(folder)["deals"] == DEALS + 60


def test_who_asks_for_everything_again_gets_nothing_that_was_kept(
    busy: HubSpotSimulator, tmp_path: Path
) -> None:
    folder = write_project(tmp_path, busy)
    sync_until(busy, folder, LIST, 10)
    busy.account.purge("deals", "1002")
    report = Project(folder, environ={}).sync(full=True)
    assert not report.failures, report.error
    assert held(folder)["deals"] == DEALS - 1
    assert "went on where it stopped" not in str(report.reports)


def test_a_daily_limit_costs_no_page_twice(busy: HubSpotSimulator, tmp_path: Path) -> None:
    folder = write_project(tmp_path, busy, max_api_usage_percent=100)
    busy.limits.sent_today, busy.limits.per_day = 0, 24
    report = Project(folder, environ={}).sync()
    assert isinstance(report.error, SourceError)
    assert "daily calls are left" in str(report.error) or "after midnight" in str(report.error)
    first = busy.count(LIST)
    busy.limits.sent_today, busy.limits.per_day = 0, 1_000_000
    report = Project(folder, environ={}).sync()
    assert not report.failures, report.error
    assert held(folder) == WHOLE
    pages = busy.seen(r"GET .*/deals\?limit=100&archived=false")
    assert first > 5 and len({call.target for call in pages if call.status == 200}) == 12
    assert [call.status for call in pages].count(200) == 12
