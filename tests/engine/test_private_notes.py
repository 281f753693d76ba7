"""What a chat, a mail and a generic webhook read of the data behind a report: no record (V1)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.errors import ExitCode
from simulators.slack import SlackSimulator, everything_seen
from simulators.webhooks import Receiver

NOW = datetime(2026, 2, 2, 8, tzinfo=UTC)
CONFIG = """
version: 1
project: acme
sources: {crm: {connector: csv, path: data}}
metrics: {packs: [sales]}
sinks:
  team: {sink: slack, webhook_url: "SLACK"}
  hub: {sink: webhook, url: "RECEIVER", include: INCLUDE}
  reports: {sink: files, path: reports, formats: [markdown], name: report}
jobs:
  monthly: {kpis: [won_amount], sinks: [team, hub, reports]}
"""


@pytest.fixture
def slack() -> Iterator[SlackSimulator]:
    with SlackSimulator() as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def run(
    folder: Path, slack: SlackSimulator, receiver: Receiver, *, users: str, include: str = "message"
) -> Any:
    """A report on deals of Ann, who is no user, and of Bob."""
    text = CONFIG.replace("SLACK", slack.webhook_url).replace("RECEIVER", receiver.url)
    (folder / "crmetrics.yaml").write_text(text.replace("INCLUDE", include))
    (folder / "data").mkdir()
    (folder / "data" / "users.csv").write_text(users)
    (folder / "data" / "opportunities.csv").write_text(
        "id,owner_id,amount,currency,is_won,is_closed,close_date\n"
        "d1,ann.smith@acme.com,100,USD,true,true,2026-01-10\n"
        "d2,u1,200,USD,true,true,2026-01-11\n"
    )
    return Project(folder, environ={}, now=lambda: NOW).run("monthly")


@pytest.mark.parametrize("include", ["message", "results"])
def test_a_key_that_leads_nowhere_is_counted_in_a_chat_and_quoted_elsewhere(
    tmp_path: Path, slack: SlackSimulator, receiver: Receiver, include: str
) -> None:
    report = run(
        tmp_path, slack, receiver, users="id,name,is_active\nu1,Bob,true\n", include=include
    )
    assert report.exit_code == ExitCode.OK
    told = "1 row of opportunities.owner_id points to no row of users; counted under (none)"
    [post], [document] = slack.posts, receiver.documents.values()
    assert told in everything_seen(post)
    assert document["message"]["notes"] == [told]
    assert "chat_notes" not in document["message"]
    for sent in (post, document):
        assert "ann.smith" not in json.dumps(sent)
    assert "ann.smith@acme.com" in " ".join(report.notes)
    assert "ann.smith" in (tmp_path / "reports" / "report.md").read_text()


def test_a_value_that_stops_a_load_is_quoted_everywhere_but_in_a_chat(
    tmp_path: Path, slack: SlackSimulator, receiver: Receiver
) -> None:
    users = "id,name,is_active,created_at\nu1,Bob,true,bob.jones@acme.com\n"
    report = run(tmp_path, slack, receiver, users=users)
    assert report.exit_code == ExitCode.SOURCE
    told = "crm.users was not read; see `crmetrics run`"
    [post], [document] = slack.posts, receiver.documents.values()
    assert told in everything_seen(post)
    assert document["message"]["notes"] == [told]
    for sent in (post, document):
        assert "bob.jones" not in json.dumps(sent)
    assert "bob.jones@acme.com" in " ".join(report.notes)
    assert "bob.jones" in (tmp_path / "reports" / "report.md").read_text()
