"""Sync after sync of the log of e-mail events, as if all had been read at once; and no address."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.hubspot.connecting import connector_for
from crmetrics.engine import Project
from crmetrics.engine.loading import sync
from crmetrics.http import recording
from crmetrics.testing import CollectingRequest
from simulators.hubspot import HubSpotSimulator, Limits
from simulators.hubspot.email_log import Event
from simulators.hubspot.records import iso

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
PEOPLE = 30
WINDOW = 35 * DAY
FILLED_BY = {"delivered_at": "DELIVERED", "bounced_at": "BOUNCE", "opened_at": "OPEN",
             "clicked_at": "CLICK", "unsubscribed_at": "STATUSCHANGE",
             "complained_at": "SPAMREPORT"}  # fmt: skip
Row = dict[str, Any]


@pytest.fixture
def account() -> Iterator[HubSpotSimulator]:
    """Thirty people who get e-mails; pages of the log are short."""
    limits = Limits(per_ten_s=1_000_000, searches_per_s=1_000_000, per_day=None)
    with HubSpotSimulator(limits=limits) as service:
        service.clock.now = NOW
        service.account.log.page_cap = 7
        for number in range(PEOPLE):
            values = {"email": f"Reader{number}@Example.com"}
            service.account.create("contacts", values, record_id=str(number), at=NOW - 500 * DAY)
        for name in ("5001", "5002", "5003"):
            service.account.emails.append({"id": f"7{name}", "allEmailCampaignIds": [name],
                                           "createdAt": "2025-01-01T00:00:00Z"})  # fmt: skip
        yield service


def live(service: HubSpotSimulator, dice: random.Random, until: datetime, days: int) -> None:
    """What people are sent in some days, and do; some answer a month later, or after the window."""
    log = service.account.log

    def soon(most: timedelta) -> timedelta:
        return most * dice.random()

    for _ in range(days * 3):
        sent_at = until - soon(days * DAY)
        person = dice.randrange(PEOPLE + 2)
        who = f"reader{person}@example.com"
        sent = log.add("SENT", who, dice.choice(["5001", "5002", "5003", "9"]), sent_at)
        for kind, share, most in (
            ("DELIVERED", 0.9, MINUTE), ("BOUNCE", 0.1, MINUTE), ("OPEN", 0.7, 3 * DAY),
            ("OPEN", 0.4, 45 * DAY), ("CLICK", 0.3, 40 * DAY), ("SPAMREPORT", 0.1, 9 * DAY),
        ):  # fmt: skip
            if dice.random() < share:
                bot = {"filteredEvent": True} if dice.random() < 0.1 else {}
                log.add(kind, who, "5001", sent_at + soon(most), of=sent, **bot)
        if dice.random() < 0.2:
            told = {"portalSubscriptionStatus": "UNSUBSCRIBED", "source": "SOURCE_RECIPIENT"}
            of = sent if dice.random() < 0.5 else None
            log.add("STATUSCHANGE", who, "5001", sent_at + soon(50 * DAY), of=of, **told)


def expected(service: HubSpotSimulator, until: datetime) -> list[tuple[Any, ...]]:
    """The rows that the log gives by its own words, sought for one by one."""
    log = service.account.log
    found = []
    for sent in log.of_kind("SENT"):
        at = instant(sent)
        if at >= until:
            continue
        row: Row = {"id": sent["id"], "sent_at": at}
        number = sent["recipient"].partition("@")[0].removeprefix("reader")
        row["contact_id"] = number if int(number) < PEOPLE else None
        campaign = str(sent["emailCampaignId"])
        row["campaign_id"] = f"email-{campaign}"
        for column, kind in FILLED_BY.items():
            times = [
                instant(event)
                for event in log.of_kind(kind)
                if is_of(service, event, sent)
                and not event.get("filteredEvent")
                and instant(event) - at <= WINDOW
                and instant(event) < until
            ]
            row[column] = min(times, default=None)
        row["responded_at"] = row["clicked_at"]
        if row["bounced_at"]:
            row["delivered_at"] = None
        found.append(row)
    return shown(found)


def is_of(service: HubSpotSimulator, event: Event, sent: Event) -> bool:
    """Whether an event belongs to a send: it says so, or it is the last one to the person."""
    if "sentBy" in event:
        return bool(event["sentBy"]["id"] == sent["id"])
    if int(event["recipient"].partition("@")[0].removeprefix("reader")) >= PEOPLE:
        return False
    before = [
        (other["created"], other["id"])
        for other in service.account.log.of_kind("SENT")
        if other["recipient"] == event["recipient"] and other["created"] <= event["created"]
    ]
    return bool(before) and max(before) == (sent["created"], sent["id"])


def instant(event: Event) -> datetime:
    return datetime.fromtimestamp(event["created"] / 1000, UTC)


COLUMNS = ("id", "campaign_id", "contact_id", "sent_at", *FILLED_BY, "responded_at")


def shown(rows: list[Row]) -> list[tuple[Any, ...]]:
    return sorted((tuple(row[name] for name in COLUMNS) for row in rows), key=str)


def load(
    folder: Path,
    service: HubSpotSimulator,
    *,
    columns: tuple[str, ...] = COLUMNS,
    full: bool = False,
    **options: Any,
) -> Any:
    """Sync a project at the time of the simulated world; its report."""
    source = {"connector": "hubspot", "base_url": service.base_url, "hold_back": "0s",
              "auth": {"token": service.token}, **options}  # fmt: skip
    document = {"version": 1, "project": "log", "sources": {"hs": source}}
    folder.mkdir(exist_ok=True)
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    project = Project(folder, environ={}, now=service.clock)
    return sync(project, (), needs={"campaign_members": columns}, full=full)


def held(folder: Path, columns: tuple[str, ...] = COLUMNS) -> list[tuple[Any, ...]]:
    path = str(folder / ".crmetrics" / "warehouse.duckdb")
    with duckdb.connect(path, read_only=True) as base:
        base.execute("set timezone = 'UTC'")
        rows = f"select {', '.join(columns)} from crm.campaign_members where not is_deleted"
        table = base.execute(rows).fetchall()
    return sorted(table, key=str)


def test_reads_in_steps_end_where_a_new_project_begins(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    dice = random.Random(7)
    live(account, dice, NOW, 60)
    assert load(tmp_path / "often", account).error is None
    assert held(tmp_path / "often") == expected(account, NOW)
    for days in (1, 3, 20, 9):
        account.clock.now += days * DAY
        live(account, dice, account.clock.now, days)
        assert load(tmp_path / "often", account).error is None
        assert held(tmp_path / "often") == expected(account, account.clock.now)
    assert load(tmp_path / "once", account).error is None
    once = held(tmp_path / "once")
    assert held(tmp_path / "often") == once and len(once) == 93 * 3
    late = [row for row in once if row[7] and row[3] and row[7] - row[3] > 5 * DAY]
    assert late and any(row[8] for row in once), "nothing happened late"


def test_a_read_goes_back_by_the_window_and_not_further(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    live(account, random.Random(8), NOW, 300)
    load(tmp_path, account)
    whole = account.count("/email/public/v1/events")
    account.clock.now += DAY
    before = len(account.calls)
    load(tmp_path, account)
    later = [call for call in account.calls[before:] if "/email/public/v1/events" in call.path]
    assert len(later) < whole / 4
    overlap = 10 * MINUTE
    first = int((NOW - overlap - WINDOW).timestamp() * 1000)
    assert min(int(call.query["startTimestamp"]) for call in later) == first - 60_000


def test_an_email_that_moves_to_another_campaign_takes_its_sends_with_it(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    log = account.account.log
    account.account.emails[0]["createdAt"] = "2025-06-01T00:00:00Z"
    for days in (100, 5):
        log.add("SENT", "reader1@example.com", "5001", NOW - days * DAY)
        log.add("SENT", "reader1@example.com", "5002", NOW - days * DAY)
    load(tmp_path, account)
    account.account.emails[0]["campaign"] = "0c1d"
    account.clock.now += DAY
    report = load(tmp_path, account)
    assert [row[1] for row in held(tmp_path)].count("0c1d") == 2
    (told,) = [n for r in report.reports for n in r.notices]
    assert told.startswith("1 marketing e-mails belong to another campaign than at the last read")
    account.clock.now += DAY
    assert not [n for r in load(tmp_path, account).reports for n in r.notices]


def test_an_email_that_is_deleted_for_good_leaves_its_sends_where_they_were(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    log, emails = account.account.log, account.account.emails
    emails[0]["campaign"] = "0c1d"
    emails[1] |= {"allEmailCampaignIds": ["5002", "5012"], "primaryEmailCampaignId": "5012"}
    emails[2]["isTransactional"] = True
    for log_id in ("5001", "5002", "5012", "5003"):
        log.add("SENT", "reader1@example.com", log_id, NOW - DAY)
    load(tmp_path, account)
    before = held(tmp_path)
    assert [row[1] for row in before].count("email-5012") == 2
    emails.clear()
    for _ in range(2):
        account.clock.now += DAY
        report = load(tmp_path, account)
        assert held(tmp_path) == before and len(before) == 3
        assert not [n for r in report.reports for n in r.notices if "another campaign" in n]


@pytest.mark.parametrize("list_is_refused", [False, True])
def test_an_email_that_no_list_names_any_more_leaves_its_sends_where_they_were(
    account: HubSpotSimulator, tmp_path: Path, list_is_refused: bool
) -> None:
    log, emails = account.account.log, account.account.emails
    emails[0]["campaign"] = "0c1d"
    emails[1]["isTransactional"] = True
    for days in (50, 5):
        log.add("SENT", "reader1@example.com", "5001", NOW - days * DAY)
        log.add("SENT", "reader1@example.com", "5002", NOW - days * DAY)
    load(tmp_path, account)
    before = held(tmp_path)
    assert [row[1] for row in before] == ["0c1d", "0c1d"]
    emails.clear()
    if list_is_refused:
        account.faults.answer(403, b"{}", on="by-id", times=99)
    else:
        log.campaigns.clear()
    for _ in range(2):
        account.clock.now += DAY
        assert load(tmp_path, account).error is None
        assert held(tmp_path) == before


@pytest.mark.parametrize("how", ["full", "a further column"])
def test_reading_all_anew_leaves_sends_of_emails_that_are_gone_where_they_were(
    account: HubSpotSimulator, tmp_path: Path, how: str
) -> None:
    log, emails = account.account.log, account.account.emails
    emails[0]["campaign"] = "0c1d"
    emails[1]["isTransactional"] = True
    for log_id in ("5001", "5002", "5003"):
        log.add("SENT", "reader1@example.com", log_id, NOW - 50 * DAY)
    columns = COLUMNS if how == "full" else COLUMNS[:-1]
    load(tmp_path, account, columns=columns)
    before = [row[:2] for row in held(tmp_path, columns)]
    assert sorted(row[1] for row in before) == ["0c1d", "email-5003"]
    emails.clear()
    for _ in range(2):
        account.clock.now += DAY
        assert load(tmp_path, account, full=how == "full").error is None
        assert [row[:2] for row in held(tmp_path)] == before


@pytest.mark.parametrize(
    "kind, campaign", [("AUTOMATED_EMAIL", "email-9"), ("SMTP_TOKEN", None), (None, None)]
)
def test_an_email_that_no_list_ever_named_is_what_its_type_says(
    account: HubSpotSimulator, tmp_path: Path, kind: str | None, campaign: str | None
) -> None:
    """kpis.md counts the sends of campaigns that were deleted, and those of nothing else."""
    account.account.log.types["9"] = kind
    account.account.log.add("SENT", "reader1@example.com", "9", NOW - DAY)
    sent = account.account.log.add("SENT", "reader1@example.com", "5001", NOW - 2 * DAY)
    told = {"portalSubscriptionStatus": "UNSUBSCRIBED", "source": "SOURCE_RECIPIENT"}
    account.account.log.add("STATUSCHANGE", "reader1@example.com", "9", NOW - MINUTE, **told)
    report = load(tmp_path, account)
    rows = {row[1]: row for row in held(tmp_path)}
    assert set(rows) == {"email-5001", campaign or "email-5001"}
    left_at = COLUMNS.index("unsubscribed_at")
    assert rows[campaign or "email-5001"][left_at] == NOW - MINUTE
    assert rows["email-5001"][0] == sent["id"]
    notices = [n for r in report.reports for n in r.notices]
    if kind == "SMTP_TOKEN":
        assert "1 sends answer what a person did" in notices[0]
    elif kind is None:
        assert "1 sends are of e-mails that HubSpot lists nowhere and does not tell" in notices[0]
    else:
        assert not notices
    asked = account.count("campaigns/9")
    account.clock.now += DAY
    load(tmp_path, account)
    assert asked == account.count("campaigns/9") == 1, "once is enough"
    assert {row[1] for row in held(tmp_path)} == set(rows)


def test_an_account_that_does_not_tell_its_number_gives_its_sends_all_the_same(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    account.account.log.add("SENT", "reader1@example.com", "9", NOW - DAY)
    account.faults.answer(403, b"{}", on="account-info", times=99)
    for _ in range(2):
        assert load(tmp_path, account).error is None
        assert [row[1] for row in held(tmp_path)] == ["email-9"]
        account.clock.now += DAY
    assert account.count("campaigns/9$") == 1


def test_types_that_the_token_may_not_ask_for_are_asked_for_again(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    for log_id in ("9", "8"):
        account.account.log.add("SENT", "reader1@example.com", log_id, NOW - 99 * DAY)
    account.faults.answer(403, b"{}", on="campaigns/[89]$", times=99)
    load(tmp_path, account)
    assert held(tmp_path) == [] and account.count("campaigns/[89]$") == 1
    account.faults.clear()
    account.clock.now += DAY
    assert load(tmp_path, account).error is None
    assert {row[1] for row in held(tmp_path)} == {"email-8", "email-9"}


@pytest.mark.parametrize("steps, opts_out", [((True,), True), ((True, False, True), False)])
def test_an_email_that_becomes_transactional_takes_its_sends_out_and_brings_them_back(
    account: HubSpotSimulator, tmp_path: Path, steps: tuple[bool, ...], opts_out: bool
) -> None:
    log, mail = account.account.log, account.account.emails[0]
    mail["createdAt"] = iso(NOW - 120 * DAY)
    told = {"portalSubscriptionStatus": "UNSUBSCRIBED", "source": "SOURCE_RECIPIENT"}
    for days in (130, 100, 5):
        log.add("SENT", "reader1@example.com", "5002", NOW - days * DAY)
        if days < 130:
            log.add("SENT", "reader1@example.com", "5001", NOW - days * DAY + MINUTE)
    if opts_out:
        log.add("STATUSCHANGE", "reader1@example.com", "5001", NOW - 99 * DAY, **told)
    load(tmp_path, account)
    as_marketing = held(tmp_path)
    for is_transactional in steps:
        mail["isTransactional"] = is_transactional
        account.clock.now += DAY
        report = load(tmp_path, account)
        (notice,) = [n for r in report.reports for n in r.notices if "1 marketing e-mails" in n]
        assert "belong to another campaign than at the last read, or to none" in notice
        folder = tmp_path / f"anew-{account.clock.now:%d}"
        load(folder, account)
        assert held(tmp_path) == held(folder)
        assert (held(tmp_path) == as_marketing) == (not is_transactional)
    assert len(as_marketing) == 5 and len(held(tmp_path)) == 3


def test_an_email_that_is_listed_late_takes_its_sends_with_it(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    log = account.account.log
    for days in (100, 5):
        log.add("SENT", "reader1@example.com", "9", NOW - days * DAY)
    log.campaigns.clear()
    load(tmp_path, account)
    assert [row[1] for row in held(tmp_path)] == ["email-9", "email-9"]
    late = {"id": "79", "allEmailCampaignIds": ["9"], "campaign": "0c1d",
            "createdAt": "2025-01-01T00:00:00Z"}  # fmt: skip
    account.account.emails.append(late)
    account.clock.now += DAY
    assert load(tmp_path, account).error is None
    assert [row[1] for row in held(tmp_path)] == ["0c1d", "0c1d"]


# --- people ----------------------------------------------------------------------------------


def test_a_contact_with_another_address_keeps_what_it_was_sent(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    """Also that it turned e-mails off, which is of a later span than the send, and names none."""
    log, now_at = account.account.log, "someone-new@example.com"
    log.add("SENT", "reader1@example.com", "5001", NOW - 10 * DAY)
    sent = log.add("SENT", "reader1@example.com", "5001", NOW - 9 * DAY)
    for number in range(90):
        at = NOW - 8 * DAY + number * MINUTE
        log.add("SENT", f"reader{number % 9 + 2}@example.com", "5002", at)
    told = {"portalSubscriptionStatus": "UNSUBSCRIBED", "source": "SOURCE_RECIPIENT"}
    log.add("STATUSCHANGE", "reader1@example.com", "5001", NOW - DAY, **told)
    load(tmp_path, account)
    before = held(tmp_path)
    (row,) = [row for row in before if row[0] == sent["id"]]
    assert (row[2], row[COLUMNS.index("unsubscribed_at")]) == ("1", NOW - DAY)
    account.account.update("contacts", "1", NOW + MINUTE, email=now_at)
    log.add("SENT", now_at, "5002", NOW + 2 * MINUTE)
    log.add("SENT", "nobody@example.com", "5002", NOW + 2 * MINUTE)
    for _ in range(2):
        account.clock.now += DAY
        report = load(tmp_path, account)
        assert [row for row in held(tmp_path) if row[3] < NOW] == before
        assert sorted(str(row[2]) for row in held(tmp_path) if row[3] > NOW) == ["1", "None"]
        (told_of,) = [n for r in report.reports for n in r.notices]
        assert told_of.startswith("campaign_members: 1 sends went to addresses that no contact has")


# --- runs that end early -------------------------------------------------------------------------


def test_a_read_that_ends_early_is_gone_on_with(account: HubSpotSimulator, tmp_path: Path) -> None:
    """At each of its calls; what happened meanwhile is there too."""
    dice = random.Random(9)
    live(account, dice, NOW, 60)
    assert load(tmp_path / "whole", account).error is None
    calls = len(account.calls)
    assert calls > 100
    for number in range(0, calls, 13):
        folder = tmp_path / str(number)
        account.clock.now = NOW
        account.faults.answer(400, b"{}", on="(/email|/contacts)", skip=number)
        if load(folder, account).error is None:
            break  # fewer of its calls are of this kind
        account.faults.clear()
        kept = [file.read_bytes() for file in folder.rglob("*.pages")]
        assert all(b"@example.com" not in body.lower() for body in kept)
        account.clock.now = NOW + DAY
        before = len(account.calls)
        assert load(folder, account).error is None
        assert held(folder) == expected(account, NOW + DAY)
        assert not list(folder.rglob("*.pages"))
        if number == 78:
            assert kept and len(account.calls) - before < calls * 2 / 3
    assert number > 78


def test_an_email_that_moves_while_a_read_is_stopped_takes_its_sends_with_it(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    log = account.account.log
    for number in range(10):
        at = NOW - 100 * DAY + number * MINUTE
        log.add("SENT", f"reader{number}@example.com", "5001", at)
    for number in range(100):
        at = NOW - 10 * DAY + number * MINUTE
        log.add("SENT", f"reader{number % PEOPLE}@example.com", "5002", at)
    assert load(tmp_path, account).error is None
    account.clock.now += DAY
    account.faults.answer(400, b"{}", on="/events", skip=14)
    assert load(tmp_path, account).error is not None
    account.faults.clear()
    assert list(tmp_path.rglob("*.pages"))
    account.account.emails[0]["campaign"] = "0c1d"
    account.clock.now += 60 * MINUTE
    assert load(tmp_path, account).error is None
    campaigns = [row[1] for row in held(tmp_path)]
    assert (campaigns.count("0c1d"), campaigns.count("email-5002")) == (10, 100)


def test_an_opt_out_passes_by_receipts_also_in_what_was_kept(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    """The receipts are in the spans of the stopped read, the opt-out came after it."""
    log = account.account.log
    account.account.emails[2]["isTransactional"] = True
    for number in range(60):
        log.add("SENT", "reader2@example.com", "5002", NOW - 8 * DAY + number * MINUTE)
    last = log.add("SENT", "reader1@example.com", "5001", NOW - 6 * DAY)
    for number in range(50):
        log.add("SENT", "reader1@example.com", "5003", NOW - 5 * DAY + number * MINUTE)
    account.faults.answer(400, b"{}", on="/events", skip=24)
    assert load(tmp_path, account).error is not None
    account.faults.clear()
    (kept,) = [file.read_bytes() for file in tmp_path.rglob("*.pages")]
    assert last["id"].encode() in kept
    told = {"portalSubscriptionStatus": "UNSUBSCRIBED", "source": "SOURCE_RECIPIENT"}
    log.add("STATUSCHANGE", "reader1@example.com", "5001", NOW + MINUTE, **told)
    account.clock.now += DAY
    report = load(tmp_path, account)
    assert [n for r in report.reports for n in r.notices if "interrupted" in n]
    at = COLUMNS.index("unsubscribed_at")
    assert {row[0]: row[at] for row in held(tmp_path) if row[at]} == {last["id"]: NOW + MINUTE}


def test_a_ceiling_of_calls_is_reached_and_the_next_runs_go_on(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    live(account, random.Random(10), NOW, 90)
    runs = 1
    while (report := load(tmp_path, account, max_calls_per_run=60)).error is not None:
        assert "max_calls_per_run" in str(report.error)
        runs += 1
    assert 2 < runs < 19
    assert held(tmp_path) == expected(account, NOW)


def test_what_was_kept_for_too_long_is_read_anew(account: HubSpotSimulator, tmp_path: Path) -> None:
    live(account, random.Random(11), NOW, 30)
    account.faults.answer(400, b"{}", on="/events", skip=40)
    assert load(tmp_path, account).error is not None
    assert list(tmp_path.rglob("*.pages"))
    account.clock.now = NOW + 4 * DAY
    report = load(tmp_path, account)
    assert not [n for r in report.reports for n in r.notices if "interrupted" in n]
    assert held(tmp_path) == expected(account, NOW + 4 * DAY)


def test_what_was_kept_of_other_events_is_read_anew(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    """A click was asked for when the read stopped; an opening is by now."""
    log = account.account.log
    for number in range(60):
        who, at = f"reader{number % PEOPLE}@example.com", NOW - 9 * DAY + number * MINUTE
        log.add("OPEN", who, "5001", at + MINUTE, of=log.add("SENT", who, "5001", at))
    columns = ("id", "responded_at")
    account.faults.answer(400, b"{}", on="/events", skip=8)
    assert load(tmp_path, account, columns=columns).error is not None
    account.faults.clear()
    assert list(tmp_path.rglob("*.pages"))
    mapped = {"campaign_members": {"columns": {"responded_at": "opened_at"}}}
    assert load(tmp_path, account, columns=columns, datasets=mapped).error is None
    assert [at for _, at in held(tmp_path, columns)].count(None) == 0


def test_who_asks_for_all_sends_again_gets_none_that_were_kept(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    for number in range(60):
        at = NOW - 9 * DAY + number * MINUTE
        account.account.log.add("SENT", "late@example.com", "5001", at)
    account.faults.answer(400, b"{}", on="/events", skip=12)
    assert load(tmp_path, account).error is not None
    account.faults.clear()
    assert list(tmp_path.rglob("*.pages"))
    account.account.create("contacts", {"email": "late@example.com"}, record_id="99", at=NOW)
    report = load(tmp_path, account, full=True)
    assert not [n for r in report.reports for n in r.notices if "interrupted" in n]
    assert {contact for (contact,) in held(tmp_path, ("contact_id",))} == {"99"}


# --- nobody's name -------------------------------------------------------------------------------


def test_no_address_leaves_the_connector(
    account: HubSpotSimulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    live(account, random.Random(12), NOW, 60)
    account.faults.answer(400, b"{}", on="/events", skip=60)
    stopped = load(tmp_path, account)
    written = {file: file.read_bytes() for file in tmp_path.rglob("*.*") if file.is_file()}
    assert any(file.suffix == ".pages" for file in written)
    report = load(tmp_path, account)
    assert stopped.error is not None and report.error is None
    written |= {file: file.read_bytes() for file in tmp_path.rglob("*.*") if file.is_file()}
    assert not [file for file, body in written.items() if b"@example.com" in body.lower()]
    path = str(tmp_path / ".crmetrics" / "warehouse.duckdb")
    with duckdb.connect(path, read_only=True) as base:
        tables = base.execute("select schema_name || '.' || table_name from duckdb_tables()")
        for (table,) in tables.fetchall():
            told = repr(base.execute(f"select * from {table}").fetchall())
            assert "reader" not in told.lower(), table
    told = f"{caplog.text} {stopped.error} {report!r}"
    assert "reader" not in told.lower()


def test_a_refusal_that_names_an_address_is_told_without_it(account: HubSpotSimulator) -> None:
    account.account.log.add("SENT", "reader1@example.com", "5001", NOW - 9 * DAY)
    words = b'{"status":"error","message":"Invalid address: reader1@example.com (x)"}'
    account.faults.answer(400, words, on="batch/read")
    connector = connector_for(account)
    with CollectingRequest("campaign_members") as request:
        with pytest.raises(Exception, match=r"Invalid address: \(address\) \(x\)") as caught:
            list(connector.read(request))
        assert "reader1" not in str(caught.value)
    connector.close()


def test_a_recording_holds_no_address_and_replays(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    live(account, random.Random(13), NOW, 20)
    tape = tmp_path / "tape"
    with recording.to(tape):
        assert load(tmp_path / "first", account).error is None
    bodies = [file.read_bytes() for file in tape.iterdir()]
    assert any(b"@example.com" in body.lower() for body in bodies)
    assert not [body for body in bodies if b"reader" in body.lower()]
    calls = len(account.calls)
    with recording.replay(tape):
        assert load(tmp_path / "second", account).error is None
    assert len(account.calls) == calls
    assert held(tmp_path / "second") == held(tmp_path / "first") == expected(account, NOW)
