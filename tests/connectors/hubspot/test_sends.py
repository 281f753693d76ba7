"""Members of campaigns: the log of e-mail events folded into one row per send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect, rows
from crmetrics.engine import Project
from crmetrics.engine.loading import sync
from crmetrics.plugin import SourceError
from crmetrics.testing import CollectingRequest
from crmetrics_hubspot.api import UnavailableError
from simulators.hubspot import ALL_SCOPES, Campaign, HubSpotSimulator
from simulators.hubspot.email_log import Event
from simulators.hubspot.records import iso

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
MADE = NOW - 400 * DAY
EVENTS = "GET /email/public/v1/events"


@pytest.fixture
def mailing(service: HubSpotSimulator) -> Iterator[HubSpotSimulator]:
    """Two contacts, and an e-mail of a campaign and one of none."""
    service.clock.now = NOW
    account = service.account
    for number in (1, 2):
        values = {"email": f"reader{number}@example.com"}
        account.create("contacts", values, record_id=str(number), at=MADE)
    account.emails += [
        email("71", "5001", campaign="0c1d-campaign"),
        email("72", "5002", name="Autumn issue", publishedAt="2025-10-02T08:00:00Z"),
    ]
    yield service


def email(identity: str, log_id: str, **more: Any) -> dict[str, Any]:
    return {"id": identity, "name": "A name", "type": "BATCH_EMAIL", "isTransactional": False,
            "createdAt": iso(MADE), "updatedAt": iso(MADE), "allEmailCampaignIds": [log_id],
            "primaryEmailCampaignId": log_id, "subject": "A text", **more}  # fmt: skip


def send(
    service: HubSpotSimulator, at: datetime, person: int | str = 1, log_id: str = "5001"
) -> Event:
    return service.account.log.add("SENT", address(person), log_id, at)


def address(person: int | str) -> str:
    return f"reader{person}@example.com" if isinstance(person, int) else person


def happens(
    service: HubSpotSimulator, kind: str, at: datetime, of: Event | None, **more: Any
) -> Event:
    """Something becomes of a send."""
    person = of["recipient"] if of else address(1)
    return service.account.log.add(kind, person, "5001", at, of=of, **more)


def leaves(
    service: HubSpotSimulator, at: datetime, person: int = 1, of: Event | None = None, **more: Any
) -> Event:
    """Somebody turns all e-mails off."""
    told = {"portalSubscriptionStatus": "UNSUBSCRIBED", "source": "SOURCE_RECIPIENT",
            "subscriptions": [], **more}  # fmt: skip
    return service.account.log.add("STATUSCHANGE", address(person), "5001", at, of=of, **told)


def the_row(service: HubSpotSimulator, connect: Connect) -> dict[str, Any]:
    (row,) = rows(connect(service), "campaign_members")
    return row


def test_a_send_is_a_row_with_the_first_of_each_of_its_events(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    at = NOW - 3 * DAY
    sent = send(mailing, at)
    happens(mailing, "DELIVERED", at + SECOND, sent)
    for hours in (5, 2, 9):
        happens(mailing, "OPEN", at + hours * HOUR, sent)
        happens(mailing, "CLICK", at + hours * HOUR + SECOND, sent)
    leaves(mailing, at + 10 * HOUR, of=sent)
    happens(mailing, "SPAMREPORT", at + 11 * HOUR, sent)
    assert the_row(mailing, connect) == {
        "id": sent["id"],
        "is_deleted": False,
        "is_test": None,
        "updated_at": at + 11 * HOUR,
        "campaign_id": "0c1d-campaign",
        "lead_id": None,
        "contact_id": "1",
        "sent_at": at,
        "delivered_at": at + SECOND,
        "bounced_at": None,
        "opened_at": at + 2 * HOUR,
        "clicked_at": at + 2 * HOUR + SECOND,
        "responded_at": at + 2 * HOUR + SECOND,
        "unsubscribed_at": at + 10 * HOUR,
        "complained_at": at + 11 * HOUR,
    }


def test_what_bots_did_counts_for_nothing(mailing: HubSpotSimulator, connect: Connect) -> None:
    at = NOW - 3 * DAY
    sent = send(mailing, at)
    for kind in ("OPEN", "CLICK"):
        happens(mailing, kind, at + SECOND, sent, filteredEvent=True)
        happens(mailing, kind, at + HOUR, sent, filteredEvent=False)
    row = the_row(mailing, connect)
    assert row["opened_at"] == row["clicked_at"] == at + HOUR
    asked = [c for c in mailing.seen(EVENTS) if c.query["eventType"] in ("OPEN", "CLICK")]
    assert asked and all(c.query["excludeFilteredEvents"] == "true" for c in asked)


@pytest.mark.parametrize(
    "more, is_bounced",
    [
        ({"category": "UNKNOWN_USER", "status": "550"}, True),
        ({"category": "POLICY", "status": "5.7.1"}, True),
        ({}, True),
        ({"category": "UNKNOWN_USER", "status": "450"}, True),
        ({"category": "MAILBOX_FULL", "status": "450"}, False),
        ({"category": "THROTTLED", "status": "451"}, False),
    ],
)
def test_a_bounce_for_now_is_neither_delivered_nor_bounced(
    mailing: HubSpotSimulator, connect: Connect, more: dict[str, str], is_bounced: bool
) -> None:
    sent = send(mailing, NOW - DAY)
    happens(mailing, "BOUNCE", NOW - DAY + SECOND, sent, **more)
    row = the_row(mailing, connect)
    assert row["delivered_at"] is None
    assert row["bounced_at"] == (NOW - DAY + SECOND if is_bounced else None)


def test_what_is_sent_back_after_all_was_not_delivered(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    sent = send(mailing, NOW - DAY)
    happens(mailing, "DELIVERED", NOW - DAY + SECOND, sent)
    happens(mailing, "BOUNCE", NOW - DAY + HOUR, sent, status="5.1.1")
    row = the_row(mailing, connect)
    assert (row["delivered_at"], row["bounced_at"]) == (None, NOW - DAY + HOUR)
    (alone,) = rows(connect(mailing), "campaign_members", columns=("id", "delivered_at"))
    assert alone["delivered_at"] is None


def test_an_opt_out_belongs_to_the_send_that_it_names(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    first, last = send(mailing, NOW - 3 * DAY), send(mailing, NOW - 2 * DAY)
    leaves(mailing, NOW - DAY, of=first)
    assert opt_outs(mailing, connect) == {first["id"]: NOW - DAY, last["id"]: None}


def opt_outs(service: HubSpotSimulator, connect: Connect) -> dict[str, datetime | None]:
    found = rows(connect(service), "campaign_members", columns=("id", "unsubscribed_at"))
    return {row["id"]: row["unsubscribed_at"] for row in found}


def test_an_opt_out_without_a_send_belongs_to_the_last_one_before_it(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    names = [send(mailing, NOW - days * DAY)["id"] for days in (5, 4, 1)]
    other = send(mailing, NOW - 3 * DAY, person=2)["id"]
    leaves(mailing, NOW - 2 * DAY)
    found = opt_outs(mailing, connect)
    assert found == {**dict.fromkeys([*names, other]), names[1]: NOW - 2 * DAY}


def test_an_opt_out_without_a_send_passes_by_receipts_and_tickets(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    mailing.account.emails.append(email("74", "5004", isTransactional=True))
    sent = send(mailing, NOW - 5 * DAY)
    send(mailing, NOW - 4 * DAY, log_id="5004")
    leaves(mailing, NOW - 3 * DAY)
    assert opt_outs(mailing, connect) == {sent["id"]: NOW - 3 * DAY}


def test_an_opt_out_that_something_caused_belongs_to_the_last_send_before_that(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    first, second = send(mailing, NOW - 5 * DAY), send(mailing, NOW - 3 * DAY)
    cause = {"id": first["id"], "created": first["created"]}
    leaves(mailing, NOW - 2 * DAY, causedBy=cause)
    assert opt_outs(mailing, connect) == {first["id"]: NOW - 2 * DAY, second["id"]: None}


@pytest.mark.parametrize(
    "more, counts",
    [
        ({}, True),
        ({"portalSubscriptionStatus": "SUBSCRIBED"}, False),
        (
            {
                "portalSubscriptionStatus": "SUBSCRIBED",
                "subscriptions": [{"id": 2849, "status": "UNSUBSCRIBED"}],
            },
            True,
        ),
        ({"bounced": True}, False),
        ({"source": "SOURCE_NON_DELIVERY_REPORT"}, False),
        ({"requestedBy": "colleague@example.com"}, False),
        ({"requestedBy": " Reader1@Example.com"}, True),
    ],
)
@pytest.mark.parametrize("names_its_send", [False, True])
def test_only_a_person_who_turns_mails_off_leaves(
    mailing: HubSpotSimulator,
    connect: Connect,
    more: dict[str, Any],
    counts: bool,
    names_its_send: bool,
) -> None:
    sent = send(mailing, NOW - 3 * DAY)
    leaves(mailing, NOW - DAY, of=sent if names_its_send else None, **more)
    assert opt_outs(mailing, connect) == {sent["id"]: NOW - DAY if counts else None}


def test_events_count_for_as_many_days_as_the_project_file_says(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    at = NOW - 70 * DAY
    sent = send(mailing, at)
    happens(mailing, "OPEN", at + 40 * DAY, sent)
    leaves(mailing, at + 41 * DAY)

    def found(**options: Any) -> tuple[Any, Any]:
        (row,) = rows(connect(mailing, **options), "campaign_members")
        return row["opened_at"], row["unsubscribed_at"]

    assert found() == (None, None)
    assert found(email_event_days=41) == (at + 40 * DAY, at + 41 * DAY)


def test_an_event_that_is_dated_just_before_its_send_happened_with_it(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    at = NOW - 3 * DAY
    happens(mailing, "DELIVERED", at - 2 * SECOND, send(mailing, at))
    assert the_row(mailing, connect)["delivered_at"] == at


# --- people --------------------------------------------------------------------------------------


def test_people_are_found_by_any_of_their_addresses(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    """A merged contact has the addresses of both as its own."""
    account = mailing.account
    values = {"email": "third@example.com"}
    account.create("contacts", values, record_id="3", at=MADE)
    merged = account.merge("contacts", "3", "2", at=NOW - DAY)
    for person in ("Reader1@Example.COM", "reader2@example.com", "third@example.com"):
        send(mailing, NOW - 2 * DAY, person)
    found = [row["contact_id"] for row in rows(connect(mailing), "campaign_members")]
    assert sorted(found) == sorted(["1", merged, merged])


def test_a_send_to_nobody_known_is_a_send_and_told(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    sent = send(mailing, NOW - DAY, "stranger@example.com")
    happens(mailing, "DELIVERED", NOW - DAY + SECOND, sent)
    with CollectingRequest("campaign_members") as request:
        (row,) = collect(request, connect(mailing)).to_pylist()
    assert row["contact_id"] is None and row["delivered_at"] == NOW - DAY + SECOND
    assert "campaign_members: 1 sends went to addresses that no contact has" in request.notices[0]


def test_a_way_to_look_for_contacts_that_hubspot_refuses_is_told(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    for person in ("stranger@example.com", 1):
        send(mailing, NOW - DAY, person)
    words = b'{"status":"error","message":"There was a problem with stranger@example.com"}'
    mailing.faults.answer(400, words, on="contacts/search", times=99)
    with CollectingRequest("campaign_members") as request:
        found = collect(request, connect(mailing)).to_pylist()
    assert sorted(str(row["contact_id"]) for row in found) == ["1", "None"]
    assert "does not let contacts be looked for by further addresses" in request.notices[-1]
    assert "stranger" not in " ".join(request.notices)


@pytest.mark.parametrize(
    ("category", "told"),
    [("INTERNAL_ERROR", "INTERNAL_ERROR"), (address(1), "an error without a category")],
)
def test_a_look_up_that_fails_in_part_takes_nobody_for_nobody(
    mailing: HubSpotSimulator, connect: Connect, category: str, told: str
) -> None:
    send(mailing, NOW - DAY)
    error = {"status": "error", "category": category, "message": f"{address(1)} is unwell"}
    answer = {"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [error]}
    words = json.dumps(answer).encode()
    mailing.faults.answer(207, words, on="contacts/batch/read", times=1)
    with pytest.raises(SourceError, match=f"contacts behind .* addresses: {told}") as caught:
        rows(connect(mailing), "campaign_members")
    assert "@" not in str(caught.value)
    assert [row["contact_id"] for row in rows(connect(mailing), "campaign_members")] == ["1"]


def test_what_is_no_address_is_nobodys(mailing: HubSpotSimulator, connect: Connect) -> None:
    send(mailing, NOW - DAY, "no address")
    error = {"status": "error", "category": "VALIDATION_ERROR", "message": "no address"}
    answer = {"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [error]}
    words = json.dumps(answer).encode()
    mailing.faults.answer(207, words, on="contacts/batch/read", times=2)
    assert [row["contact_id"] for row in rows(connect(mailing), "campaign_members")] == [None]


def test_a_deleted_contact_was_sent_to_all_the_same(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    send(mailing, NOW - DAY, 2)
    mailing.account.archive("contacts", "2")
    assert the_row(mailing, connect)["contact_id"] == "2"


# --- campaigns -----------------------------------------------------------------------------------


def test_every_send_is_of_a_campaign_that_is_there(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    account = mailing.account
    account.campaigns["0c1d-campaign"] = Campaign("0c1d-campaign", {"hs_name": "Spring"})
    account.emails.append(email("73", "5003", archived=True, name="Gone"))
    for log_id in ("5001", "5002", "5003", "9009"):
        send(mailing, NOW - DAY, log_id=log_id)
    connector = connect(mailing)
    columns = ("id", "name", "channel", "start_date")
    campaigns = {row["id"]: row for row in rows(connector, "campaigns", columns=columns)}
    members = [row["campaign_id"] for row in rows(connector, "campaign_members")]
    assert sorted(members) == ["0c1d-campaign", "email-5002", "email-5003", "email-9009"]
    assert set(members) == set(campaigns)
    assert campaigns["email-5002"]["name"] == "Autumn issue"
    assert campaigns["email-5002"]["start_date"] == date(2025, 10, 2)
    assert {name: row["channel"] for name, row in campaigns.items()} == {
        "0c1d-campaign": None,
        "email-5002": "email",
        "email-5003": "email",
        "email-9009": "email",
    }


def test_the_mapped_channel_of_campaigns_leaves_that_of_emails_alone(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    values = {"hs_name": "Spring", "kind_of_work": "tradeshow"}
    mailing.account.campaigns["0c1d"] = Campaign("0c1d", values)
    mapping = {"channel": "kind_of_work"}
    connector = connect(mailing, datasets={"campaigns": {"columns": mapping}})
    found = rows(connector, "campaigns", columns=("id", "channel"), mapping=mapping)
    assert {row["id"]: row["channel"] for row in found} == {
        "0c1d": "tradeshow",
        "email-5002": "email",
    }


@pytest.mark.parametrize(
    "more",
    [{"isTransactional": True}, {"type": "MEMBERSHIP_PASSWORD_RESET_EMAIL"},
     {"type": "TICKET_EMAIL"}, {"type": "SINGLE_SEND_API"}],
)  # fmt: skip
def test_what_answers_a_person_is_no_campaign(
    mailing: HubSpotSimulator, connect: Connect, more: dict[str, Any]
) -> None:
    mailing.account.emails.append(email("74", "5004", **more))
    send(mailing, NOW - DAY, log_id="5004")
    kept = send(mailing, NOW - DAY)
    connector = connect(mailing)
    with CollectingRequest("campaign_members") as request:
        (row,) = collect(request, connector).to_pylist()
    assert row["id"] == kept["id"]
    assert "campaign_members: 1 sends answer what a person did" in request.notices[0]
    assert [row["id"] for row in rows(connector, "campaigns")] == ["email-5002"]


# --- what is asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns, kinds",
    [
        (("campaign_id", "sent_at"), {"SENT"}),
        (("sent_at", "responded_at"), {"SENT", "CLICK"}),
        (("delivered_at", "bounced_at"), {"SENT", "DELIVERED", "BOUNCE"}),
        (
            ("opened_at", "unsubscribed_at", "complained_at"),
            {"SENT", "OPEN", "STATUSCHANGE", "SPAMREPORT"},
        ),
    ],
)
def test_only_the_events_that_columns_need_are_read(
    mailing: HubSpotSimulator, connect: Connect, columns: tuple[str, ...], kinds: set[str]
) -> None:
    send(mailing, NOW - DAY)
    rows(connect(mailing), "campaign_members", columns=columns)
    assert {call.query["eventType"] for call in mailing.seen(EVENTS)} == kinds


def test_columns_may_be_mapped_to_other_events(mailing: HubSpotSimulator, connect: Connect) -> None:
    at = NOW - DAY
    sent = send(mailing, at)
    happens(mailing, "OPEN", at + HOUR, sent)
    mapping = {"responded_at": "opened_at", "campaign_id": "email_campaign_id"}
    connector = connect(mailing, datasets={"campaign_members": {"columns": mapping}})
    columns = ("id", "campaign_id", "responded_at")
    (row,) = rows(connector, "campaign_members", columns=columns, mapping=mapping)
    assert row["responded_at"] == at + HOUR and row["campaign_id"] == "5001"


def test_thousands_of_sends_of_one_millisecond_come_exactly_once(
    unlimited: HubSpotSimulator, connect: Connect
) -> None:
    """A span ends between two instants, and takes what shares its last one with it."""
    unlimited.clock.now = NOW
    at = NOW - 2 * DAY
    for number in range(12_000):
        moment = at if 1_000 <= number < 8_000 else at + (number - 4_000) * SECOND
        sent = send(unlimited, moment)
        if number % 40 == 0:
            happens(unlimited, "OPEN", moment + HOUR, sent)
    found = rows(connect(unlimited), "campaign_members", columns=("id", "opened_at"))
    assert len(found) == len({row["id"] for row in found}) == 12_000
    assert sum(row["opened_at"] is not None for row in found) == 300


# --- what is not there ---------------------------------------------------------------------------


def test_a_missing_scope_fails_sends_alone_and_is_named(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    token = mailing.grant("pat-na1-without-content", ALL_SCOPES - {"content"})
    mailing.account.campaigns["c"] = Campaign("c", {"hs_name": "A"})
    connector = connect(mailing, auth={"token": token})
    with pytest.raises(SourceError, match="Grant the token the scope content"):
        rows(connector, "campaign_members")
    with CollectingRequest("campaigns") as request:
        assert collect(request, connector)["id"].to_pylist() == ["c"]
    (told,) = request.notices
    assert told.startswith("campaigns: marketing e-mails are not among them, but for those")
    assert "HubSpot answered" in told
    assert "Grant the token the scope content" in told and "`email_events: false`" in told
    result = {result.subject: result for result in connector.check()}["campaign_members"]
    assert result.state == "warning" and result.lacks == {"campaign_members": ()}
    assert "content" in result.fix


@pytest.mark.parametrize("status", [404, 410])
def test_when_hubspot_ends_the_log_sends_are_missing_and_nothing_else(
    mailing: HubSpotSimulator, connect: Connect, status: int
) -> None:
    gone = b'{"status":"error","message":"gone"}'
    mailing.faults.answer(status, gone, on="/email/public/", times=99)
    connector = connect(mailing)
    with pytest.raises(UnavailableError, match="email/public/v1/events"):
        rows(connector, "campaign_members")
    assert [row["id"] for row in rows(connector, "campaigns")] == ["email-5002"]
    result = {result.subject: result for result in connector.check()}["campaign_members"]
    assert result.state == "warning" and result.lacks == {"campaign_members": ()}


def test_check_says_how_long_the_log_is_there(mailing: HubSpotSimulator, connect: Connect) -> None:
    result = {r.subject: r for r in connect(mailing).check()}["campaign_members"]
    assert result.state == "ok" and "until September 2027" in result.message


def test_whoever_wants_no_address_to_pass_through_turns_it_off(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    connector = connect(mailing, email_events=False)
    assert "campaign_members" not in {supply.dataset for supply in connector.datasets()}
    assert rows(connector, "campaigns") == []
    assert "campaign_members" not in {result.subject for result in connector.check()}
    assert not mailing.seen("/(email/public|marketing/emails)/")


def test_turning_the_log_off_removes_its_sends_and_not_those_of_another_source(
    mailing: HubSpotSimulator, tmp_path: Path
) -> None:
    send(mailing, NOW - DAY)
    (tmp_path / "mails").mkdir()
    (tmp_path / "mails" / "campaign_members.csv").write_text(
        "id,campaign_id,contact_id,sent_at\nm1,0c1d-campaign,1,2025-12-31T00:00:00Z\n"
    )
    hubspot = {"connector": "hubspot", "base_url": mailing.base_url,
               "auth": {"token": mailing.token}}  # fmt: skip
    files = {"connector": "csv", "path": "mails"}

    def load(**sources: Any) -> tuple[list[str], list[tuple[str, str]]]:
        document = {"version": 1, "project": "sends", "sources": sources}
        (tmp_path / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
        project = Project(tmp_path, environ={}, now=mailing.clock)
        needs = {"campaign_members": ("id", "campaign_id", "sent_at")}
        report = sync(project, (), needs=needs)
        assert not report.failures, report.error
        base = duckdb.connect(str(tmp_path / ".crmetrics" / "warehouse.duckdb"), read_only=True)
        with base:
            found = base.execute("select source, id from crm.campaign_members").fetchall()
        notices = [notice for each in report.reports for notice in each.notices]
        return notices, [(source, name) for source, name in found]

    [sent] = load(hs=hubspot)[1]
    told, there = load(hs={**hubspot, "email_events": False}, files=files)
    assert there == [("files", "m1")]
    assert "`email_events: false` leaves it out; what earlier reads gave is removed." in told
    assert load(hs={**hubspot, "email_events": False}, files=files) == ([], there)
    assert sorted(load(hs=hubspot, files=files)[1]) == sorted([sent, *there])


def test_a_log_without_sends_that_is_turned_off_is_forgotten_too(
    mailing: HubSpotSimulator, tmp_path: Path
) -> None:
    hubspot = {"connector": "hubspot", "base_url": mailing.base_url,
               "auth": {"token": mailing.token}}  # fmt: skip

    def load(**options: Any) -> tuple[list[str], list[str]]:
        """Datasets that were read, and those of which something is known."""
        document = {"version": 1, "project": "sends", "sources": {"hs": {**hubspot, **options}}}
        (tmp_path / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
        project = Project(tmp_path, environ={}, now=mailing.clock)
        needs = dict.fromkeys(("campaigns", "campaign_members"), ("id",))
        report = sync(project, (), needs=needs)
        assert not report.failures, report.error
        base = duckdb.connect(str(project.engine_settings.path), read_only=True)
        with base:
            known = base.execute("select dataset from meta.sync_state order by 1").fetchall()
        return sorted(each.dataset for each in report.reports), [row[0] for row in known]

    both = ["campaign_members", "campaigns"]
    assert load() == (both, both)
    assert load(email_events=False) == (both, ["campaigns"])
    assert load(email_events=False) == (["campaigns"], ["campaigns"])


def test_an_answer_without_events_does_not_pass_for_an_empty_log(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    mailing.faults.answer(200, b'{"hasMore":true,"events":[]}', on="/events")
    with pytest.raises(SourceError, match="says that there is more and not where"):
        rows(connect(mailing), "campaign_members")


def test_events_that_make_no_sense_stop_no_read(
    mailing: HubSpotSimulator, connect: Connect
) -> None:
    sent = send(mailing, NOW - DAY)
    odd = b"""{"hasMore":false,"offset":"x","events":[null, 7, {"id":"a"}, {"created":1},
        {"id":"b","created":"soon","type":"OPEN"},
        {"id":"c","created":1767139200000,"sentBy":"x"},
        {"id":"d","created":1767139200000,"sentBy":{"id":null,"created":1}},
        {"id":"e","created":1767139200000,"sentBy":{"id":"y","created":"never"}},
        {"id":"f","created":99999999999999999999999}]}"""
    mailing.faults.answer(200, odd, on="eventType=(OPEN|STATUSCHANGE)")
    row = the_row(mailing, connect)
    assert row["id"] == sent["id"] and row["opened_at"] is row["unsubscribed_at"] is None


def test_a_plan_says_what_the_log_costs(mailing: HubSpotSimulator, connect: Connect) -> None:
    connector = connect(mailing)

    def calls(columns: tuple[str, ...], rows: int | None, is_incremental: bool = False) -> int:
        found = connector.estimate(
            "campaign_members", columns, rows=rows, is_incremental=is_incremental
        )
        assert found is not None and found.basis
        return found.calls

    assert calls(("sent_at",), 5_000) == 5 + 50 + 3
    assert calls(("sent_at", "responded_at"), 5_000) == 5 + 1 + 50 + 3
    assert calls(("sent_at", "delivered_at"), 5_000) == 5 + 5 + 1 + 50 + 3
    assert calls(("sent_at",), 36_500, True) == 4 + 35 + 3
    assert calls(("sent_at",), None) == 10 + 100 + 3
