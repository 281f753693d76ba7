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
