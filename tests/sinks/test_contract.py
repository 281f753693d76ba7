"""Every built-in sink against the contract of sinks."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crmetrics.plugin import Secret, SinkContext, chat, http
from crmetrics.testing import SinkContract
from crmetrics_database.sink import DatabaseOptions, DatabaseSink
from crmetrics_email.sink import EmailOptions, EmailSink
from crmetrics_files.sink import FilesOptions, FilesSink
from crmetrics_google_chat.sink import GoogleChatSink
from crmetrics_slack.sink import SlackOptions, SlackSink
from crmetrics_teams.sink import TeamsSink
from crmetrics_webhook.sink import WebhookOptions, WebhookSink
from simulators.slack import TOKEN, SlackSimulator
from simulators.slack_workspace import SlackWorkspace
from simulators.smtp import MailServer
from simulators.webhooks import GoogleChatSpace, Receiver, TeamsWorkflow

CONTEXT = SinkContext("it", Path("/"), project="acme")
seconds = itertools.count(0, 10)


class TestFiles(SinkContract):
    @pytest.fixture
    def sink_factory(self, tmp_path: Path) -> Any:
        formats = ("csv", "json", "ndjson", "parquet", "xlsx", "markdown", "html")
        options = FilesOptions(path="out", formats=formats, checksums=True, keep=5)
        return lambda: FilesSink(options, SinkContext("it", tmp_path, project="acme"))

    @pytest.fixture
    def read_back(self, tmp_path: Path) -> Any:
        return lambda: {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*")}

    @pytest.fixture
    def broken_factory(self, tmp_path: Path) -> Any:
        (tmp_path / "taken").write_text("a file")
        options = FilesOptions(path="taken/out")
        return lambda: FilesSink(options, SinkContext("it", tmp_path))


class TestDatabase(SinkContract):
    @pytest.fixture
    def sink_factory(self, tmp_path: Path) -> Any:
        options = DatabaseOptions(url=Secret("duckdb:///results.duckdb"))
        return lambda: DatabaseSink(options, SinkContext("it", tmp_path))

    @pytest.fixture
    def read_back(self, tmp_path: Path) -> Any:
        def rows() -> Any:
            if not (tmp_path / "results.duckdb").exists():
                return None
            with duckdb.connect(str(tmp_path / "results.duckdb"), read_only=True) as connection:
                return connection.execute("select * from kpis order by all").fetchall()

        return rows

    @pytest.fixture
    def broken_factory(self, tmp_path: Path) -> Any:
        options = DatabaseOptions(url=Secret("postgresql://ann:hunter2hunter2@127.0.0.1:1/kpis"))
        sink = type("Impatient", (DatabaseSink,), {"pause": lambda self, seconds: None})
        return lambda: sink(options, SinkContext("it", tmp_path))


def unhurried(kind: type[chat.ChatSink]) -> type[chat.ChatSink]:
    """The sink that waits on nobody's clock."""

    def session_options(self: chat.ChatSink) -> dict[str, Any]:
        return {"retries": http.Retries(attempts=2), "sleep": lambda seconds: None}

    return type(f"Unhurried{kind.__name__}", (kind,), {"session_options": session_options})


class TestSlackWebhook(SinkContract):
    secrets = (TOKEN,)

    @pytest.fixture
    def slack(self) -> Iterator[SlackSimulator]:
        with SlackSimulator(now=lambda: float(next(seconds))) as slack:
            yield slack

    @pytest.fixture
    def sink_factory(self, slack: SlackSimulator) -> Any:
        options = SlackOptions(webhook_url=Secret(slack.webhook_url))
        return lambda: unhurried(SlackSink)(options, CONTEXT)

    @pytest.fixture
    def read_back(self, slack: SlackSimulator) -> Any:
        return lambda: json.dumps(slack.posts)

    @pytest.fixture
    def broken_factory(self, slack: SlackSimulator) -> Any:
        options = SlackOptions(webhook_url=Secret(f"{slack.webhook_url}x"))
        return lambda: unhurried(SlackSink)(options, CONTEXT)


class TestSlackBot(SinkContract):
    secrets = ("xoxb-simulated-0-secret",)

    @pytest.fixture
    def slack(self) -> Iterator[SlackWorkspace]:
        with SlackWorkspace() as slack:
            slack.bot()
            slack.burst = 1000
            yield slack

    def options(self, slack: SlackWorkspace, channel: str) -> SlackOptions:
        return SlackOptions(
            token=Secret(slack.tokens.live[0]), channel=channel, base_url=slack.base_url
        )

    @pytest.fixture
    def sink_factory(self, slack: SlackWorkspace) -> Any:
        return lambda: unhurried(SlackSink)(self.options(slack, "C0GENERAL"), CONTEXT)

    @pytest.fixture
    def read_back(self, slack: SlackWorkspace) -> Any:
        return lambda: json.dumps(slack.general.messages)

    @pytest.fixture
    def broken_factory(self, slack: SlackWorkspace) -> Any:
        return lambda: unhurried(SlackSink)(self.options(slack, "C0CLOSED1"), CONTEXT)


class TestTeams(SinkContract):
    secrets = (TeamsWorkflow.SIGNATURE,)

    @pytest.fixture
    def flow(self) -> Iterator[TeamsWorkflow]:
        with TeamsWorkflow() as flow:
            yield flow

    @pytest.fixture
    def sink_factory(self, flow: TeamsWorkflow) -> Any:
        options = chat.WebhookOptions(webhook_url=Secret(flow.webhook_url))
        return lambda: unhurried(TeamsSink)(options, CONTEXT)

    @pytest.fixture
    def read_back(self, flow: TeamsWorkflow) -> Any:
        return lambda: json.dumps(flow.cards)

    @pytest.fixture
    def broken_factory(self, flow: TeamsWorkflow) -> Any:
        options = chat.WebhookOptions(webhook_url=Secret(f"{flow.webhook_url}x"))
        return lambda: unhurried(TeamsSink)(options, CONTEXT)


class TestGoogleChat(SinkContract):
    secrets = (GoogleChatSpace.TOKEN,)

    @pytest.fixture
    def space(self) -> Iterator[GoogleChatSpace]:
        with GoogleChatSpace() as space:
            yield space

    @pytest.fixture
    def sink_factory(self, space: GoogleChatSpace) -> Any:
        options = chat.WebhookOptions(webhook_url=Secret(space.webhook_url))
        return lambda: unhurried(GoogleChatSink)(options, CONTEXT)

    @pytest.fixture
    def read_back(self, space: GoogleChatSpace) -> Any:
        return lambda: json.dumps(space.messages)

    @pytest.fixture
    def broken_factory(self, space: GoogleChatSpace) -> Any:
        options = chat.WebhookOptions(webhook_url=Secret(f"{space.webhook_url}x"))
        return lambda: unhurried(GoogleChatSink)(options, CONTEXT)


class TestWebhook(SinkContract):
    secrets = ("signing-key-0123456789", "0123456789abcdef")

    @pytest.fixture
    def receiver(self) -> Iterator[Receiver]:
        with Receiver() as receiver:
            yield receiver

    def options(self, receiver: Receiver, path: str = "") -> WebhookOptions:
        return WebhookOptions(url=Secret(receiver.url + path), secret=Secret(self.secrets[0]))

    @pytest.fixture
    def sink_factory(self, receiver: Receiver) -> Any:
        return lambda: unhurried(WebhookSink)(self.options(receiver), CONTEXT)

    @pytest.fixture
    def read_back(self, receiver: Receiver) -> Any:
        return lambda: json.dumps(receiver.documents)

    @pytest.fixture
    def broken_factory(self, receiver: Receiver) -> Any:
        return lambda: unhurried(WebhookSink)(self.options(receiver, "/elsewhere"), CONTEXT)


class TestEmail(SinkContract):
    secrets = ("hunter2-hunter2",)

    @pytest.fixture
    def server(self) -> Iterator[MailServer]:
        with MailServer(users={"reports": "hunter2-hunter2"}) as server:
            yield server

    def options(self, server: MailServer, user: str) -> EmailOptions:
        return EmailOptions(
            **{
                "host": "127.0.0.1",
                "port": server.port,
                "security": "none",
                "username": user,
                "password": Secret("hunter2-hunter2"),
                "from": "reports@acme.test",
                "to": ("ann@acme.test",),
            }
        )

    @pytest.fixture
    def sink_factory(self, server: MailServer) -> Any:
        return lambda: EmailSink(self.options(server, "reports"), CONTEXT)

    @pytest.fixture
    def read_back(self, server: MailServer) -> Any:
        return lambda: [mail.body for mail in server.mails]

    @pytest.fixture
    def broken_factory(self, server: MailServer) -> Any:
        return lambda: EmailSink(self.options(server, "nobody"), CONTEXT)
