"""A run that corrects an earlier month, killed at each step and run again: one message for each
month, one reply that tells the change, one row per key, one whole file."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crmetrics.engine import Project
from crmetrics.errors import ExitCode
from simulators.slack import everything_seen
from simulators.slack_workspace import SlackWorkspace

pytestmark = pytest.mark.slow

JANUARY = datetime(2026, 1, 5, 8, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 5, 8, tzinfo=UTC)
CONFIG = """
version: 1
project: acme
sources:
  crm: {connector: csv, path: data}
metrics: {packs: [sales]}
sinks:
  team: {sink: slack, token: TOKEN, channel: C0GENERAL, base_url: "URL", charts: false}
  history: {sink: database, url: "duckdb:///results.duckdb", table: kpis}
  newest: {sink: database, url: "duckdb:///newest.duckdb", table: kpis, mode: replace}
  reports: {sink: files, path: reports, formats: [json]}
jobs:
  monthly: {kpis: [won_amount], sinks: [team, history, newest, reports]}
"""
DEALS = """\
id,created_at,close_date,is_closed,is_won,amount
1,2025-10-01,2025-11-20,true,true,900
2,2025-10-01,2025-12-10,true,true,{december}
3,2025-10-01,2026-01-15,true,true,500
"""

STEPS = {
    "before anything is recorded": ("record_results", 1),
    "while results are recorded": ("_insert_sql", 1),
    "between two recordings": ("record_results", 2),
    "before the message is corrected": ("_update_parent", 1),
    "before the thread is told": ("_tell_changes", 1),
    "after the thread was told": ("_recorded_status", 1),
    "while the table is written": ("_read_back", 1),
    "after the table was written": ("_recorded_status", 2),
    "while the newest is replaced": ("_read_back", 2),
    "while the file is written": ("_sync_folder", 1),
    "after the file was written": ("_recorded_status", 4),
    "before the new month is posted": ("_post_parent", 1),
    "before the run is over": ("finish_run", 1),
}
"""When the process dies: on entering this function of the product for the so-manieth time."""


class Children:
    """Runs of February, each in a process of its own. What takes long to import is imported once,
    by the process that forks them."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("run_and_die.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.child = 0

    def start(self, folder: Path, function: str = "no such function", number: int = 1) -> None:
        """Begin a run, which dies when it enters this function of the product."""
        assert self._parent.stdin is not None
        # All that a run in this process has imported by now, but for the plugins of projects.
        names = [n for n in sys.modules if re.match(r"(crmetrics|duckdb|pyarrow|requests|yaml)", n)]
        asked = [names, str(folder), FEBRUARY.isoformat(), function, number]
        self._parent.stdin.write(json.dumps(asked) + "\n")
        self._parent.stdin.flush()
        self.child = self.number()

    def number(self) -> int:
        """The next answer: after `start` the exit code, negative for a signal."""
        assert self._parent.stdout is not None
        return int(self._parent.stdout.readline())

    def close(self) -> None:
        self._parent.communicate()


class Company:
    """A project that has reported December; since then a deal of it has grown."""

    def __init__(self, folder: Path, slack: SlackWorkspace) -> None:
        self.folder, self.slack = folder, slack
        (folder / "data").mkdir()
        self.sells(1000)
        text = CONFIG.replace("TOKEN", slack.bot()).replace("URL", slack.base_url)
        (folder / "crmetrics.yaml").write_text(text)
        assert self.run(JANUARY).exit_code == ExitCode.OK
        self.sells(1250)

    def sells(self, december: int) -> None:
        (self.folder / "data" / "opportunities.csv").write_text(DEALS.format(december=december))

    def run(self, at: datetime = FEBRUARY) -> Any:
        return Project(self.folder, environ={}, now=lambda: at).run("monthly")

    def rows(self, name: str, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / name), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def is_told_once(self) -> None:
        """What has to be there when the run was whole at last."""
        december, january = self.slack.general.parents
        assert "1,250 USD" in everything_seen(december)
        assert "500.00 USD" in everything_seen(january)
        [reply] = self.slack.general.replies(december["ts"])
        assert "was 1,000 USD, is now 1,250 USD" in everything_seen(reply)
        assert self.slack.general.replies(january["ts"]) == []
        held = "select period_start::varchar, value from kpis order by all"
        both = [("2025-12-01", 1250.0), ("2026-01-01", 500.0)]
        assert self.rows("results.duckdb", held) == both
        assert self.rows("newest.duckdb", held) == both[1:]
        files = sorted((self.folder / "reports").iterdir())
        assert [path.name for path in files] == ["monthly_2025-12.json", "monthly_2026-01.json"]
        assert [json.loads(path.read_text())[0]["value"] for path in files] == [1250.0, 500.0]
        versions = (
            "select period_start::varchar, version, value from meta.results "
            "where segment = '{}' order by all"
        )
        assert self.rows(".crmetrics/warehouse.duckdb", versions) == [
            ("2025-12-01", 1, 1000.0),
            ("2025-12-01", 2, 1250.0),
            ("2026-01-01", 1, 500.0),
        ]


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    with SlackWorkspace() as slack:
        yield Company(tmp_path, slack)


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    made = Children()
    yield made
    made.close()


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_of_a_correction_is_made_good_by_the_next_run(
    company: Company, children: Children, step: str
) -> None:
    children.start(company.folder, *STEPS[step])
    assert children.number() == -signal.SIGKILL
    again = company.run()
    assert again.exit_code == ExitCode.OK
    company.is_told_once()
    third = company.run()
    assert (third.exit_code, third.restated) == (ExitCode.OK, ())
    company.is_told_once()


@pytest.mark.parametrize("step", ["after the table was written", "after the file was written"])
def test_figures_that_go_back_after_a_kill_are_written_back(
    company: Company, children: Children, step: str
) -> None:
    children.start(company.folder, *STEPS[step])
    assert children.number() == -signal.SIGKILL
    company.sells(1000)
    assert company.run().exit_code == ExitCode.OK
    held = "select period_start::varchar, value from kpis order by all"
    assert company.rows("results.duckdb", held) == [("2025-12-01", 1000.0), ("2026-01-01", 500.0)]
    file = company.folder / "reports" / "monthly_2025-12.json"
    assert json.loads(file.read_text())[0]["value"] == 1000.0


@pytest.mark.parametrize(("method", "skip"), [("chat.update", 0), ("chat.postMessage", 0)])
def test_what_slack_did_while_its_answer_was_lost_is_not_done_again(
    company: Company, children: Children, method: str, skip: int
) -> None:
    def kill(answer: Any) -> Any:
        os.kill(children.child, signal.SIGKILL)
        return answer

    company.slack.faults.spoil(kill, on=method, skip=skip)
    children.start(company.folder)
    assert children.number() == -signal.SIGKILL
    assert company.run().exit_code == ExitCode.OK
    company.is_told_once()
