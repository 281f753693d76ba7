"""Field history that Salesforce forgets by age: what was read of it stays true."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from connectors.salesforce.sites import Site, on
from crmetrics.engine.loading import sync
from simulators.salesforce import SalesforceSimulator

MADE, MOVED, LATER = on(2023, 1, 5), on(2023, 2, 1), on(2025, 8, 1)


def stays(site: Site) -> list[tuple[str, datetime | None, datetime | None]]:
    return site.rows("case_status_history", "status", "entered_at", "exited_at")


def backlog(site: Site, period: str) -> float:
    found = site.project.query(["case_backlog"], period=period).to_pylist()
    return float(next(row["value"] for row in found if not row["variant"]))


def case_with(salesforce: SalesforceSimulator, *moves: tuple[datetime, str, str]) -> list[str]:
    """A case of long ago that made these moves; its id and theirs."""
    org = salesforce.org
    case = org.create("Case", Status=moves[-1][2] if moves else "Open", stamp=MADE)
    org.create("CaseStatus", ApiName="Closed", MasterLabel="Closed", IsClosed=True)
    made = [
        org.create("CaseHistory", CaseId=case, Field="Status", OldValue=old, NewValue=new, stamp=at)
        for at, old, new in moves
    ]
    salesforce.clock.advance(7200)
    return [case, *made]


@pytest.fixture
def service(site: Site) -> Site:
    site.packs, site.only = ("service",), ("cases", "case_status_history")
    return site


def test_what_a_lead_reached_stays_when_its_history_is_gone(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    site.only, site.source = ("leads",), {"lead_statuses": {"MQL": "mql", "SQL": "sql"}}
    leads = [org.create("Lead", Status="MQL", stamp=MADE) for _ in range(3)]
    first, _ = (
        org.create("LeadHistory", LeadId=name, Field="Status", NewValue="MQL", stamp=MOVED)
        for name in leads[:2]
    )
    salesforce.clock.advance(7200)
    site.synced()
    org.purge(first)
    for name in leads:
        org.update(name, LeadSource="x")
    reached = salesforce.clock()
    org.create("LeadHistory", LeadId=leads[0], Field="Status", NewValue="SQL")
    site.later(hours=3)
    site.synced()
    assert site.rows("leads", "id", "mql_at", "sql_at", "lead_source") == [
        (leads[0], MOVED, reached, "x"),
        (leads[1], MOVED, None, "x"),
        (leads[2], None, None, "x"),
    ]


def test_a_lead_that_is_opened_again_is_not_disqualified_by_what_was_read_before(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    site.only, site.source = ("leads",), {"lead_statuses": {"Junk": "disqualified"}}
    lead = org.create("Lead", Status="Junk", stamp=MADE)
    org.create("LeadHistory", LeadId=lead, Field="Status", NewValue="Junk", stamp=MOVED)
    salesforce.clock.advance(7200)
    site.synced()
    assert site.rows("leads", "disqualified_at") == [(MOVED,)]
    org.update(lead, Status="Open")
    site.later(hours=3)
    site.synced()
    assert site.rows("leads", "disqualified_at") == [(None,)]


def test_a_column_of_the_project_file_is_emptied_with_its_field(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only, site.source = ("leads",), {"lead_statuses": {"MQL": "mql"}}
    site.datasets = {"leads": {"columns": {"mql_at": "ConvertedDate"}}}
    lead = salesforce.org.create("Lead", Status="MQL", ConvertedDate=MOVED.date(), stamp=MADE)
    salesforce.clock.advance(7200)
    site.synced()
    assert site.rows("leads", "mql_at") == [(MOVED,)]
    salesforce.org.update(lead, ConvertedDate=None)
    site.later(hours=3)
    site.synced()
    assert site.rows("leads", "mql_at") == [(None,)]


def test_an_escalation_stays_when_its_history_is_gone(
    service: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    [case] = case_with(salesforce)
    calm = org.create("Case", Status="Open", stamp=MADE)
    told = org.create("CaseHistory", CaseId=case, Field="IsEscalated", OldValue="false",
                      NewValue="true", stamp=MOVED)  # fmt: skip
    service.synced()
    org.purge(told)
    for name in (case, calm):
        org.update(name, Priority="High")
    service.later(hours=3)
    service.synced()
    assert service.rows("cases", "id", "is_escalated", "escalated_at", "priority") == [
        (case, True, MOVED, "high"),
        (calm, False, None, "high"),
    ]


@pytest.mark.parametrize("occasion", ["the case is touched", "a status is defined", "both"])
def test_stays_of_a_case_stay_when_their_history_is_gone(
    service: Site, salesforce: SalesforceSimulator, occasion: str
) -> None:
    org = salesforce.org
    case, first, _ = case_with(salesforce, (MOVED, "New", "Waiting"), (LATER, "Waiting", "Closed"))
    service.synced()
    known = [("Closed", LATER, None), ("New", MADE, MOVED), ("Waiting", MOVED, LATER)]
    assert (stays(service), backlog(service, "2023-01")) == (known, 1)
    org.purge(first)
    if occasion != "a status is defined":
        org.update(case, Priority="High")
    if occasion != "the case is touched":
        org.create("CaseStatus", ApiName="Parked", MasterLabel="Parked", IsClosed=False)
    service.later(hours=3)
    service.synced()
    assert (stays(service), backlog(service, "2023-01")) == (known, 1)


@pytest.mark.parametrize("moved", [False, True])
def test_a_stay_whose_beginning_is_forgotten_ends_with_the_next_change(
    service: Site, salesforce: SalesforceSimulator, moved: bool
) -> None:
    org = salesforce.org
    moves = [(MOVED, "New", "Open")] if moved else []
    case, *changes = case_with(salesforce, *moves)
    service.synced()
    assert backlog(service, "2025-12") == 1
    for name in changes:
        org.purge(name)
    org.update(case, Status="Closed", IsClosed=True)
    org.create("CaseHistory", CaseId=case, Field="Status", OldValue="Open", NewValue="Closed")
    closed = salesforce.clock()
    service.later(days=40)
    service.synced()
    assert backlog(service, "2026-01") == 0
    assert backlog(service, "2025-12") == 1
    assert ("Closed", closed, None) in stays(service)
    begins = sorted(entered for _, entered, _ in stays(service))
    assert begins == [MADE, *([MOVED] if moved else []), closed]


def test_the_first_stay_of_an_old_case_follows_it_into_the_bin_and_back(
    service: Site, salesforce: SalesforceSimulator
) -> None:
    case, first, _ = case_with(salesforce, (MOVED, "New", "Open"), (LATER, "Open", "Closed"))
    service.synced()
    salesforce.org.purge(first)
    begin = f"{case}:0"
    columns = ("id", "is_deleted", "status", "entered_at", "exited_at")
    for deed, is_deleted in ((salesforce.org.delete, True), (salesforce.org.undelete, False)):
        deed(case)
        service.later(hours=3)
        service.synced()
        rows = service.rows("case_status_history", *columns)
        assert [row for row in rows if row[0] == begin] == [(begin, is_deleted, "New", MADE, MOVED)]


def test_the_first_stay_of_a_young_case_is_read_anew(
    service: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    case = org.create("Case", Status="New")
    made = salesforce.clock()
    salesforce.clock.advance(7200)
    service.synced()
    assert stays(service) == [("New", made, None)]
    org.update(case, Status="Open")
    org.create("CaseHistory", CaseId=case, Field="Status", OldValue="New", NewValue="Open")
    moved = salesforce.clock()
    service.later(hours=3)
    service.synced()
    assert stays(service) == [("New", made, moved), ("Open", moved, None)]


def as_read_afresh(site: Site, dataset: str, *columns: str) -> list[tuple[Any, ...]]:
    """The rows in a new project over the same org."""
    fresh = replace(site, directory=site.directory.with_name("fresh"))
    fresh.synced()
    return fresh.rows(dataset, *columns)


def test_an_old_case_that_comes_late_has_its_first_stay(
    service: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    case_with(salesforce)
    service.synced()
    imported = org.create("Case", Status="Open", stamp=MADE)
    org.update(imported, Priority="High")
    solved = org.create("Case", Status="Closed", IsClosed=True, stamp=MADE)
    org.update(solved, ClosedDate=LATER)
    org.create("CaseHistory", CaseId=solved, Field="Status", OldValue="New", NewValue="Closed")
    service.later(hours=3)
    service.synced()
    assert backlog(service, "2025-06") == 3
    columns = ("id", "status", "status_category", "entered_at", "exited_at")
    rows = service.rows("case_status_history", *columns)
    assert rows == as_read_afresh(service, "case_status_history", *columns)
    assert (f"{solved}:0", "New", "new", MADE) in {row[:4] for row in rows}


def test_an_old_case_that_comes_to_meet_a_condition_has_its_first_stay(
    service: Site, salesforce: SalesforceSimulator
) -> None:
    service.datasets = {
        name: {"where": "Priority = 'High'"} for name in ("cases", "case_status_history")
    }
    [case] = case_with(salesforce)
    service.synced()
    salesforce.org.update(case, Priority="High")
    service.later(hours=3)
    service.synced()
    assert stays(service) == [("Open", MADE, None)]
    assert backlog(service, "2025-06") == 1


def test_a_case_without_any_change_left_is_closed_when_it_closed(
    service: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    [case] = case_with(salesforce)
    service.synced()
    closed = salesforce.clock()
    org.update(case, Status="Closed", IsClosed=True, ClosedDate=closed)
    service.later(days=40)
    for _ in range(2):  # the second finds nothing new
        service.synced()
        assert stays(service) == [("Closed", closed, None), ("Open", MADE, closed)]
        org.update(case, Priority="High")
        service.later(hours=3)
    assert (backlog(service, "2025-12"), backlog(service, "2026-01")) == (1, 0)
    org.update(case, Status="Open", IsClosed=False, ClosedDate=None)
    reopened = salesforce.clock()
    service.later(days=30)
    service.synced()
    assert stays(service)[0] == ("Closed", closed, reopened)
    assert ("Open", reopened, None) in stays(service)
    assert (backlog(service, "2026-01"), backlog(service, "2026-02")) == (0, 1)


def test_what_was_reached_first_is_not_forgotten_for_a_second_time(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    site.only, site.source = ("leads", "cases"), {"lead_statuses": {"MQL": "mql"}}
    lead = org.create("Lead", Status="MQL", stamp=MADE)
    case = org.create("Case", Status="Open", stamp=MADE)
    lead_log = {"LeadId": lead, "Field": "Status", "NewValue": "MQL"}
    case_log = {"CaseId": case, "Field": "IsEscalated", "NewValue": "true"}
    first = [
        org.create("LeadHistory", stamp=MOVED, **lead_log),
        org.create("CaseHistory", stamp=MOVED, **case_log),
    ]
    org.create("LeadHistory", stamp=LATER, **lead_log)
    org.create("CaseHistory", stamp=LATER, **case_log)
    salesforce.clock.advance(7200)
    site.synced()
    for name in first:
        org.purge(name)
    org.update(lead, LeadSource="x")
    org.update(case, Priority="High")
    site.later(hours=3)
    site.synced()
    assert site.rows("leads", "lead_source", "mql_at") == [("x", MOVED)]
    assert site.rows("cases", "priority", "escalated_at") == [("high", MOVED)]


def test_what_was_read_stays_when_a_further_column_is_read(
    service: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    service.source = {"lead_statuses": {"MQL": "mql"}}
    case, first, second = case_with(
        salesforce, (MOVED, "New", "Waiting"), (LATER, "Waiting", "Closed")
    )
    lead = org.create("Lead", Status="MQL", stamp=MADE)
    gone = [
        first,
        org.create("LeadHistory", LeadId=lead, Field="Status", NewValue="MQL", stamp=MOVED),
        org.create("CaseHistory", CaseId=case, Field="IsEscalated", NewValue="true", stamp=MOVED),
    ]
    needs: dict[str, tuple[str, ...]] = {
        "leads": ("mql_at",),
        "cases": ("is_escalated",),
        "case_status_history": ("case_id", "status_category", "entered_at"),
    }
    further = {"leads": "lead_source", "cases": "priority", "case_status_history": "exited_at"}
    sync(service.project, (), needs=needs)
    for name in gone:
        org.purge(name)
    service.later(hours=3)
    needs = {name: (*columns, further[name]) for name, columns in needs.items()}
    report = sync(service.project, (), needs=needs)
    assert (report.error, [load.is_full for load in report.reports]) == (None, [True] * 3)
    assert service.rows("leads", "mql_at") == [(MOVED,)]
    assert service.rows("cases", "is_escalated") == [(True,)]
    columns = ("id", "status_category", "entered_at", "exited_at")
    assert service.rows("case_status_history", *columns) == [
        (first, "pending", MOVED, LATER),
        (second, "solved", LATER, None),
        (f"{case}:0", "new", MADE, MOVED),
    ]
    service.later(hours=3)
    sync(service.project, (), needs=needs, full=True)
    assert service.rows("leads", "mql_at") == [(None,)]
    assert [row[0] for row in service.rows("case_status_history", "id")] == [second, f"{case}:0"]
