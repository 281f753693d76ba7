"""Fixtures: real exports as projects, and what is published of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from projects.opening import SHARED, Opener


@pytest.fixture(scope="package")
def open_project(tmp_path_factory: pytest.TempPathFactory) -> Opener:
    """`open_project(name, environment)`: a copy of a project, loaded."""
    return Opener(tmp_path_factory.mktemp)


@pytest.fixture(scope="package")
def published() -> Callable[[str], dict[str, Any]]:
    """`published(data set)`: the figures that are known of a data set."""

    def read(data: str) -> dict[str, Any]:
        file = SHARED / data / "expected.json"
        if not file.is_file():
            pytest.skip(f"needs the public data set {data} beside the checkout (../shared/data)")
        figures: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return figures

    return read
