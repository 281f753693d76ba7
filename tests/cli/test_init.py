"""`crmetrics init`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result

Call = Callable[..., Result]
FILES = {
    "crmetrics.yaml",
    ".env.example",
    ".gitignore",
    "data/accounts.csv",
    "data/opportunities.csv",
    "data/users.csv",
}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_project_is_made_and_the_next_commands_are_shown(call: Call, tmp_path: Path) -> None:
    result = call("init", tmp_path / "acme")
    assert result.exit_code == 0
    assert files(tmp_path / "acme") == FILES
    assert result.stdout.splitlines() == [
        "Next:",
        f"  crmetrics -C {tmp_path / 'acme'} check",
        f"  crmetrics -C {tmp_path / 'acme'} run",
    ]


def test_a_folder_with_a_space_is_quoted_for_the_shell(call: Call, tmp_path: Path) -> None:
    assert f"-C '{tmp_path / 'my crm'}' check" in call("init", tmp_path / "my crm").stdout


def test_without_a_folder_it_is_the_project_folder(call: Call, tmp_path: Path) -> None:
    assert call("-C", tmp_path, "init").exit_code == 0
    assert files(tmp_path) == FILES


def test_the_project_bears_the_name_of_its_folder_or_the_one_given(
    call: Call, tmp_path: Path
) -> None:
    call("init", tmp_path / "acme")
    call("init", tmp_path / "b", "--name", 'Ünïcode: "x" #1', "--currency", "eur")
    first, second = (
        yaml.safe_load((tmp_path / name / "crmetrics.yaml").read_text("utf-8"))
        for name in ("acme", "b")
    )
    assert first["project"] == "acme"
    assert second["project"] == 'Ünïcode: "x" #1'
    assert second["reporting"]["currency"] == "EUR"


def test_nothing_is_overwritten_and_nothing_is_half_written(call: Call, tmp_path: Path) -> None:
    (tmp_path / "crmetrics.yaml").write_text("mine")
    result = call("init", tmp_path)
    assert result.exit_code == 2
    assert "crmetrics.yaml" in result.stderr
    assert "--force" in result.stderr
    assert files(tmp_path) == {"crmetrics.yaml"}
    assert (tmp_path / "crmetrics.yaml").read_text() == "mine"


def test_force_overwrites(call: Call, tmp_path: Path) -> None:
    (tmp_path / "crmetrics.yaml").write_text("mine")
    assert call("init", tmp_path, "--force").exit_code == 0
    assert (tmp_path / "crmetrics.yaml").read_text() != "mine"


def test_nothing_is_asked_without_a_terminal(call: Call, tmp_path: Path) -> None:
    result = call("init", tmp_path / "acme", input="other\n")
    assert result.exit_code == 0
    assert "Name of the project" not in result.output


@pytest.mark.parametrize(
    ("option", "value"),
    [("--timezone", "Mars/Olympus"), ("--timezone", "../etc"), ("--currency", "EURO")],
)
def test_a_zone_or_currency_that_does_not_exist_is_refused(
    call: Call, tmp_path: Path, option: str, value: str
) -> None:
    result = call("init", tmp_path / "acme", option, value)
    assert result.exit_code == 2
    assert value in result.stderr
    assert not (tmp_path / "acme").exists()


def test_a_file_in_the_place_of_the_folder_is_a_usage_error(call: Call, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    result = call("init", tmp_path)
    assert result.exit_code == 2
    assert "cannot write" in result.stderr
