"""A project folder to put plugins into, and distributions that look installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from crmetrics.loader import PluginRegistry, load_plugins

Write = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def imports_undone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every test starts without the modules that another one imported from its own folder."""
    path = list(sys.path)
    yield
    made_by_tests = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(made_by_tests):
            del sys.modules[name]
    assert sys.path == path, "loading plugins must leave sys.path as it was"


@pytest.fixture
def plugin(tmp_path: Path) -> Write:
    """`plugin("hello.py", source)` writes a file below the project's plugins/."""

    def write(name: str, source: str) -> Path:
        file = tmp_path / "plugins" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(source), encoding="utf-8")
        return file

    return write


@pytest.fixture
def distribution(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Path]]:
    """`distribution("crmetrics-hello", {"hello": "crmetrics_hello"}, {"crmetrics_hello.py": ...})`
    makes an installed distribution: its metadata, its entry points and its modules."""
    site = tmp_path_factory.mktemp("site")
    sys.path.insert(0, str(site))

    def install(
        name: str,
        entry_points: dict[str, str] | str,
        modules: dict[str, str] | None = None,
        version: str = "1.0",
    ) -> Path:
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        if isinstance(entry_points, dict):
            lines = [f"{key} = {value}" for key, value in entry_points.items()]
            entry_points = "\n".join(["[crmetrics]", *lines, ""])
        (info / "entry_points.txt").write_text(entry_points)
        for file, source in (modules or {}).items():
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_text(dedent(source), encoding="utf-8")
        return site

    yield install
    sys.path.remove(str(site))


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., PluginRegistry]:
    """`load("acme.plugin", ...)` loads the project's plugins with these names listed."""

    def loaded(*dotted: str) -> PluginRegistry:
        return load_plugins(tmp_path, dotted)

    return loaded
