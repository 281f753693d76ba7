"""Names, addresses and texts of people are not asked for, whatever the project file says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect
from crmetrics.testing import CollectingRequest
from simulators.hubspot import Campaign, HubSpotSimulator, Owner
from simulators.hubspot.records import Property

MADE = datetime(2025, 11, 3, 9, tzinfo=UTC)


def all_asked(service: HubSpotSimulator) -> set[str]:
    """Every property that was named in a call for records."""
    asked = set[str]()
    for call in service.seen("(/crm/objects/|/campaigns)"):
        asked.update(call.query.get("properties", "").split(","))
        if call.body:
            asked.update(call.json().get("properties", ()))
    return asked


@pytest.mark.parametrize(
    "dataset, kind, column, text",
    [
        ("contacts", "contacts", "owner_id", "email"),
        ("contacts", "contacts", "owner_id", "coalesce(hubspot_owner_id, lower(lastname))"),
        ("cases", "tickets", "priority", "subject"),
        ("cases", "tickets", "category", "left(content, 20)"),
        ("activities", "calls", "outcome", "hs_call_body"),
        ("leads", "contacts", "status", "phone"),
        ("survey_responses", "feedback_submissions", "channel", "hs_content"),
        ("opportunities", "deals", "lead_source", "why_they_bought"),
        ("opportunities", "deals", "lead_source", "hotline"),
        ("users", "users", "role", "hs_email"),
        ("campaigns", "campaigns", "channel", "hs_notes"),
    ],
)
def test_the_project_file_cannot_ask_for_them_either(
    service: HubSpotSimulator, connect: Connect, dataset: str, kind: str, column: str, text: str
) -> None:
    account = service.account
    account.objects["deals"].define(
        Property("why_they_bought", "string", "textarea", is_own=True),
        Property("hotline", "string", "phonenumber", is_own=True),
    )
    account.owners["7"] = Owner("7", 70)
    account.campaigns["c"] = Campaign("c", {"hs_name": "A", "hs_notes": "A text"})
    if kind in account.objects:
        values = {"hs_v2_date_entered_lead": "2025-11-03T09:00:00Z"}
        account.create(kind, values, at=MADE)
    options: dict[str, Any] = {"datasets": {dataset: {"columns": {column: text}}}}
    connector = connect(service, **options)
    columns = ("id", column)
    with CollectingRequest(dataset, columns=columns, mapping={column: text}) as request:
        assert collect(request, connector).num_rows == 1
        (told,) = [n for n in request.notices if "never read" in n]
        assert told.startswith(f"{column} cannot be read: {kind}.")
        assert "holds names, addresses or texts of people, which are never read" in told
        assert all(column not in batch.schema.names for batch in request.batches)
    named = {"email", "lastname", "subject", "content", "hs_call_body", "phone", "hs_content",
             "why_they_bought", "hotline", "hs_email", "hs_notes"}  # fmt: skip
    assert not all_asked(service) & named


def test_check_says_that_such_a_column_is_not_read(
    service: HubSpotSimulator, connect: Connect
) -> None:
    connector = connect(service, datasets={"cases": {"columns": {"priority": "subject"}}})
    found = {result.subject: result for result in connector.check()}["cases"]
    assert found.state == "warning" and found.lacks == {"cases": ("priority",)}
    assert "priority (tickets.subject holds names, addresses or texts of people" in found.message
