"""First reads, incremental reads, and what must not be missed between them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect, rows
from crmetrics.errors import SourceError
from crmetrics.testing import CollectingRequest
from crmetrics.testing.request import STARTED
from simulators.hubspot import HubSpotSimulator, Pipeline, Stage, own_properties
from simulators.messages import Answer

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
WON = {"dealstage": "closedwon", "pipeline": "default"}
COLUMNS = ("id", "is_deleted", "updated_at", "amount", "created_at")


def deals(
    service: HubSpotSimulator, count: int, at: datetime, step: timedelta = MINUTE
) -> list[str]:
    return [
        service.account.create("deals", {**WON, "amount": str(number)}, at=at + number * step).id
        for number in range(count)
    ]


def read_since(
    first: CollectingRequest, since: datetime, until: datetime | None = None
) -> CollectingRequest:
    """The next read, incremental from `since` on."""
    following = first.following(since=since)
    following.until = until
    return following


# --- first reads ---------------------------------------------------------------------------------


def test_a_first_read_walks_the_list_to_its_end_and_follows_no_link(
    service: HubSpotSimulator, connect: Connect
) -> None:
    ids = deals(service, 250, STARTED - DAY)
    found = rows(connect(service), "opportunities", columns=COLUMNS)
    assert [row["id"] for row in found] == ids
    assert service.count(r"GET /crm/objects/2026-09/deals\?.*archived=false") == 3
    assert service.count("/search") == 1, "only to compare the count"


@pytest.mark.parametrize(
    "version, prefix", [("2026-09", "/crm/objects/2026-09/"), ("v3", "/crm/v3/")]
)
def test_every_path_comes_from_the_api_version(
    service: HubSpotSimulator, connect: Connect, version: str, prefix: str
) -> None:
    company = service.account.create("companies", {"industry": "RETAIL"}).id
    (deal,) = deals(service, 1, STARTED - DAY)
    service.account.associate("deals", deal, "companies", company, [(5, "Primary")])
    service.serves_old = version == "v3"
    service.versions = () if version == "v3" else (version,)
    (row,) = rows(connect(service, api_version=version), "opportunities")
    assert row["account_id"] == company
    assert service.count(prefix) > 0
    assert all(call.status < 400 for call in service.calls)


def test_a_long_list_of_properties_goes_by_post(
    service: HubSpotSimulator, connect: Connect
) -> None:
    names = [f"a_property_with_quite_a_long_name_{number:03d}" for number in range(120)]
    service.account.objects["deals"].define(*own_properties(names, "number"))
    deals(service, 130, STARTED - DAY)
    service.account.update("deals", "1001", STARTED - DAY, **{names[-1]: "7"})
    mapped = {"amount": " + ".join(f"coalesce({name}, 0)" for name in names)}
    found = rows(connect(service), "opportunities", columns=COLUMNS, mapping=mapped)
    assert len(found) == 130
    assert {row["id"]: row["amount"] for row in found}["1001"] == 7
    assert max(len(call.target) for call in service.calls) < 2_000
    assert service.count("POST .*/deals/batch/read") == 2


# --- changes -------------------------------------------------------------------------------------


def test_an_incremental_read_gives_what_changed_in_the_window_and_only_that(
    service: HubSpotSimulator, connect: Connect
) -> None:
    ids = deals(service, 20, STARTED - 2 * DAY)
    connector = connect(service)
    with CollectingRequest("opportunities", columns=COLUMNS) as first:
        collect(first, connector)
    service.account.update("deals", ids[3], STARTED + MINUTE, amount="99")
    service.account.update("deals", ids[4], STARTED + 9 * MINUTE, amount="98")
    with read_since(first, STARTED, STARTED + 5 * MINUTE) as second:
        found = collect(second, connector).to_pylist()
    assert [(row["id"], row["amount"]) for row in found] == [(ids[3], 99)]


def test_values_are_read_by_id_because_search_knows_calculated_ones_late(
    service: HubSpotSimulator, connect: Connect
) -> None:
    (deal,) = deals(service, 1, STARTED - DAY)
    connector = connect(service)
    columns = ("id", "updated_at", "probability")
    with CollectingRequest("opportunities", columns=columns) as first:
        collect(first, connector)
    service.account.update("deals", deal, STARTED + MINUTE, hs_deal_stage_probability="0.25")
    with read_since(first, STARTED) as second:
        (row,) = collect(second, connector).to_pylist()
    assert row["probability"] == 0.25


def test_what_search_does_not_know_yet_comes_with_the_next_overlap(
    service: HubSpotSimulator, connect: Connect
) -> None:
    """The engine holds five minutes back and overlaps by ten: a lag of seconds loses nothing."""
    ids = deals(service, 3, STARTED - 2 * DAY)
    service.index.lag = timedelta(seconds=40)
    connector = connect(service)
    service.clock.now = STARTED
    with CollectingRequest("opportunities", columns=COLUMNS) as first:
        collect(first, connector)
    service.account.update("deals", ids[0], STARTED - timedelta(seconds=20), amount="5")
    with read_since(first, STARTED - 15 * MINUTE, STARTED - 5 * MINUTE) as second:
        assert collect(second, connector).num_rows == 0
    service.clock.now = STARTED + 10 * MINUTE
    with read_since(first, STARTED - 15 * MINUTE, STARTED + 5 * MINUTE) as third:
        assert [r["id"] for r in collect(third, connector).to_pylist()] == [ids[0]]


def test_results_outside_the_window_or_out_of_order_do_no_harm(
    service: HubSpotSimulator, connect: Connect
) -> None:
    ids = deals(service, 30, STARTED)
    connector = connect(service, refresh_every="P7D")
    state = {"until": None, "refreshed": STARTED.isoformat(), "archived": {}}
    service.index.leaks_newer = service.index.swaps_neighbours = True
    request = CollectingRequest("opportunities", columns=COLUMNS, since=STARTED, state=state)
    request.until = STARTED + 20 * MINUTE
    with request:
        found = [row["id"] for row in collect(request, connector).to_pylist()]
    assert sorted(found) == ids[:20]


def incremental_request(**options: Any) -> CollectingRequest:
    """Of a read that is no refresh."""
    state = {"until": None, "refreshed": STARTED.isoformat(), "archived": {}}
    return CollectingRequest("opportunities", columns=("id",), state=state, **options)


def incremental(connector: Any, since: datetime, **options: Any) -> list[str]:
    """Ids of an incremental read that is no refresh."""
    with incremental_request(since=since, **options) as request:
        return [str(row["id"]) for row in collect(request, connector).to_pylist()]


def test_25000_records_with_one_timestamp_come_exactly_once(
    unlimited: HubSpotSimulator, connect: Connect
) -> None:
    moment = STARTED + timedelta(milliseconds=120)
    before = deals(unlimited, 50, STARTED - 50 * MINUTE)
    at_once = deals(unlimited, 25_000, moment, timedelta(0))
    after = deals(unlimited, 50, moment + MINUTE)
    found = incremental(connect(unlimited), STARTED - 50 * MINUTE)
    assert len(found) == len(set(found)) == 25_100
    assert set(found) == {*before, *at_once, *after}


def test_25000_records_of_one_day_come_exactly_once(
    unlimited: HubSpotSimulator, connect: Connect
) -> None:
    ids = deals(unlimited, 25_000, STARTED, timedelta(milliseconds=2_500))
    unlimited.index.swaps_neighbours = True
    found = incremental(connect(unlimited), STARTED)
    assert len(found) == len(set(found)) == 25_000 and set(found) == set(ids)


def test_ties_in_another_order_at_each_search_hide_no_record(
    unlimited: HubSpotSimulator, connect: Connect
) -> None:
    """5,000 in each of three milliseconds; what is equal to a sort comes in any order."""
    ids = []
    for number in range(3):
        at = STARTED + timedelta(milliseconds=number)
        ids += deals(unlimited, 5_000, at, timedelta(0))
    unlimited.index.swaps_neighbours = unlimited.index.leaks_newer = True
    newer = deals(unlimited, 1, STARTED + DAY)
    found = incremental(connect(unlimited), STARTED, until=STARTED + MINUTE)
    assert len(found) == len(set(found)) and set(found) == set(ids)
    assert not set(newer) & set(found)


def test_pages_that_hold_only_newer_records_are_passed(
    unlimited: HubSpotSimulator, connect: Connect
) -> None:
    """As when hundreds are edited at once while search is behind."""
    newer = deals(unlimited, 450, STARTED + DAY)
    ids = deals(unlimited, 50, STARTED, timedelta(seconds=1))
    newer += deals(unlimited, 450, STARTED + DAY)
    unlimited.index.leaks_newer = True
    found = incremental(connect(unlimited), STARTED, until=STARTED + MINUTE)
    assert sorted(found) == sorted(ids) and not set(newer) & set(found)


def test_records_that_leave_the_window_while_it_is_paged_hide_no_others(
    unlimited: HubSpotSimulator, connect: Connect
) -> None:
    """The total shrinks under way: those are for the next read, and nothing is missing."""
    ids = deals(unlimited, 1_000, STARTED, timedelta(milliseconds=1))

    def edit() -> None:
        for name in ids[::3]:
            unlimited.account.update("deals", name, STARTED + DAY)

    unlimited.faults.before(edit, on="/deals/search", skip=2)
    request = incremental_request(since=STARTED, until=STARTED + MINUTE)
    with request:
        table = collect(request, connect(unlimited, refresh_every="P7D"))
        assert set(table.column("id").to_pylist()) >= set(ids) - set(ids[::3])
        assert not request.notices


def test_what_search_counts_and_does_not_give_is_looked_for_from_the_other_end(
    unlimited: HubSpotSimulator, connect: Connect
) -> None:
    ids = deals(unlimited, 700, STARTED, timedelta(seconds=1))
    lost = ids[195:201]

    def lose(answer: Answer) -> Answer:
        body = json.loads(answer.body)
        body["results"] = [r for r in body["results"] if r["id"] not in lost]
        return replace(answer, body=json.dumps(body).encode())

    unlimited.faults.spoil(lose, on="/deals/search", times=3)
    found = incremental(connect(unlimited), STARTED)
    assert set(found) == set(ids)


def test_a_search_that_never_gives_what_it_counts_is_told_and_all_is_walked_next(
    unlimited: HubSpotSimulator, connect: Connect
) -> None:
    ids = deals(unlimited, 30, STARTED, timedelta(seconds=1))

    def lose(answer: Answer) -> Answer:
        body = json.loads(answer.body)
        body["results"] = [r for r in body["results"] if r["id"] != ids[4]]
        return replace(answer, body=json.dumps(body).encode())

    unlimited.faults.spoil(lose, on="/deals/search", times=10)
    with incremental_request(since=STARTED) as request:
        table = collect(request, connect(unlimited))
        assert table.num_rows >= 29
        (told,) = request.notices
        assert "the search for changes gave 29 records, HubSpot's search counts 30" in told
        assert request.saved_state is not None and request.saved_state["refreshed"] is None
    with request.following(since=STARTED + DAY) as later:
        assert ids[4] in collect(later, connect(unlimited)).column("id").to_pylist()


def test_a_read_from_1970_on_does_not_meet_the_error_of_zero(
    service: HubSpotSimulator, connect: Connect
) -> None:
    ids = deals(service, 2, STARTED)
    assert sorted(incremental(connect(service), datetime(1970, 1, 1, tzinfo=UTC))) == ids


def test_an_object_without_a_search_is_listed_each_time(
    service: HubSpotSimulator, connect: Connect
) -> None:
    service.account.create("forecasts", {"hs_created_by_user_id": "1"}, at=STARTED)
    body = b'{"status":"error","category":"OBJECT_NOT_FOUND","message":"no such API"}'
    service.faults.answer(404, body, on="/forecasts/search", times=None)
    with CollectingRequest("forecasts", columns=("id", "submitted_at")) as first:
        assert collect(first, connect(service)).num_rows == 1
    added = service.account.create("forecasts", {}, at=STARTED + MINUTE).id
    with first.following(since=STARTED) as later:
        found = collect(later, connect(service)).column("id").to_pylist()
    assert added in found


def test_an_id_that_is_gone_between_search_and_read_is_no_failure(
    service: HubSpotSimulator, connect: Connect
) -> None:
    ids = deals(service, 3, STARTED)
    service.faults.before(lambda: service.account.purge("deals", ids[1]), on="POST .*/batch/read")
    assert sorted(incremental(connect(service), STARTED)) == [ids[0], ids[2]]
    assert 207 in {call.status for call in service.calls}


# --- what leaves ---------------------------------------------------------------------------------


def test_archived_records_come_as_deleted_and_come_back_when_restored(
    service: HubSpotSimulator, connect: Connect
) -> None:
    ids = deals(service, 3, STARTED - 3 * DAY)
    service.account.archive("deals", ids[0], STARTED - 2 * DAY)
    connector = connect(service)
    with CollectingRequest("opportunities", columns=COLUMNS) as first:
        found = collect(first, connector).to_pylist()
    assert {row["id"] for row in found if row["is_deleted"]} == {ids[0]}
    service.account.archive("deals", ids[1], STARTED + MINUTE)
    service.account.restore("deals", ids[0])
    with read_since(first, STARTED) as second:
        found = collect(second, connector).to_pylist()
    assert {row["id"]: row["is_deleted"] for row in found} == {ids[1]: True, ids[0]: False}
    # Restoring moved no cursor: the row must be newer than the one that said deleted.
    (back,) = (row for row in found if row["id"] == ids[0])
    assert back["updated_at"] == STARTED


def test_the_history_of_a_deal_comes_back_with_it(
    service: HubSpotSimulator, connect: Connect
) -> None:
    ids = deals(service, 2, STARTED - 3 * DAY)
    service.account.archive("deals", ids[0], STARTED - 2 * DAY)
    connector = connect(service)
    columns = ("opportunity_id", "stage", "entered_at")
    with CollectingRequest("opportunity_stage_history", columns=columns) as first:
        found = collect(first, connector)
    assert found["opportunity_id"].to_pylist() == [ids[1]]
    service.account.restore("deals", ids[0])
    with read_since(first, STARTED) as second:
        found = collect(second, connector)
    assert found["opportunity_id"].to_pylist() == [ids[0]]


@pytest.mark.parametrize("keeps_id", [False, True])
def test_merged_records_point_to_the_one_that_took_their_place(
    service: HubSpotSimulator, connect: Connect, keeps_id: bool
) -> None:
    account = service.account
    account.keeps_id_on_merge = keeps_id
    ids = [account.create("companies", {"industry": "X"}, at=STARTED - DAY).id for _ in range(3)]
    connector = connect(service)
    columns = ("id", "is_deleted", "updated_at", "industry", "merged_into_id")
    with CollectingRequest("accounts", columns=columns) as first:
        assert collect(first, connector).num_rows == 3
    merged = account.merge("companies", ids[0], ids[1], at=STARTED + MINUTE)
    with read_since(first, STARTED) as second:
        found = {row["id"]: row for row in collect(second, connector).to_pylist()}
    losers = {ids[1]} if keeps_id else {ids[0], ids[1]}
    assert set(found) == {merged, *losers}
    assert {found[name]["merged_into_id"] for name in losers} == {merged}
    assert all(found[name]["is_deleted"] for name in losers)
    assert found[merged]["merged_into_id"] is None and not found[merged]["is_deleted"]


def test_what_vanished_without_a_trace_is_found_by_the_next_walk_through_all(
    service: HubSpotSimulator, connect: Connect
) -> None:
    ids = deals(service, 3, STARTED - DAY)
    connector = connect(service, refresh_every="P1D")
    with CollectingRequest("opportunities", columns=COLUMNS) as first:
        collect(first, connector)
    service.account.purge("deals", ids[1])
    with read_since(first, STARTED) as soon:
        assert collect(soon, connector).num_rows == 0
        assert soon.intake.retained is None
    with read_since(first, STARTED) as later:
        later.intake.started = STARTED + DAY - timedelta(seconds=5)  # no night begins on time
        assert collect(later, connector).num_rows == 2
        kept = [name for part in later.intake.retained or () for name in part.to_pylist()]
    assert kept == [ids[0], ids[2]]


def test_calculated_values_that_change_without_a_cursor_come_with_the_refresh(
    service: HubSpotSimulator, connect: Connect
) -> None:
    (company,) = [service.account.create("companies", {"total_revenue": "1"}, at=STARTED - DAY).id]
    connector = connect(service, refresh_every="PT6H")
    mapping = {"segment": "total_revenue"}
    with CollectingRequest("accounts", columns=("segment",), mapping=mapping) as first:
        collect(first, connector)
    service.account.recalculate("companies", company, total_revenue="500")
    with read_since(first, STARTED) as soon:
        assert collect(soon, connector).num_rows == 0
    with read_since(first, STARTED) as later:
        later.intake.started = STARTED + timedelta(hours=6)
        (row,) = collect(later, connector).to_pylist()
    assert row["segment"] == "500"


@pytest.mark.parametrize("dataset", ["opportunities", "opportunity_stage_history"])
def test_a_stage_that_is_redefined_is_so_in_deals_that_did_not_change(
    service: HubSpotSimulator, connect: Connect, dataset: str
) -> None:
    is_open = Stage("77", "Signing", {"isClosed": "false", "probability": "0.9"})
    won = Stage("77", "Signed", {"isClosed": "true", "probability": "1.0"})
    columns = ("id", "stage", "is_closed", "is_won")

    def read(request: CollectingRequest) -> list[tuple[Any, ...]]:
        with request:  # the pipelines are looked up once by a connector
            table = collect(request, connect(service, refresh_every="P7D"))
            return [(r["stage"], r["is_closed"], r["is_won"]) for r in table.to_pylist()]

    service.account.pipelines["deals"] = [Pipeline("7", "Sales", [is_open])]
    values = {"dealstage": "77", "pipeline": "7"}
    service.account.create("deals", values, at=STARTED - DAY)
    first = CollectingRequest(dataset, columns=columns)
    assert read(first) == [("Signing", False, False)]
    same = read_since(first, STARTED)
    assert read(same) == [] and not same.notices
    service.account.pipelines["deals"] = [Pipeline("7", "Sales", [won])]
    redefined = read_since(same, STARTED)
    assert read(redefined) == [("Signed", True, True)]
    assert "pipelines of deals were changed" in redefined.notices[0]
    assert read(read_since(redefined, STARTED)) == []


# --- associations --------------------------------------------------------------------------------


def test_an_association_added_after_the_last_edit_arrives(
    service: HubSpotSimulator, connect: Connect
) -> None:
    (deal,) = deals(service, 1, STARTED - DAY)
    company = service.account.create("companies", {}, at=STARTED - DAY).id
    connector = connect(service)
    with CollectingRequest("opportunities", columns=("id", "account_id")) as first:
        assert collect(first, connector).to_pylist() == [{"id": deal, "account_id": None}]
    service.account.associate("deals", deal, "companies", company, [(5, "Primary")])
    with read_since(first, STARTED) as later:
        later.intake.started = STARTED + DAY
        assert collect(later, connector).to_pylist() == [{"id": deal, "account_id": company}]


def test_the_primary_company_counts_or_the_one_with_the_label_of_the_project_file(
    service: HubSpotSimulator, connect: Connect
) -> None:
    (deal,) = deals(service, 1, STARTED)
    companies = [service.account.create("companies", {}).id for _ in range(4)]
    labels: list[Any] = [[], [(31, "Bill to")], [(5, "Primary"), (32, "Partner")], []]
    for company, ties in zip(companies, labels, strict=True):
        service.account.associate("deals", deal, "companies", company, ties)
    service.crm.to_page = 2
    (usual,) = rows(connect(service), "opportunities", columns=("account_id",))
    assert usual["account_id"] == companies[2]
    options = {"opportunities": {"association_labels": {"companies": "Bill to"}}}
    (other,) = rows(connect(service, datasets=options), "opportunities", columns=("account_id",))
    assert other["account_id"] == companies[1]


def test_associations_cost_a_call_per_thousand_and_none_when_nobody_asks(
    unlimited: HubSpotSimulator, connect: Connect
) -> None:
    deals(unlimited, 2_500, STARTED)
    connector = connect(unlimited)
    assert len(rows(connector, "opportunities", columns=("amount",))) == 2_500
    assert unlimited.count("/associations/") == 0
    assert len(rows(connector, "opportunities", columns=("account_id",))) == 2_500
    assert unlimited.count("/associations/") == 3


# --- what is asked for ---------------------------------------------------------------------------


def test_a_mapped_property_that_does_not_exist_is_an_error_with_a_suggestion(
    service: HubSpotSimulator, connect: Connect
) -> None:
    service.account.objects["companies"].define(*own_properties(["business_segment"], "string"))
    with pytest.raises(SourceError, match=r"'busines_segment'.*'business_segment'"):
        rows(connect(service), "accounts", mapping={"segment": "busines_segment"})


def test_a_standard_property_that_the_account_lacks_is_told_and_not_made_up(
    service: HubSpotSimulator, connect: Connect
) -> None:
    del service.account.objects["deals"].properties["closed_lost_reason"]
    deals(service, 1, STARTED)
    with CollectingRequest("opportunities", columns=("amount", "lost_reason")) as request:
        collect(request, connect(service))
        assert "lost_reason" not in request.batches[0].schema.names
        assert any("opportunities.lost_reason is not supplied" in n for n in request.notices)


def test_a_custom_object_fills_a_dataset(service: HubSpotSimulator, connect: Connect) -> None:
    from simulators.hubspot import ObjectStore

    properties = [
        *own_properties(["campaign_guid"], "string"),
        *own_properties(["sent_on"], "datetime"),
    ]
    service.account.add_object(
        ObjectStore("touches", "2-4711", "crm.objects.custom.read", properties)
    )
    values = {"campaign_guid": "c-1", "sent_on": "2025-12-01T10:00:00.500Z"}
    touch = service.account.create("touches", values, at=STARTED - DAY).id
    columns = {"campaign_id": "campaign_guid", "sent_at": "sent_on"}
    for name in ("touches", "2-4711", f"p{service.account.portal_id}_touches"):
        options = {"campaign_members": {"object": name, "columns": columns}}
        connector = connect(service, datasets=options)
        (supply,) = (s for s in connector.datasets() if s.dataset == "campaign_members")
        assert set(supply.columns) == {"id", "is_deleted", "updated_at", *columns}
        (row,) = rows(connector, "campaign_members", columns=supply.columns, mapping=columns)
        assert (row["id"], row["campaign_id"]) == (touch, "c-1")
        assert row["sent_at"] == datetime(2025, 12, 1, 10, 0, 0, 500_000, tzinfo=UTC)
