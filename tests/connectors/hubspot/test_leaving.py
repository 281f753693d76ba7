"""A record that changes so that it belongs to its dataset no longer leaves it at the next read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect
from crmetrics.testing import CollectingRequest
from crmetrics.testing.request import STARTED
from simulators.hubspot import Account, HubSpotSimulator

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
LEAD = {"hs_v2_date_entered_lead": "2025-12-01T09:00:00Z"}
GOAL = {
    "hs_goal_type": "sales_quota",
    "hs_target_amount": "1000",
    "hs_start_datetime": "2026-01-01T00:00:00Z",
    "hs_end_datetime": "2026-01-31T23:59:59Z",
}


def made(kind: str, values: dict[str, str], tied_to: str = "") -> Callable[[Account], str]:
    def make(account: Account) -> str:
        record = account.create(kind, values, at=STARTED - DAY).id
        if tied_to:
            other = account.create(tied_to, {}, at=STARTED - DAY).id
            account.associate(kind, record, tied_to, other)
        return record

    return make


@pytest.mark.parametrize(
    "dataset, kind, prefix, make, change",
    [
        ("quotas", "goal_targets", "", made("goal_targets", GOAL), {"hs_goal_type": "calls_made"}),
        ("leads", "contacts", "", made("contacts", LEAD), {"hs_v2_date_entered_lead": None}),
        ("opportunity_items", "line_items", "", made("line_items", {}, "deals"), {"amount": "9"}),
        ("order_items", "line_items", "", made("line_items", {}, "orders"), {"amount": "9"}),
        ("case_messages", "emails", "emails-", made("emails", {}, "tickets"), {}),
    ],
)
def test_what_no_longer_belongs_to_its_dataset_leaves_it_with_the_change(
    service: HubSpotSimulator,
    connect: Connect,
    dataset: str,
    kind: str,
    prefix: str,
    make: Callable[[Account], str],
    change: dict[str, Any],
) -> None:
    account = service.account
    left, stays = make(account), make(account)
    with CollectingRequest(dataset) as first:
        found = collect(first, connect(service))["id"].to_pylist()
    assert found == [prefix + left, prefix + stays]
    for one, other in list(account.links):
        if one == kind:
            assert account.links[(one, other)].pop(left)
    for name in (left, stays):
        account.update(kind, name, STARTED + MINUTE, **(change if name == left else {}))
    with first.following(since=STARTED) as later:
        later.intake.started = STARTED + 2 * MINUTE
        found = collect(later, connect(service))["id"].to_pylist()
        assert found == [prefix + stays]
        assert [name for told in later.deleted for name in told.ids] == [prefix + left]


def test_what_belongs_to_it_again_comes_back(service: HubSpotSimulator, connect: Connect) -> None:
    account = service.account
    goal = account.create("goal_targets", GOAL, at=STARTED - DAY).id
    with CollectingRequest("quotas") as first:
        assert collect(first, connect(service)).num_rows == 1
    account.update("goal_targets", goal, STARTED + MINUTE, hs_goal_type="calls_made")
    account.update("goal_targets", goal, STARTED + 2 * MINUTE, hs_goal_type="sales_quota")
    with first.following(since=STARTED) as later:
        (row,) = collect(later, connect(service)).to_pylist()
        assert row["id"] == goal and not row["is_deleted"] and not later.deleted


def test_the_walk_through_all_names_only_what_changed(
    service: HubSpotSimulator, connect: Connect
) -> None:
    """Contacts that were never leads are many, and none of them was there."""
    account = service.account
    lead = account.create("contacts", LEAD, at=STARTED - DAY).id
    account.create("contacts", {}, at=STARTED - DAY)
    with CollectingRequest("leads") as first:
        assert collect(first, connect(service)).num_rows == 1
        assert not first.deleted
    account.update("contacts", lead, STARTED + MINUTE, hs_v2_date_entered_lead=None)
    with first.following(since=STARTED) as later:
        later.intake.started = STARTED + DAY
        assert collect(later, connect(service)).num_rows == 0
        assert [name for told in later.deleted for name in told.ids] == [lead]


def test_a_walk_that_finds_no_record_any_more_says_so(
    service: HubSpotSimulator, connect: Connect
) -> None:
    deal = service.account.create("deals", {}).id
    with CollectingRequest("opportunities", columns=("id",)) as first:
        assert collect(first, connect(service))["id"].to_pylist() == [deal]
    service.account.purge("deals", deal)
    with first.following(since=STARTED) as later:
        assert collect(later, connect(service, refresh_every="PT0S")).num_rows == 0
    assert later.retained == []
