"""Which periods a job owes, that each is delivered once, and that no two processes run it."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from crmetrics.engine import Project
from crmetrics.errors import ConfigError, ExitCode, JobBusyError, WarehouseError

CONFIG = """
version: 1
project: acme
reporting: {timezone: America/New_York}
warehouse: {path: .crmetrics/warehouse.duckdb, lock_timeout: 0}
sources:
  crm: {connector: csv, path: data}
metrics: {packs: [sales]}
sinks:
  reports: {sink: files, path: reports, formats: [json]}
jobs:
  daily: {grain: day, kpis: [won_amount], sinks: [reports], catch_up: 3}
"""
DEALS = """\
id,created_at,close_date,is_closed,is_won,amount
1,2025-12-01T09:00:00Z,2026-01-05,true,true,100
2,2025-12-01T09:00:00Z,2026-01-07,true,true,300
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "opportunities.csv").write_text(DEALS)
    (tmp_path / "crmetrics.yaml").write_text(CONFIG)
    return tmp_path


def morning(day: int) -> datetime:
    """08:00 in New York on a day of January 2026."""
    return datetime(2026, 1, day, 13, tzinfo=UTC)


def run_on(directory: Path, day: int) -> list[tuple[date, int]]:
    project = Project(directory, environ={}, now=lambda: morning(day))
    return [(found.period.start, found.exit_code) for found in project.run_due("daily")]


def days(*numbers: int) -> list[tuple[date, int]]:
    return [(date(2026, 1, number), ExitCode.OK) for number in numbers]


def reports(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "reports").iterdir())


def test_a_first_run_reports_the_last_complete_period_alone(directory: Path) -> None:
    assert run_on(directory, 6) == days(5)


def test_missed_periods_are_reported_in_order(directory: Path) -> None:
    run_on(directory, 6)
    assert run_on(directory, 9) == days(6, 7, 8)
    assert reports(directory) == [f"daily_2026-01-{day:02d}.json" for day in (5, 6, 7, 8)]
    (row,) = json.loads((directory / "reports" / "daily_2026-01-07.json").read_text())
    assert row["value"] == 300


def test_a_repeat_on_the_same_day_owes_only_the_last(directory: Path) -> None:
    run_on(directory, 6)
    run_on(directory, 8)
    assert run_on(directory, 8) == days(7)


def test_no_more_than_catch_up_periods_are_owed(directory: Path) -> None:
    run_on(directory, 6)
    assert run_on(directory, 20) == days(16, 17, 18, 19)


def test_a_period_that_failed_is_owed_again(directory: Path) -> None:
    run_on(directory, 6)
    (directory / "reports").rename(directory / "kept")
    (directory / "reports").write_text("a file where the folder should be")
    assert run_on(directory, 7) == [(date(2026, 1, 6), ExitCode.SINK)]
    (directory / "reports").unlink()
    (directory / "kept").rename(directory / "reports")
    assert run_on(directory, 8) == days(6, 7)


def test_a_job_is_due_until_the_period_of_the_firing_is_delivered(directory: Path) -> None:
    file = directory / "crmetrics.yaml"
    file.write_text(file.read_text().replace("{grain: day", "{schedule: 0 8 * * *, grain: day"))
    run_on(directory, 6)
    refused = directory / "reports" / "daily_2026-01-07.json"
    refused.mkdir()
    assert run_on(directory, 8) == [(date(2026, 1, 6), ExitCode.OK), (date(2026, 1, 7), 5)]
    project = Project(directory, environ={}, now=lambda: morning(8) + timedelta(hours=1))
    assert project.next_due("daily") is None
    refused.rmdir()
    assert [found.period.start for found in project.run_due("daily")] == [date(2026, 1, 7)]
    assert project.next_due("daily") == morning(9)


def test_a_period_that_ends_after_the_firing_is_not_yet_due(directory: Path) -> None:
    file = directory / "crmetrics.yaml"
    file.write_text(file.read_text().replace("{grain: day", "{schedule: 0 8 6 * *, grain: day"))
    run_on(directory, 6)
    project = Project(directory, environ={}, now=lambda: morning(8))
    assert project.next_due("daily") == datetime(2026, 2, 6, 13, tzinfo=UTC)


def test_a_period_somebody_asked_for_is_not_where_the_schedule_begins(directory: Path) -> None:
    project = Project(directory, environ={}, now=lambda: morning(6))
    project.run("daily", date="2026-01-02")
    assert run_on(directory, 6) == days(5)


def test_a_missed_period_that_somebody_ran_is_not_owed(directory: Path) -> None:
    run_on(directory, 6)
    Project(directory, environ={}, now=lambda: morning(9)).run("daily", date="2026-01-07")
    assert run_on(directory, 9) == days(6, 8)


def test_the_sources_are_read_once_for_all_periods(directory: Path) -> None:
    run_on(directory, 6)
    project = Project(directory, environ={}, now=lambda: morning(9))
    first, *others = project.run_due("daily")
    assert first.sync is not None
    assert all(found.sync is first.sync for found in others)


TROUBLE = """
from pathlib import Path

from crmetrics.plugin import hookimpl

HOME = Path(__file__).parents[1]
AWAY = HOME / "away"

def break_at(event):
    counter = HOME / event
    count = int(counter.read_text()) + 1 if counter.exists() else 1
    counter.write_text(str(count))
    if f"{event} {count}" in {BROKEN}:
        file = HOME / {BROKEN}[f"{event} {count}"]
        file.rename(AWAY)
        file.mkdir()

@hookimpl
def crmetrics_run_started(run_id, job):
    break_at("started")

@hookimpl
def crmetrics_kpis_computed(run_id, job, results):
    break_at("computed")

@hookimpl
def crmetrics_run_finished(run_id, job, exit_code, summary):
    if AWAY.exists():
        (file,) = (HOME / name for name in {BROKEN}.values() if (HOME / name).is_dir())
        file.rmdir()
        AWAY.rename(file)
"""
"""From such a moment to the end of the run a folder stands in the place of a file."""

WAREHOUSE = ".crmetrics/warehouse.duckdb"


@pytest.mark.parametrize(
    ("broken", "error", "reported"),
    [
        ({"computed 1": WAREHOUSE}, (WarehouseError, "it is a folder"), days(7, 8)),
        (
            {"started 2": "crmetrics.yaml", "computed 2": WAREHOUSE},
            (IsADirectoryError, "crmetrics.yaml"),
            days(6),
        ),
    ],
)
def test_a_period_that_raises_keeps_no_later_one_from_running_and_is_owed(
    directory: Path,
    broken: dict[str, str],
    error: tuple[type[Exception], str],
    reported: list[tuple[date, int]],
) -> None:
    run_on(directory, 6)
    (directory / "plugins").mkdir()
    (directory / "plugins" / "trouble.py").write_text(TROUBLE.replace("{BROKEN}", repr(broken)))
    project = Project(directory, environ={}, now=lambda: morning(9))
    found: list[tuple[date, int]] = []
    with pytest.raises(error[0], match=error[1]):
        found.extend((one.period.start, one.exit_code) for one in project.run_due("daily"))
    assert found == reported
    owed = [one for one in days(6, 7, 8) if one not in reported or one == days(8)[0]]
    assert run_on(directory, 9) == owed


BAD_SOURCE = """
from crmetrics.plugin import Connector, hookimpl

class Bad(Connector):
    name = "bad"
    is_local = True

    def datasets(self):
        return []

    def prepare(self, requests):
        if (self.context.project_dir / "bad").exists():
            raise KeyboardInterrupt

    def read(self, request):
        return iter(())

@hookimpl
def crmetrics_connectors():
    return [Bad]
"""


def test_the_period_of_a_first_run_that_was_broken_off_is_owed(directory: Path) -> None:
    (directory / "plugins").mkdir()
    (directory / "plugins" / "bad.py").write_text(BAD_SOURCE)
    config = directory / "crmetrics.yaml"
    config.write_text(config.read_text().replace("sources:", "sources:\n  bad: {connector: bad}"))
    (directory / "bad").touch()
    with pytest.raises(KeyboardInterrupt):
        run_on(directory, 6)
    assert not (directory / "reports").exists()
    (directory / "bad").unlink()
    assert run_on(directory, 8) == days(5, 6, 7)
    assert run_on(directory, 8) == days(7)


def test_a_dry_run_begins_no_schedule(directory: Path) -> None:
    project = Project(directory, environ={}, now=lambda: morning(6))
    assert [found.exit_code for found in project.run_due("daily", dry_run=True)] == [ExitCode.OK]
    assert run_on(directory, 8) == days(7)


def test_what_every_period_would_meet_is_raised_by_the_first(directory: Path) -> None:
    run_on(directory, 6)
    config = directory / "crmetrics.yaml"
    config.write_text(config.read_text().replace("won_amount]", "won_amount], where: nonsense"))
    project = Project(directory, environ={}, now=lambda: morning(9))
    with pytest.raises(ConfigError, match="nonsense"):
        next(iter(project.run_due("daily")))


HOLDS = """
import sys, time
from pathlib import Path
from crmetrics.engine.locks import alone
with alone(Path(sys.argv[1]), "job-daily", "job 'daily'", wait_s=0, advice=""):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_job_that_runs_already_is_left_with_8_and_its_holder(directory: Path) -> None:
    locks = directory / ".crmetrics" / "locks"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(locks)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(JobBusyError, match=f"'daily' is already running .process {holder.pid}"):
            run_on(directory, 6)
        left = subprocess.run(
            [sys.executable, "-m", "crmetrics", "-C", str(directory), "run", "daily"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert left.returncode == ExitCode.BUSY
        assert "already running" in left.stderr
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    # The lock of a killed process is free at once.
    assert run_on(directory, 6) == days(5)
    assert not (directory / "reports" / "daily_2026-01-04.json").exists()


HOLDS_WAREHOUSE = """
import sys, duckdb
held = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


class LetsGo(logging.Handler):
    """Ends the process that holds the warehouse as soon as somebody says that they wait for it."""

    def __init__(self, holder: subprocess.Popen[str]) -> None:
        super().__init__()
        self.holder = holder
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())
        if self.holder.stdin is not None and not self.holder.stdin.closed:
            self.holder.stdin.close()


@pytest.mark.parametrize("is_dated", [False, True])
def test_the_warehouse_of_another_job_is_waited_for_as_long_as_the_job(
    directory: Path, is_dated: bool
) -> None:
    run_on(directory, 6)
    project = Project(directory, environ={}, now=lambda: morning(7))
    words = [sys.executable, "-c", HOLDS_WAREHOUSE, str(directory / WAREHOUSE)]
    log = logging.getLogger("crmetrics.warehouse.connection")
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        handler = LetsGo(holder)
        log.addHandler(handler)
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(WarehouseError):
                project.run("daily")  # lock_timeout: 0
            if is_dated:
                found = [project.run("daily", date="2026-01-06", wait_s=60)]
            else:
                found = list(project.run_due("daily", wait_s=60))
        finally:
            log.removeHandler(handler)
            handler.emit(logging.LogRecord("", 0, "", 0, "end", None, None))
    assert [(one.period.start, one.exit_code) for one in found] == days(6)
    assert "Waiting up to 60 s" in handler.heard[0]


def test_a_dry_run_needs_no_lock(directory: Path) -> None:
    from crmetrics.engine.locks import alone

    project = Project(directory, environ={}, now=lambda: morning(6))
    with alone(directory / ".crmetrics" / "locks", "job-daily", "job 'daily'", wait_s=0, advice=""):
        assert project.run("daily", dry_run=True).exit_code == ExitCode.OK


def test_jobs_of_another_grain_do_not_count(directory: Path) -> None:
    run_on(directory, 6)
    file = directory / "crmetrics.yaml"
    file.write_text(file.read_text().replace("grain: day", "grain: week"))
    project = Project(directory, environ={}, now=lambda: morning(6) + timedelta(days=30))
    assert [found.period.start for found in project.run_due("daily")] == [date(2026, 1, 26)]
