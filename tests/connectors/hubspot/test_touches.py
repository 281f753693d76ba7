"""The campaign of a lead: the one that HubSpot counts the contact's first touch for."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect, rows
from crmetrics.testing import CollectingRequest
from simulators.hubspot import ALL_SCOPES, Campaign, HubSpotSimulator

MADE = datetime(2025, 11, 3, 9, tzinfo=UTC)
COLUMNS = ("id", "campaign_id")
FIRST = "contactFirstTouch"


@pytest.fixture
def account(service: HubSpotSimulator) -> HubSpotSimulator:
    """A campaign in autumn and one in winter."""
    service.clock.now = datetime(2026, 1, 1, tzinfo=UTC)
    service.account.campaigns = {name: Campaign(name, {"hs_name": name}) for name in ("au", "wi")}
    return service


def leads(service: HubSpotSimulator, count: int) -> list[str]:
    entered = {"hs_v2_date_entered_lead": "2025-11-03T09:00:00Z"}
    return [service.account.create("contacts", entered, at=MADE).id for _ in range(count)]


def touch(service: HubSpotSimulator, campaign: str, kind: str, *contacts: str) -> None:
    days = [(name, date(2025, 11, 3)) for name in contacts]
    service.account.campaigns[campaign].touched.setdefault(kind, []).extend(days)


def test_a_lead_has_the_campaign_of_its_first_touch(
    account: HubSpotSimulator, connect: Connect
) -> None:
    autumn, winter, none, later = leads(account, 4)
    touch(account, "au", FIRST, autumn)
    touch(account, "wi", FIRST, winter)
    touch(account, "wi", "contactLastTouch", autumn, none)
    touch(account, "wi", "influencedContacts", autumn, later)
    found = rows(connect(account), "leads", columns=COLUMNS)
    campaigns = {row["id"]: row["campaign_id"] for row in found}
    assert campaigns == {autumn: "au", winter: "wi", none: None, later: None}


def test_all_contacts_of_a_campaign_are_read_page_by_page(
    account: HubSpotSimulator, connect: Connect
) -> None:
    many = leads(account, 230)
    touch(account, "au", FIRST, *many)
    found = rows(connect(account), "leads", columns=COLUMNS)
    assert {row["campaign_id"] for row in found} == {"au"} and len(found) == 230
    assert account.count(r"GET .*/au/reports/contacts/contactFirstTouch") == 3


def test_a_first_touch_of_two_campaigns_is_given_to_none_and_told(
    account: HubSpotSimulator, connect: Connect
) -> None:
    both, one = leads(account, 2)
    touch(account, "au", FIRST, both, one, one)
    touch(account, "wi", FIRST, both)
    with CollectingRequest("leads", columns=COLUMNS) as request:
        found = collect(request, connect(account)).to_pylist()
        (told,) = request.notices
    assert {row["id"]: row["campaign_id"] for row in found} == {both: None, one: "au"}
    assert "the first touch of 1 contacts for several campaigns" in told


def test_a_lead_of_the_leads_object_has_that_of_its_contact(
    account: HubSpotSimulator, connect: Connect
) -> None:
    (contact,) = leads(account, 1)
    touch(account, "wi", FIRST, contact)
    tied, lone = (account.account.create("leads", {}, at=MADE).id for _ in range(2))
    account.account.associate("leads", tied, "contacts", contact)
    found = rows(connect(account, leads_from="leads"), "leads", columns=COLUMNS)
    assert {row["id"]: row["campaign_id"] for row in found} == {tied: "wi", lone: None}


def test_the_project_file_may_take_it_for_deals_and_orders(
    account: HubSpotSimulator, connect: Connect
) -> None:
    (contact,) = leads(account, 1)
    touch(account, "wi", FIRST, contact)
    for dataset, kind in (("opportunities", "deals"), ("orders", "orders")):
        record = account.account.create(kind, {}, at=MADE).id
        account.account.associate(kind, record, "contacts", contact)
        options = {"columns": COLUMNS, "mapping": {"campaign_id": "first_touch_campaign"}}
        (row,) = rows(connect(account), dataset, **options)
        assert row["campaign_id"] == "wi"


def test_without_the_scope_leads_have_no_campaign_and_that_is_told(
    account: HubSpotSimulator, connect: Connect
) -> None:
    leads(account, 1)
    token = account.grant("few", ALL_SCOPES - {"marketing.campaigns.read"})
    with CollectingRequest("leads", columns=COLUMNS) as request:
        connector = connect(account, auth={"token": token})
        assert collect(request, connector)["campaign_id"].to_pylist() == [None]
        (told,) = request.notices
    assert told.startswith("leads.campaign_id is not supplied: the token does not reach")


def test_without_being_asked_for_it_no_campaign_is_read(
    account: HubSpotSimulator, connect: Connect
) -> None:
    leads(account, 1)
    rows(connect(account), "leads", columns=("id", "created_at"))
    assert not account.count("/campaigns")
