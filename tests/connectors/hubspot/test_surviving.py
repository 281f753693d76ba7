"""What HubSpot tells no more stays or leaves as the connector's page says, whatever comes together.

Random months of an account: records come, change, go into the bin, are merged and purged; e-mails
move and vanish; scopes are withdrawn and granted, columns and options changed, the e-mail log ends;
runs are killed at any request, and read everything anew. What has to be in the warehouse is
reckoned from the simulated account alone, as it was at each read that succeeded.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.hubspot.killing import Children
from connectors.hubspot.whims import (
    CAMPAIGNS,
    DAY,
    DEALS,
    EMAILS,
    HOUR,
    LOGIN_DAYS,
    LOGINS,
    SYSTEM,
    TICKETS,
    TOKEN,
    Whims,
)
from simulators.hubspot import HubSpotSimulator
from simulators.hubspot.records import milliseconds
from simulators.hubspot.search import instant_of

NEEDS = {
    "opportunities": ("id", "amount", "is_deleted"),
    "case_status_history": ("id", "case_id", "status", "entered_at", "is_deleted"),
    "user_activity": ("id", "occurred_at", "object_type"),
    "campaigns": ("id", "name", "channel"),
    "campaign_members": ("id", "campaign_id", "sent_at"),
}
HELD = {
    "opportunities": "select id, amount::int from crm.opportunities where not is_deleted",
    "case_status_history": "select id, status from crm.case_status_history where not is_deleted",
    "user_activity": "select id, '' from crm.user_activity",
    "campaigns": "select id, (name, channel) from crm.campaigns",
    "campaign_members": "select id, campaign_id from crm.campaign_members where not is_deleted",
}
Rows = dict[str, Any]


class Truth:
    """What has to be held of each dataset.

    purged: deals and tickets that left without a trace, and go with a walk through all. spans:
    of each ticket that is not in the bin, as `case_status_history` holds them. by: the rule and
    the time of its last read. places: number of an e-mail in the log -> the campaign that its sends
    are of, empty for none. knows_sends: they were read, and not left out since. has_said: the last
    read of campaigns said what would be lost. was_read: datasets that a read gave; a scope that is
    missing for another one is no failure.
    """

    def __init__(self, whims: Whims) -> None:
        self.whims = whims
        self.held: dict[str, Rows] = {name: {} for name in NEEDS}
        self.purged: dict[str, set[str]] = {"deals": set(), "tickets": set()}
        self.spans: dict[str, Rows] = {}
        self.by: tuple[str, datetime] | None = None
        self.places: dict[str, str] = {}
        self.knows_sends = self.has_said = False
        self.was_read: set[str] = set()

    def read(self, dataset: str, *, full: bool) -> str | None:
        """The rows after a read of today, and how it ends; None = it is not read at all."""
        status = self._read(dataset, full=full)
        if status == "ok":
            self.was_read.add(dataset)
        elif status == "absent":
            self.was_read.discard(dataset)
        return status

    def _refused(self, dataset: str) -> str:
        return "failed" if dataset in self.was_read else "absent"

    def _read(self, dataset: str, *, full: bool) -> str | None:
        match dataset:
            case "opportunities":
                return self._read_deals()
            case "case_status_history":
                return self._read_tickets(full=full)
            case "user_activity":
                return self._read_logins()
            case "campaigns":
                return self._read_campaigns(full=full)
        return self._read_sends()

    def _read_deals(self) -> str:
        if DEALS in self.whims.lacks:
            return self._refused("opportunities")
        text = self.whims.columns.get("opportunities", {}).get("amount", "amount * 1")
        deals = self.whims.account.objects["deals"].records
        self._note_purged("deals", set(self.held["opportunities"]))
        self.held["opportunities"] = {
            name: int(one.properties["amount"] or 0) * int(text[-1])
            for name, one in deals.items()
            if one.archived_at is None
        }
        return "ok"

    def _note_purged(self, kind: str, before: set[str]) -> None:
        there = self.whims.account.objects[kind].records.keys()
        self.purged[kind] = (self.purged[kind] | before) - there

    def _read_tickets(self, *, full: bool) -> str:
        """HubSpot tells the last 20 stages; further ones stay, but where some in between were
        never told, where the rules have changed, and where the ticket was seen in the bin."""
        if TICKETS in self.whims.lacks:
            return self._refused("case_status_history")
        rule = self.whims.columns.get("case_status_history", {}).get("status", "").strip("'")
        goes_on = self.by is not None and self.by[0] == rule and not full
        before, self.spans = self.spans, {}
        for ticket in self.whims.account.objects["tickets"].records.values():
            if ticket.archived_at is not None:
                continue
            versions = ticket.history["hs_pipeline_stage"][:20]
            told = {
                f"{ticket.id}-{milliseconds(at)}": rule or f"Stage {stage}"
                for stage, at, _ in versions
            }
            is_known = len(versions) < 20 or (self.by is not None and versions[-1][1] < self.by[1])
            kept = before.get(ticket.id, {}) if goes_on and is_known else {}
            self.spans[ticket.id] = kept | told
        self._note_purged("tickets", set(before))
        self.by = rule, self.whims.now
        self.held["case_status_history"] = {
            n: s for each in self.spans.values() for n, s in each.items()
        }
        return "ok"

    def _read_logins(self) -> str:
        if LOGINS in self.whims.lacks:
            return self._refused("user_activity")
        first = self.whims.now - LOGIN_DAYS * DAY
        told = [e for e in self.whims.account.logins if instant_of(e["loginAt"]) >= first]
        self.held["user_activity"] |= {f"login-{entry['id']}": "" for entry in told}
        return "ok"

    def _read_campaigns(self, *, full: bool) -> str:
        account, before = self.whims.account, self.held["campaigns"]
        reaches_emails = self.whims.has_log and EMAILS not in self.whims.lacks
        mails = self._own_emails() if reaches_emails else {}
        kept: Rows = {}
        if self.whims.has_log and (not reaches_emails or account.log.is_ended):
            kept = {n: row for n, row in before.items() if n.startswith("email-")}
            if reaches_emails:
                kept = {n: row for n, row in kept.items() if n[6:] not in self._listed()}
        if CAMPAIGNS not in self.whims.lacks:
            channel = self.whims.columns.get("campaigns", {}).get("channel", "").strip("'") or None
            mails |= {
                name: (one.properties["hs_name"], channel)
                for name, one in account.campaigns.items()
            }
        else:
            would_lose = any(not mails or not name.startswith("email-") for name in before)
            if would_lose and not (full and mails):
                is_given_up, self.has_said = full and self.has_said, not full or not self.has_said
                self.held["campaigns"] = {} if is_given_up else before
                return "absent" if is_given_up else "failed"
            if not mails:
                self.has_said = False
                return self._refused("campaigns")
        self.has_said = False
        self.held["campaigns"] = kept | mails
        return "ok"

    def _own_emails(self) -> Rows:
        """E-mails that are campaigns themselves, as HubSpot tells them now."""
        account, listed = self.whims.account, self._listed()
        found = {
            f"email-{number}": (email["name"], "email")
            for number, email in listed.items()
            if not email["campaign"] and not email["isTransactional"]
        }
        for number in () if account.log.is_ended else account.log.campaigns:
            if number not in listed and account.log.types[number] != SYSTEM:
                found[f"email-{number}"] = (None, "email")
        return found

    def _listed(self) -> dict[str, Any]:
        return {
            n: email for email in self.whims.account.emails for n in email["allEmailCampaignIds"]
        }

    def _read_sends(self) -> str | None:
        log, listed = self.whims.account.log, self._listed()
        if not self.whims.has_log:
            was_there = self.knows_sends
            self.held["campaign_members"], self.places, self.knows_sends = {}, {}, False
            return "ok" if was_there else None
        if EMAILS in self.whims.lacks:
            return "failed" if self.knows_sends else "absent"
        if log.is_ended:
            return "failed"
        for number in {*listed, *log.campaigns}:
            if number in listed:
                own = listed[number]["campaign"] or f"email-{number}"
                self.places[number] = "" if listed[number]["isTransactional"] else own
            elif log.types[number] == SYSTEM:
                self.places[number] = ""
            else:
                self.places.setdefault(number, f"email-{number}")
        self.held["campaign_members"] = {
            sent["id"]: place
            for sent in log.of_kind("SENT")
            if (place := self.places[str(sent["emailCampaignId"])])
        }
        self.knows_sends = True
        return "ok"


class Runs:
    """Runs of a project over the account, and the warehouse that they fill."""

    def __init__(self, folder: Path, whims: Whims, children: Children) -> None:
        self.folder, self.whims, self.children = folder, whims, children
        self.truth = Truth(whims)

    def run(self, *, full: bool = False, killed_at: int | None = None) -> None:
        """One run, and a look at all that is held after it."""
        service = self.whims.service
        self._write()
        if killed_at is not None:
            service.faults.before(self.children.kill, skip=killed_at)
        needs = {name: (*own, *sorted(self.whims.more[name])) for name, own in NEEDS.items()}
        code = self.children.sync(self.folder, self.whims.now, needs, full=full)
        service.faults.clear()
        self.whims.told.append(f"{self.whims.now:%m-%d %H:%M} RUN full={full} code={code}")
        statuses = self._statuses()
        for dataset in NEEDS:
            if code < 0 and dataset not in statuses:
                continue  # killed before
            expected = self.truth.read(dataset, full=full)
            assert statuses.get(dataset) == expected, f"{dataset}: {self}"
        self._look()

    def _write(self) -> None:
        mapped = {name: {"columns": columns} for name, columns in self.whims.columns.items()}
        hubspot = {"connector": "hubspot", "base_url": self.whims.service.base_url,
                   "auth": {"token": TOKEN}, "email_events": self.whims.has_log,
                   "datasets": mapped}  # fmt: skip
        document = {"version": 1, "project": "p", "sources": {"hubspot": hubspot}}
        (self.folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")

    def _base(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(str(self.folder / ".crmetrics" / "warehouse.duckdb"), read_only=True)

    def _statuses(self) -> dict[str, str]:
        """Dataset -> how its read in this run ended; nothing where it was not read."""
        if not (self.folder / ".crmetrics" / "warehouse.duckdb").exists():
            return {}
        sql = "select dataset, status from meta.syncs where started_at = ?"
        with self._base() as base:
            tables = base.execute("select 1 from duckdb_tables() where table_name = 'syncs'")
            return dict(base.execute(sql, [self.whims.now]).fetchall()) if tables.fetchall() else {}

    def held(self, dataset: str) -> Rows:
        if not (self.folder / ".crmetrics" / "warehouse.duckdb").exists():
            return {}
        with self._base() as base:
            tables = base.execute(
                "select table_name from duckdb_tables() where schema_name = 'crm'"
            )
            if (dataset,) not in tables.fetchall():
                return {}
            return dict(base.execute(HELD[dataset]).fetchall())

    def _look(self, *, at_end: bool = False) -> None:
        for dataset, expected in self.truth.held.items():
            found = self.held(dataset)
            kind = {"opportunities": "deals", "case_status_history": "tickets"}.get(dataset)
            if kind and not at_end:
                gone = self.truth.purged[kind]
                found = {n: row for n, row in found.items() if n.partition("-")[0] not in gone}
            assert found == expected, f"{dataset}: {self}"

    def end(self) -> None:
        """Two days in which nothing happens and everything can be read: what was purged is gone."""
        self.whims.all_scopes()
        for _ in range(2):
            self.whims.service.clock.now += 25 * HOUR
            self.run()
        self._look(at_end=True)

    def __str__(self) -> str:
        return "\n".join(["", *self.whims.told])


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    made = Children()
    yield made
    made.close()


def walk(service: HubSpotSimulator, children: Children, folder: Path, seed: int, days: int) -> None:
    dice = random.Random(seed)
    runs = Runs(folder, Whims(service, seed), children)
    for _ in range(days):
        kind = dice.random()
        if kind < 0.25:
            runs.run(killed_at=dice.randrange(40), full=dice.random() < 0.2)
        else:
            runs.run(full=kind > 0.85)
        runs.whims.day()
    runs.end()


@pytest.mark.parametrize("seed", [27, 816])
def test_what_is_told_no_more_stays_or_leaves_as_the_page_says(
    unlimited: HubSpotSimulator, children: Children, tmp_path: Path, seed: int
) -> None:
    walk(unlimited, children, tmp_path, seed, days=9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [200])
def test_over_many_months_too(
    unlimited: HubSpotSimulator, children: Children, tmp_path: Path, seed: int
) -> None:
    walk(unlimited, children, tmp_path, seed, days=30)
