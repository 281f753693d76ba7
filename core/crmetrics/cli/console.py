"""Where text goes: results to standard output, everything else to standard error.

Text for people passes through `redact`. Data for programs (CSV, JSON) is written as it is, as
UTF-8: masking could change a number.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NoReturn, TextIO

import click
from msgspec import Struct

from crmetrics.log import run_id
from crmetrics.secrets import redact

LogFormat = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

BROKEN_PIPE = 141
"""Exit code when the reader of standard output has gone, as of a program killed by SIGPIPE."""

_STYLES: dict[str, dict[str, Any]] = {
    "debug": {"dim": True},
    "info": {},
    "warning": {"fg": "yellow"},
    "error": {"fg": "red"},
}


class Console(Struct):
    """Writes for one call.

    quiet: no notes and no progress; warnings and errors stay. verbosity: 0, 1 = information and
    tracebacks, 2 = debug. log_format: how standard error is written.
    """

    quiet: bool = False
    verbosity: int = 0
    log_format: LogFormat = "text"
    no_color: bool = False

    # --- standard output ---------------------------------------------------------------------

    def print(self, text: str = "") -> None:
        """One block of text for people."""
        self._write(redact(text))

    def print_data(self, text: str) -> None:
        """A whole document for programs."""
        with self.data_stream() as stream:
            stream.write(text)

    @contextmanager
    def data_stream(self) -> Iterator[TextIO]:
        """Standard output for a document that programs read: UTF-8 whatever the locale."""
        buffer = getattr(sys.stdout, "buffer", None)
        if buffer is None:
            yield sys.stdout
            return
        sys.stdout.flush()
        # newline="": CSV brings its own line ends.
        stream = io.TextIOWrapper(buffer, encoding="utf-8", newline="")
        try:
            yield stream
            stream.flush()
        except BrokenPipeError:
            _leave_closed_pipe()
        finally:
            # A wrapper that is left to itself closes standard output.
            stream.detach()

    def _write(self, text: str) -> None:
        try:
            click.echo(text, color=self._color)
        except BrokenPipeError:
            _leave_closed_pipe()
        except UnicodeEncodeError:
            encoding = sys.stdout.encoding or "ascii"
            click.echo(text.encode(encoding, "replace"), color=self._color)

    @property
    def is_terminal(self) -> bool:
        """True when results are read by a person: tables may use colour and the full width."""
        return sys.stdout.isatty()

    @property
    def shows_progress(self) -> bool:
        """True when a progress bar fits: a terminal, text logs, not quiet."""
        return sys.stderr.isatty() and self.log_format == "text" and not self.quiet

    @property
    def _color(self) -> bool | None:
        return False if self.has_no_color else None

    @property
    def has_no_color(self) -> bool:
        """True with `--no-color` or a non-empty NO_COLOR (https://no-color.org)."""
        return self.no_color or bool(os.environ.get("NO_COLOR"))

    # --- standard error ----------------------------------------------------------------------

    def note(self, text: str, **facts: Any) -> None:
        """What is going on; nothing the caller needs to act on."""
        if not self.quiet:
            self.log("info", text, **facts)

    def warn(self, text: str, **facts: Any) -> None:
        """Something the reader of the numbers should know."""
        self.log("warning", text, **facts)

    def error(self, text: str, **facts: Any) -> None:
        """Why the command fails."""
        self.log("error", text, **facts)

    def log(self, level: Level, text: str, **facts: Any) -> None:
        """One line of standard error; `facts` are shown in JSON only.

        Never fails: a closed standard error must not stop a run halfway through its deliveries.
        """
        line = redact(text)
        if self.log_format == "json":
            line = _json_line(level, line, facts)
        elif _STYLES[level] and not self.has_no_color:
            line = click.style(line, **_STYLES[level])
        try:
            click.echo(line, err=True, color=self._color)
        except UnicodeEncodeError:
            click.echo(line.encode("ascii", "backslashreplace"), err=True)
        except (OSError, ValueError):
            return


def _leave_closed_pipe() -> NoReturn:
    """The reader has gone (`| head`): end without a word."""
    # Python flushes standard output at exit and would complain once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise click.exceptions.Exit(BROKEN_PIPE) from None


def _json_line(level: Level, text: str, facts: dict[str, Any]) -> str:
    """One object in the form of `crmetrics.log.JsonLines`, with the facts behind."""
    import json
    from datetime import UTC, datetime

    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    known = {key: value for key, value in facts.items() if value not in ("", None)}
    document = {"ts": now, "level": level, "logger": "crmetrics.cli", "message": text}
    document["run_id"] = run_id.get()
    return json.dumps({**document, **redact_leaves(known)}, ensure_ascii=False, default=str)


def redact_leaves(value: Any) -> Any:
    """A JSON-like value with every text masked; numbers, keys and shape stay."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redact_leaves(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_leaves(item) for item in value]
    return value
