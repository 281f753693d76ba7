"""docs/cli.md says what the commands say."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmetrics.cli.app import COMMANDS
from crmetrics.cli.reference import reference


def test_the_page_is_current(repo: Path, request: pytest.FixtureRequest) -> None:
    file = repo / "docs" / "cli.md"
    if request.config.getoption("--update-golden"):
        file.write_text(reference(), encoding="utf-8")
    current = file.read_text(encoding="utf-8") if file.exists() else ""
    assert current == reference(), "run `make docs` or pytest with --update-golden"


def test_the_page_has_every_command() -> None:
    page = reference()
    for name in COMMANDS:
        assert f"## crmetrics {name}\n" in page


def test_the_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = reference()
    monkeypatch.setenv("COLUMNS", "40")
    assert reference() == before
