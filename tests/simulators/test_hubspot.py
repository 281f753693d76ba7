"""The simulated HubSpot: the vendor's own client works with it, and it keeps HubSpot's rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import hubspot
import pytest
import requests
from hubspot.crm.associations.v4 import BatchInputPublicFetchAssociationsBatchRequest
from hubspot.crm.deals import BatchReadInputSimplePublicObjectId, PublicObjectSearchRequest

from simulators.hubspot import ALL_SCOPES, Campaign, HubSpotSimulator, Owner, Pipeline, Stage

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def service() -> Iterator[HubSpotSimulator]:
    with HubSpotSimulator() as started:
        yield started


def fill(service: HubSpotSimulator, count: int) -> list[str]:
    """Deals worth 0, 1, 2, ..., a minute apart."""
    return [
        service.account.create(
            "deals", {"amount": str(number), "dealstage": "won"}, at=START + number * MINUTE
        ).id
        for number in range(count)
    ]


def client(service: HubSpotSimulator) -> Any:
    return hubspot.Client.create(access_token=service.token, host=service.base_url)


def send(
    service: HubSpotSimulator, method: str, path: str, body: Any = None, **params: str
) -> requests.Response:
    headers = {"Authorization": f"Bearer {service.token}"}
    return requests.request(
        method, service.base_url + path, params=params, json=body, headers=headers, timeout=10
    )


def search(service: HubSpotSimulator, kind: str = "deals", **body: Any) -> requests.Response:
    return send(service, "POST", f"/crm/objects/2026-09/{kind}/search", body)


# --- the vendor's client -------------------------------------------------------------------------


def test_the_vendors_client_pages_through_a_list(service: HubSpotSimulator) -> None:
    ids = fill(service, 250)
    api = client(service).crm.deals
    first = api.basic_api.get_page(limit=100, properties=["amount"])
    assert len(first.results) == 100 and first.paging.next.after
    everything = api.get_all(properties=["amount"])
    assert [deal.id for deal in everything] == ids
    assert everything[7].properties["amount"] == "7"


def test_the_vendors_client_searches_and_follows_the_pages(service: HubSpotSimulator) -> None:
    fill(service, 30)
    wanted: dict[str, Any] = {
        "filter_groups": [
            {"filters": [{"propertyName": "amount", "operator": "GTE", "value": "10"}]}
        ],
        "sorts": ["-amount"],
        "properties": ["amount"],
        "limit": 15,
    }
    api = client(service).crm.deals.search_api
    first = api.do_search(public_object_search_request=PublicObjectSearchRequest(**wanted))
    wanted["after"] = first.paging.next.after
    rest = api.do_search(public_object_search_request=PublicObjectSearchRequest(**wanted))
    amounts = [deal.properties["amount"] for deal in [*first.results, *rest.results]]
    assert first.total == 20 and amounts == [str(number) for number in range(29, 9, -1)]


def test_the_vendors_client_reads_a_batch_with_a_missing_id(service: HubSpotSimulator) -> None:
    ids = fill(service, 3)
    asked = BatchReadInputSimplePublicObjectId(
        properties=["amount"],
        properties_with_history=[],
        inputs=[{"id": name} for name in [*ids, "99999999"]],
    )
    answer = client(service).crm.deals.batch_api.read(
        batch_read_input_simple_public_object_id=asked
    )
    assert {deal.id for deal in answer.results} == set(ids)
    assert answer.num_errors == 1


def test_the_vendors_client_reads_owners_pipelines_properties_and_associations(
    service: HubSpotSimulator,
) -> None:
    account = service.account
    account.owners["7"] = Owner("7", 70, ("1", "East"))
    won = Stage("closedwon", "Won", {"isClosed": "true", "probability": "1.0"})
    account.pipelines["deals"] = [Pipeline("default", "Sales", [won])]
    (deal,) = fill(service, 1)
    company = account.create("companies", {"industry": "RETAIL"}).id
    account.associate("deals", deal, "companies", company, [(5, "Primary")])
    crm = client(service).crm
    assert crm.owners.owners_api.get_page().results[0].teams[0].name == "East"
    stages = crm.pipelines.pipelines_api.get_all("deals").results[0].stages
    assert stages[0].metadata["probability"] == "1.0"
    names = {known.name for known in crm.properties.core_api.get_all("deals").results}
    assert {"amount", "hs_is_closed_won"} <= names
    asked = BatchInputPublicFetchAssociationsBatchRequest(inputs=[{"id": deal}])
    ties = crm.associations.v4.batch_api.get_page(
        "deals", "companies", batch_input_public_fetch_associations_batch_request=asked
    )
    (found,) = ties.results[0].to
    assert str(found.to_object_id) == company
    assert {kind.label for kind in found.association_types} == {None, "Primary"}


# --- rules -----------------------------------------------------------------------------------


def test_both_generations_of_paths_answer_and_the_old_one_can_be_switched_off(
    service: HubSpotSimulator,
) -> None:
    fill(service, 1)
    old, dated = "/crm/v3/objects/deals", "/crm/objects/2026-09/deals"
    assert send(service, "GET", old).json() == send(service, "GET", dated).json()
    service.serves_old = False
    assert [send(service, "GET", path).status_code for path in (old, dated)] == [404, 200]
    assert send(service, "GET", "/crm/objects/2024-03/deals").status_code == 404


def test_a_token_is_required_and_a_missing_scope_is_named(service: HubSpotSimulator) -> None:
    path = f"{service.base_url}/crm/objects/2026-09/deals"
    unknown = requests.get(path, headers={"Authorization": "Bearer nobody"}, timeout=10)
    assert unknown.status_code == 401
    assert unknown.json()["category"] == "INVALID_AUTHENTICATION"
    narrow = service.grant("pat-narrow", ALL_SCOPES - {"crm.objects.deals.read"})
    refused = requests.get(path, headers={"Authorization": f"Bearer {narrow}"}, timeout=10)
    assert refused.status_code == 403
    (reason,) = refused.json()["errors"]
    assert reason["context"]["requiredGranularScopes"] == ["crm.objects.deals.read"]


def test_an_access_token_ends_after_half_an_hour_and_with_the_next_refresh(
    service: HubSpotSimulator,
) -> None:
    form = {
        "grant_type": "refresh_token",
        "client_id": service.client_id,
        "client_secret": service.client_secret,
        "refresh_token": service.refresh_token,
    }
    address = f"{service.base_url}/oauth/2026-09/token"
    assert requests.post(address, json=form, timeout=10).status_code == 415
    granted = requests.post(address, data=form, timeout=10).json()
    assert granted["expires_in"] == 1800
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    path = f"{service.base_url}/crm/objects/2026-09/deals"
    assert requests.get(path, headers=headers, timeout=10).status_code == 200
    again = requests.post(address, data=form, timeout=10).json()
    assert again["access_token"] != granted["access_token"] and again["expires_in"] == 1800
    replaced = requests.get(path, headers=headers, timeout=10)
    assert (replaced.status_code, replaced.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    headers = {"Authorization": f"Bearer {again['access_token']}"}
    assert requests.get(path, headers=headers, timeout=10).status_code == 200
    service.clock.advance(1801)
    expired = requests.get(path, headers=headers, timeout=10)
    assert (expired.status_code, expired.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")


def test_a_refresh_token_that_rotates_is_good_once(service: HubSpotSimulator) -> None:
    service.rotates_refresh_token = True
    address = f"{service.base_url}/oauth/2026-09/token"
    form = {
        "grant_type": "refresh_token",
        "client_id": service.client_id,
        "client_secret": service.client_secret,
        "refresh_token": service.refresh_token,
    }
    following = requests.post(address, data=form, timeout=10).json()["refresh_token"]
    assert following != form["refresh_token"]
    assert requests.post(address, data=form, timeout=10).status_code == 400
    form["refresh_token"] = following
    assert requests.post(address, data=form, timeout=10).status_code == 200


@pytest.mark.parametrize(
    "path, status",
    [
        ("/crm/objects/2026-09/deals?limit=101", 400),
        ("/crm/objects/2026-09/deals?limit=51&propertiesWithHistory=amount", 400),
        ("/crm/objects/2026-09/deals?after=512", 400),
        ("/crm/objects/2026-09/deals?properties=no_such_property", 200),
        ("/crm/objects/2026-09/no_such_type", 404),
        ("/crm/objects/2026-09/deals?properties=" + "a" * 8_000, 414),
        ("/marketing/campaigns/2026-09?properties=hs_created_at", 400),
    ],
)
def test_a_list_is_refused_as_at_hubspot(service: HubSpotSimulator, path: str, status: int) -> None:
    assert send(service, "GET", path).status_code == status


def groups(*sizes: int) -> dict[str, Any]:
    """The body of a search with groups of that many filters."""
    one = {"propertyName": "amount", "operator": "GTE", "value": "0"}
    return {"filterGroups": [{"filters": [one] * size} for size in sizes]}


@pytest.mark.parametrize(
    "body, status",
    [
        (groups(1, 1, 1, 1, 1), 200),
        (groups(1, 1, 1, 1, 1, 1), 400),
        (groups(6, 6, 6), 200),
        (groups(7), 400),
        (groups(6, 6, 6, 1), 400),
        ({"sorts": [{"propertyName": "amount"}, {"propertyName": "createdate"}]}, 400),
        ({"limit": 201}, 400),
        ({"limit": 200, "after": "9801"}, 400),
        ({"limit": 200, "after": "9800"}, 200),
        ({"filterGroups": [{"filters": []}] * 6}, 400),
        ({"filterGroups": [{"filters": [{"propertyName": "nope", "operator": "EQ"}]}]}, 400),
        (
            {
                "filterGroups": [
                    {
                        "filters": [
                            {
                                "propertyName": "hs_lastmodifieddate",
                                "operator": "GTE",
                                "value": "0",
                            }
                        ]
                    }
                ]
            },
            500,
        ),
    ],
)
def test_a_search_is_refused_as_at_hubspot(
    service: HubSpotSimulator, body: dict[str, Any], status: int
) -> None:
    assert search(service, **body).status_code == status


def test_only_default_and_asked_properties_come_and_calculated_ones_not_from_search(
    service: HubSpotSimulator,
) -> None:
    service.account.create("deals", {"amount": "5", "days_to_close": "3", "dealtype": "x"})
    listed = send(service, "GET", "/crm/objects/2026-09/deals", properties="days_to_close")
    shown = listed.json()["results"][0]["properties"]
    assert shown["days_to_close"] == "3" and "dealtype" not in shown and "dealname" in shown
    found = search(service, properties=["days_to_close"]).json()["results"][0]["properties"]
    assert found["days_to_close"] is None


def test_associations_beside_a_record_are_cut_off_and_come_once_per_label(
    service: HubSpotSimulator,
) -> None:
    account = service.account
    deal = account.create("deals", {}).id
    companies = [account.create("companies", {}).id for _ in range(3)]
    for company in companies:
        account.associate("deals", deal, "companies", company, [(5, "Primary")])
    path = "/crm/objects/2026-09/deals"
    (record,) = send(service, "GET", path, associations="companies,contacts").json()["results"]
    assert set(record["associations"]) == {"companies"}
    shown = record["associations"]["companies"]
    assert [tie["id"] for tie in shown["results"]] == [companies[0], companies[0], companies[1]]
    assert [tie["type"] for tie in shown["results"][:2]] == [
        "deals_to_companies", "deals_to_companiesPrimary"
    ]  # fmt: skip
    assert "elsewhere" in shown["paging"]["next"]["link"]


def test_ties_come_in_any_order_and_neighbours_in_the_wrong_one_when_told_to(
    service: HubSpotSimulator,
) -> None:
    at_once = [service.account.create("deals", {}, at=START).id for _ in range(50)]
    by_time = {"sorts": [{"propertyName": "hs_lastmodifieddate"}], "limit": 100}
    found = [record["id"] for record in search(service, **by_time).json()["results"]]
    assert found != at_once and sorted(found) == at_once
    by_id = {"sorts": [{"propertyName": "hs_object_id"}], "limit": 10}
    assert [r["id"] for r in search(service, **by_id).json()["results"]] == at_once[:10]
    service.index.swaps_neighbours = True
    first = [r["id"] for r in search(service, **by_id).json()["results"]]
    assert first == [at_once[1], at_once[0], *at_once[2:9], at_once[10]]
    second = [r["id"] for r in search(service, **by_id, after="10").json()["results"]]
    assert second[0] == at_once[9], "on the other side of the end of the page"


def test_a_record_that_is_newer_than_the_window_comes_along_when_told_to(
    service: HubSpotSimulator,
) -> None:
    old, new = fill(service, 2)
    window = {"propertyName": "hs_lastmodifieddate", "operator": "LTE",
              "value": START.isoformat()}  # fmt: skip
    body = {"filterGroups": [{"filters": [window]}]}
    assert [r["id"] for r in search(service, **body).json()["results"]] == [old]
    service.index.leaks_newer = True
    service.account.objects["deals"].version += 1
    assert [r["id"] for r in search(service, **body).json()["results"]] == [old, new]


def test_search_sees_a_change_only_after_its_lag(service: HubSpotSimulator) -> None:
    service.index.lag = timedelta(seconds=30)
    service.account.create("deals", {})
    assert search(service).json()["total"] == 0
    service.clock.advance(31)
    assert search(service).json()["total"] == 1


def test_the_sixth_search_in_a_second_and_the_hundred_and_first_call_are_refused(
    service: HubSpotSimulator,
) -> None:
    answers = [search(service) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1].json()["policyName"] == "SECONDLY"
    assert not any(name.startswith("X-HubSpot") for name in answers[0].headers)
    listed = [send(service, "GET", "/crm/owners/2026-09") for _ in range(101)]
    assert [answer.status_code for answer in listed] == [200] * 100 + [429]
    assert listed[-1].json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert listed[0].headers["X-HubSpot-RateLimit-Remaining"] == "99"
    service.clock.advance(10)
    assert send(service, "GET", "/crm/owners/2026-09").status_code == 200


def test_a_merge_gives_a_new_id_that_answers_for_the_old_ones(service: HubSpotSimulator) -> None:
    ids = fill(service, 2)
    company = service.account.create("companies", {}).id
    service.account.associate("deals", ids[1], "companies", company)
    merged = service.account.merge("deals", *ids)
    listed = send(service, "GET", "/crm/objects/2026-09/deals").json()["results"]
    assert [deal["id"] for deal in listed] == [merged]
    body = {"properties": ["hs_merged_object_ids"], "inputs": [{"id": ids[1]}]}
    read = send(service, "POST", "/crm/objects/2026-09/deals/batch/read", body).json()
    assert [deal["id"] for deal in read["results"]] == [merged]
    assert read["results"][0]["properties"]["hs_merged_object_ids"] == ";".join(ids)
    ties = send(
        service,
        "POST",
        "/crm/associations/2026-09/deals/companies/batch/read",
        {"inputs": [{"id": merged}]},
    ).json()
    assert [str(to["toObjectId"]) for to in ties["results"][0]["to"]] == [company]


def test_records_without_associations_are_errors_in_a_207(service: HubSpotSimulator) -> None:
    (deal,) = fill(service, 1)
    path = "/crm/associations/2026-09/deals/companies/batch/read"
    answer = send(service, "POST", path, {"inputs": [{"id": deal}]})
    assert answer.status_code == 207
    (error,) = answer.json()["errors"]
    assert error["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    inputs = [{"id": str(number)} for number in range(1001)]
    assert send(service, "POST", path, {"inputs": inputs}).status_code == 400


def test_archived_records_are_only_in_the_archived_list(service: HubSpotSimulator) -> None:
    ids = fill(service, 2)
    service.account.archive("deals", ids[0])
    path = "/crm/objects/2026-09/deals"
    assert [d["id"] for d in send(service, "GET", path).json()["results"]] == [ids[1]]
    (gone,) = send(service, "GET", path, archived="true").json()["results"]
    assert gone["id"] == ids[0] and gone["archivedAt"]
    assert search(service).json()["total"] == 1


def test_history_is_newest_first_and_texts_everywhere(service: HubSpotSimulator) -> None:
    (deal,) = fill(service, 1)
    service.account.update("deals", deal, START + MINUTE, amount="17.5")
    path = "/crm/objects/2026-09/deals"
    (found,) = send(service, "GET", path, propertiesWithHistory="amount").json()["results"]
    versions = found["propertiesWithHistory"]["amount"]
    assert [version["value"] for version in versions] == ["17.5", "0"]
    values = found["properties"].values()
    assert all(value is None or isinstance(value, str) for value in values)


def test_with_statistics_one_marketing_email_stays_away(service: HubSpotSimulator) -> None:
    service.account.emails += [{"id": "1", "stats": {}}, {"id": "2", "stats": {}}]
    path = "/marketing/emails/2026-09"
    plain = send(service, "GET", path).json()["results"]
    counted = send(service, "GET", path, includeStats="true").json()["results"]
    assert [e["id"] for e in plain] == ["1", "2"] and [e["id"] for e in counted] == ["2"]


def test_spend_items_are_dated_in_milliseconds(service: HubSpotSimulator) -> None:
    spend = [("s1", "Ads", "120.5", START)]
    service.account.campaigns["c-1"] = Campaign("c-1", {"hs_name": "A"}, "EUR", "500", spend)
    path = "/marketing/campaigns/2026-09/c-1/budget/totals"
    totals = send(service, "GET", path).json()
    assert totals["spendItems"][0]["createdAt"] == 1_767_603_600_000
    assert json.dumps(totals["currencyCode"]) == '"EUR"'
