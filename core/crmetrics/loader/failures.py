"""Running a plugin's code so that its failure stays its own, and saying what failed where."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from msgspec import Struct

from crmetrics.errors import CrmetricsError
from crmetrics.secrets import redact

_LONGEST = 600


class Failure(Struct):
    """What came out of a piece of plugin code; `cause` is None when it went well."""

    cause: BaseException | None = None


@contextlib.contextmanager
def isolated() -> Iterator[Failure]:
    """Keep every exception of the block, `sys.exit()` included; only the user's interrupt passes.

    What the block prints goes to standard error: standard output belongs to the command's result.
    """
    failure = Failure()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield failure
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001 - a plugin may raise anything; that is the point
        failure.cause = exc


def describe(cause: BaseException, directory: Path | None = None, module: str = "") -> str:
    """The failure in one line: `file:line: what`, without secrets.

    The place is the last one in the plugin's own code (`module` and its parts) where the traceback
    has one, else the last one of all. Files below `directory` are shown relative to it.
    """
    if isinstance(cause, CrmetricsError):
        findings = [replace(f, file=_shown(f.file, directory)) for f in cause.findings]
        text = " ".join(map(str, findings)) or str(cause)
    else:
        text = _message(cause, module)
        file, line = _place(cause, module)
        if file:
            text = f"{_shown(file, directory)}:{line}: {text}"
    text = redact(" ".join(text.split()))
    return text if len(text) <= _LONGEST else text[:_LONGEST].rstrip() + " ..."


def _message(cause: BaseException, module: str) -> str:
    package = module.rpartition(".")[0]
    kind = type(cause).__name__
    if isinstance(cause, SystemExit):
        return f"it called sys.exit({cause.code!r})."
    try:
        text = str(cause.msg if isinstance(cause, SyntaxError) else cause)
    except Exception:  # noqa: BLE001 - an exception that cannot be printed is still a failure
        text = ""
    if package.startswith("_"):
        # The private package of plugins/ means nothing to the reader.
        text = text.replace(f"{package}.", "")
    message = f"{kind}: {text}" if text else kind
    if isinstance(cause, ModuleNotFoundError) and not _is_part(cause.name or "", module):
        message += ". Install what provides it beside crmetrics."
    return message


def _is_part(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _place(cause: BaseException, module: str) -> tuple[str, int]:
    if isinstance(cause, SyntaxError) and cause.filename:
        return cause.filename, cause.lineno or 1
    places = [
        (frame.f_code.co_filename, line, str(frame.f_globals.get("__name__", "")))
        for frame, line in traceback.walk_tb(cause.__traceback__)
    ]
    places = [
        place for place in places
        if not place[0].startswith("<") and not place[2].startswith(("crmetrics.", "importlib"))
    ]  # fmt: skip
    own = [place for place in places if _is_part(place[2], module)]
    file, line, _ = (own or places or [("", 0, "")])[-1]
    return file, line


def _shown(file: str, directory: Path | None) -> str:
    if directory is None or not file:
        return file
    for root in (directory, directory.resolve()):
        with contextlib.suppress(ValueError):
            return Path(file).relative_to(root).as_posix()
    return file
