"""Conversations: a call per thread, so only for threads that are new or have changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crmetrics.engine import Project
from crmetrics.engine.loading import sync
from simulators.hubspot import HubSpotSimulator, Limits, Owner
from simulators.hubspot.records import iso

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
MESSAGES = "/threads/[0-9]+/messages"
THREADS = 50


@pytest.fixture
def talking() -> Iterator[HubSpotSimulator]:
    """50 threads of one message about a ticket."""
    limits = Limits(per_ten_s=None, searches_per_s=None, per_day=None)
    with HubSpotSimulator(limits=limits) as service:
        service.clock.now = NOW
        service.account.owners["7"] = Owner("7", 70)
        for name in ("1", "2"):
            service.account.create("tickets", {}, record_id=name, at=NOW - 9 * HOUR)
        for number in range(THREADS):
            service.account.threads[str(500 + number)] = {
                "createdAt": iso(NOW - 9 * HOUR),
                "latestMessageTimestamp": iso(NOW - 9 * HOUR),
                "associations": {"associatedTicketId": "1"},
                "messages": [message(f"m{number}", NOW - 9 * HOUR)],
            }
        yield service


def message(name: str, at: datetime) -> dict[str, Any]:
    return {"id": name, "type": "MESSAGE", "createdAt": iso(at), "createdBy": "A-70", "text": "x"}


def say(service: HubSpotSimulator, thread: str, name: str, at: datetime) -> None:
    service.account.threads[thread]["messages"].append(message(name, at))
    service.account.threads[thread]["latestMessageTimestamp"] = iso(at)


def synced(folder: Path, service: HubSpotSimulator, *, full: bool = False, **options: Any) -> int:
    """Sync the messages now; how many calls for messages of a thread that took."""
    source = {
        "connector": "hubspot",
        "base_url": service.base_url,
        "auth": {"token": service.token},
        "case_messages_from": ["conversations"],
        **options,
    }
    document = {"version": 1, "project": "talk", "sources": {"hs": source}}
    folder.mkdir(exist_ok=True)
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    before = service.count(MESSAGES)
    project = Project(folder, environ={}, now=service.clock)
    needs = {"case_messages": ("case_id", "sent_at", "author_type")}
    report = sync(project, (), needs=needs, full=full)
    assert report.error is None and not report.failures
    return service.count(MESSAGES) - before


def held(folder: Path) -> dict[str, str]:
    """Message -> ticket, of all that are there."""
    path = str(folder / ".crmetrics" / "warehouse.duckdb")
    query = "select id, case_id from crm.case_messages where not is_deleted"
    with duckdb.connect(path, read_only=True) as base:
        return dict(base.execute(query).fetchall())


def test_with_nothing_new_no_thread_is_read_again(
    talking: HubSpotSimulator, tmp_path: Path
) -> None:
    assert synced(tmp_path, talking) == THREADS
    talking.clock.now = NOW + HOUR
    before = len(talking.calls)
    assert synced(tmp_path, talking) == 0
    assert len(talking.calls) - before <= 2
    talking.clock.now = NOW + 30 * HOUR  # all threads are listed, and none has changed
    assert synced(tmp_path, talking) == 0
    assert len(held(tmp_path)) == THREADS


def test_a_thread_with_a_new_message_is_read_and_no_other(
    talking: HubSpotSimulator, tmp_path: Path
) -> None:
    synced(tmp_path, talking)
    say(talking, "507", "new", NOW + HOUR)
    talking.clock.now = NOW + 2 * HOUR
    assert synced(tmp_path, talking) == 1
    assert len(held(tmp_path)) == THREADS + 1 and held(tmp_path)["new"] == "1"


def test_threads_that_move_or_vanish_without_a_message_are_found_when_all_are_listed(
    talking: HubSpotSimulator, tmp_path: Path
) -> None:
    synced(tmp_path, talking)
    threads = talking.account.threads
    threads["503"]["associations"] = {"associatedTicketId": "2"}
    threads["504"]["associations"] = {}
    del threads["505"]
    talking.clock.now = NOW + 30 * HOUR
    assert synced(tmp_path, talking) == 1
    found = held(tmp_path)
    assert found["m3"] == "2" and not {"m4", "m5"} & set(found) and len(found) == THREADS - 2


def test_a_full_sync_reads_all_threads(talking: HubSpotSimulator, tmp_path: Path) -> None:
    synced(tmp_path, talking)
    assert synced(tmp_path, talking, full=True) == THREADS
    assert len(held(tmp_path)) == THREADS


def test_emails_beside_them_stay_as_they_are(talking: HubSpotSimulator, tmp_path: Path) -> None:
    values = {"hs_email_direction": "EMAIL", "hs_timestamp": iso(NOW - HOUR)}
    email = talking.account.create("emails", values, at=NOW - HOUR).id
    talking.account.associate("emails", email, "tickets", "1")
    both = {"case_messages_from": ["emails", "conversations"]}
    assert synced(tmp_path, talking, **both) == THREADS
    talking.clock.now = NOW + 30 * HOUR
    assert synced(tmp_path, talking, **both) == 0
    assert len(held(tmp_path)) == THREADS + 1 and f"emails-{email}" in held(tmp_path)


def test_what_a_failed_run_had_read_is_not_asked_for_again(
    talking: HubSpotSimulator, tmp_path: Path
) -> None:
    talking.faults.answer(400, b"{}", on=MESSAGES, skip=30)
    with pytest.raises(AssertionError):
        synced(tmp_path, talking)
    (kept,) = tmp_path.rglob("*.pages")
    assert b'"text"' not in kept.read_bytes()
    say(talking, "501", "new", NOW + timedelta(minutes=1))
    talking.clock.now = NOW + HOUR
    assert synced(tmp_path, talking) == THREADS - 30 + 1
    assert len(held(tmp_path)) == THREADS + 1
    assert not list(tmp_path.rglob("*.pages"))


@pytest.mark.parametrize(
    "given",
    [{"sort": "latestMessageTimestamp"}, {"latestMessageTimestampAfter": "2026-01-01T00:00:00Z"}],
)
def test_the_filter_of_threads_goes_with_its_sort(
    talking: HubSpotSimulator, given: dict[str, str]
) -> None:
    import requests

    answer = requests.get(
        f"{talking.base_url}/conversations/conversations/2026-09/threads",
        params=given,
        headers={"Authorization": f"Bearer {talking.token}"},
        timeout=5,
    )
    assert answer.status_code == 400
