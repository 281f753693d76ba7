"""Datasets that the project file reads from an object of its own choice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect
from crmetrics.testing import CollectingRequest
from crmetrics.testing.request import STARTED
from simulators.hubspot import HubSpotSimulator, ObjectStore, Property, own_properties

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.mark.parametrize(
    "dataset, column, kind, further",
    [
        ("opportunity_stage_history", "opportunity_id", "deals", {}),
        ("case_status_history", "case_id", "tickets", {}),
        ("case_messages", "case_id", "tickets", {"case_messages_from": ["conversations"]}),
    ],
)
def test_hubspots_own_history_is_not_mixed_into_that_of_a_custom_object(
    service: HubSpotSimulator,
    connect: Connect,
    dataset: str,
    column: str,
    kind: str,
    further: dict[str, list[str]],
) -> None:
    properties = own_properties(["record_guid"], "string")
    service.account.add_object(ObjectStore("logs", "2-777", "crm.objects.custom.read", properties))
    stages = {"deals": "dealstage", "tickets": "hs_pipeline_stage"}
    record = service.account.create(kind, {stages[kind]: "new"}, at=STARTED - DAY).id
    log = service.account.create("logs", {"record_guid": record}, at=STARTED - DAY).id
    columns = {column: "record_guid"}
    own = {dataset: {"object": "logs", "columns": columns}}
    connector = connect(service, datasets=own, **further)
    with CollectingRequest(dataset, columns=("id", column), mapping=columns) as request:
        assert collect(request, connector).to_pylist() == [{"id": log, column: record}]
    assert service.count("propertiesWithHistory") == service.count("/conversations/") == 0


@pytest.mark.parametrize("name", ["contacts", "0-1", "contact", "CONTACT"])
def test_whatever_an_object_is_called_its_personal_properties_are_not_read(
    service: HubSpotSimulator, connect: Connect, name: str
) -> None:
    service.account.objects["contacts"].define(Property("jobtitle"))
    service.account.create("contacts", {"jobtitle": "Chief Secret"}, at=STARTED - DAY)
    columns = {"campaign_id": "jobtitle"}
    own = {"campaign_members": {"object": name, "columns": columns}}
    connector = connect(service, datasets=own)
    asked = CollectingRequest("campaign_members", columns=("campaign_id",), mapping=columns)
    with asked as request:
        assert collect(request, connector)["campaign_id"].to_pylist() == [None]
        assert any("contacts.jobtitle holds names" in notice for notice in request.notices)
    assert not [call for call in service.seen("/objects/") if "jobtitle" in call.target]


def test_changed_contacts_are_found_whatever_the_object_is_called(
    service: HubSpotSimulator, connect: Connect
) -> None:
    """Contacts have another property than all other objects for when they changed."""
    columns = {"campaign_id": "lifecyclestage"}
    own = {"campaign_members": {"object": "0-1", "columns": columns}}
    asked = CollectingRequest("campaign_members", columns=("campaign_id",), mapping=columns)
    with asked as first:
        assert collect(first, connect(service, datasets=own)).num_rows == 0
    service.account.create("contacts", {"lifecyclestage": "lead"}, at=STARTED + HOUR)
    with first.following(since=STARTED) as later:
        found = collect(later, connect(service, datasets=own))["campaign_id"].to_pylist()
    assert found == ["lead"]
