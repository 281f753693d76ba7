"""Which jobs of earlier runs are used again, and what is told of rows that come from them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.salesforce.sites import Site, load_of
from simulators.messages import Answer
from simulators.salesforce import SalesforceSimulator

JOBS = "POST .*/jobs/query"
COUNT = 5
Trouble = Callable[[SalesforceSimulator], None]


def accounts(site: Site, salesforce: SalesforceSimulator) -> list[str]:
    site.source["transport"] = "bulk"
    made = [salesforce.org.create("Account", Industry=f"{n}") for n in range(COUNT)]
    site.later(hours=3)
    return made


def lose_results(site: Site, salesforce: SalesforceSimulator) -> None:
    """A sync whose connection is lost while it fetches the results of its job."""
    salesforce.faults.hang_up(on="/results", times=None)
    assert site.sync().error
    salesforce.faults.clear()
    assert salesforce.count(JOBS) == 1


def seven(answer: Answer) -> Answer:
    body = re.sub(rb'"numberRecordsProcessed":\s*\d+', b'"numberRecordsProcessed": 7', answer.body)
    return replace(answer, body=body)


def refuse_results(status: int) -> Trouble:
    body = b'[{"message":"x","errorCode":"UNKNOWN_EXCEPTION"}]'
    return lambda s: s.faults.answer(status, body, on="/results", times=None)


# --- jobs that are no good -------------------------------------------------------------------

WRONG: dict[str, Trouble] = {
    "counts differ": lambda s: s.faults.spoil(seven, on="GET .*/jobs/query/[^/]+$", times=None),
    "a page lies": lambda s: s.faults.spoil(
        lambda answer: answer.with_headers({"Sforce-NumberOfRecords": "9"}), on="/results"
    ),
    "no content": lambda s: s.faults.answer(204, b"", on="/results", times=None),
    "another table": lambda s: s.faults.answer(200, b"A,B\n1,2\n", on="/results", times=None),
    "500": refuse_results(500),
    "400": refuse_results(400),
    "404": refuse_results(404),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_job_whose_result_is_wrong_or_refused_is_not_resumed(
    site: Site, salesforce: SalesforceSimulator, name: str
) -> None:
    made = accounts(site, salesforce)
    WRONG[name](salesforce)
    for number in (1, 2):
        if number == 2 and name == "a page lies":  # once only
            break
        assert site.sync().error
        assert salesforce.count(JOBS) == number
        site.later(hours=5)
    salesforce.faults.clear()
    before = salesforce.count(JOBS)
    site.synced()
    assert salesforce.count(JOBS) == before + 1
    assert site.ids("accounts") == sorted(made)


KEPT: dict[str, Trouble] = {
    "a lost connection": lambda s: s.faults.hang_up(on="/results", times=None),
    "503": refuse_results(503),
    "the day's calls are used up": lambda s: s.faults.answer(
        403,
        b'[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]',
        on="/results",
        times=None,
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_job_that_was_not_to_blame_is_resumed(
    site: Site, salesforce: SalesforceSimulator, name: str
) -> None:
    made = accounts(site, salesforce)
    KEPT[name](salesforce)
    assert site.sync().error
    salesforce.faults.clear()
    site.later(hours=5)
    site.synced()
    assert salesforce.count(JOBS) == 1
    assert site.ids("accounts") == sorted(made)


REFUSED_POLLS: dict[str, tuple[int, str, bool]] = {
    "the session": (401, "INVALID_SESSION_ID", True),
    "too many calls": (429, "", True),
    "maintenance": (503, "SERVER_UNAVAILABLE", True),
    "an error of theirs": (500, "UNKNOWN_EXCEPTION", True),
    "too many at once": (403, "REQUEST_LIMIT_EXCEEDED", True),
    "no such job": (404, "NOT_FOUND", False),
    "no job of this user": (403, "INSUFFICIENT_ACCESS", False),
    "no id of a job": (400, "MALFORMED_ID", False),
    "a locked row": (400, "UNABLE_TO_LOCK_ROW", True),
}


@pytest.mark.parametrize("name", REFUSED_POLLS)
def test_only_a_job_that_is_not_there_is_forgotten(
    site: Site, salesforce: SalesforceSimulator, name: str
) -> None:
    made = accounts(site, salesforce)
    lose_results(site, salesforce)
    status, code, is_kept = REFUSED_POLLS[name]
    site.later(hours=5)
    times = 6 if is_kept else 1
    salesforce.refuse(code, "x", status, on="GET .*/jobs/query/[^/]+$", times=times)
    assert (site.sync().error is not None) == is_kept
    site.later(hours=1)
    if is_kept:
        salesforce.faults.clear()
        site.synced()
    assert salesforce.count(JOBS) == (1 if is_kept else 2)
    assert site.ids("accounts") == sorted(made)


def test_a_full_read_takes_no_job_of_an_earlier_run(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    first, *_ = accounts(site, salesforce)
    site.synced()
    site.later(hours=5)
    salesforce.faults.hang_up(on="/results", times=None)
    assert site.sync(full=True).error
    salesforce.faults.clear()
    salesforce.org.recalculate(first, Industry="without a stamp")
    site.later(hours=5)
    before = salesforce.count(JOBS)
    site.synced(full=True)
    assert salesforce.count(JOBS) == before + 1
    assert (first, "without a stamp") in site.rows("accounts", "id", "industry")


def test_who_asks_for_queries_gets_no_job_of_an_earlier_run(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    """Queries may have been chosen because that job hangs."""
    made = accounts(site, salesforce)
    lose_results(site, salesforce)
    calls = salesforce.count("jobs/query")
    site.source["transport"] = "rest"
    site.later(hours=5)
    site.synced()
    assert salesforce.count("jobs/query") == calls
    assert site.ids("accounts") == sorted(made)
    assert not [*site.directory.rglob("bulk_jobs*")], "who chooses otherwise later gets a new job"


# --- what is told of resumed rows -------------------------------------------------------------


def formula(site: Site, salesforce: SalesforceSimulator) -> str:
    """An account whose segment is a formula, and a lost read of it."""
    site.source["transport"] = "bulk"
    salesforce.org.add_fields("Account", "Health__c:string=")
    site.datasets = {"accounts": {"columns": {"segment": "Health__c"}}}
    one = salesforce.org.create("Account", Health__c="good")
    site.later(hours=3)
    lose_results(site, salesforce)
    salesforce.org.recalculate(one, Health__c="bad")
    return one


def test_values_of_a_resumed_job_are_as_old_as_its_begin(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    one = formula(site, salesforce)
    site.later(hours=5)
    site.synced()
    assert salesforce.count(JOBS) == 1
    assert site.rows("accounts", "id", "segment") == [(one, "good")]
    site.later(hours=2)
    [notice] = [n for n in load_of(site.synced(), "accounts").notices if "old" in n]
    assert "up to 7 h old" in notice
    site.later(hours=18)  # 25 h after the job, 20 h after it was read
    site.synced()
    assert site.rows("accounts", "id", "segment") == [(one, "bad")]


def test_an_old_job_is_not_resumed_for_values_that_change_without_a_stamp(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    one = formula(site, salesforce)
    site.later(hours=7)
    site.synced()
    assert salesforce.count(JOBS) == 2
    assert site.rows("accounts", "id", "segment") == [(one, "bad")]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("is_resumed", [True, False])
def test_a_late_commit_within_the_overlap_is_not_lost_by_resuming(
    site: Site, salesforce: SalesforceSimulator, is_resumed: bool, is_first: bool
) -> None:
    site.source["overlap"] = "1h"
    accounts(site, salesforce)
    if not is_first:
        site.synced()
        site.later(hours=5)
    if is_resumed:
        salesforce.faults.hang_up(on="/results", times=None)
    began = salesforce.org.now()
    assert bool(site.sync().error) == is_resumed
    salesforce.faults.clear()
    late = salesforce.org.create("Account", stamp=began - timedelta(minutes=30))
    jobs = salesforce.count(JOBS)
    for _ in range(2):
        site.later(hours=5)
        site.synced()
        assert late in site.ids("accounts")
    assert salesforce.count(JOBS) == jobs + (1 if is_resumed else 2)


def test_ids_that_an_earlier_run_compared_are_not_believed(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    """Records may have gone since that job began, and nothing else would tell it."""
    made = accounts(site, salesforce)
    site.synced()
    site.later(days=20)  # behind the log of deletions
    salesforce.faults.hang_up(on="/results", times=None, skip=1)
    assert site.sync().error
    salesforce.faults.clear()
    salesforce.org.purge(made[0])
    site.later(hours=5)
    site.synced()
    assert site.ids("accounts") == sorted(made[1:])


# --- jobs that are refused --------------------------------------------------------------------

REFUSALS = [
    (403, "INSUFFICIENT_ACCESS"),
    (403, "FUNCTIONALITY_NOT_ENABLED"),
    (404, "NOT_FOUND"),
    (405, "METHOD_NOT_ALLOWED"),
]


@pytest.mark.parametrize("transport", ["auto", "bulk"])
@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_where_bulk_jobs_are_switched_off_queries_do(
    site: Site, salesforce: SalesforceSimulator, status: int, code: str, transport: str
) -> None:
    made = accounts(site, salesforce)
    site.source.update(transport=transport, bulk_from=3)
    salesforce.refuse(code, "no bulk here", status, on=JOBS, times=None)
    notices = " ".join(load_of(site.synced(), "accounts").notices)
    assert site.ids("accounts") == sorted(made)
    assert ("no bulk here" in notices) == (transport == "bulk")
    assert ("set transport: auto" in notices) == (transport == "bulk")


def test_a_job_refused_because_the_day_is_used_up_is_an_error(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(site, salesforce)
    salesforce.refuse("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 403, on=JOBS,
                      times=None)  # fmt: skip
    assert "TotalRequests" in str(site.sync().error)
