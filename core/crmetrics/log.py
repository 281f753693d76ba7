"""Logging of the command line: plain lines or JSON lines, never a secret.

Importing crmetrics configures nothing; an application that embeds it keeps its own logging and may
add `RedactSecrets` to its handlers.
"""

from __future__ import annotations

import json as json_module
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO

from crmetrics.errors import UsageError, did_you_mean
from crmetrics.secrets import redact

run_id: ContextVar[str] = ContextVar("crmetrics_run_id", default="")
"""The run that the current thread works for; set it where a run begins. Empty = none."""

_ATTRIBUTE = "_crmetrics_run_id"

LEVELS = ("debug", "info", "warning", "error", "critical")


@contextmanager
def of_run(run: str) -> Iterator[None]:
    """Inside, what is logged belongs to this run; empty = to the one before, if any."""
    token = run_id.set(run or run_id.get())
    try:
        yield
    finally:
        run_id.reset(token)


def mark(error: BaseException, run: str) -> None:
    """Remember which run an error ended, for those who tell it later."""
    setattr(error, _ATTRIBUTE, run)


def run_of(error: BaseException | None) -> str:
    """The run that an error ended; empty when it ended none."""
    return getattr(error, _ATTRIBUTE, "")


class RedactSecrets(logging.Filter):
    """Masks every known secret in a record, the text of its exception included.

    It belongs on a handler: a logger's own filters do not see the records of its children.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(_text(record))
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


class JsonLines(logging.Formatter):
    """One JSON object per record: ts (UTC), level, logger, message, run_id; exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "ts": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _text(record),
            "run_id": run_id.get(),
        }
        if record.exc_text:
            entry["exception"] = record.exc_text
        elif record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json_module.dumps(entry, ensure_ascii=False)


class PlainLines(logging.Formatter):
    """`2026-01-05T08:00:00.000Z warning crmetrics.loader: message`, a traceback below it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return f"{_timestamp(record)} {record.levelname.lower()} {record.name}: {record.message}"


class _StreamHandler(logging.StreamHandler[IO[str]]):
    """Writes to the stream given, else to whatever `sys.stderr` is at that moment."""

    def __init__(self, stream: IO[str] | None) -> None:
        self._given = stream
        logging.Handler.__init__(self)

    @property
    def stream(self) -> IO[str]:  # type: ignore[override]
        return self._given if self._given is not None else sys.stderr


def configure(
    level: int | str = "warning", json: bool = False, stream: IO[str] | None = None
) -> None:
    """Send log records of `level` and above to `stream` (standard error by default).

    Calling it again replaces what it set up before. Raises UsageError for an unknown level.
    """
    number = _level_number(level)
    handler = _StreamHandler(stream)
    handler.setFormatter(JsonLines() if json else PlainLines())
    handler.addFilter(RedactSecrets())
    root = logging.getLogger()
    for former in [known for known in root.handlers if isinstance(known, _StreamHandler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(number)


def _level_number(level: int | str) -> int:
    if isinstance(level, int):
        return level
    if level.lower() not in LEVELS:
        hint = did_you_mean(level.lower(), LEVELS) or f"Levels: {', '.join(LEVELS)}."
        raise UsageError(f"unknown log level {level!r}. {hint}")
    return int(getattr(logging, level.upper()))


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a badly formatted record of a plugin must still be seen
        return f"{record.msg} {record.args}"


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
