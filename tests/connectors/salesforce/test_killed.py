"""A sync that is killed at any request leaves whole datasets, and the next one completes it."""

from __future__ import annotations

import shutil
import signal
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from connectors.salesforce.sites import Site
from simulators.salesforce import SalesforceSimulator

pytestmark = pytest.mark.slow

COUNT = 40
BOTH = ("accounts", "opportunities")
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
Rows = list[tuple[Any, ...]]


def fill(salesforce: SalesforceSimulator) -> None:
    for number in range(COUNT):
        account = salesforce.org.create("Account", Name=f"Account {number}")
        salesforce.org.create("Opportunity", AccountId=account, StageName="Proposal",
                              Amount=number, CloseDate=date(2026, 3, 31))  # fmt: skip


def change(salesforce: SalesforceSimulator) -> None:
    org = salesforce.org
    deals, accounts = (list(org.objects[name].records) for name in ("Opportunity", "Account"))
    for deal in deals[::2]:
        org.update(deal, Amount=777)
    org.delete(deals[1])
    org.purge(deals[3])
    org.merge(accounts[5], accounts[6])


def state(site: Site) -> tuple[Rows, Rows]:
    return (
        site.rows("opportunities", "id", "amount", "is_deleted", "account_id"),
        site.rows("accounts", "id", "is_deleted", "merged_into_id"),
    )


def calls_of_a_whole_sync(site: Site, copy: Path) -> tuple[int, tuple[Rows, Rows]]:
    """How many requests an undisturbed child makes, and what it leaves."""
    done = Site(copy, site.salesforce, source=site.source, only=site.only)
    shutil.copytree(site.directory, copy)
    before = len(site.salesforce.calls)
    child = done.start_child()
    out, errors = child.communicate(timeout=60)
    assert "error: None" in out, out + errors
    return len(site.salesforce.calls) - before, state(done)


def killed_at(site: Site, number: int) -> bool:
    """Whether a child was killed when its request of this number (from 1) arrived."""
    child = site.start_child()
    site.salesforce.faults.before(child.kill, skip=number - 1)
    out, errors = child.communicate(timeout=60)
    site.salesforce.faults.clear()
    assert child.returncode in (0, -signal.SIGKILL), out + errors
    return child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("transport", ["rest", "bulk"])
def test_a_sync_killed_at_any_request_is_completed_by_the_next(
    site: Site, salesforce: SalesforceSimulator, tmp_path: Path, transport: str
) -> None:
    site.source, site.only = {"transport": transport}, BOTH
    salesforce.rest.batch_cap = salesforce.bulk.page_cap = 15
    fill(salesforce)
    site.synced()
    before = state(site)
    site.later(days=1)
    change(salesforce)
    site.later(hours=1)
    calls, after = calls_of_a_whole_sync(site, tmp_path / "whole")
    for share in SHARES:
        number = 1 + round(share * (calls - 1))
        copy = Site(tmp_path / f"killed_{number}", salesforce, site.source, only=site.only)
        shutil.copytree(site.directory, copy.directory)
        assert killed_at(copy, number)
        for found, old, new in zip(state(copy), before, after, strict=True):
            assert found in (old, new), f"killed at request {number} of {calls}: half a dataset"
        copy.synced()
        assert state(copy) == after, f"killed at request {number} of {calls}"


def test_a_job_that_was_paid_for_is_used_by_the_next_run(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.source, site.only = {"transport": "bulk"}, BOTH
    salesforce.bulk.page_cap = 15
    fill(salesforce)
    child = site.start_child()
    salesforce.faults.before(child.kill, on="GET .*/results")
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    jobs = set(salesforce.bulk.jobs)
    assert jobs
    site.synced()
    assert len(site.ids("opportunities")) == COUNT
    queries = [job.selection.query.text for job in salesforce.bulk.jobs.values() if job.selection]
    assert len(queries) == len(set(queries)), "a query was paid for twice"


def test_what_was_purged_while_a_job_waited_is_not_in_its_rows(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.source, site.only = {"transport": "bulk"}, ("accounts",)
    fill(salesforce)
    salesforce.clock.advance(3600)
    child = site.start_child()
    salesforce.faults.before(child.kill, on="GET .*/results")
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    site.later(hours=1)
    first, second, *_ = salesforce.org.objects["Account"].records
    salesforce.org.purge(first)
    salesforce.org.update(second, Industry="new")
    site.later(hours=1)
    site.synced()
    site.later(hours=1)
    site.synced()
    assert len(salesforce.seen("POST .*/jobs/query")) < 3, "the job of the killed run was not used"
    assert first not in site.ids("accounts")
    assert (second, "new") in site.rows("accounts", "id", "industry")
