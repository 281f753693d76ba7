"""Every sink killed before, during and after its write, and run again: one message, one row per
key, one whole file."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crmetrics.deliver import Outcome
from simulators.mariadb import MariaDbServer
from simulators.postgres import PostgresServer
from simulators.service import Clock, Service
from simulators.slack import SlackSimulator, everything_seen
from simulators.slack_workspace import SlackWorkspace
from simulators.smtp import MailServer
from simulators.snowflake import SnowflakeServer
from simulators.webhooks import GoogleChatSpace, Receiver, TeamsWorkflow

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from deliver_once import KINDS, deliver_once  # noqa: E402 - beside this file, for a child too

MOMENTS = ("before", "during", "after")


class Scene:
    """A sink by its options, and what is at its destination.

    during: the function whose call kills, or `kill_on`, which arranges that the destination kills
    the process that it is given.
    """

    def __init__(
        self,
        kind: str,
        folder: Path,
        options: dict[str, Any],
        look: Callable[[], Any],
        *,
        during: str = "",
        kill_on: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self.kind, self.folder, self.options, self.look = kind, folder, options, look
        self.during, self.kill_on = during, kill_on

    def killed(self, moment: str, run_id: str = "run-1", value: float = 0.4) -> None:
        """Deliver in a process that dies at this moment."""
        asked = {
            "kind": self.kind,
            "options": self.options,
            "folder": str(self.folder),
            "moment": moment,
            "during": self.during,
            "run_id": run_id,
            "value": value,
        }
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
        child: list[subprocess.Popen[bytes]] = []

        def kill() -> None:
            child[0].send_signal(signal.SIGKILL)
            child[0].wait()

        if moment == "during" and self.kill_on is not None:
            self.kill_on(kill)
        child.append(
            subprocess.Popen(
                [sys.executable, str(HERE / "deliver_once.py"), json.dumps(asked)], env=environment
            )
        )
        assert child[0].wait(timeout=120) == -signal.SIGKILL

    def again(self, run_id: str = "run-2", value: float = 0.4, **options: Any) -> Outcome:
        """Deliver whole, as the next run does."""
        options = {**self.options, **options}
        return deliver_once(KINDS[self.kind], options, self.folder, run_id, value)


# --- what can be replaced ---------------------------------------------------------------------


@pytest.mark.parametrize("moment", MOMENTS)
def test_files_are_whole_and_there_once(tmp_path: Path, moment: str) -> None:
    def look() -> dict[str, str]:
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((tmp_path / "out").iterdir())
        }

    options = {"path": "out", "formats": ["csv", "json"], "keep": 3}
    scene = Scene("files", tmp_path, options, look, during="_sync_folder")
    scene.killed(moment)
    assert scene.again().status == "delivered"
    once = look()
    assert [name for name in once if not name.startswith(".")] == [
        "weekly_sales_2026-W05.csv",
        "weekly_sales_2026-W05.json",
    ]
    assert not [name for name in once if name.endswith("-tmp")]
    assert scene.again("run-3").status == "delivered"
    assert look() == once


ROWS = [('{"owner.team": "East"}', 0.5), ("{}", 0.4)]
BY_SEGMENT = "select segment, value from kpis order by 1"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_duckdb_table_has_one_row_per_key(tmp_path: Path, moment: str) -> None:
    def look() -> list[tuple[Any, ...]]:
        with duckdb.connect(str(tmp_path / "results.duckdb")) as connection:
            return connection.execute(BY_SEGMENT).fetchall()

    options = {"url": "duckdb:///results.duckdb"}
    scene = Scene("database", tmp_path, options, look, during="_read_back")
    scene.killed(moment)
    assert scene.again().status == "delivered"
    assert look() == ROWS


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_sqlite_table_has_one_row_per_key(tmp_path: Path, moment: str) -> None:
    def look() -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(tmp_path / "results.sqlite")) as connection:
            return connection.execute(BY_SEGMENT).fetchall()

    options = {"url": "sqlite:///results.sqlite"}
    scene = Scene("database", tmp_path, options, look, during="_read_back")
    scene.killed(moment)
    assert scene.again().status == "delivered"
    assert look() == ROWS


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_mariadb_table_has_one_row_per_key(
    mariadb: MariaDbServer, tmp_path: Path, moment: str
) -> None:
    def look(sql: str = BY_SEGMENT, database: str = f"kill_{moment}") -> Any:
        with closing(mariadb.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]

    look(f"create database kill_{moment}", "mysql")
    options = {"url": mariadb.url(f"kill_{moment}")}
    scene = Scene("database", tmp_path, options, look, during="_read_back")
    scene.killed(moment)
    assert scene.again().status == "delivered"
    assert look() == sorted(ROWS)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_postgresql_table_has_one_row_per_key(
    postgres: PostgresServer, tmp_path: Path, moment: str
) -> None:
    import adbc_driver_postgresql.dbapi as driver

    def look(sql: str = 'select segment, value from kpis order by segment collate "C"') -> Any:
        with driver.connect(postgres.url(f"kill_{moment}")) as connection:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                found = cursor.fetchall() if sql.startswith("select") else []
            connection.commit()
        return [tuple(row) for row in found]

    look(f"create schema kill_{moment}")
    options = {"url": postgres.url(f"kill_{moment}")}
    scene = Scene("database", tmp_path, options, look, during="_read_back")
    scene.killed(moment)
    assert scene.again().status == "delivered"
    assert look() == sorted(ROWS)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_snowflake_table_has_one_row_per_key(
    snowflake: SnowflakeServer, tmp_path: Path, moment: str
) -> None:
    import adbc_driver_snowflake.dbapi as driver

    url = snowflake.url("acme", f"kill_{moment}")

    def look() -> list[tuple[Any, ...]]:
        address = url.partition("://")[2]
        with driver.connect(address, autocommit=True) as found, found.cursor() as cursor:
            cursor.execute(BY_SEGMENT)
            return [tuple(row) for row in cursor.fetchall()]

    scene = Scene("database", tmp_path, {"url": url}, look, during="maintain")
    scene.killed(moment)
    assert scene.again().status == "delivered"
    assert look() == sorted(ROWS)


# --- what cannot ------------------------------------------------------------------------------


def kills_while_it_acts(service: Service, on: str, skip: int = 0) -> Callable[..., None]:
    """The service does what it is asked, and kills the client instead of answering."""

    def arrange(kill: Callable[[], None]) -> None:
        def spoil(answer: Any) -> Any:
            kill()
            return answer

        service.faults.spoil(spoil, on=on, skip=skip)

    return arrange


@pytest.mark.parametrize(
    ("moment", "skip"), [("before", 0), ("during", 0), ("during", 1), ("after", 0)]
)
def test_a_bot_leaves_one_message_with_its_thread(tmp_path: Path, moment: str, skip: int) -> None:
    with SlackWorkspace() as slack:
        options = {
            "token": slack.bot(),
            "channel": "C0GENERAL",
            "base_url": slack.base_url,
            "charts": False,
        }
        scene = Scene(
            "slack", tmp_path, options, lambda: slack.general.messages,
            kill_on=kills_while_it_acts(slack, "postMessage", skip),
        )  # fmt: skip
        scene.killed(moment)
        assert scene.again().status == "delivered"
        parts = [one["metadata"]["event_payload"]["part"] for one in slack.general.messages]
        assert sorted(parts) == ["0", "1"]
        assert scene.again("run-3").status == "skipped"
        assert len(slack.general.messages) == 2


@pytest.mark.parametrize(
    ("moment", "skip"), [("before", 0), ("during", 0), ("during", 1), ("after", 0)]
)
def test_a_bot_that_posts_anew_does_so_once_and_leaves_the_old_message(
    tmp_path: Path, moment: str, skip: int
) -> None:
    with SlackWorkspace() as slack:
        slack.burst = 10
        options = {
            "token": slack.bot(),
            "channel": "C0GENERAL",
            "base_url": slack.base_url,
            "charts": False,
            "on_rerun": "new",
        }
        scene = Scene("slack", tmp_path, options, lambda: slack.general.messages)
        for run, value in enumerate((0.4, 0.41), start=1):
            assert scene.again(f"run-{run}", value).status == "delivered"
        old = [everything_seen(one) for one in slack.general.messages]
        scene.kill_on = kills_while_it_acts(slack, "postMessage", skip)
        scene.killed(moment, "run-3", 0.5)
        assert scene.again("run-4", 0.5).status == "delivered"
        posted = [everything_seen(one) for one in slack.general.messages]
        assert posted[: len(old)] == old
        assert "50.0%" in everything_seen(slack.general.parents[2])
        parts = [one["metadata"]["event_payload"]["part"] for one in slack.general.messages]
        named = sorted(part.partition("-")[0] for part in parts[len(old) :])
        assert named == ["0", "1", "restated"]
        assert "was 41.0%, is now 50.0%" in "".join(posted[len(old) :])
        assert scene.again("run-5", 0.5).status == "skipped"
        assert len(slack.general.messages) == len(posted)


KEY_OF_BOTH = "a key that both sides know"


def chat_scene(name: str, folder: Path, stack: ExitStack) -> Scene:
    """A chat that cannot be asked what it holds."""
    if name == "email":
        return mail_scene(folder, stack)
    options: dict[str, Any]
    service: TeamsWorkflow | GoogleChatSpace | SlackSimulator | Receiver
    if name == "teams":
        service = stack.enter_context(TeamsWorkflow())
        options, held = {"webhook_url": service.webhook_url}, service.cards
    elif name == "google_chat":
        service = stack.enter_context(GoogleChatSpace())
        options, held = {"webhook_url": service.webhook_url}, service.messages
    elif name == "slack":
        service = stack.enter_context(SlackSimulator())
        options, held = {"webhook_url": service.webhook_url}, service.posts
    else:
        # Signed with the time of the process that is killed.
        service = stack.enter_context(Receiver(KEY_OF_BOTH, clock=Clock(datetime.now(UTC))))
        options, held = {"url": service.url, "secret": KEY_OF_BOTH}, service.received
    act = kills_while_it_acts(service, "POST")
    return Scene(name, folder, options, lambda: list(held), kill_on=act)


def mail_scene(folder: Path, stack: ExitStack) -> Scene:
    server = MailServer()
    options = {
        "host": "127.0.0.1",
        "port": server.port,
        "security": "none",
        "from": "a@acme.test",
        "to": ["b@acme.test"],
        "charts": False,
    }

    def arrange(kill: Callable[[], None]) -> None:
        server.on_accepted = kill

    stack.enter_context(server)
    return Scene("email", folder, options, lambda: server.mails, kill_on=arrange)


@pytest.mark.parametrize("name", ["teams", "email", "slack", "google_chat", "webhook"])
@pytest.mark.parametrize(
    ("moment", "policy", "messages"),
    [
        ("before", "at_least_once", 1),
        ("before", "at_most_once", 0),
        ("during", "at_most_once", 1),
        ("after", "at_most_once", 1),
    ],
)
def test_a_chat_that_cannot_be_asked_follows_its_policy(
    tmp_path: Path, name: str, moment: str, policy: str, messages: int
) -> None:
    with ExitStack() as stack:
        scene = chat_scene(name, tmp_path, stack)
        scene.killed(moment)
        outcome = scene.again(on_unknown=policy)
        assert len(scene.look()) == messages
        assert outcome.status == ("delivered" if policy == "at_least_once" else "unknown")
        if policy == "at_most_once":
            assert "may have arrived" in outcome.note


def test_a_receiver_of_signed_documents_drops_a_repeat_by_its_id(tmp_path: Path) -> None:
    with ExitStack() as stack:
        scene = chat_scene("webhook", tmp_path, stack)
        scene.killed("during")
        assert scene.again(on_unknown="at_least_once").status == "delivered"
        sent = scene.look()
    assert len(sent) == 2
    assert sent[0] == sent[1]


def test_every_sink_of_the_package_is_killed_here() -> None:
    with (HERE.parents[1] / "pyproject.toml").open("rb") as file:
        offered = tomllib.load(file)["project"]["entry-points"]["crmetrics"]
    folders = {path.name for path in (HERE.parents[1] / "sinks").iterdir() if path.is_dir()}
    names = {name for name, package in offered.items() if package in folders}
    assert set(KINDS) == names
    killed = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{name}"' in killed for name in names)
