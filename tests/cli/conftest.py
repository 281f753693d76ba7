"""How the tests call the program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crmetrics.cli import app

Call = Callable[..., Result]
Start = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def call() -> Call:
    """`call("query", "win_rate")` runs the program in this process; no terminal."""

    def run(*arguments: str | Path, **settings: object) -> Result:
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(app, words, prog_name="crmetrics", terminal_width=80, **settings)

    return run


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """`start("--help")` runs the program as its own process in an empty folder."""

    def run(
        *arguments: str | Path, path: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONWARNINGS": "error", **variables}
        if path is not None:
            environment["PYTHONPATH"] = str(path)
        return subprocess.run(
            [sys.executable, "-m", "crmetrics", *map(str, arguments)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            cwd=tmp_path,
            env=environment,
        )

    return run


PROJECT = """\
version: 1
project: acme
sources:
  crm: {connector: csv, path: data}
metrics: {packs: [sales]}
goals:
  - title: Win more
    kpi: win_rate
    objective: growth
    baseline: 0.5
    target: 0.9
    start: 2024-01-01
    due: 2024-01-31
    owner: "@head"
    rationale: coaching
    guardrails: {average_deal_size: {min: 1}}
sinks:
  reports: {sink: files, path: reports, formats: [csv]}
jobs:
  monthly: {grain: month, kpis: [win_rate, won_amount], by: [owner.team], sinks: [reports]}
"""
DEALS = """\
id,owner_id,created_at,close_date,is_closed,is_won,amount
1,ann,2023-12-01T09:00:00Z,2024-01-02,true,true,1000
2,ann,2023-12-01T09:00:00Z,2024-01-09,true,true,3000
3,bob,2023-12-01T09:00:00Z,2024-01-31,true,true,8000
4,bob,2023-12-01T09:00:00Z,2024-01-15,true,false,9000
5,bob,2023-12-01T09:00:00Z,2024-01-16,true,false,700
6,bob,2023-12-01T09:00:00Z,2024-01-20,false,false,50
7,ann,2023-11-01T09:00:00Z,2023-12-10,true,true,2000
8,bob,2023-11-01T09:00:00Z,2023-12-11,true,false,
"""
USERS = "id,team,created_at\nann,EMEA,2023-01-01T00:00:00Z\nbob,,2023-01-01T00:00:00Z\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose win rate of January 2024 is 3 of 5: EMEA 2 of 2, no team 1 of 3."""
    folder = tmp_path / "acme"
    (folder / "data").mkdir(parents=True)
    (folder / "crmetrics.yaml").write_text(PROJECT, encoding="utf-8")
    (folder / "data" / "opportunities.csv").write_text(DEALS, encoding="utf-8")
    (folder / "data" / "users.csv").write_text(USERS, encoding="utf-8")
    return folder
