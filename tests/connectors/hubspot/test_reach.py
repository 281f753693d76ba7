"""What a token or an account does not reach: told, left out, and never taken for gone or empty."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect, rows
from crmetrics.engine import Project
from crmetrics.errors import SourceError
from crmetrics.testing import CollectingRequest
from crmetrics.testing.request import STARTED
from simulators.hubspot import ALL_SCOPES, HubSpotSimulator, property_of
from simulators.messages import Answer

DAY = timedelta(days=1)
Read = Callable[..., tuple[list[dict[str, Any]], CollectingRequest]]


def without(service: HubSpotSimulator, *scopes: str) -> dict[str, str]:
    return {"token": service.grant("pat-na1-narrow", ALL_SCOPES - set(scopes))}


@pytest.fixture
def read(connect: Connect) -> Read:
    def go(
        service: HubSpotSimulator, dataset: str, columns: tuple[str, ...], **options: Any
    ) -> Any:
        with CollectingRequest(dataset, columns=columns) as request:
            found = collect(request, connect(service, **options)).to_pylist()
        return found, request

    return go


def delivered(request: CollectingRequest) -> set[str]:
    return {name for batch in request.batches for name in batch.schema.names}


def test_without_owners_a_ticket_has_no_team_rather_than_an_empty_one(
    service: HubSpotSimulator, read: Read
) -> None:
    service.account.create("tickets", {"hubspot_team_id": "5"}, at=STARTED)
    auth = without(service, "crm.objects.owners.read")
    found, request = read(service, "cases", ("team", "created_at"), auth=auth)
    assert len(found) == 1 and "team" not in delivered(request)
    assert any("cases.team is not supplied: the token does not reach" in n for n in request.notices)


def test_without_the_leads_object_calls_are_read_all_the_same(
    service: HubSpotSimulator, read: Read
) -> None:
    deal = service.account.create("deals", {}, at=STARTED).id
    call = service.account.create("calls", {}, at=STARTED).id
    service.account.associate("calls", call, "deals", deal)
    auth = without(service, "crm.objects.leads.read")
    found, request = read(service, "activities", ("opportunity_id", "lead_id"), auth=auth)
    assert [row["opportunity_id"] for row in found] == [deal]
    assert "lead_id" not in delivered(request)
    assert service.count("calls/leads/batch") == 0


def test_check_tells_which_columns_are_out_of_reach(
    service: HubSpotSimulator, connect: Connect
) -> None:
    connector = connect(service, auth=without(service, "crm.objects.leads.read"))
    found = {result.subject: result for result in connector.check()}
    assert found["activities"].lacks == {"activities": ("lead_id",)}
    assert "lead_id (out of reach associated_lead)" in found["activities"].message


def test_an_object_that_the_account_no_longer_has_takes_no_records_with_it(
    service: HubSpotSimulator, connect: Connect
) -> None:
    call = service.account.create("calls", {}, at=STARTED - DAY).id
    service.account.create("notes", {}, at=STARTED - DAY)
    connector = connect(service)
    with CollectingRequest("activities", columns=("activity_type",)) as first:
        assert collect(first, connector).num_rows == 2
    del service.account.objects["notes"]
    later = first.following(since=STARTED)
    later.intake.started = STARTED + DAY
    with later:
        found = collect(later, connect(service)).to_pylist()
        assert [row["id"] for row in found] == [f"calls-{call}"]
        assert later.intake.retained is None, "the notes would be marked deleted"
        assert any("notes are not read" in notice for notice in later.notices)


def test_a_property_that_disappears_is_an_error_and_no_stale_column(
    service: HubSpotSimulator, connect: Connect
) -> None:
    service.account.create("deals", {"closed_lost_reason": "price"}, at=STARTED - DAY)
    columns = ("id", "lost_reason", "account_id")
    with CollectingRequest("opportunities", columns=columns) as first:
        collect(first, connect(service))
    del service.account.objects["deals"].properties["closed_lost_reason"]
    for auth in ({"token": service.token}, without(service, "crm.objects.companies.read")):
        with first.following(since=STARTED) as later, pytest.raises(SourceError) as caught:
            collect(later, connect(service, auth=auth))
        assert "lost_reason could be read before and cannot any more" in str(caught.value)
        assert "no property 'closed_lost_reason'" in str(caught.value)
    assert str(caught.value).startswith("account_id, lost_reason could")
    with CollectingRequest("opportunities", columns=columns, is_full=True) as anew:
        assert collect(anew, connect(service)).num_rows == 1


def test_a_dataset_of_one_object_that_the_account_lacks_fails(
    service: HubSpotSimulator, connect: Connect
) -> None:
    del service.account.objects["goal_targets"]
    with pytest.raises(SourceError, match="has no such object"):
        rows(connect(service), "quotas")


def test_a_list_that_ends_too_early_does_not_pass_for_the_whole(
    service: HubSpotSimulator, connect: Connect
) -> None:
    for number in range(250):
        service.account.create("deals", {}, at=STARTED + timedelta(seconds=number))

    def cut(answer: Answer) -> Answer:
        body = json.loads(answer.body)
        body.pop("paging", None)
        return replace(answer, body=json.dumps(body).encode())

    service.faults.spoil(cut, on="GET .*/deals.*archived=false", skip=1)
    with pytest.raises(SourceError, match=r"ended after 200 records; HubSpot's search counts 250"):
        rows(connect(service), "opportunities", columns=("id",))


def test_a_history_that_may_be_cut_is_told(service: HubSpotSimulator, read: Read) -> None:
    deal = service.account.create("deals", {"dealstage": "0"}, at=STARTED).id
    for number in range(1, 25):
        at = STARTED + timedelta(hours=number)
        service.account.update("deals", deal, at, dealstage=str(number))
    found, request = read(service, "opportunity_stage_history", ("stage", "entered_at"))
    assert len(found) == 20
    (notice,) = request.notices
    assert "1 records have 20 or more versions" in notice


# --- what a read would cost ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "dataset, columns, rows_held, is_incremental, at_least, at_most",
    [
        # 2,000 pages and some
        ("opportunities", ("id", "amount"), 200_000, False, 2_000, 2_010),
        # and 200 reads of associations
        ("opportunities", ("id", "account_id"), 200_000, False, 2_200, 2_210),
        # pages of 50 with history
        ("opportunity_stage_history", ("id", "stage"), 200_000, False, 4_000, 4_010),
        # 4,000 changed: 20 pages of a search, 40 batches
        ("opportunities", ("id", "amount"), 200_000, True, 60, 70),
        ("users", ("id",), 50, False, 1, 3),
    ],
)
def test_a_read_is_estimated_by_what_is_held(
    service: HubSpotSimulator,
    connect: Connect,
    dataset: str,
    columns: tuple[str, ...],
    rows_held: int,
    is_incremental: bool,
    at_least: int,
    at_most: int,
) -> None:
    connector = connect(service)
    connector.context.storage.write("walks", {dataset: service.clock().isoformat()})
    estimate = connector.estimate(dataset, columns, rows=rows_held, is_incremental=is_incremental)
    assert estimate is not None and at_least <= estimate.calls <= at_most
    assert not service.calls
    assert connector.estimate("expenses", ("id",), rows=None, is_incremental=False) is None


def test_an_estimate_is_near_the_calls_that_are_made(
    unlimited: HubSpotSimulator, connect: Connect
) -> None:
    for number in range(3_000):
        unlimited.account.create("deals", {}, at=STARTED + timedelta(seconds=number))
    connector, columns = connect(unlimited), ("id", "amount", "account_id", "stage")
    estimate = connector.estimate("opportunities", columns, rows=3_000, is_incremental=False)
    rows(connector, "opportunities", columns=columns)
    assert estimate is not None
    assert abs(estimate.calls - len(unlimited.calls)) <= 0.15 * len(unlimited.calls)


@pytest.mark.parametrize(
    "dataset, columns",
    [("subscriptions", ("id", "account_id", "end_date")), ("orders", ("id", "account_id"))],
)
def test_what_is_read_beside_the_records_is_in_the_estimate(
    unlimited: HubSpotSimulator, connect: Connect, dataset: str, columns: tuple[str, ...]
) -> None:
    """The history of those that are over, and the companies of contacts."""
    account, count = unlimited.account, 4_000
    contact = account.create("contacts", {}, at=STARTED).id
    for number in range(count):
        status = "canceled" if number % 10 < 3 else "active"
        at = STARTED + timedelta(seconds=number)
        record = account.create(dataset, {"hs_status": status}, at=at).id
        account.associate(dataset, record, "contacts", contact)
    connector = connect(unlimited)
    estimate = connector.estimate(dataset, columns, rows=count, is_incremental=False)
    rows(connector, dataset, columns=columns)
    beside = len(unlimited.calls) - unlimited.count(r"GET .*/objects/")
    assert beside > (30 if dataset == "subscriptions" else 10)
    assert estimate is not None
    assert abs(estimate.calls - len(unlimited.calls)) <= 4


def test_the_walk_through_all_that_is_due_is_in_the_estimate(
    unlimited: HubSpotSimulator, connect: Connect
) -> None:
    unlimited.clock.now = STARTED
    for number in range(3_000):
        unlimited.account.create("deals", {}, at=STARTED - DAY + timedelta(seconds=number))
    connector, columns = connect(unlimited), ("id", "amount", "stage")
    read: dict[str, Any] = {"rows": 3_000, "is_incremental": True}
    with CollectingRequest("opportunities", columns=columns) as first:
        collect(first, connector)
        connector.close()
    estimate = connector.estimate("opportunities", columns, **read)
    assert estimate is not None and estimate.calls < 10 and "by search" in estimate.basis
    later = STARTED + timedelta(hours=25)
    unlimited.clock.now = later
    estimate = connector.estimate("opportunities", columns, **read)
    assert estimate is not None and "refresh_every" in estimate.basis
    sent = len(unlimited.calls)
    with first.following(since=STARTED) as second:
        second.intake.started = later
        collect(second, connect(unlimited))
    assert abs(estimate.calls - (len(unlimited.calls) - sent)) <= 3


@pytest.mark.parametrize(
    ("dataset", "scope", "options"),
    [
        ("user_activity", "crm.objects.owners.read", {}),
        (
            "case_messages",
            "conversations.read",
            {"case_messages_from": ("emails", "conversations")},
        ),
        (
            "users",
            "crm.objects.users.read",
            {"datasets": {"users": {"columns": {"user_type": "lower(crm_role)"}}}},
        ),
    ],
)
def test_check_finds_each_missing_scope_that_a_read_fails_for(
    service: HubSpotSimulator, connect: Connect, dataset: str, scope: str, options: dict[str, Any]
) -> None:
    service.account.objects["users"].define(property_of("crm_role", "string", is_own=True))
    service.account.logins = [
        {"id": "1", "userId": 70, "loginAt": "2025-11-01T00:00:00Z", "loginSucceeded": True}
    ]
    service.account.create("tickets", {}, at=STARTED)
    narrow = connect(service, auth=without(service, scope), **options)
    mapping = options.get("datasets", {}).get(dataset, {}).get("columns", {})
    with pytest.raises(SourceError, match=scope.replace(".", "[.]")):
        rows(narrow, dataset, mapping=mapping)
    found = {result.subject: result for result in narrow.check()}[dataset]
    assert found.state == "warning" and found.lacks == {dataset: ()}
    assert scope in found.message and scope in found.fix
    whole = {result.subject: result for result in connect(service, **options).check()}[dataset]
    assert whole.state == "ok", whole


# --- in a project ------------------------------------------------------------------------------


def project_over(service: HubSpotSimulator, folder: Path, auth: dict[str, str]) -> Project:
    document = {
        "version": 1,
        "project": "reach",
        "sources": {"hs": {"connector": "hubspot", "base_url": service.base_url, "auth": auth}},
        "metrics": {"packs": ["sales", "service"]},
    }
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    return Project(folder, environ={})


def test_check_names_the_kpis_that_a_missing_scope_costs_and_a_sync_loads_the_rest(
    unlimited: HubSpotSimulator, tmp_path: Path
) -> None:
    unlimited.account.create("deals", {"dealstage": "x"}, at=STARTED)
    project = project_over(unlimited, tmp_path, without(unlimited, "tickets"))
    found = {result.subject: result for result in project.check()}
    cases = found["source hs: cases"]
    assert "Out of reach: " in cases.message and "case_volume" in cases.message
    assert "win_rate" not in cases.message and "scope tickets" in cases.fix
    report = project.sync()
    status = {loaded.dataset: loaded.status for loaded in report.reports}
    assert {name for name, told in status.items() if told != "ok"} == {
        "cases",
        "case_status_history",
    }
    assert status["cases"] == status["case_status_history"] == "absent", "no failure of a run"
    assert report.error is None and "Grant the token the scope tickets" in " ".join(report.notes())
    assert {loaded.rows for loaded in report.reports if loaded.dataset == "opportunities"} == {1}


def test_a_dataset_that_was_read_fails_without_its_scope_and_keeps_what_it_holds(
    unlimited: HubSpotSimulator, tmp_path: Path
) -> None:
    unlimited.account.create("tickets", {}, at=STARTED)
    assert project_over(unlimited, tmp_path, {"token": unlimited.token}).sync().error is None
    lacks = without(unlimited, "tickets", "multi-currency-read")
    project = project_over(unlimited, tmp_path, lacks)
    wanted = {"cases", "case_status_history", "exchange_rates"}
    for full in (False, True, False):
        report = project.sync(full=full)
        assert wanted <= {failed.dataset for failed in report.failures}
        assert "scope tickets" in str(report.error)
        with duckdb.connect(
            str(tmp_path / ".crmetrics" / "warehouse.duckdb"), read_only=True
        ) as base:
            assert base.execute("select count(*) from crm.cases").fetchall() == [(1,)]


def test_plan_shows_the_calls_of_a_first_run(unlimited: HubSpotSimulator, tmp_path: Path) -> None:
    project = project_over(unlimited, tmp_path, {"token": unlimited.token})
    plan = project.plan()
    estimate = plan.estimates["hs", "opportunities"]
    assert estimate.calls > 100 and "never read" in estimate.basis
    assert plan.calls >= estimate.calls and not unlimited.calls


def test_an_address_that_nobody_answers_is_no_matter_of_the_token(connect: Connect) -> None:
    with HubSpotSimulator() as gone:
        connector = connect(gone)
    [account] = connector.check()
    assert (account.subject, account.state) == ("account", "error")
    assert "the connection was refused" in account.message
    assert "base_url:" in account.fix and "service key" not in account.fix


def test_a_wrong_token_is_a_matter_of_the_token(
    service: HubSpotSimulator, connect: Connect
) -> None:
    [account] = connect(service, auth={"token": "pat-na1-nobody"}).check()
    assert account.state == "error"
    assert "service key" in account.fix
