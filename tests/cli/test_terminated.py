"""SIGTERM to real processes, whatever they wait for: they end at once and lose no receipt."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from cli.launched import started
from crmetrics.errors import ExitCode
from simulators.dripping import Drip
from simulators.messages import Answer
from simulators.salesforce import SalesforceSimulator
from simulators.service import Service
from simulators.slack_workspace import SlackWorkspace
from simulators.webhooks import Receiver

SOON_S = 30.0
"""Less than what the services below ask to wait for, and enough for a busy machine."""

SLOW_SOURCE = """
    import pyarrow as pa
    from crmetrics.plugin import Connector, SourceOptions, Supply, hookimpl, http

    class Options(SourceOptions):
        base_url: str
        calls: int = 1000

    class Slow(Connector):
        name = "slow"
        Config = Options

        def datasets(self):
            return [Supply("users", ("id", "name"))]

        def read(self, request):
            budgets = {"": http.Budget(self.config.calls, 100.0)}
            with http.Session(self.config.base_url, budgets=budgets) as session:
                for _ in range(2):
                    session.get("/users")
            yield pa.record_batch({"id": ["u1"], "name": ["Ann"]})

    @hookimpl
    def crmetrics_connectors():
        return [Slow]
"""


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and output of a process that gets SIGTERM now."""
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=SOON_S)
    return process.returncode, out


def edit(project: Path, old: str, new: str) -> None:
    file = project / "crmetrics.yaml"
    assert old in file.read_text("utf-8")
    file.write_text(file.read_text("utf-8").replace(old, new), encoding="utf-8")


def called(service: Service, on: str = "") -> Callable[[], None]:
    """Returns when the service has got a call like this; ask for it before the call can come."""
    came = threading.Event()
    service.faults.before(came.set, on=on)

    def wait() -> None:
        assert came.wait(timeout=300)

    return wait


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as service:
        yield service


@pytest.fixture
def told(project: Path, receiver: Receiver) -> Path:
    """A project whose job posts to the receiver."""
    edit(project, "sinks: [reports]", "sinks: [hook]")
    edit(project, "sinks:\n", f"sinks:\n  hook: {{sink: webhook, url: '{receiver.url}'}}\n")
    return project


def test_a_sink_that_is_asked_to_wait_ends_at_once_and_posts_later(
    told: Path, receiver: Receiver
) -> None:
    came = called(receiver)
    receiver.faults.answer(429, headers={"Retry-After": "50"})
    with started(told, "run", "monthly", "--date", "2024-01-31") as process:
        came()
        code, out = ended(process)
    assert code == ExitCode.TERMINATED, out
    assert out.rstrip().endswith("Terminated.")
    assert receiver.received == []
    with started(told, "run", "monthly", "--date", "2024-01-31") as process:
        process.communicate(timeout=300)
    assert (process.returncode, len(receiver.received)) == (ExitCode.OK, 1)


def test_a_reply_that_waits_when_the_run_is_ended_comes_with_the_next(project: Path) -> None:
    with SlackWorkspace() as slack:
        team = {"sink": "slack", "token": slack.bot("chat:write"), "channel": "C0GENERAL",
                "base_url": slack.base_url, "charts": False}  # fmt: skip
        edit(project, "sinks: [reports]", "sinks: [team]")
        edit(project, "sinks:\n", f"sinks:\n  team: {json.dumps(team)}\n")
        came = threading.Event()
        slack.faults.before(came.set, on="postMessage", skip=1)
        slack.faults.answer(429, headers={"Retry-After": "50"}, on="postMessage", skip=1)
        words = ("run", "monthly", "--date", "2024-01-31")
        with started(project, *words) as process:
            assert came.wait(timeout=300)
            code, out = ended(process)
        assert code == ExitCode.TERMINATED, out
        assert len(slack.general.messages) == 1
        with started(project, *words) as process:
            out, _ = process.communicate(timeout=300)
        assert process.returncode == ExitCode.OK, out
        assert len(slack.general.replies(slack.general.messages[0]["ts"])) == 1


def test_what_is_being_sent_is_sent_and_noted(told: Path, receiver: Receiver) -> None:
    arrived, may_answer = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        assert may_answer.wait(timeout=300)

    receiver.faults.before(hold)
    with started(told, "run", "monthly", "--date", "2024-01-31") as process:
        assert arrived.wait(timeout=300)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        may_answer.set()
        out, _ = process.communicate(timeout=SOON_S)
    assert process.returncode == ExitCode.TERMINATED, out
    with started(told, "run", "monthly", "--date", "2024-01-31") as process:
        out, _ = process.communicate(timeout=300)
    assert process.returncode == ExitCode.OK
    assert "delivered before" in out
    assert len(receiver.received) == 1


def test_an_object_store_that_answers_without_end_is_not_waited_for(project: Path) -> None:
    with Drip(b"HTTP/1.1 200 OK\r\nX-Slow: ") as drip:
        storage = {"key": "a", "secret": "b", "endpoint_url": f"http://127.0.0.1:{drip.port}"}
        bucket = {"sink": "files", "path": "s3://acme/reports", "storage": storage}
        edit(project, "sinks: [reports]", "sinks: [bucket]")
        edit(project, "sinks:\n", f"sinks:\n  bucket: {json.dumps(bucket)}\n")
        with started(project, "run", "monthly", "--date", "2024-01-31") as process:
            assert drip.is_asked.wait(timeout=300)
            code, out = ended(process)
    assert code == ExitCode.TERMINATED, out


def test_a_scheduler_ends_with_the_run_that_waits_and_owes_it(
    told: Path, receiver: Receiver
) -> None:
    edit(told, "monthly: {", "monthly: {schedule: '0 8 1 * *', retries: 0, ")
    (told / ".crmetrics").mkdir()
    owed = dict.fromkeys(("started_at", "finished_at", "exit_code", "next_start"))
    owed |= {"failures": 0, "served_until": "2026-01-01T00:00:00+00:00"}
    state = told / ".crmetrics" / "schedule.json"
    state.write_text(
        json.dumps({"phase": "stopped", "pid": 1, "seen_at": None, "running": "",
                    "jobs": {"monthly": owed}})
    )  # fmt: skip
    came = called(receiver)
    receiver.faults.answer(429, headers={"Retry-After": "50"})
    with started(told, "schedule") as process:
        came()
        code, out = ended(process)
    assert code == ExitCode.OK, out
    left = json.loads(state.read_text())
    assert left["phase"] == "stopped"
    assert left["jobs"]["monthly"]["exit_code"] == ExitCode.TERMINATED
    came = called(receiver)
    with started(told, "schedule") as process:
        came()
        assert ended(process)[0] == ExitCode.OK
    assert len(receiver.received) == 1


def test_a_scheduler_that_waits_ends_at_once(told: Path) -> None:
    edit(told, "monthly: {", "monthly: {schedule: '0 8 1 * *', ")
    with started(told, "schedule") as process:
        assert process.stdout is not None
        assert "starts next at" in process.stdout.readline()
        code, out = ended(process)
    assert code == ExitCode.OK, out


@pytest.mark.parametrize("calls", [1000, 1])
def test_a_source_that_waits_ends_at_once(project: Path, calls: int) -> None:
    (project / "plugins").mkdir()
    (project / "plugins" / "slow_source.py").write_text(dedent(SLOW_SOURCE))
    with Service() as service:
        edit(project, "sources:\n",
             f"sources:\n  slow: {{connector: slow, base_url: '{service.base_url}', "
             f"calls: {calls}}}\n")  # fmt: skip
        came = called(service, "GET /users")
        if calls > 1:  # asked to wait; else the budget of the session makes the second call wait
            service.faults.answer(503, headers={"Retry-After": "100"}, on="GET /users")
        service.faults.give(Answer.json({}), on="GET /users", times=None)
        with started(project, "run", "monthly", "--date", "2024-01-31") as process:
            came()
            code, out = ended(process)
    assert code == ExitCode.TERMINATED, out
    assert not (project / "reports").exists()


def test_requests_side_by_side_are_not_waited_for(project: Path) -> None:
    with SalesforceSimulator() as salesforce:
        source = {
            "connector": "salesforce",
            "domain": "acme.my.salesforce.com",
            "base_url": salesforce.base_url,
            "transport": "rest",
            "auth": {"flow": "access_token", "access_token": salesforce.issue()},
        }
        edit(project, "sources:\n", f"sources:\n  org: {json.dumps(source)}\n")
        came = called(salesforce, "GET .*/query")
        salesforce.faults.silence(on="GET .*/query", times=None)
        with started(project, "sync", "org") as process:
            came()
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=SOON_S)
    assert process.returncode == ExitCode.INTERRUPTED, out


def test_a_second_start_waits_for_the_first_and_sends_nothing_twice(
    told: Path, receiver: Receiver
) -> None:
    arrived, may_answer = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        assert may_answer.wait(timeout=300)

    receiver.faults.before(hold)
    words = ("run", "monthly", "--date", "2024-01-31")
    with started(told, *words) as first:
        assert arrived.wait(timeout=300)
        with started(told, *words, "--wait", "0") as hasty:
            out, _ = hasty.communicate(timeout=300)
        assert hasty.returncode == ExitCode.BUSY
        assert f"already running (process {first.pid}," in out
        with started(told, *words, "--wait", "100") as second:
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(timeout=2)
            may_answer.set()
            out, _ = second.communicate(timeout=300)
        first.communicate(timeout=300)
    assert (first.returncode, second.returncode) == (ExitCode.OK, ExitCode.OK)
    assert "delivered before" in out
    assert len(receiver.received) == 1


def test_a_run_that_waits_for_another_one_ends_at_once(told: Path, receiver: Receiver) -> None:
    came = called(receiver)
    receiver.faults.answer(429, headers={"Retry-After": "50"})
    words = ("run", "monthly", "--date", "2024-01-31", "--wait", "100")
    with started(told, *words) as first:
        came()
        with started(told, *words, "-v") as second:
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(timeout=3)
            assert ended(second)[0] in (ExitCode.TERMINATED, -signal.SIGTERM)
        assert first.poll() is None
        assert ended(first)[0] == ExitCode.TERMINATED
