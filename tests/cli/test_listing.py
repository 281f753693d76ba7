"""`crmetrics list` and `crmetrics plugins`, in a folder without a project."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Call = Callable[..., Result]


def entries(call: Call, folder: Path, what: str, *options: str) -> list[dict[str, Any]]:
    result = call("-C", folder, "list", what, "--format", "json", *options)
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_all_27_datasets_are_listed_with_their_columns(call: Call, tmp_path: Path) -> None:
    datasets = {entry["name"]: entry for entry in entries(call, tmp_path, "datasets")}
    assert len(datasets) == 27
    assert datasets["exchange_rates"]["key"] == ["currency", "valid_from"]
    assert "close_date" in datasets["opportunities"]["columns"]


def test_search_finds_entries_that_hold_every_word(call: Call, tmp_path: Path) -> None:
    found = entries(call, tmp_path, "datasets", "--search", "SURVEY sent_at")
    assert [entry["name"] for entry in found] == ["survey_responses"]


def test_kpis_are_found_by_the_question_they_answer(call: Call, tmp_path: Path) -> None:
    found = entries(call, tmp_path, "kpis", "--search", "what share did we win")
    by_id = {entry["id"]: entry for entry in found}
    assert by_id["win_rate"]["pack"] == "sales"
    assert "by_amount" in by_id["win_rate"]["variants"]
    assert "won_amount" not in by_id


def test_a_dimension_names_the_kpis_that_have_it(call: Call, tmp_path: Path) -> None:
    found = {entry["name"]: entry["kpis"] for entry in entries(call, tmp_path, "dimensions")}
    assert "win_rate" in found["lead_source"]


@pytest.mark.parametrize("what", ["connectors", "sinks"])
def test_built_in_connectors_and_sinks_say_what_they_do(
    call: Call, tmp_path: Path, what: str
) -> None:
    names = {"connectors": {"csv"}, "sinks": {"files", "database", "slack"}}[what]
    found = {entry["name"]: entry for entry in entries(call, tmp_path, what)}
    assert names <= set(found)
    assert all(entry["about"] and entry["options"] for entry in found.values())


def test_a_broken_plugin_is_listed_with_its_error(call: Call, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "bad.py").write_text("import no_such_module\n")
    result = call("-C", tmp_path, "plugins", "--format", "csv")
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(result.stdout))}
    assert rows["bad"]["state"] == "quarantined"
    assert "no_such_module" in rows["bad"]["error"]
    assert rows["sales"]["state"] == "loaded"


def test_plugins_is_the_same_as_list_plugins(call: Call, tmp_path: Path) -> None:
    assert call("-C", tmp_path, "plugins").stdout == call("-C", tmp_path, "list", "plugins").stdout


def test_connectors_tell_of_plugins_that_could_have_brought_one(call: Call, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "bad.py").write_text("import no_such_module\n")
    assert "In quarantine: bad." in call("-C", tmp_path, "list", "connectors").stderr


def test_nothing_found_is_said_and_is_no_error(call: Call, tmp_path: Path) -> None:
    result = call("-C", tmp_path, "list", "datasets", "--search", "zebra")
    assert result.exit_code == 0
    assert result.stderr == "No datasets match 'zebra'.\n"
    assert result.stdout.splitlines()[0].split() == ["name", "about"]


def test_the_table_is_stable_plain_text(
    call: Call, tmp_path: Path, golden: Callable[[str, str], None]
) -> None:
    golden("cli/list_datasets.txt", call("-C", tmp_path, "list", "datasets").stdout)


def test_jobs_need_a_project(call: Call, tmp_path: Path) -> None:
    result = call("-C", tmp_path, "list", "jobs")
    assert result.exit_code == 2
    assert "crmetrics init" in result.stderr
