"""A scope that is granted later: what was null or missing is read of all records at once."""

from __future__ import annotations

from datetime import timedelta

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect
from crmetrics.testing import CollectingRequest
from crmetrics.testing.request import STARTED
from simulators.hubspot import ALL_SCOPES, HubSpotSimulator

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
LEAD = {"hs_v2_date_entered_lead": "2025-12-01T09:00:00Z", "lifecyclestage": "opportunity"}


def narrow(service: HubSpotSimulator, *without: str) -> dict[str, str]:
    return {"token": service.grant("pat-na1-narrow", ALL_SCOPES - set(without))}


def test_a_column_that_can_be_filled_at_last_is_filled_in_all_records(
    service: HubSpotSimulator, connect: Connect
) -> None:
    account, deal_of = service.account, {}
    for _ in range(3):
        lead = account.create("contacts", LEAD, at=STARTED - DAY).id
        deal_of[lead] = account.create("deals", {}, at=STARTED - DAY).id
        account.associate("contacts", lead, "deals", deal_of[lead])
    auth = narrow(service, "crm.objects.deals.read")
    columns = ("id", "converted_opportunity_id")
    with CollectingRequest("leads", columns=columns) as first:
        assert collect(first, connect(service, auth=auth)).num_rows == 3
    account.update("contacts", min(deal_of), STARTED + MINUTE, hs_lead_status="OPEN")
    narrow(service)
    with first.following(since=STARTED) as later:
        found = collect(later, connect(service, auth=auth)).to_pylist()
        assert {row["id"]: row["converted_opportunity_id"] for row in found} == deal_of
        assert any("all records are read again" in notice for notice in later.notices)
    with later.following(since=STARTED + 2 * MINUTE) as last:
        assert collect(last, connect(service, auth=auth)).num_rows == 0, "once is enough"


def test_a_company_that_comes_through_a_contact_at_last_comes_for_all_records(
    service: HubSpotSimulator, connect: Connect
) -> None:
    account = service.account
    order = account.create("orders", {}, at=STARTED - DAY).id
    contact = account.create("contacts", {}, at=STARTED - DAY).id
    company = account.create("companies", {}, at=STARTED - DAY).id
    account.associate("orders", order, "contacts", contact)
    account.associate("contacts", contact, "companies", company, [(1, "Primary")])
    auth = narrow(service, "crm.objects.contacts.read")
    with CollectingRequest("orders", columns=("id", "account_id")) as first:
        assert collect(first, connect(service, auth=auth))["account_id"].to_pylist() == [None]
    narrow(service)
    with first.following(since=STARTED) as later:
        found = collect(later, connect(service, auth=auth))
    assert found["account_id"].to_pylist() == [company]


def test_an_object_that_comes_late_or_comes_back_is_read_whole(
    service: HubSpotSimulator, connect: Connect
) -> None:
    account = service.account
    account.create("calls", {}, at=STARTED - 3 * DAY)
    notes = account.objects.pop("notes")
    with CollectingRequest("activities", columns=("activity_type",)) as first:
        assert collect(first, connect(service)).num_rows == 1
    account.objects["notes"] = notes
    one = account.create("notes", {}, at=STARTED - 2 * DAY).id
    with first.following(since=STARTED) as second:
        found = collect(second, connect(service))["id"].to_pylist()
    assert f"notes-{one}" in found
    del account.objects["notes"]
    with second.following(since=STARTED + MINUTE) as third:
        assert collect(third, connect(service)).num_rows == 0
    account.objects["notes"] = notes
    two = account.create("notes", {}, at=STARTED + MINUTE).id
    with third.following(since=STARTED + 2 * MINUTE) as fourth:
        found = collect(fourth, connect(service))["id"].to_pylist()
    assert f"notes-{two}" in found, "it was made while notes could not be read"
