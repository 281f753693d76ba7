"""Conditions of the project file on datasets that come from several objects."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.salesforce.orgs import Connect, rows_of
from connectors.salesforce.project_files import findings, project
from connectors.salesforce.sites import Site, load_of
from crmetrics.config import json_schema
from crmetrics.errors import SourceError
from crmetrics.testing import CollectingRequest
from crmetrics_salesforce.connector import SalesforceConnector
from crmetrics_salesforce.soql import compared_in
from simulators.salesforce import SalesforceSimulator

NINE = datetime(2026, 1, 5, 9, tzinfo=UTC)


def activities(salesforce: SalesforceSimulator) -> dict[str, str]:
    """A task, a meeting and a call that are tests, and one each that is none; by a word."""
    org, made = salesforce.org, dict[str, str]()
    for word, subject, tested in (("test", "TEST call", "Robot"), ("real", "Offer", "Done")):
        made[f"{word} task"] = org.create("Task", Subject=subject, stamp=NINE)
        made[f"{word} meeting"] = org.create("Event", Subject=subject, StartDateTime=NINE)
        made[f"{word} call"] = org.create("VoiceCall", CallDisposition=tested)
    return made


TEST_SUBJECT = "Subject LIKE 'TEST%'"
BY_OBJECT = {"Task": TEST_SUBJECT, "Event": TEST_SUBJECT, "VoiceCall": "CallDisposition = 'Robot'"}


@pytest.mark.parametrize("transport", ["rest", "bulk"])
def test_each_object_of_a_dataset_has_its_own_rule_of_test_records(
    salesforce: SalesforceSimulator, connect: Connect, transport: str
) -> None:
    made = activities(salesforce)
    mail = salesforce.org.create("EmailMessage", Subject="TEST mail", MessageDate=NINE)
    connector = connect(transport=transport, datasets={"activities": {"is_test": BY_OBJECT}})
    rows = {row["id"]: row.get("is_test") for row in rows_of(connector, "activities")}
    assert {word for word, name in made.items() if rows[name]} == {
        "test task", "test meeting", "test call",
    }  # fmt: skip
    assert not rows[mail]  # of an object that is not named none is a test
    chosen = [query.partition(" FROM ")[0] for query in salesforce.queries]
    assert not [text for text in chosen if "Subject" in text]


def test_each_object_of_a_dataset_has_its_own_choice_of_records(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    made = activities(salesforce)
    site.only = ("activities",)
    site.datasets = {
        "activities": {
            "where": {"Task": f"(NOT {TEST_SUBJECT})", "VoiceCall": "CallDisposition != 'Robot'"}
        }
    }
    salesforce.clock.advance(3600)
    site.synced()
    assert site.ids("activities") == sorted(
        made[word] for word in ("real task", "real call", "real meeting", "test meeting")
    )
    salesforce.org.update(made["real task"], Subject="TEST again")
    salesforce.org.update(made["test call"], CallDisposition="Done")
    site.later(hours=1)
    site.synced()
    assert site.ids("activities") == sorted(
        made[word] for word in ("test call", "real call", "real meeting", "test meeting")
    )
    site.datasets = {}
    site.later(hours=1)
    assert load_of(site.synced(), "activities").fetched == 6  # the rules changed: read whole


@pytest.mark.parametrize("key", ["is_test", "where"])
def test_a_rule_for_all_objects_says_which_one_cannot_have_it_and_what_to_write(
    salesforce: SalesforceSimulator, connect: Connect, key: str
) -> None:
    activities(salesforce)
    connector = connect(datasets={"activities": {key: TEST_SUBJECT}})
    with pytest.raises(SourceError) as failure:
        rows_of(connector, "activities")
    told = str(failure.value)
    assert f"`{key}:` of activities goes to all its objects" in told
    assert "VoiceCall has no Subject, or hides it from the user" in told
    rule = f'"{TEST_SUBJECT}"'
    assert f"`{key}: {{Task: {rule}, Event: {rule}, EmailMessage: {rule}}}`" in told
    assert not [query for query in salesforce.queries if "FROM VoiceCall" in query]
    lines = [line for line in connector.check() if line.subject == f"activities ({key})"]
    assert [line.state for line in lines] == ["ok", "ok", "ok", "error"]
    assert lines[-1].message == told


def test_what_it_says_to_write_works(salesforce: SalesforceSimulator, connect: Connect) -> None:
    made = activities(salesforce)
    rule = dict.fromkeys(("Task", "Event", "EmailMessage"), TEST_SUBJECT)
    rows = rows_of(connect(datasets={"activities": {"is_test": rule}}), "activities")
    found = {row["id"] for row in rows if row.get("is_test")}
    assert found == {made["test task"], made["test meeting"]}


def test_a_rule_for_all_objects_still_goes_to_all_that_have_its_fields(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = activities(salesforce)
    salesforce.org.hide("VoiceCall")
    rows = rows_of(connect(datasets={"activities": {"is_test": TEST_SUBJECT}}), "activities")
    found = {row["id"] for row in rows if row["is_test"]}
    assert found == {made["test task"], made["test meeting"]}


@pytest.mark.parametrize(
    "rule", [{"Task": "Subjct = 'x'"}, {"Task": "Subject = 'x'", "VoiceCall": "Subject = 'x'"}]
)
def test_a_field_that_its_own_object_lacks_is_named_with_the_close_one(
    salesforce: SalesforceSimulator, connect: Connect, rule: dict[str, str]
) -> None:
    activities(salesforce)
    name, field = ("Task", "Subjct") if len(rule) == 1 else ("VoiceCall", "Subject")
    with pytest.raises(SourceError, match=rf"looks at {field}, and {name} has no such") as failure:
        rows_of(connect(datasets={"activities": {"where": rule}}), "activities")
    assert ("Did you mean 'Subject'?" in str(failure.value)) is (name == "Task")
    assert "give the user read access to the field" in str(failure.value)


def test_a_rule_that_is_not_asked_for_fails_nothing(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    activities(salesforce)
    connector = connect(datasets={"activities": {"is_test": TEST_SUBJECT}})
    assert len(rows_of(connector, "activities", ["id"])) == 6


def test_a_rule_of_an_object_whose_place_another_one_takes_is_told(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    rule = {"Asset": "Status = 'Test'", "AssetStatePeriod": "Quantity > 0"}
    connector = connect(datasets={"subscriptions": {"where": rule}})
    with CollectingRequest("subscriptions", columns=["id"]) as request:
        request.collect(connector.read(request))
        assert [n for n in request.notices if "Asset," in n] == [
            "`where:` has a condition for Asset, whose records are not read, because the org has "
            "AssetStatePeriod: nothing is asked for by it."
        ]
    lines = {line.subject: line for line in connector.check()}
    assert lines["subscriptions (rules)"].state == "warning"


def test_a_mark_of_rows_that_are_no_records_is_told_as_not_asked_for(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    deal = salesforce.org.create("Opportunity", StageName="Open")
    salesforce.org.create("OpportunityHistory", OpportunityId=deal, StageName="Open")
    rule = {"is_test": "StageName = 'Test'", "where": "StageName != 'Junk'"}
    connector = connect(datasets={"opportunity_stage_history": rule})
    with CollectingRequest("opportunity_stage_history") as request:
        assert request.collect(connector.read(request)).num_rows == 1
        [told] = [notice for notice in request.notices if "is_test" in notice]
    assert "`is_test:` of opportunity_stage_history is not asked for" in told
    assert "Leave records out by `where:`." in told
    lines = {line.subject: line for line in connector.check()}
    assert lines["opportunity_stage_history (rules)"].message == told
    assert lines["opportunity_stage_history (where)"].state == "ok"


# --- the project file ----------------------------------------------------------------------------


def test_an_object_that_a_dataset_does_not_come_from_is_told_with_its_place(
    tmp_path: Path,
) -> None:
    project(
        tmp_path,
        "      activities:",
        "        is_test: {Task: a = 1, Evnt: a = 1}",
        "        where:",
        "          voicecall: a = 1",
        "      survey_responses: {object: Nps__c, where: {Nps_c: a = 1}}",
        "      training_enrollments: {where: {Course__c: a = 1}}",
    )
    at = "sources.crm.datasets"
    comes = "activities comes from Task, Event, EmailMessage, VoiceCall, not from"
    assert findings(tmp_path) == [
        f"crmetrics.yaml:10:32: {at}.activities.is_test.Evnt: {comes} 'Evnt'. "
        "Did you mean 'Event'?",
        f"crmetrics.yaml:12:11: {at}.activities.where.voicecall: {comes} 'voicecall'. "
        "Did you mean 'VoiceCall'?",
        f"crmetrics.yaml:13:50: {at}.survey_responses.where.Nps_c: survey_responses comes from "
        "Nps__c, not from 'Nps_c'. Did you mean 'Nps__c'?",
        f"crmetrics.yaml:14:38: {at}.training_enrollments.where.Course__c: Salesforce has no "
        "object for training_enrollments by itself; name yours with `object:`.",
    ]


def test_a_rule_that_is_neither_a_condition_nor_one_by_object_is_told(tmp_path: Path) -> None:
    project(tmp_path, "      accounts: {is_test: [a = 1]}")
    [told] = findings(tmp_path)
    assert told.startswith("crmetrics.yaml:9:27: ")
    assert "expected a text or a mapping of keys to values, found a list" in told


def test_editors_accept_both_forms() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs the package jsonschema")
    schema = json_schema({"salesforce": SalesforceConnector}, {})
    validator = jsonschema.Draft202012Validator(schema)

    def is_right(rule: object) -> bool:
        source = {
            "connector": "salesforce",
            "auth": {"flow": "access_token", "access_token": "x"},
            "datasets": {"activities": {"is_test": rule, "where": rule}},
        }
        document = {"version": 1, "project": "p", "sources": {"crm": source}}
        return not list(validator.iter_errors(document))

    assert is_right("a = 1") and is_right({"Task": "a = 1"}) and is_right(None)
    assert not is_right(["a = 1"]) and not is_right({"Task": ["a = 1"]})


@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        ("Subject LIKE 'A = 1%' AND Status != 'x'", ["Subject", "Status"]),
        ("(NOT (Owner.Name = 'x')) OR a__c=TRUE", ["Owner.Name", "a__c"]),
        ("Id IN (SELECT ParentId FROM Case WHERE (Foo = 1 AND Bar__c IN ('x')))", ["Id"]),
        ("Amount > USD5000 AND CloseDate < LAST_N_DAYS:30", ["Amount", "CloseDate"]),
        ("CreatedDate >= 2026-01-05T08:00:00Z", ["CreatedDate"]),
        ("CALENDAR_YEAR(CreatedDate) = 2026 and Type not in ('a') ", ["CreatedDate", "Type"]),
        ("DISTANCE(At__c, GEOLOCATION(1, 2), 'km') NOT IN (3) or x__c = 1", ["x__c"]),
        ("Name = 'O\\'Neil = 3' AND Tags__c INCLUDES ('a;b')", ["Name", "Tags__c"]),
        ("Type IN('a') AND INDUSTRY like 'x'", ["Type", "INDUSTRY"]),
    ],
)
def test_what_a_condition_compares(condition: str, fields: list[str]) -> None:
    assert compared_in(condition) == fields
