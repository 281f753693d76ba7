"""`crmetrics schedule export` of a real project folder: what pip installs, what is kept."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

Call = Callable[..., Result]

SINKS = """
sinks:
  history: {sink: database, url: 'postgresql://ann:secret@db.acme.test/kpis'}
  near: {sink: database, url: 'sqlite:///out/kpis.sqlite'}
  sheets: {sink: files, path: reports, formats: [csv, xlsx]}
  lake: {sink: files, path: 's3://acme/kpis'}
  other: {sink: files, path: 'gs://acme/kpis'}
  team: {sink: slack, token: xoxb-simulated-token, channel: C1}
jobs:
  monthly: {schedule: '0 8 1 * *', kpis: [win_rate], sinks: [history, near, sheets, lake, team]}
  weekly: {schedule: '0 8 * * MON', grain: week, kpis: [win_rate], sinks: [other]}
"""


@pytest.fixture
def repository(project: Path) -> Path:
    """A project in the folder `kpi` of a repository."""
    root = project.parent / "repository"
    (root / ".git").mkdir(parents=True)
    project.rename(root / "kpi")
    file = root / "kpi" / "crmetrics.yaml"
    kept = file.read_text("utf-8").partition("sinks:")[0]
    file.write_text(kept + SINKS.lstrip(), encoding="utf-8")
    return root


def steps(call: Call, repository: Path, job: str) -> list[dict[str, Any]]:
    result = call("-C", repository / "kpi", "schedule", "export", "github", job)
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = yaml.safe_load(result.stdout)["jobs"]["run"]["steps"]
    return found


def installed(call: Call, repository: Path, job: str) -> list[str]:
    (words,) = [
        shlex.split(step["run"])
        for step in steps(call, repository, job)
        if step.get("run", "").startswith("pip ")
    ]
    return words[2:]


def test_a_workflow_installs_the_extras_of_the_sinks_of_its_job(
    call: Call, repository: Path
) -> None:
    (package,) = installed(call, repository, "monthly")
    assert package.startswith("crmetrics[charts,postgres,s3,xlsx]==")
    (package,) = installed(call, repository, "weekly")
    assert package.startswith("crmetrics[gcs]==")


def test_requirements_beside_the_project_file_are_installed_too(
    call: Call, repository: Path
) -> None:
    (repository / "kpi" / "requirements.txt").write_text("holidays\n")
    assert installed(call, repository, "weekly")[1:] == ["-r", "kpi/requirements.txt"]


@pytest.mark.parametrize(
    ("warehouse", "kept"),
    [
        ("", []),
        ("warehouse: .crmetrics/other.duckdb\n", []),
        ("warehouse: data/wh.duckdb\n", ["kpi/data/wh.duckdb", "kpi/data/wh.duckdb.wal"]),
        ("warehouse: /var/lib/wh.duckdb\n", ["/var/lib/wh.duckdb", "/var/lib/wh.duckdb.wal"]),
    ],
)
def test_a_workflow_keeps_the_warehouse_and_what_the_sinks_write(
    call: Call, repository: Path, warehouse: str, kept: list[str]
) -> None:
    file = repository / "kpi" / "crmetrics.yaml"
    file.write_text(warehouse + file.read_text("utf-8"), encoding="utf-8")
    found = {step["uses"].partition("@")[0]: step["with"]
             for step in steps(call, repository, "monthly") if "with" in step}  # fmt: skip
    written = ["kpi/out/kpis.sqlite", "kpi/reports"]
    state = ["kpi/.crmetrics", *kept, *written]
    assert found["actions/cache/restore"]["path"].splitlines() == state
    assert found["actions/cache/save"]["path"].splitlines() == state
    assert found["actions/upload-artifact"]["path"].splitlines() == written


def test_a_workflow_says_what_becomes_of_the_cache(call: Call, repository: Path) -> None:
    text = call("-C", repository / "kpi", "schedule", "export", "github", "monthly").stdout
    assert "in 7 days" in text
    assert "starts every third day as well" in text
    assert "secret" not in text.replace("secrets", "")
