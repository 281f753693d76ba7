"""The simulated log of e-mail events keeps to the rules of HubSpot's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from simulators.hubspot import ALL_SCOPES, HubSpotSimulator
from simulators.hubspot.records import milliseconds

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def service() -> Iterator[HubSpotSimulator]:
    """25 sends, a minute apart, each opened a second later; every fifth open is a bot's."""
    with HubSpotSimulator() as started:
        started.clock.now = NOW + MINUTE
        log = started.account.log
        for number in range(25):
            at = NOW - number * MINUTE
            sent = log.add("SENT", "reader@example.com", str(number % 2), at)
            bot = number % 5 == 0
            log.add("OPEN", "reader@example.com", "0", at + timedelta(seconds=1), of=sent,
                    filteredEvent=bot)  # fmt: skip
        yield started


def ask(service: HubSpotSimulator, *, token: str = "", **params: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token or service.token}"}
    address = f"{service.base_url}/email/public/v1/events"
    return requests.get(address, params=params, headers=headers, timeout=5)


def events(service: HubSpotSimulator, **params: Any) -> list[dict[str, Any]]:
    answer = ask(service, **params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


def test_events_come_newest_first_and_ten_by_default(service: HubSpotSimulator) -> None:
    found = events(service, eventType="SENT")
    stamps = [event["created"] for event in found]
    assert len(found) == 10 and stamps == sorted(stamps, reverse=True)
    assert stamps[0] == milliseconds(NOW)


def test_both_ends_of_a_window_belong_to_it(service: HubSpotSimulator) -> None:
    first, last = milliseconds(NOW - 3 * MINUTE), milliseconds(NOW - MINUTE)
    found = events(service, eventType="SENT", startTimestamp=first, endTimestamp=last)
    assert [event["created"] for event in found] == [last, last - 60_000, first]


def test_pages_hang_together_by_an_opaque_token(service: HubSpotSimulator) -> None:
    found: list[str] = []
    offset = ""
    while True:
        answer = ask(service, eventType="SENT", limit=7, **({"offset": offset} if offset else {}))
        found += [event["id"] for event in answer.json()["events"]]
        offset = answer.json()["offset"]
        if not answer.json()["hasMore"]:
            break
    assert len(found) == len(set(found)) == 25
    other = ask(service, eventType="OPEN", limit=7, offset=offset)
    assert other.status_code == 400, "a token is good for its own query only"
    service.clock.advance(3600)
    assert ask(service, eventType="SENT", limit=7, offset=offset).status_code == 400


def test_filters_leave_out_the_others(service: HubSpotSimulator) -> None:
    assert len(events(service, eventType="OPEN", limit=100)) == 25
    real = events(service, eventType="OPEN", limit=100, excludeFilteredEvents="true")
    assert len(real) == 20 and not any(event["filteredEvent"] for event in real)
    assert len(events(service, eventType="SENT", campaignId="1", limit=100)) == 12
    assert len(events(service, limit=100)) == 50
    assert events(service, recipient="nobody@example.com") == []


@pytest.mark.parametrize(
    "params",
    [{"limit": 1_001}, {"limit": 0}, {"eventType": "sent"}, {"eventType": "SENT,OPEN"},
     {"eventTypes": "SENT"}, {"offset": "7"}, {"startTimestamp": "2026-01-01"}],
)  # fmt: skip
def test_what_the_log_does_not_know_is_refused(
    service: HubSpotSimulator, params: dict[str, Any]
) -> None:
    assert ask(service, **params).status_code == 400


def test_it_needs_its_scope_and_may_be_gone(service: HubSpotSimulator) -> None:
    token = service.grant("pat-na1-no-content", ALL_SCOPES - {"content"})
    refused = ask(service, token=token)
    assert refused.status_code == 403 and "content" in refused.text
    service.serves_old = False
    assert ask(service).status_code == 200, "the log has one path in both generations"
    service.account.log.is_ended = True
    assert ask(service).status_code == 404


def test_contacts_are_read_by_their_first_address_and_found_by_further_ones(
    service: HubSpotSimulator,
) -> None:
    account = service.account
    for name in ("1", "2"):
        account.create("contacts", {"email": f"person{name}@example.com"}, record_id=name)
    merged = account.merge("contacts", "1", "2")
    headers = {"Authorization": f"Bearer {service.token}"}
    path = f"{service.base_url}/crm/objects/2026-09/contacts"
    body = {
        "idProperty": "email",
        "properties": ["email", "hs_additional_emails"],
        "inputs": [{"id": "Person1@Example.com"}, {"id": "person2@example.com"}],
    }
    found = requests.post(f"{path}/batch/read", json=body, headers=headers, timeout=5)
    assert found.status_code == 207
    (record,) = found.json()["results"]
    assert record["id"] == merged
    assert record["properties"]["hs_additional_emails"] == "person2@example.com"
    wanted = {"propertyName": "hs_additional_emails", "operator": "IN",
              "values": ["person2@example.com"]}  # fmt: skip
    asked = {"filterGroups": [{"filters": [wanted]}]}
    searched = requests.post(f"{path}/search", json=asked, headers=headers, timeout=5)
    assert [record["id"] for record in searched.json()["results"]] == [merged]
    by_name = {**body, "idProperty": "firstname"}
    refused = requests.post(f"{path}/batch/read", json=by_name, headers=headers, timeout=5)
    assert refused.status_code == 400


def test_the_ids_of_email_campaigns_are_listed(service: HubSpotSimulator) -> None:
    headers = {"Authorization": f"Bearer {service.token}"}
    address = f"{service.base_url}/email/public/v1/campaigns/by-id"
    found = requests.get(address, params={"limit": 1}, headers=headers, timeout=5).json()
    assert found["hasMore"] and len(found["campaigns"]) == 1
    rest = requests.get(
        address, params={"limit": 1, "offset": found["offset"]}, headers=headers, timeout=5
    ).json()
    ids = {item["id"] for item in (*found["campaigns"], *rest["campaigns"])}
    assert ids == {0, 1} and not rest["hasMore"]
