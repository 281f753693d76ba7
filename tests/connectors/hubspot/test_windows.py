"""KPIs that look further ahead than events of e-mails are read: check, plan and a run say so."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crmetrics.cli import app
from crmetrics.engine import Project
from simulators.hubspot import HubSpotSimulator

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
TOLD = (
    "{} counts what happens within 60 days, and hs gives 35 days of campaign_members: what happens "
    "later is missing from it"
)


def project_over(service: HubSpotSimulator, folder: Path, **options: Any) -> Project:
    service.clock.now = NOW
    source = {"connector": "hubspot", "base_url": service.base_url,
              "auth": {"token": service.token}, **options}  # fmt: skip
    document = {
        "version": 1,
        "project": "windows",
        "sources": {"hs": source},
        "metrics": {
            "packs": ["marketing"],
            "settings": {"campaign_response_rate": {"window_days": 60}},
        },
        "jobs": {
            "sends": {"grain": "month", "kpis": ["campaign_response_rate", "unsubscribe_rate"]}
        },
    }
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    return Project(folder, environ={}, now=service.clock)


def test_a_window_beyond_the_days_of_a_send_is_told(
    unlimited: HubSpotSimulator, tmp_path: Path
) -> None:
    log = unlimited.account.log
    for days in (100, 50):
        log.add("SENT", "reader@example.com", "5001", NOW - timedelta(days=days))
    project = project_over(unlimited, tmp_path)
    found = [each for each in project.check() if "gives 35 days" in each.message]
    assert [each.message for each in found] == [
        f"{TOLD.format(name)}."
        for name in ("campaign_response_rate", "campaign_response_rate.click_rate",
                     "campaign_response_rate.open_rate")
    ]  # fmt: skip
    assert {(each.state, each.subject) for each in found} == {
        ("warning", "source hs: campaign_members")
    }
    assert "60 days" in found[0].fix
    assert [str(cut) for cut in project.plan("sends").cut] == [
        TOLD.format("campaign_response_rate")
    ]
    report = project.run("sends")
    assert TOLD.format("campaign_response_rate") in report.notes
    assert not [note for note in report.notes if "unsubscribe_rate" in note]


def test_plan_shows_it(unlimited: HubSpotSimulator, tmp_path: Path) -> None:
    project_over(unlimited, tmp_path)
    shown = CliRunner().invoke(app, ["-C", str(tmp_path), "plan", "sends"])
    assert TOLD.format("campaign_response_rate") in " ".join(shown.output.split())
    shown = CliRunner().invoke(app, ["-C", str(tmp_path), "plan", "sends", "--json"])
    (cut,) = json.loads(shown.stdout)["cut_windows"]
    assert cut == {"kpi": "campaign_response_rate", "days": 60, "source": "hs",
                   "dataset": "campaign_members", "followed_days": 35}  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"email_event_days": 60},
        {"datasets": {"campaign_members": {"object": "touches", "columns": {"sent_at": "at"}}}},
        {"email_events": False},
    ],
)
def test_what_reaches_far_enough_is_not_told(
    unlimited: HubSpotSimulator, tmp_path: Path, options: dict[str, Any]
) -> None:
    assert project_over(unlimited, tmp_path, **options).plan("sends").cut == ()
