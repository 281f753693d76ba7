"""Jobs and loads through the whole engine, and what kills and gaps leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crmetrics.engine import Project
from crmetrics.errors import ConfigError, ExitCode, SourceError
from crmetrics.testing.data import SampleCrm

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
CONFIG = """
version: 1
project: acme
sources:
  crm: {connector: csv, path: data}
metrics: {packs: [sales]}
sinks:
  reports: {sink: files, path: reports, formats: [json]}
  history: {sink: database, url: "duckdb:///results.duckdb", table: kpis}
jobs:
  monthly: {kpis: [won_amount, win_rate], by: [owner.team], sinks: [reports, history]}
  stages: {kpis: [stage_duration], sinks: [reports]}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    SampleCrm(seed=7, scale=0.2).write_csv(tmp_path / "data")
    (tmp_path / "crmetrics.yaml").write_text(CONFIG)
    return tmp_path


def project(directory: Path) -> Project:
    return Project(directory, environ={}, now=lambda: NOW)


def test_a_repeated_run_leaves_one_copy_of_everything(directory: Path) -> None:
    first = project(directory).run("monthly")
    second = project(directory).run("monthly")
    assert (first.exit_code, second.exit_code) == (ExitCode.OK, ExitCode.OK)
    assert first.results.drop_columns(["run_id", "computed_at", "as_of"]) == (
        second.results.drop_columns(["run_id", "computed_at", "as_of"])
    )
    assert [path.name for path in (directory / "reports").iterdir()] == ["monthly_2025-12.json"]
    assert second.sync is not None
    assert sum(report.inserted + report.updated for report in second.sync.reports) == 0


def test_a_job_without_its_dataset_delivers_and_says_partial(directory: Path) -> None:
    (directory / "data" / "opportunity_stage_history.csv").unlink()
    report = project(directory).run("stages")
    assert report.exit_code == ExitCode.PARTIAL
    assert set(report.results.column("status").to_pylist()) == {"missing_dataset"}
    assert report.results.column("value").null_count == report.results.num_rows


def test_a_file_that_vanishes_fails_the_source_and_keeps_what_was_loaded(directory: Path) -> None:
    before = project(directory).run("monthly")
    (directory / "data" / "opportunities.csv").unlink()
    after = project(directory).run("monthly")
    assert after.exit_code == ExitCode.SOURCE
    assert after.results.column("value").to_pylist() == before.results.column("value").to_pylist()
    assert any("opportunities" in note for note in after.notes)


def test_a_wrong_value_names_file_and_line_and_changes_nothing(directory: Path) -> None:
    before = project(directory).run("monthly")
    file = directory / "data" / "opportunities.csv"
    lines = file.read_text().splitlines()
    column = lines[0].split(",").index("amount")
    cells = lines[4].split(",")
    cells[column] = "twelve"
    file.write_text("\n".join([*lines[:4], ",".join(cells), *lines[5:]]) + "\n")
    after = project(directory).run("monthly")
    assert after.exit_code == ExitCode.SOURCE
    assert after.sync is not None
    assert isinstance(after.sync.error, SourceError)
    assert "opportunities.csv:5" in str(after.sync.error)
    assert "twelve" in str(after.sync.error)
    assert after.results.column("value").to_pylist() == before.results.column("value").to_pylist()


def test_a_job_that_names_what_is_not_there_stops_before_anything(directory: Path) -> None:
    file = directory / "crmetrics.yaml"
    file.write_text(CONFIG.replace("win_rate]", "wn_rate]"))
    with pytest.raises(ConfigError) as caught:
        project(directory).run("monthly")
    (finding,) = caught.value.findings
    assert (finding.file, finding.line) == ("crmetrics.yaml", 11)
    assert "win_rate" in str(finding)
    assert not (directory / "reports").exists()
    assert not (directory / ".crmetrics" / "warehouse.duckdb").exists()


@pytest.mark.parametrize(
    ("right", "wrong", "place", "hint"),
    [
        ("by: [owner.team]", "by: [owner.taem]", "crmetrics.yaml:11:", "owner.team"),
        ("packs: [sales]", "packs: [sals]", "crmetrics.yaml:6:19", "sales"),
        (
            "by: [owner.team]",
            "by: [owner.team], where: amuont > 1",
            "crmetrics.yaml:11:",
            "amount",
        ),
    ],
)
def test_what_does_not_fit_is_found_before_anything_is_loaded(
    right: str, wrong: str, place: str, hint: str, directory: Path
) -> None:
    (directory / "crmetrics.yaml").write_text(CONFIG.replace(right, wrong))
    with pytest.raises(ConfigError) as caught:
        project(directory).run("monthly")
    (finding,) = caught.value.findings
    assert str(finding).startswith(place)
    assert hint in str(finding)
    assert not (directory / ".crmetrics" / "warehouse.duckdb").exists()


def test_one_failing_sink_does_not_stop_the_other(directory: Path) -> None:
    (directory / "reports").write_text("a file where the folder should be")
    report = project(directory).run("monthly")
    assert report.exit_code == ExitCode.SINK
    assert {o.sink: o.status for o in report.outcomes} == {
        "reports": "failed",
        "history": "delivered",
    }


def test_a_dry_run_sends_and_records_nothing(directory: Path) -> None:
    report = project(directory).run("monthly", dry_run=True)
    assert {outcome.status for outcome in report.outcomes} == {"previewed"}
    assert not (directory / "reports").exists()
    assert not (directory / "results.duckdb").exists()


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.1])
def test_a_run_that_is_killed_leaves_the_next_one_right(directory: Path, delay_s: float) -> None:
    clean = project(directory).query(["won_amount", "win_rate"], period="2025-12", by=["team"])
    warehouse = directory / ".crmetrics" / "warehouse.duckdb"
    warehouse.unlink()
    command = [sys.executable, "-m", "crmetrics", "-C", str(directory), "run", "monthly",
               "--date", "2025-12-31"]  # fmt: skip
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay_s)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    report = project(directory).run("monthly", date="2025-12-31")
    assert report.exit_code == ExitCode.OK
    again = project(directory).query(["won_amount", "win_rate"], period="2025-12", by=["team"])
    wanted = ["kpi", "segment", "value", "n", "coverage"]
    assert again.select(wanted).to_pylist() == clean.select(wanted).to_pylist()
    assert [path.name for path in (directory / "reports").iterdir()] == ["monthly_2025-12.json"]


def test_records_set_aside_while_a_first_question_loads_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "opportunities.csv").write_text(
        "id,created_at,close_date,is_closed,is_won,amount\n"
        "1,2025-01-01,2025-12-05,true,true,100\n"
        "2,2025-01-01,2025-12-06,true,true,10,torn\n"
        "1,2025-01-01,2025-12-05,true,true,100\n"
    )
    (tmp_path / "crmetrics.yaml").write_text(CONFIG)
    (row,) = project(tmp_path).query(["won_amount"], period="2025-12").to_pylist()
    assert row["value"] == 100
    assert "1 of 3 records were set aside" in caplog.text
    assert "1 of 3 records repeat a key" in caplog.text
