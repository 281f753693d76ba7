"""What is shipped: the wheel holds the four roots whole, and works outside the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]

ROOTS = ("core", "connectors", "metrics", "sinks")
PACKAGES_CODE = """
import importlib, json, sys
from pathlib import Path
found = {}
for package in sys.argv[1:]:
    found[package] = str(Path(importlib.import_module(package).__file__).resolve())
print(json.dumps(found))
"""


def _run(
    command: Sequence[str | Path], cwd: Path, pythonpath: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if pythonpath is not None:
        environ["PYTHONPATH"] = str(pythonpath)
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def built(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the source distribution and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, repo], folder)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's contents, as pip puts them there."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run([*pip, "--no-deps", "--no-index", "--target", target, wheel], target)
    return target


def _sources(repo: Path) -> set[str]:
    """Every file of the four roots that belongs into the wheel, as the wheel names it: all but
    the pages for readers of the checkout, which lie beside the packages."""
    return {
        file.relative_to(repo / root).as_posix()
        for root in ROOTS
        for file in (repo / root).rglob("*")
        if file.is_file()
        and file.suffix != ".pyc"
        and not (file.suffix == ".md" and file.parent == repo / root)
    }


def test_the_wheel_holds_exactly_the_files_of_the_four_roots(repo: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert sorted(names) == sorted(_sources(repo))


def test_the_wheel_holds_data_and_type_marks_but_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "crmetrics/py.typed" in names
    assert "crmetrics/canonical/columns.csv" in names
    assert any(name.startswith("crmetrics_sales/") and name.endswith(".yaml") for name in names)
    assert any(name.startswith("crmetrics_sales/sql/") for name in names)
    assert not [name for name in names if re.search(r"(^|/)(tests?/|test_|conftest)", name)]


def test_the_wheel_names_its_licence_and_its_entry_points(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        text = archive.read(entry_points).decode()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "[console_scripts]\ncrmetrics = crmetrics.cli:main" in text
    assert "[crmetrics]" in text


def test_the_source_distribution_can_be_worked_on(built: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "LICENSE", "README.md", "Makefile", "CONTRIBUTING.md"}
    wanted |= {"tests/test_packaging.py", "plugins.example/README.md"}
    assert wanted <= names


def test_the_installed_wheel_tells_its_version(installed: Path, tmp_path: Path) -> None:
    from crmetrics import __version__

    done = _run([sys.executable, "-m", "crmetrics", "--version"], tmp_path, installed)
    assert __version__ in done.stdout


def test_every_package_of_the_wheel_can_be_imported_outside_the_checkout(
    repo: Path, installed: Path, tmp_path: Path
) -> None:
    import json

    names = [init.parent.name for root in ROOTS for init in (repo / root).glob("*/__init__.py")]
    done = _run([sys.executable, "-c", PACKAGES_CODE, *names], tmp_path, installed)
    found = json.loads(done.stdout)
    assert sorted(found) == sorted(names)
    assert {Path(file).parent.parent for file in found.values()} == {installed.resolve()}


def test_every_built_in_plugin_of_the_wheel_loads(installed: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\nfrom crmetrics.loader import load_plugins\n"
        "for plugin in load_plugins(Path('.')).plugins:\n"
        "    print(plugin.is_builtin, plugin.state, plugin.name, plugin.error)"
    )
    done = _run([sys.executable, "-c", code], tmp_path, installed)
    lines = done.stdout.splitlines()
    assert lines
    assert [line for line in lines if not line.startswith("True loaded")] == []
