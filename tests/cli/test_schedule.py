"""`crmetrics schedule`: the foreground scheduler as a process, its health, its exports."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from cli.launched import started

Call = Callable[..., Result]

EVERY_MINUTE = "schedule: '* * * * *', retries: 0, "


@pytest.fixture
def scheduled(project: Path) -> Path:
    """A project whose job is due: it was last served long ago."""
    file = project / "crmetrics.yaml"
    file.write_text(file.read_text().replace("monthly: {", f"monthly: {{{EVERY_MINUTE}"))
    (project / ".crmetrics").mkdir()
    long_ago = {
        "served_until": "2026-01-01T00:00:00+00:00",
        "started_at": None,
        "finished_at": None,
        "exit_code": None,
        "failures": 0,
        "next_start": None,
    }
    state = {"phase": "stopped", "pid": 1, "seen_at": "2026-01-01T00:00:00+00:00", "running": "",
             "jobs": {"monthly": long_ago}}  # fmt: skip
    (project / ".crmetrics" / "schedule.json").write_text(json.dumps(state))
    return project


def state(project: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((project / ".crmetrics" / "schedule.json").read_text())
    return found


def wait_for(reached: Callable[[], bool], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_due_job_runs_and_sigterm_ends_the_scheduler_well(scheduled: Path, call: Call) -> None:
    def has_run() -> bool:
        return state(scheduled)["jobs"]["monthly"]["exit_code"] is not None  # type: ignore[index]

    with started(scheduled, "schedule") as process:
        wait_for(has_run)
        assert call("-C", scheduled, "schedule", "health").output == "ok\n"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "monthly starts." in out
    assert list((scheduled / "reports").iterdir())
    assert state(scheduled)["phase"] == "stopped"
    health = call("-C", scheduled, "schedule", "health")
    told = "the scheduler was stopped. Start it again: crmetrics schedule\n"
    assert (health.exit_code, health.output) == (1, told)


def test_a_run_over_its_time_limit_is_ended(scheduled: Path) -> None:
    file = scheduled / "crmetrics.yaml"
    file.write_text(file.read_text().replace("retries: 0,", "retries: 0, time_limit: 1,"))
    (scheduled / "plugins").mkdir()
    (scheduled / "plugins" / "slow.py").write_text(
        "import time\nfrom crmetrics.plugin import hookimpl\n\n"
        "@hookimpl\ndef crmetrics_run_started(run_id, job):\n    time.sleep(300)\n"
    )
    with started(scheduled, "schedule") as process:
        wait_for(lambda: state(scheduled)["jobs"]["monthly"]["exit_code"] == 143)  # type: ignore[index]
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=300)
    assert "takes longer than its time limit" in out
    assert not (scheduled / "reports").exists()


def test_a_second_scheduler_leaves_with_8(scheduled: Path, call: Call) -> None:
    with started(scheduled, "schedule") as process:
        wait_for(lambda: state(scheduled)["pid"] == process.pid)
        second = call("-C", scheduled, "schedule")
        assert second.exit_code == 8
        assert "the scheduler of this project is already running" in second.stderr


def test_without_a_schedule_there_is_nothing_to_start(project: Path, call: Call) -> None:
    for words in (["schedule"], ["schedule", "export", "cron"]):
        result = call("-C", project, *words)
        assert result.exit_code == 2
        assert "no job has a `schedule:`" in result.stderr


def test_exports_are_written_below_a_folder(scheduled: Path, call: Call, tmp_path: Path) -> None:
    result = call("-C", scheduled, "schedule", "export", "systemd", "-o", tmp_path / "units")
    assert result.exit_code == 0
    names = sorted(path.name for path in (tmp_path / "units").iterdir())
    assert names == ["crmetrics-acme-monthly.service", "crmetrics-acme-monthly.timer"]


def test_an_export_to_standard_output_is_the_file(scheduled: Path, call: Call) -> None:
    text = call("-C", scheduled, "schedule", "export", "cron").stdout
    (line,) = [line for line in text.splitlines() if line.startswith("* * * * *")]
    assert f"-C {scheduled} run monthly" in line


def test_an_export_of_an_unknown_job_suggests_the_known(scheduled: Path, call: Call) -> None:
    result = call("-C", scheduled, "schedule", "export", "cron", "montly")
    assert result.exit_code == 2
    assert "Did you mean 'monthly'?" in result.stderr


def test_a_job_that_is_not_due_is_left_at_once(scheduled: Path, call: Call) -> None:
    file = scheduled / "crmetrics.yaml"
    file.write_text(file.read_text().replace("'* * * * *'", "0 0 1 1 *"))
    first = call("-C", scheduled, "run", "monthly", "--if-due", "--json")
    assert json.loads(first.stdout)["jobs"]
    second = call("-C", scheduled, "run", "monthly", "--if-due", "--json")
    assert (second.exit_code, json.loads(second.stdout)["jobs"]) == (0, [])
    assert "monthly is not due before" in second.stderr


def test_due_asks_the_schedule_and_no_day(project: Path, call: Call) -> None:
    assert call("-C", project, "run", "monthly", "--if-due").exit_code == 2
    dated = call("-C", project, "run", "monthly", "--if-due", "--date", "2024-01-31")
    assert "use one of them" in dated.stderr


def test_a_job_without_a_schedule_stops_a_call_before_any_job_runs(
    scheduled: Path, call: Call
) -> None:
    file = scheduled / "crmetrics.yaml"
    file.write_text(file.read_text() + "  other: {kpis: [win_rate]}\n")
    result = call("-C", scheduled, "run", "monthly", "other", "--if-due")
    assert result.exit_code == 2
    assert "job 'other' has no `schedule:`" in result.stderr
    assert not (scheduled / "reports").exists()
    unnamed = call("-C", scheduled, "run", "--if-due", "--json")
    assert [job["job"] for job in json.loads(unnamed.stdout)["jobs"]] == ["monthly"]
