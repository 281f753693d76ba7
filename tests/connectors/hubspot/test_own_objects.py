"""Datasets that the project file reads from an object of its own choice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect
from crmetrics.testing import CollectingRequest
from crmetrics.testing.request import STARTED
from simulators.hubspot import HubSpotSimulator, ObjectStore, own_properties

DAY = timedelta(days=1)


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
