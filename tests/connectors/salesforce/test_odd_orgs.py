"""Orgs as they are in the field: half hidden, namespaced, with person accounts, and forgetful."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from connectors.salesforce.orgs import Connect, connector_to, fill, rows_of
from connectors.salesforce.sites import Site, load_of
from crmetrics.errors import UnavailableError
from crmetrics.testing import CollectingRequest
from simulators.messages import Answer
from simulators.salesforce import SalesforceSimulator, make_id

# --- fields that our own conditions look at ----------------------------------------------------


@pytest.mark.parametrize(
    ("name", "field", "dataset"),
    [
        ("Order", "IsReductionOrder", "orders"),
        ("Campaign", "ActualCost", "marketing_spend"),
        ("ForecastingQuota", "IsAmount", "quotas"),
        ("EmailMessage", "ParentId", "case_messages"),
    ],
)
def test_a_hidden_field_of_a_condition_is_told_and_not_left_out_of_it(
    salesforce: SalesforceSimulator, connect: Connect, name: str, field: str, dataset: str
) -> None:
    fill(salesforce.org)
    if dataset == "case_messages":
        salesforce.org.hide("CaseComment")
    salesforce.org.hide(name, field)
    with pytest.raises(UnavailableError, match=rf"{name}\.{field} is missing or hidden"):
        rows_of(connect(), dataset)
    lines = {result.subject: result for result in connect().check()}
    assert not [line for line in lines.values() if line.state == "error"]
    assert lines[f"{dataset} ({name}{', CaseComment' * (dataset == 'case_messages')})"].lacks


def test_an_object_that_gives_nothing_to_a_dataset_is_told_beside_those_that_do(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    fill(salesforce.org)
    salesforce.org.remove_object("VoiceCall")
    salesforce.org.hide("EmailMessage", "ActivityId")
    with CollectingRequest("activities", columns=["id"]) as request:
        assert request.collect(connect().read(request)).num_rows == 2
        assert set(request.notices) == {
            "VoiceCall gives nothing to it: VoiceCall is missing or hidden from the user.",
            "EmailMessage gives nothing to it: EmailMessage.ActivityId is missing or hidden from "
            "the user.",
        }
    lines = {result.subject: result for result in connect().check()}
    line = lines["activities (VoiceCall)"]
    assert "its records are not among activities" in line.message
    assert "hold_seconds" in line.lacks["activities"]  # which nothing else gives
    assert "user_id" not in line.lacks["activities"]
    assert lines["activities (Task)"].state == "ok"


def test_what_an_org_lacks_is_told_once_and_again_when_everything_is_read(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("activities", "orders")
    fill(salesforce.org)
    salesforce.org.remove_object("VoiceCall")
    salesforce.org.hide("Order", "StatusCode")

    def told(*, full: bool = False) -> list[str]:
        site.later(hours=1)
        report = site.synced(full=full)
        notices = (n for load in report.reports for n in load.notices)
        return [n for n in notices if "missing or hidden" in n]

    voice = "VoiceCall gives nothing to it: VoiceCall is missing or hidden from the user."
    status = (
        "other fields than usual fill status, refunded_amount, refunded_at of Order: "
        "Order.StatusCode is missing or hidden from the user."
    )
    assert sorted(told()) == [voice, status]
    assert told() == told() == []
    salesforce.org.show("Order", "StatusCode")
    assert told() == []
    assert told(full=True) == [voice]
    lines = {line.subject: line.state for line in connector_to(salesforce).check()}
    assert (lines["activities (VoiceCall)"], lines["orders (Order)"]) == ("warning", "ok")


def test_a_companion_whose_condition_cannot_be_asked_for_takes_its_column_only(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = fill(salesforce.org)
    salesforce.org.hide("CaseHistory", "Field")
    rows = rows_of(connect(), "cases", ["status", "escalated_at"])
    assert [(row["id"], row["status"], row["escalated_at"]) for row in rows] == [
        (made["Case"], "Closed", None)
    ]


def test_an_object_whose_description_is_forbidden_is_hidden_and_stops_nothing(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    def forbidden(answer: Answer) -> Answer:
        body = json.loads(answer.body)
        for part in body["results"]:
            if isinstance(part["result"], dict) and part["result"].get("name") == "VoiceCall":
                error = {"errorCode": "INSUFFICIENT_ACCESS", "message": "no"}
                part.update(statusCode=403, result=[error])
        return Answer.json(body)

    made = fill(salesforce.org)
    salesforce.faults.spoil(forbidden, on="composite/batch", times=None)
    salesforce.refuse("INSUFFICIENT_ACCESS", "no", 403, on="VoiceCall/describe", times=None)
    rows = rows_of(connect(), "activities", ["id"])
    assert {row["id"] for row in rows} >= {made["Task"], made["Event"]}
    lines = {result.subject: result for result in connect().check()}
    assert lines["activities (VoiceCall)"].state == "warning"
    assert lines["accounts (Account)"].state == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["orders", "cases", "activities", "opportunity_stage_history"])
def test_no_field_that_gets_hidden_breaks_a_read(
    salesforce: SalesforceSimulator, connect: Connect, dataset: str
) -> None:
    fill(salesforce.org)
    whole = rows_of(connect(), dataset)
    selected = sorted(pair for pair in salesforce.selected if pair[1] != "Id")
    assert len(selected) > 10
    for name, field in selected:
        salesforce.org.hide(name, field)
        try:
            rows = rows_of(connect(), dataset)
        except UnavailableError as exc:
            assert f"{name}.{field} is missing or hidden" in str(exc), field
        else:
            assert 0 < len(rows) <= len(whole), field  # what it takes with it is its own
        salesforce.org.show(name, field)


# --- names -------------------------------------------------------------------------------------


def test_fields_and_parents_of_a_package_are_read_by_their_whole_names(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    org = salesforce.org
    org.add_object("ns__Plan__c", "a01", "ns__Tier__c")
    org.add_fields("Account", "ns__Tier__c ns__Plan__c>ns__Plan__c")
    plan = org.create("ns__Plan__c", ns__Tier__c="gold")
    org.create("Account", ns__Tier__c="x", ns__Plan__c=plan)
    mapping = {"segment": "upper(ns__Tier__c)", "country": "upper(ns__Plan__r.ns__Tier__c)"}
    [row] = rows_of(connect(), "accounts", list(mapping), mapping=mapping)
    assert (row["segment"], row["country"]) == ("X", "GOLD")


@pytest.mark.parametrize("has_persons", [True, False])
def test_the_name_of_a_person_account_is_a_persons(
    salesforce: SalesforceSimulator, connect: Connect, has_persons: bool
) -> None:
    if has_persons:
        salesforce.org.add_fields("Account", "IsPersonAccount:boolean")
    salesforce.org.create("Account", Name="Ann Smith")
    [row] = rows_of(connect(), "accounts", ["segment"], mapping={"segment": "Name"})
    assert row["segment"] == (None if has_persons else "Ann Smith")
    assert (("Account", "Name") in salesforce.selected) is not has_persons


@pytest.mark.parametrize("transport", ["rest", "bulk"])
def test_archived_activities_are_read(
    salesforce: SalesforceSimulator, connect: Connect, transport: str
) -> None:
    old = salesforce.org.create("Task", IsArchived=True)
    assert [row["id"] for row in rows_of(connect(transport=transport), "activities", ["id"])] == [
        old
    ]


# --- time passes -------------------------------------------------------------------------------


def test_a_meeting_is_completed_when_its_time_has_come_although_nobody_touched_it(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("activities",)
    soon, late = (
        salesforce.org.create("Event", StartDateTime=datetime(2026, 1, day, 12, tzinfo=UTC))
        for day in (13, 20)
    )
    salesforce.clock.advance(3600)
    site.synced()
    assert site.rows("activities", "id", "is_completed") == [(soon, False), (late, False)]
    site.later(days=2)
    assert load_of(site.synced(), "activities").fetched == 1
    assert site.rows("activities", "id", "is_completed") == [(soon, True), (late, False)]
    site.later(days=7)
    site.synced()
    assert site.rows("activities", "id", "is_completed") == [(soon, True), (late, True)]


def test_what_the_org_forgets_stays_when_all_is_read_anew(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("user_activity", "forecasts")
    org = salesforce.org
    org.remove_object("ForecastingSubmissionItem", "ForecastingSubmission")
    at = datetime(2025, 7, 1, tzinfo=UTC)
    old = org.create("LoginHistory", UserId=org.user, LoginTime=at, Status="Success")
    period = org.create(
        "Period", Type="Month", StartDate=date(2026, 1, 1), EndDate=date(2026, 1, 31)
    )
    item = org.create("ForecastingItem", OwnerId=org.user, PeriodId=period, ForecastAmount=5,
                      IsAmount=True, ForecastCategoryName="Commit")  # fmt: skip
    salesforce.clock.advance(3600)
    site.synced()
    org.purge(old)
    new = org.create("LoginHistory", UserId=org.user, LoginTime=salesforce.clock())
    site.later(days=1)
    site.synced(full=True)
    assert site.ids("user_activity") == [old, new]
    assert site.ids("forecasts") == [f"{item}:2026-01-12", f"{item}:2026-01-13"]
    site.source = {"domain": "renamed.my.salesforce.com"}
    site.later(days=1)
    site.synced()
    assert site.ids("user_activity") == [old, new]
    org.id = make_id("00D", 2)
    site.source = {"domain": "other.my.salesforce.com"}
    site.synced()
    assert site.ids("user_activity") == [new]
    assert site.ids("forecasts") == [f"{item}:2026-01-14"]


def test_what_the_org_forgets_leaves_with_the_rules_that_it_was_read_by(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only, org = ("user_activity", "forecasts"), salesforce.org
    org.remove_object("ForecastingSubmissionItem", "ForecastingSubmission")
    made = salesforce.clock()
    period = org.create("Period", Type="Month", StartDate=date(2026, 1, 1),
                        EndDate=date(2026, 1, 31))  # fmt: skip
    value = {"OwnerId": org.user, "PeriodId": period, "ForecastAmount": 5, "IsAmount": True}
    item, _ = (
        org.create("ForecastingItem", ForecastCategoryName=name, **value)
        for name in ("Commit", "Pipeline")
    )
    app, _ = (
        org.create("LoginHistory", UserId=org.user, LoginTime=made, LoginType=kind)
        for kind in ("Application", "Remote Access 2.0")
    )
    salesforce.clock.advance(3600)
    site.synced()
    assert (len(site.ids("user_activity")), len(site.ids("forecasts"))) == (2, 2)
    site.datasets = {
        "user_activity": {"where": "LoginType = 'Application'"},
        "forecasts": {"where": "ForecastCategoryName = 'Commit'"},
    }
    site.later(days=1)
    report = site.synced()
    for dataset in site.only:
        [told] = [n for n in load_of(report, dataset).notices if "no longer shows leave" in n]
        assert told.startswith("`where:` changed")
    assert site.ids("user_activity") == [app]
    assert site.ids("forecasts") == [f"{item}:2026-01-13"]
    org.purge(app)
    site.datasets["user_activity"]["columns"] = {"object_type": "LoginType"}
    org.create("LoginHistory", UserId=org.user, LoginTime=salesforce.clock(),
               LoginType="Application")  # fmt: skip
    site.later(days=1)
    site.synced()
    assert site.rows("user_activity", "object_type") == [("Application",)]
    site.later(days=1)
    site.synced(full=True)  # by the same rules
    assert site.ids("forecasts") == [f"{item}:2026-01-{day}" for day in (13, 14, 15)]


def test_what_the_org_forgets_stays_when_a_further_column_is_mapped(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    fill(salesforce.org)
    with CollectingRequest("user_activity", columns=["id", "user_id"]) as first:
        first.collect(connect().read(first))
    again = {"columns": ["id", "user_id", "activity_type"], "is_full": True}
    for mapping, stays in (({"activity_type": "'login'"}, True), ({"user_id": "'x'"}, False)):
        with CollectingRequest(
            "user_activity", mapping=mapping, state=first.saved_state, **again
        ) as second:
            second.collect(connect().read(second))
        told = [notice for notice in second.notices if "no longer shows leave" in notice]
        assert told == [] if stays else told[0].startswith("`columns.user_id:` changed")
