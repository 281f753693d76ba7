"""A sync that is killed at any request leaves whole datasets, and the next one completes it."""

from __future__ import annotations

import json
import re
import shutil
import signal
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.salesforce.killing import syncs
from connectors.salesforce.sites import Site
from simulators.salesforce import SalesforceSimulator

pytestmark = pytest.mark.slow

COUNT = 8
BOTH = ("accounts", "opportunities")
WITH_HISTORY = ("opportunities", "opportunity_stage_history")
SHOWN = {
    "accounts": ("id", "is_deleted", "merged_into_id"),
    "opportunities": ("id", "stage", "amount", "is_deleted", "account_id"),
    "opportunity_stage_history": ("id", "opportunity_id", "stage", "stay_id", "amount",
                                  "entered_at", "exited_at"),
}  # fmt: skip
_BOUND = re.compile(r"\w+ < \S+")
"""The end of what is asked for: later with each run."""
Rows = list[tuple[Any, ...]]
State = tuple[Rows, ...]


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
    org.update(deals[0], StageName="Negotiation")
    org.delete(deals[1])
    org.purge(deals[3])
    org.merge(accounts[5], accounts[6])


def left_by(site: Site) -> State:
    """What a killed sync left; empty where it had made no warehouse yet, or not this table."""

    def rows(dataset: str) -> Rows:
        try:
            return site.rows(dataset, *SHOWN[dataset])
        except (duckdb.IOException, duckdb.CatalogException):
            return []

    return tuple(map(rows, site.only))


def state(site: Site) -> State:
    return tuple(site.rows(dataset, *SHOWN[dataset]) for dataset in site.only)


def leave(site: Site, salesforce: SalesforceSimulator, *, is_full: bool) -> None:
    """The project and the org just before the sync that is killed."""
    fill(salesforce)
    if is_full:
        site.write()
        return
    site.synced()
    site.later(days=1)
    change(salesforce)
    site.later(hours=1)


@pytest.mark.parametrize("is_full", [True, False], ids=["the first", "a later one"])
@pytest.mark.parametrize("transport", ["rest", "bulk"])
@pytest.mark.parametrize("datasets", [BOTH, WITH_HISTORY], ids=["records", "history"])
def test_a_sync_killed_at_any_request_is_completed_by_the_next(
    site: Site,
    salesforce: SalesforceSimulator,
    tmp_path: Path,
    datasets: tuple[str, ...],
    transport: str,
    is_full: bool,
) -> None:
    site.source, site.only = {"transport": transport}, datasets
    salesforce.rest.batch_cap = salesforce.bulk.page_cap = 5
    leave(site, salesforce, is_full=is_full)
    before: State = ([],) * len(datasets) if is_full else state(site)
    began = salesforce.clock.now
    with syncs(salesforce, site.environ) as runs:

        def copied(name: str) -> Site:
            copy = Site(tmp_path / name, salesforce, site.source, only=site.only)
            shutil.copytree(site.directory, copy.directory)
            salesforce.clock.now = began
            return copy

        salesforce.wait_until_left()
        whole = copied("whole")
        seen = len(salesforce.calls)
        assert runs.run(whole.directory, datasets) == 0
        calls, after = len(salesforce.calls) - seen, state(whole)
        assert calls >= 9
        for number in range(1, calls + 1):
            where = f"killed at request {number} of {calls}"
            copy = copied(f"killed_{number}")
            assert runs.run(copy.directory, datasets, killed_at=number) == -signal.SIGKILL, where
            for found, old, new in zip(left_by(copy), before, after, strict=True):
                assert found in (old, new), f"{where}: half a dataset"
            salesforce.clock.advance(60)
            assert runs.run(copy.directory, datasets) == 0, where
            assert state(copy) == after, where


def test_a_job_that_was_paid_for_is_used_by_the_next_run(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.source, site.only = {"transport": "bulk"}, BOTH
    salesforce.bulk.page_cap = 15
    fill(salesforce)
    child = site.start_child()
    salesforce.faults.before(child.kill, on="GET .*/results")
    child.communicate(timeout=300)
    assert child.returncode == -signal.SIGKILL
    jobs = set(salesforce.bulk.jobs)
    assert jobs
    site.synced()
    assert len(site.ids("opportunities")) == COUNT
    # By what was asked: jobs that were read to their end are deleted.
    queries = [json.loads(call.body)["query"] for call in salesforce.seen("POST .*/jobs/query")]
    asked = [_BOUND.sub("", query) for query in queries]
    assert len(asked) == len(set(asked)), "a query was paid for twice"


def test_what_was_purged_while_a_job_waited_is_not_in_its_rows(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.source, site.only = {"transport": "bulk"}, ("accounts",)
    fill(salesforce)
    salesforce.clock.advance(3600)
    child = site.start_child()
    salesforce.faults.before(child.kill, on="GET .*/results")
    child.communicate(timeout=300)
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
