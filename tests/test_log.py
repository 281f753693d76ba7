"""Log lines: their form, and that no secret stands in them."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from crmetrics import log
from crmetrics.errors import UsageError
from crmetrics.secrets import Secret


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _json_line(stream: io.StringIO) -> dict[str, str]:
    (line,) = stream.getvalue().splitlines()
    found: dict[str, str] = json.loads(line)
    return found


def test_a_json_line_has_time_level_logger_message_and_run() -> None:
    stream = io.StringIO()
    log.configure("info", json=True, stream=stream)
    token = log.run_id.set("run-7")
    record = logging.LogRecord("crmetrics.extract", logging.INFO, "x.py", 1, "%d rows", (3,), None)
    record.created = 1_767_600_000.25
    logging.getLogger("crmetrics.extract").handle(record)
    log.run_id.reset(token)
    assert _json_line(stream) == {
        "ts": "2026-01-05T08:00:00.250Z",
        "level": "info",
        "logger": "crmetrics.extract",
        "message": "3 rows",
        "run_id": "run-7",
    }


@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_is_masked_wherever_it_stands_in_a_record(as_json: bool) -> None:
    # A quote and a backslash: in JSON they are escaped, so masking the finished line would miss it.
    secret = Secret('p"ss\\w0rd-of-the-log-test')
    stream = io.StringIO()
    log.configure("debug", json=as_json, stream=stream)
    logger = logging.getLogger("crmetrics_test_plugin")
    try:
        raise ValueError(f"401 for {secret.reveal()}")
    except ValueError:
        logger.exception("login with %s failed", secret.reveal(), stack_info=True)
    text = stream.getvalue()
    assert "w0rd-of-the-log-test" not in text
    assert text.count("********") >= 2


def test_records_below_the_level_are_dropped() -> None:
    stream = io.StringIO()
    log.configure("warning", stream=stream)
    logging.getLogger("crmetrics.x").info("quiet")
    logging.getLogger("crmetrics.x").warning("loud")
    (line,) = stream.getvalue().splitlines()
    assert line.endswith("warning crmetrics.x: loud")


def test_configuring_again_replaces_the_handler() -> None:
    first, second = io.StringIO(), io.StringIO()
    log.configure("warning", stream=first)
    log.configure("warning", stream=second)
    logging.getLogger("crmetrics.x").warning("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_the_default_stream_is_the_standard_error_of_the_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log.configure("warning")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logging.getLogger("crmetrics.x").warning("here")
    assert "here" in stream.getvalue()


def test_a_badly_formatted_record_is_still_seen() -> None:
    stream = io.StringIO()
    log.configure("warning", json=True, stream=stream)
    record = logging.LogRecord("x", logging.WARNING, "x.py", 1, "%d rows", ("many",), None)
    logging.getLogger().handlers[-1].handle(record)
    assert "many" in _json_line(stream)["message"]


def test_an_unknown_level_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"unknown log level 'warn1ng'\. Did you mean 'warning'"):
        log.configure("warn1ng")


def test_importing_crmetrics_configures_no_logging() -> None:
    code = (
        "import logging, crmetrics, crmetrics.log, crmetrics.loader, crmetrics.plugin\n"
        "assert not logging.getLogger().handlers\n"
        "assert not logging.getLogger('crmetrics').handlers\n"
        "assert logging.getLogger('crmetrics').level == logging.NOTSET\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
