"""Fixtures for the tests of the project file."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.stand_ins import ProjectFolder


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    """An empty project directory."""
    return ProjectFolder(tmp_path)


@pytest.fixture(scope="session")
def example() -> str:
    """The project file of the documentation; it needs the variables of `EXAMPLE_VARIABLES`."""
    return (Path(__file__).parent / "example.yaml").read_text(encoding="utf-8")
