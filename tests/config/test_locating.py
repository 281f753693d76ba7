"""Where the project file is looked for, and what is read before plugins are loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from config.stand_ins import CONNECTORS, DATASETS, SINKS, ProjectFolder
from crmetrics.config import load_config, peek, peek_plugins
from crmetrics.errors import ConfigError, ExitCode


def error_of(path: Path | str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={}, connectors=CONNECTORS, sinks=SINKS, datasets=DATASETS)
    return caught.value


def test_a_missing_file_says_how_to_start(tmp_path: Path) -> None:
    error = error_of(tmp_path)
    assert f"there is no crmetrics.yaml in {tmp_path}" in str(error)
    assert "`crmetrics init`" in str(error)
    assert error.exit_code == ExitCode.USAGE


def test_parent_directories_are_not_searched(folder: ProjectFolder) -> None:
    folder.write("project: parent\n")
    below = folder.directory / "below"
    below.mkdir()
    assert "there is no crmetrics.yaml" in str(error_of(below))


def test_a_missing_directory_is_told_as_such(tmp_path: Path) -> None:
    assert "there is no such directory" in str(error_of(tmp_path / "nowhere"))


def test_a_file_of_the_other_extension_is_to_be_renamed(folder: ProjectFolder) -> None:
    folder.write("project: a\n", "crmetrics.yml")
    assert "Rename it to crmetrics.yaml." in str(error_of(folder.directory))


def test_the_file_itself_may_be_named(folder: ProjectFolder) -> None:
    folder.write("project: ${NAME}\n", "other.yaml")
    folder.write("NAME=from env file\n", ".env")
    path = folder.directory / "other.yaml"
    config = load_config(path, environ={}, connectors={}, sinks={}, datasets={})
    assert (config.file, config.directory) == (path, folder.directory)
    assert config.project == "from env file"
    folder.write("projekt: a\n", "other.yaml")
    assert str(error_of(path)).startswith("other.yaml:1:1: unknown key 'projekt'")


def test_a_relative_directory_becomes_absolute(
    folder: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("warehouse: w.duckdb\n")
    monkeypatch.chdir(folder.directory)
    config = load_config(".", environ={}, connectors={}, sinks={}, datasets={})
    assert config.directory.is_absolute()
    assert config.warehouse.path.is_absolute()


def test_a_directory_in_place_of_the_file_is_a_finding(folder: ProjectFolder) -> None:
    (folder.directory / "crmetrics.yaml").mkdir()
    assert "crmetrics.yaml: cannot be read" in str(error_of(folder.directory))


def test_the_environment_is_the_default_for_variables(
    folder: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRMETRICS_TEST_ONLY", "from the environment")
    folder.write("project: ${CRMETRICS_TEST_ONLY}\n")
    config = load_config(folder.directory, connectors={}, sinks={}, datasets={})
    assert config.project == "from the environment"


# --- peek_plugins ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("plugins: [acme_crm, acme.sinks]\n", ("acme_crm", "acme.sinks")),
        ("plugins: [acme_crm]\nsources: {s: {connector: ${MISSING}}}\nzzz: 1\n", ("acme_crm",)),
        ("plugins: ['${P}', '${MISSING}']\n", ("from_variable",)),
        ("plugins: acme_crm\n", ()),
        ("plugins: [[a], {b: c}, '', d]\n", ("d",)),
        ("plugins:\n", ()),
        ("project: a\n", ()),
        ("", ()),
        ("plugins: [a\n", ()),
        (b"\xff\xfe", ()),
    ],
)
def test_peeking_gives_the_module_names_and_never_raises(
    folder: ProjectFolder, content: str | bytes, expected: tuple[str, ...]
) -> None:
    folder.write(content)
    assert peek_plugins(folder.directory, environ={"P": "from_variable"}) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("sources: {a: {connector: csv}, b: {connector: acme}}\n", {"csv", "acme"}),
        ("sinks: {a: {sink: files}, b: {sink: ${P}}, c: {sink: ${X:-email}}}\n",
         {"files", "from_variable", "email"}),
        ("sources: {a: {connector: [csv]}, b: {}, c: ${MISSING}}\nsinks: [files]\n", set()),
        ("sources: {a: {sink: csv}}\nsinks: {b: {connector: files}}\n", set()),
        ("sources: {a: {connector: csv}\n", set()),
    ],
)  # fmt: skip
def test_peeking_gives_the_connectors_and_sinks_that_are_named(
    folder: ProjectFolder, content: str, expected: set[str]
) -> None:
    folder.write(content)
    assert peek(folder.directory, environ={"P": "from_variable"}).used == expected


def test_peeking_where_there_is_no_project_gives_nothing(tmp_path: Path) -> None:
    assert peek_plugins(tmp_path) == ()
    assert peek_plugins(tmp_path / "nowhere") == ()


def test_importing_and_peeking_load_nothing_heavy(folder: ProjectFolder) -> None:
    folder.write("plugins: [a]\n")
    code = (
        "import sys; from crmetrics.config import peek_plugins\n"
        "heavy = ('yaml', 'pydantic', 'dotenv', 'pyarrow', 'duckdb')\n"
        "print([name for name in heavy if name in sys.modules])\n"
        f"print(peek_plugins({str(folder.directory)!r}))\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "('a',)", "['yaml']"]
