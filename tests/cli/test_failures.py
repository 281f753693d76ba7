"""What a failed command says, and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from crmetrics.cli.app import App
from crmetrics.cli.options import command, global_options
from crmetrics.errors import (
    ConfigError,
    CrmetricsError,
    Finding,
    QualityError,
    SinkError,
    SourceError,
    UsageError,
    WarehouseError,
)
from crmetrics.secrets import Secret

TOKEN = Secret("s3cr3t-token-of-the-tests")


def fail_with(error: BaseException, *options: str) -> Result:
    """The program with one command, `go`, that raises `error`."""

    @command("go")
    def go() -> None:
        raise error

    app = App("crmetrics", targets={}, params=global_options())
    app.add_command(go)
    return CliRunner().invoke(app, [*options, "go"], prog_name="crmetrics")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CrmetricsError("x"), 1),
        (WarehouseError("x"), 1),
        (UsageError("x"), 2),
        (ConfigError("x"), 2),
        (SourceError("x"), 3),
        (SinkError("x"), 5),
        (QualityError("x"), 7),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.exceptions.Exit(4), 4),
        (ValueError("x"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert fail_with(error).exit_code == code


def test_a_deliberate_error_is_one_line_without_traceback() -> None:
    result = fail_with(UsageError("there is no KPI 'win_rat'. Did you mean 'win_rate'?"))
    assert result.stderr == "Error: there is no KPI 'win_rat'. Did you mean 'win_rate'?\n"
    assert result.stdout == ""


def test_every_finding_is_a_line_with_its_place() -> None:
    findings = [
        Finding("unknown key 'sorces'.", "crmetrics.yaml", 4, 1, "Did you mean 'sources'?"),
        Finding("a message\n  of two lines", "metrics/own.yaml", 7),
    ]
    assert fail_with(ConfigError(findings=findings)).stderr.splitlines() == [
        "crmetrics.yaml:4:1: unknown key 'sorces'. Did you mean 'sources'?",
        "metrics/own.yaml:7: a message of two lines",
    ]


def test_a_message_beside_the_findings_is_shown_too() -> None:
    error = ConfigError("2 problems.", findings=[Finding("one"), Finding("two")])
    assert fail_with(error).stderr.splitlines() == ["Error: 2 problems.", "one", "two"]


def test_an_unexpected_error_is_one_line_that_names_v() -> None:
    result = fail_with(KeyError("opportunities\nand more"))
    assert len(result.stderr.splitlines()) == 1
    assert "KeyError" in result.stderr
    assert "Run with -v for the traceback." in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("error", [KeyError("x"), SourceError("x")])
def test_v_shows_the_traceback(error: Exception) -> None:
    assert "Traceback (most recent call last)" in fail_with(error, "-v").stderr


@pytest.mark.parametrize(
    "error",
    [
        SourceError(f"401 for Bearer {TOKEN.reveal()}"),
        ConfigError(findings=[Finding(f"bad value {TOKEN.reveal()}", "crmetrics.yaml", 1)]),
        RuntimeError(f"https://x/?key={TOKEN.reveal()}"),
        click.UsageError(f"no such thing {TOKEN.reveal()}"),
    ],
)
@pytest.mark.parametrize("options", [(), ("-v",), ("--log-format", "json")])
def test_a_secret_in_an_error_is_masked(error: Exception, options: tuple[str, ...]) -> None:
    result = fail_with(error, *options)
    assert TOKEN.reveal() not in result.output
    assert "********" in result.output


def test_json_logs_give_one_object_per_finding() -> None:
    error = ConfigError(findings=[Finding("unknown key.", "crmetrics.yaml", 4, 1, "Remove it.")])
    line = json.loads(fail_with(error, "--log-format", "json").stderr)
    assert (line["level"], line["file"], line["line"], line["column"], line["hint"]) == (
        "error",
        "crmetrics.yaml",
        4,
        1,
        "Remove it.",
    )


@pytest.mark.parametrize("arguments", [["--no-such"], ["nothing"], ["query"], ["query", "--form"]])
def test_wrong_usage_exits_with_2(call: Callable[..., Result], arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert "Usage: crmetrics" in result.stderr
    assert result.stdout == ""


def test_a_mistyped_command_gets_a_suggestion(call: Callable[..., Result]) -> None:
    assert "Did you mean 'query'?" in call("qery").stderr


@pytest.mark.parametrize("arguments", [["completion", "bash"], ["list", "datasets"], ["--help"]])
def test_a_reader_that_leaves_is_not_worth_a_word(arguments: list[str], tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "crmetrics", *arguments],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        cwd=tmp_path,
    )
    os.close(write)
    assert done.returncode != 0
    assert done.stderr == b""


def test_a_closed_standard_error_does_not_stop_the_work(tmp_path: Path) -> None:
    code = (
        "import os\n"
        "from crmetrics.cli.console import Console\n"
        "os.close(2)\n"
        "Console().note('loading')\n"
        "Console().print('result')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.stdout == b"result\n"
