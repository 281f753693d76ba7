"""A sync that is killed at any of its requests leaves whole datasets, and the next completes it."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.hubspot.killing import Children
from crmetrics.datasets import canonical_datasets
from simulators.hubspot import HubSpotSimulator, Limits, Owner, Pipeline, Stage
from simulators.hubspot.records import iso

pytestmark = pytest.mark.slow

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DEALS, THREADS, SENDS = 44, 12, 11
PAGE = 4
READ = ("accounts", "opportunities", "opportunity_stage_history", "case_messages",
        "campaign_members")  # fmt: skip
NEEDS = {name: canonical_datasets()[name].column_names for name in READ}
NEEDS["campaign_members"] = ("sent_at", "clicked_at")  # two kinds of events
Tables = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def account() -> Iterator[HubSpotSimulator]:
    """Deals of companies, conversations about a ticket, and e-mails, on short pages."""
    limits = Limits(per_ten_s=None, searches_per_s=None, per_day=None)
    with HubSpotSimulator(limits=limits) as service:
        service.clock.now = NOW
        service.crm.page_cap = PAGE
        service.account.log.page_cap = 2
        service.account.owners["7"] = Owner("7", 70)
        stages = [
            Stage("1", "Open", {"isClosed": "false", "probability": "0.2"}),
            Stage("2", "Won", {"isClosed": "true", "probability": "1.0"}),
        ]
        service.account.pipelines = {"deals": [Pipeline("p", "Sales", stages)]}
        fill(service)
        yield service


def fill(service: HubSpotSimulator) -> None:
    account, made = service.account, NOW - 9 * DAY
    companies = [account.create("companies", {}, at=made).id for _ in range(3)]
    for number in range(DEALS):
        values = {"amount": str(number), "dealstage": "1", "pipeline": "p"}
        deal = account.create("deals", values, at=made + timedelta(seconds=number)).id
        account.associate("deals", deal, "companies", companies[number % 2], [(5, "Primary")])
    ticket = account.create("tickets", {}, at=made).id
    for number in range(THREADS):
        account.threads[str(500 + number)] = {
            "createdAt": iso(made),
            "latestMessageTimestamp": iso(made),
            "associations": {"associatedTicketId": ticket},
            "messages": [message(number, made)],
        }
    account.create("contacts", {"email": "reader@example.com"}, at=made)
    account.emails.append({"id": "9", "allEmailCampaignIds": ["90"], "createdAt": iso(made)})
    for number in range(SENDS):
        sent = account.log.add("SENT", "reader@example.com", "90", made + number * HOUR)
        if number % 2:
            account.log.add("CLICK", "reader@example.com", "90", made + DAY, of=sent)


def message(number: int, at: datetime) -> dict[str, Any]:
    return {"id": f"m{number}", "type": "MESSAGE", "createdAt": iso(at), "createdBy": "V-1",
            "direction": "INCOMING", "text": "x"}  # fmt: skip


def change(service: HubSpotSimulator) -> None:
    """A day's work: edits, a deal more, the bin, a restored deal, a merge, messages."""
    account, at = service.account, NOW + timedelta(hours=20)
    deals = list(account.objects["deals"].records)
    for deal in deals[::5]:
        account.update("deals", deal, at, amount="777", dealstage="2")
    account.archive("deals", deals[1], at)
    account.restore("deals", deals[2])
    account.create("deals", {"amount": "5", "dealstage": "1", "pipeline": "p"}, at=at)
    for sent in account.log.of_kind("SENT")[::4]:
        account.log.add("CLICK", "reader@example.com", "90", at, of=sent)
    first, second, _ = account.objects["companies"].records
    account.merge("companies", first, second, at=at)
    for number in range(THREADS):
        thread = account.threads[str(500 + number)]
        thread["latestMessageTimestamp"] = iso(at)
        thread["messages"].append(message(100 + number, at))


# --- children that are killed ------------------------------------------------------------------


@pytest.fixture
def children() -> Iterator[Children]:
    made = Children()
    yield made
    made.close()


def write_project(folder: Path, service: HubSpotSimulator) -> Path:
    source = {
        "connector": "hubspot",
        "base_url": service.base_url,
        "auth": {"token": service.token},
        "case_messages_from": ["conversations"],
        "refresh_every": "P7D",
    }
    folder.mkdir()
    document = {"version": 1, "project": "killed", "sources": {"hs": source}}
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    return folder


def tables(folder: Path) -> Tables:
    """All that the warehouse holds; nothing of a dataset that was never loaded."""
    path = folder / ".crmetrics" / "warehouse.duckdb"
    found: Tables = {name: [] for name in READ}
    if not path.exists():
        return found
    with duckdb.connect(str(path), read_only=True) as base:
        made = base.execute("select table_name from duckdb_tables() where schema_name = 'crm'")
        for name in sorted({row[0] for row in made.fetchall()} & set(READ)):
            columns = [row[0] for row in base.execute(f"describe crm.{name}").fetchall()]
            shown = ", ".join(c for c in columns if not c.startswith("_"))
            found[name] = base.execute(f"select {shown} from crm.{name} order by all").fetchall()
    return found


def killed_at_every_request(
    service: HubSpotSimulator, children: Children, before: Path, now: datetime, tmp_path: Path
) -> int:
    """Kills a sync at each of its requests in turn; how many there were."""
    whole = tmp_path / "whole"
    shutil.copytree(before, whole)
    sent = len(service.calls)
    assert children.sync(whole, now, NEEDS) == 0
    requests = len(service.calls) - sent
    old, new = tables(before), tables(whole)
    assert all(new[name] and new[name] != old[name] for name in READ)
    for number in range(requests):
        folder = tmp_path / f"killed-{number}"
        shutil.copytree(before, folder)
        service.faults.before(children.kill, skip=number)
        code = children.sync(folder, now, NEEDS)
        service.faults.clear()
        assert code == -signal.SIGKILL, f"at request {number} of {requests}: {code}"
        for name, rows in tables(folder).items():
            assert rows in (old[name], new[name]), f"half of {name} at request {number}"
        assert children.sync(folder, now, NEEDS) == 0
        assert tables(folder) == new, f"killed at request {number} of {requests}"
        assert not list(folder.rglob("*.pages"))
        shutil.rmtree(folder)
    return requests


def test_a_first_load_killed_at_any_request_is_completed_by_the_next(
    account: HubSpotSimulator, children: Children, tmp_path: Path
) -> None:
    empty = write_project(tmp_path / "project", account)
    assert killed_at_every_request(account, children, empty, NOW, tmp_path) > 40


def test_an_incremental_sync_killed_at_any_request_is_completed_by_the_next(
    account: HubSpotSimulator, children: Children, tmp_path: Path
) -> None:
    deals = list(account.account.objects["deals"].records)
    account.account.archive("deals", deals[2], NOW - DAY)
    loaded = write_project(tmp_path / "project", account)
    assert children.sync(loaded, NOW, NEEDS) == 0
    change(account)
    account.clock.now = NOW + DAY
    assert killed_at_every_request(account, children, loaded, NOW + DAY, tmp_path) > 25
