"""The log of e-mail events has ended: what was read of it goes on to count, from files."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import crmetrics_hubspot
from crmetrics.datasets import canonical_datasets
from crmetrics.engine import Project
from crmetrics.engine.loading import sync
from crmetrics.testing.request import STARTED
from simulators.hubspot import Campaign, HubSpotSimulator
from simulators.hubspot.records import iso

DAY = timedelta(days=1)
PAGE = Path(crmetrics_hubspot.__file__).with_name("README.md").read_text("utf-8")
COPIES = re.findall(r"`(copy \(.*?\) to '(\w+)/\w+\.csv')`", " ".join(PAGE.split()))
NEEDS = {
    "contacts": ("id",),
    "campaigns": ("name", "channel", "start_date", "currency"),
    "marketing_spend": ("spend_date", "campaign_id", "channel", "amount", "currency"),
    "campaign_members": canonical_datasets()["campaign_members"].column_names,
}
KPIS = ("campaign_volume", "campaign_volume.people", "campaign_volume.active_campaigns",
        "campaign_response_rate", "total_marketing_spend")  # fmt: skip


@pytest.fixture
def mailing(unlimited: HubSpotSimulator) -> HubSpotSimulator:
    """Two campaigns with spend, e-mails of one of them, of none, and of no list; their sends."""
    unlimited.clock.now = STARTED
    account = unlimited.account
    for name, amount in (("0c1d", "50"), ("0c2e", "70")):
        spent = [("1", "x", amount, STARTED - 40 * DAY)]
        properties = {"hs_name": name, "hs_spend_items_sum_amount": amount}
        account.campaigns[name] = Campaign(name, properties, spend=spent)
    made = iso(STARTED - 90 * DAY)
    for name, more in (("5001", {"campaign": "0c1d"}), ("5002", {"name": "Autumn issue"})):
        account.emails.append({"id": f"7{name}", "type": "BATCH_EMAIL", "createdAt": made,
                               "allEmailCampaignIds": [name], **more})  # fmt: skip
    account.log.types["9"] = "BATCH_EMAIL"
    account.create("contacts", {"email": "r0@example.com"}, at=STARTED - 99 * DAY)
    for number in range(12):
        to, name = f"r{number % 3}@example.com", ("5001", "5002", "9")[number * 7 % 3]
        at = STARTED - (45 + number % 5) * DAY
        sent = account.log.add("SENT", to, name, at)
        account.log.add("DELIVERED", to, name, at, of=sent)
        if number % 2:
            account.log.add("CLICK", to, name, at + DAY, of=sent)
    return unlimited


def opened(service: HubSpotSimulator, folder: Path, *files: str, **options: Any) -> Project:
    mapped = {"campaigns": {"columns": {"channel": "'paid'"}}}
    hubspot = {"connector": "hubspot", "base_url": service.base_url, "datasets": mapped,
               "auth": {"token": service.token}, **options}  # fmt: skip
    csv = {name: {"connector": "csv", "path": name} for name in files}
    document = {"version": 1, "project": "p", "sources": {"hubspot": hubspot, **csv},
                "reporting": {"currency": "USD"}, "metrics": {"packs": ["marketing"]}}  # fmt: skip
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    return Project(folder, environ={}, now=service.clock)


def figures(project: Project) -> dict[str, Any]:
    """Value by KPI and group: of all, by channel, by campaign."""
    found = {}
    for by in ((), ("channel",), ("campaign_id",)):
        table = project.query(list(KPIS), period="2025-11", by=list(by))
        for row in table.to_pylist():
            found[f"{row['kpi']} {row['variant']} {row['segment']}"] = row["value"], row["status"]
    return found


def test_what_was_read_of_the_log_outlives_it_in_files_as_this_page_says(
    mailing: HubSpotSimulator, tmp_path: Path
) -> None:
    project = opened(mailing, tmp_path)
    assert sync(project, (), needs=NEEDS).error is None
    before = figures(project)
    mailing.account.log.is_ended = True
    mailing.clock.now += DAY
    (failed,) = sync(project, (), needs=NEEDS).failures
    assert failed.dataset == "campaign_members" and figures(project) == before
    assert len(COPIES) == 2
    for statement, folder in COPIES:
        (tmp_path / folder).mkdir()
        with duckdb.connect(str(project.engine_settings.path), read_only=True) as base:
            base.execute(statement.replace(" to '", f" to '{tmp_path}/"))
    after = opened(mailing, tmp_path, *(name for _, name in COPIES), email_events=False)
    assert sync(after, (), needs=NEEDS).error is None
    assert figures(after) == before
    by_channel = {key: value[0] for key, value in before.items() if "campaign_volume  " in key}
    assert sorted(by_channel.values()) == sorted([12, 4, 8, 4, 4, 4]), by_channel
