"""Cases of whose first status nothing tells: it is not known, and no figure is made of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import pytest

from connectors.salesforce.sites import Site, on
from simulators.salesforce import SalesforceSimulator

MADE, CLOSED, DAY = on(2025, 1, 5), on(2025, 8, 1), 86400
Stay = tuple[str | None, datetime | None, datetime | None]


@pytest.fixture
def service(site: Site) -> Site:
    site.packs, site.only = ("service",), ("cases", "case_status_history", "case_messages")
    return site


@pytest.fixture
def case(salesforce: SalesforceSimulator) -> str:
    """A case that was closed long after it was made, without a record of it."""
    salesforce.org.create("CaseStatus", ApiName="Closed", MasterLabel="Closed", IsClosed=True)
    made = closed_case(salesforce, CLOSED, on_creation=False)
    salesforce.clock.advance(7200)
    return made


def closed_case(salesforce: SalesforceSimulator, at: datetime, *, on_creation: bool | None) -> str:
    return salesforce.org.create("Case", Status="Closed", IsClosed=True, ClosedDate=at,
                                 IsClosedOnCreate=on_creation, stamp=MADE)  # fmt: skip


def stays(site: Site) -> list[Stay]:
    found = site.rows("case_status_history", "entered_at", "status_category", "exited_at")
    return [(category, entered, exited) for entered, category, exited in found]


def figure(site: Site, kpi: str, period: str) -> tuple[Any, dict[str, float]]:
    """The value and what was left out of it."""
    name, _, variant = kpi.partition(".")
    rows = site.project.query([kpi], period=period).to_pylist()
    [row] = [row for row in rows if (row["kpi"], row["variant"] or "") == (name, variant)]
    coverage = {name: number for name, number in row["coverage"] if name != "rows_used"}
    return row["value"], coverage


@pytest.mark.parametrize("hidden", [False, True])
def test_a_case_that_was_closed_before_the_first_read_was_not_so_since_its_creation(
    service: Site, salesforce: SalesforceSimulator, case: str, hidden: bool
) -> None:
    at_once = closed_case(salesforce, MADE, on_creation=True)
    waiting = salesforce.org.create("Case", Status="New", stamp=MADE)
    if hidden:
        salesforce.org.hide("Case", "IsClosedOnCreate")
    service.synced()
    columns = ("id", "status", "status_category", "entered_at", "exited_at")
    assert service.rows("case_status_history", *columns) == [
        (f"{case}:0", None, None, MADE, CLOSED),
        (f"{at_once}:0", "Closed", "solved", MADE, None),
        (f"{waiting}:0", "New", "new", MADE, None),
    ]
    unknown = {"missing_status_category": 1}
    assert figure(service, "case_backlog", "2025-06") == (1, unknown)
    assert figure(service, "case_backlog.oldest_age", "2025-08") == (239, {})
    assert figure(service, "case_backlog", "2025-12") == (1, {})
    assert figure(service, "customer_wait_time", "2025-08") == (None, unknown)
    span = (CLOSED - MADE).total_seconds()
    for kpi in ("resolution_time", "resolution_time.first_resolution"):
        assert figure(service, kpi, "2025-08") == (span, {})
        assert figure(service, kpi, "2025-01") == (None, {"closed_on_creation": 1})
    assert figure(service, "reopen_rate", "2025-08") == (None, {})  # how often nobody knows


def test_what_is_not_known_of_a_case_stays_so_whatever_becomes_of_it(
    service: Site, salesforce: SalesforceSimulator, case: str
) -> None:
    org, told = salesforce.org, []

    def read() -> list[Stay]:
        service.later(hours=3)
        service.synced()
        told.append(stays(service))
        return told[-1]

    service.synced()
    org.update(case, Priority="High")
    assert read() == [(None, MADE, CLOSED)]
    org.update(case, Status="Open", IsClosed=False, ClosedDate=None)  # nobody tracks it
    opened = salesforce.clock()
    assert read() == [(None, MADE, opened), ("open", opened, None)]
    org.update(case, Priority="Low")
    assert read() == told[-1]
    solved = salesforce.clock()
    org.update(case, Status="Closed", IsClosed=True, ClosedDate=solved)
    org.create("CaseHistory", CaseId=case, Field="Status", OldValue="Open", NewValue="Closed")
    closed = [(None, MADE, opened), ("open", opened, solved), ("solved", solved, None)]
    assert read() == closed
    assert figure(service, "customer_wait_time", "2026-01") == (
        None, {"missing_status_category": 1},
    )  # fmt: skip
    assert figure(service, "case_backlog", "2025-12") == (0, {"missing_status_category": 1})


@pytest.mark.parametrize("read_before", [False, True])
def test_a_first_change_from_solved_tells_nothing_of_the_time_before(
    service: Site, salesforce: SalesforceSimulator, case: str, read_before: bool
) -> None:
    at_once = closed_case(salesforce, MADE, on_creation=True)
    if read_before:
        service.synced()
    opened = salesforce.clock()
    for name in (case, at_once):
        salesforce.org.update(name, Status="Open", IsClosed=False, ClosedDate=None)
        salesforce.org.create("CaseHistory", CaseId=name, Field="Status", OldValue="Closed",
                              NewValue="Open")  # fmt: skip
    service.later(hours=3)
    service.synced()
    assert stays(service) == [
        ("solved", MADE, opened), (None, MADE, opened), ("open", opened, None),
        ("open", opened, None),
    ]  # fmt: skip


def test_what_an_earlier_version_took_for_solved_since_the_creation_is_corrected(
    service: Site, salesforce: SalesforceSimulator, case: str
) -> None:
    moved = salesforce.org.create("Case", Status="Open", stamp=MADE)
    change = salesforce.org.create("CaseHistory", CaseId=moved, Field="Status", OldValue="New",
                                   NewValue="Open", stamp=CLOSED)  # fmt: skip
    service.synced()
    known = stays(service)
    path = service.directory / ".crmetrics" / "warehouse.duckdb"
    with duckdb.connect(str(path)) as warehouse:
        warehouse.execute(
            "update crm.case_status_history set status = 'Closed', status_category = 'solved', "
            f"exited_at = null where case_id = '{case}'"
        )
        warehouse.execute(
            "update meta.sync_state set "
            """state = replace(state::varchar, '"StatusCategory"', '"Category"')::json"""
        )
    salesforce.org.purge(change)  # what was read of it is not lost with that
    service.later(hours=3)
    service.synced()
    assert stays(service) == known
    assert (None, MADE, CLOSED) in known
