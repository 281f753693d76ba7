"""What reaches standard output and standard error, and what never does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Call = Callable[..., Result]
Start = Callable[..., "subprocess.CompletedProcess[str]"]
PART = "Xs3cr3tXofXtheXtestsX"
WEBHOOK = f"https://hooks.slack.com/services/T000/B000/{PART}"


@pytest.fixture
def chatty(project: Path) -> Path:
    """The project with a chat sink whose address is a secret of the environment."""
    file = project / "crmetrics.yaml"
    text = file.read_text("utf-8").replace(
        "sinks:\n", "sinks:\n  chat: {sink: slack, webhook_url: '${TEAM_WEBHOOK}'}\n"
    )
    file.write_text(text.replace("sinks: [reports]", "sinks: [reports, chat]"), encoding="utf-8")
    return project


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "--json"],
        ["plan"],
        ["list", "jobs", "--format", "json"],
        ["explain", "win_rate", "--json"],
        ["run", "--dry-run", "--date", "2024-01-31"],
        ["run", "--dry-run", "--date", "2024-01-31", "--json"],
        ["query", "no_such_kpi"],
    ],
    ids=" ".join,
)
def test_a_secret_is_never_shown(
    call: Call, chatty: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_WEBHOOK", WEBHOOK)
    result = call("-vv", "-C", chatty, *arguments)
    assert result.output
    assert PART not in result.output


def test_a_missing_variable_is_a_finding_that_names_it(call: Call, chatty: Path) -> None:
    result = call("-C", chatty, "run")
    assert result.exit_code == 2
    assert "TEAM_WEBHOOK" in result.stderr
    assert result.stderr.startswith("crmetrics.yaml:")


def test_json_logs_are_objects_line_by_line(call: Call, project: Path) -> None:
    result = call("--json", "-C", project, "sync")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {"ts", "level", "logger", "message"} <= set(lines[0])
    assert ("opportunities", 8) in {(line.get("dataset"), line.get("records")) for line in lines}


def test_the_logs_of_the_engine_have_the_same_form(call: Call, project: Path) -> None:
    result = call("--log-format", "json", "-vv", "-C", project, "sync")
    loggers = {json.loads(line)["logger"] for line in result.stderr.splitlines()}
    assert "crmetrics.cli" in loggers


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_narrow_terminal_encoding_never_breaks_a_table(
    start: Start, project: Path, encoding: str
) -> None:
    users = project / "data" / "users.csv"
    users.write_text(users.read_text("utf-8").replace("EMEA", "東京"), encoding="utf-8")
    done = start(
        "-C", project, "query", "win_rate", "--period", "2024-01", "--by", "owner.team",
        PYTHONIOENCODING=encoding,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "100.0 %" in done.stdout


def test_data_is_utf8_whatever_the_locale(start: Start, project: Path) -> None:
    users = project / "data" / "users.csv"
    users.write_text(users.read_text("utf-8").replace("EMEA", "東京"), encoding="utf-8")
    done = start(
        "-C", project, "query", "win_rate", "--period", "2024-01", "--by", "owner.team",
        "--format", "json", PYTHONIOENCODING="ascii",
    )  # fmt: skip
    assert "東京" in {row["segment"]["owner.team"] for row in json.loads(done.stdout)}


def test_schema_is_one_document(call: Call, tmp_path: Path) -> None:
    document = json.loads(call("-C", tmp_path, "schema").stdout)
    assert {"sources", "metrics", "jobs"} <= set(document["properties"])


def test_schema_can_be_a_file(call: Call, tmp_path: Path) -> None:
    result = call("-C", tmp_path, "schema", "-o", tmp_path / "s.json")
    assert result.stdout == ""
    assert json.loads((tmp_path / "s.json").read_text("utf-8"))
