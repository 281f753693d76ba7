"""Goals as quotas: only those that measure won deals, for whom, and for which days."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect, rows
from crmetrics.testing import CollectingRequest
from crmetrics.testing.request import STARTED
from simulators.hubspot import HubSpotSimulator, Owner, Pipeline, own_properties
from simulators.hubspot.sample.selling import SALES_QUOTA

MADE = datetime(2025, 11, 3, 9, tzinfo=UTC)
NOVEMBER = {
    "hs_target_amount": "5000",
    "hs_start_datetime": "2025-11-01T00:00:00Z",
    "hs_end_datetime": "2025-11-30T23:59:59.999Z",
}
WON = {**NOVEMBER, **SALES_QUOTA, "hs_assignee_user_id": "70"}
CALLS = {"hs_goal_type": "calls_made", "hs_kpi_object_type_id": "0-48",
         "hs_kpi_metric_type": "COUNT", "hs_kpi_property_name": "hs_object_id"}  # fmt: skip
COLUMNS = ("owner_id", "kpi_id", "period_start", "period_end", "target_amount", "currency")


@pytest.fixture
def account(service: HubSpotSimulator) -> HubSpotSimulator:
    """Two pipelines, and an owner 7 who is user 70."""
    service.account.owners["7"] = Owner("7", 70)
    service.account.pipelines = {"deals": [Pipeline("a", "A", []), Pipeline("b", "B", [])]}
    return service


def quotas(
    service: HubSpotSimulator, connect: Connect, *goals: dict[str, Any], **options: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    for goal in goals:
        service.account.create("goal_targets", goal, at=MADE)
    zone = options.pop("timezone", "UTC")
    mapping = options.get("datasets", {}).get("quotas", {}).get("columns")
    with CollectingRequest("quotas", columns=COLUMNS, timezone=zone, mapping=mapping) as request:
        found = collect(request, connect(service, timezone=zone, **options)).to_pylist()
        return found, list(request.notices)


def test_a_goal_of_all_pipelines_is_none_any_more_when_another_pipeline_is_made(
    account: HubSpotSimulator, connect: Connect
) -> None:
    account.account.create("goal_targets", {**WON, "hs_pipeline_ids": "a;b"}, at=MADE)
    with CollectingRequest("quotas", columns=("id",)) as first:
        assert collect(first, connect(account, refresh_every="P7D")).num_rows == 1
    account.account.pipelines["deals"].append(Pipeline("c", "C", []))
    with first.following(since=STARTED) as later:
        assert collect(later, connect(account, refresh_every="P7D")).num_rows == 0
    assert later.retained == []
    assert any("pipelines of deals were changed" in told for told in later.notices)


def test_a_goal_of_won_deals_is_a_quota(account: HubSpotSimulator, connect: Connect) -> None:
    goal = {**WON, "hs_goal_target_currency_code": "EUR"}
    ((row,), notices) = quotas(account, connect, goal)
    assert {name: row[name] for name in COLUMNS} == {
        "owner_id": "7", "kpi_id": "won_amount", "period_start": date(2025, 11, 1),
        "period_end": date(2025, 12, 1), "target_amount": 5000, "currency": "EUR",
    }  # fmt: skip
    assert not notices


@pytest.mark.parametrize(
    "other, told",
    [
        (CALLS, "1 of count hs_object_id of 0-48"),
        ({"hs_kpi_filter_groups": "[]"}, "1 of sum amount_in_home_currency of 0-3"),
        ({"hs_kpi_time_period_property": "createdate"}, "1 of sum amount_in_home_currency of 0-3"),
        ({"hs_kpi_metric_type": "COUNT"}, "1 of count amount_in_home_currency of 0-3"),
        ({"hs_kpi_object_type_id": "0-5"}, "1 of sum amount_in_home_currency of 0-5"),
        ({"hs_pipeline_ids": "a"}, "1 of won amount in some pipelines only"),
        ({"hs_assignee_user_id": None, "hs_assignee_team_id": "3"}, "1 of won amount of a team"),
        (dict.fromkeys(SALES_QUOTA), "1 of an unknown measure"),
    ],
)
def test_a_goal_that_measures_anything_else_is_none_and_told(
    account: HubSpotSimulator, connect: Connect, other: dict[str, Any], told: str
) -> None:
    found, notices = quotas(account, connect, WON, {**WON, **other})
    assert [row["kpi_id"] for row in found] == ["won_amount"]
    (notice,) = notices
    assert "1 goals are not used" in notice and told in notice


@pytest.mark.parametrize(
    "same",
    [
        {"hs_pipeline_ids": "b;a"},
        {"hs_kpi_property_name": "hs_closed_amount", "hs_kpi_filter_groups": None},
        {**dict.fromkeys(SALES_QUOTA), "hs_goal_type": "sales_quota"},
    ],
)
def test_a_quota_is_known_by_either_sign(
    account: HubSpotSimulator, connect: Connect, same: dict[str, Any]
) -> None:
    found, notices = quotas(account, connect, {**WON, **same})
    assert [row["kpi_id"] for row in found] == ["won_amount"] and not notices


def test_an_account_that_does_not_say_what_goals_measure_is_told_of(
    account: HubSpotSimulator, connect: Connect
) -> None:
    properties = account.account.objects["goal_targets"].properties
    for name in SALES_QUOTA:
        del properties[name]
    found, (notice,) = quotas(account, connect, WON)
    assert [row["kpi_id"] for row in found] == ["won_amount"]
    assert "does not say what its goals measure" in notice


def test_the_project_file_may_say_what_goals_are_for(
    account: HubSpotSimulator, connect: Connect
) -> None:
    account.account.objects["goal_targets"].define(*own_properties(["measures"], "string"))
    goal = {**WON, **CALLS, "measures": "leads_created"}
    options = {"datasets": {"quotas": {"columns": {"kpi_id": "measures"}}}}
    found, notices = quotas(account, connect, goal, **options)
    assert [row["kpi_id"] for row in found] == ["leads_created"] and not notices


def test_a_persons_target_never_becomes_the_companys(
    account: HubSpotSimulator, connect: Connect
) -> None:
    """Null is the whole company: a user who is no owner keeps the user's id."""
    company = {**WON, "hs_assignee_user_id": None}
    of_owner = {**company, "hubspot_owner_id": "9"}
    stranger = {**WON, "hs_assignee_user_id": "71"}
    found, _ = quotas(account, connect, company, of_owner, stranger)
    assert [row["owner_id"] for row in found] == [None, "9", "71"]
    token = account.grant("without-owners", {"crm.objects.goals.read", "crm.objects.deals.read"})
    connector = connect(account, auth={"token": token})
    assert [row["owner_id"] for row in rows(connector, "quotas")] == [None, "9", "71"]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland"])
@pytest.mark.parametrize(
    "start, end, first, after",
    [
        ("2025-11-01T00:00:00Z", "2025-11-30T23:59:59.999Z", (11, 1), (12, 1)),
        ("2025-11-01T00:00:00.000Z", "2025-11-30T23:59:59Z", (11, 1), (12, 1)),
        ("2025-11-01T00:00:00Z", "2025-12-01T00:00:00Z", (11, 1), (12, 1)),
        ("2025-11-01T00:00:00Z", "2025-11-30T00:00:00Z", (11, 1), (12, 1)),
        ("2025-11-03T00:00:00Z", "2025-11-10T00:00:00Z", (11, 3), (11, 10)),
        ("2025-11-03T00:00:00Z", "2025-11-09T23:59:59.999Z", (11, 3), (11, 10)),
        ("1761955200000", "1764547199999", (11, 1), (12, 1)),
        # midnights of the account's zone, Europe/Berlin
        ("2025-10-31T23:00:00Z", "2025-11-30T22:59:59.999Z", (11, 1), (12, 1)),
        ("2025-10-31T23:00:00Z", "2025-11-30T23:00:00Z", (11, 1), (12, 1)),
    ],
)
def test_the_days_of_a_goal_are_the_same_in_every_reporting_zone(
    account: HubSpotSimulator,
    connect: Connect,
    zone: str,
    start: str,
    end: str,
    first: tuple[int, int],
    after: tuple[int, int],
) -> None:
    account.account.time_zone = "Europe/Berlin"
    goal = {**WON, "hs_start_datetime": start, "hs_end_datetime": end}
    ((row,), _) = quotas(account, connect, goal, timezone=zone)
    assert row["period_start"] == date(2025, *first) and row["period_end"] == date(2025, *after)
