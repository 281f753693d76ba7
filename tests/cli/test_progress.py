"""Progress of loading on standard error."""

from __future__ import annotations

import json

import pytest

from crmetrics import log
from crmetrics.cli.console import Console
from crmetrics.cli.progress import PlainProgress, reading_progress


def test_each_dataset_gets_one_line_when_it_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    with reading_progress(Console()) as tell:
        assert tell is not None
        tell("crm", "accounts", 100_000)
        tell("crm", "accounts", 200_000)
        tell("crm", "leads", 5)
    assert capsys.readouterr().err.splitlines() == [
        "crm.accounts: 200,000 records",
        "crm.leads: 5 records",
    ]


def test_a_long_dataset_is_told_of_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter([0.0, 4.0, 11.0, 11.0, 12.0, 13.0])
    progress = PlainProgress(Console(), clock=lambda: next(seconds))
    for records in (1, 2, 3):
        progress("crm", "accounts", records)
    assert capsys.readouterr().err == "crm.accounts: 2 records so far\n"


def test_nothing_read_gives_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with reading_progress(Console()):
        pass
    assert capsys.readouterr().err == ""


def test_quiet_wants_no_progress() -> None:
    with reading_progress(Console(quiet=True)) as tell:
        assert tell is None


def test_json_logs_hold_the_count_as_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    with reading_progress(Console(log_format="json")) as tell:
        assert tell is not None
        tell("crm", "accounts", 1_000)
    line = json.loads(capsys.readouterr().err)
    assert (line["source"], line["dataset"], line["records"]) == ("crm", "accounts", 1_000)


def test_json_logs_name_the_run_also_of_the_dataset_that_was_read_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with reading_progress(Console(log_format="json")) as tell:
        assert tell is not None
        token = log.run_id.set("run-1")
        tell("crm", "accounts", 1)
        tell("crm", "leads", 2)
        log.run_id.reset(token)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["dataset"], line["run_id"]) for line in lines] == [
        ("accounts", "run-1"),
        ("leads", "run-1"),
    ]
