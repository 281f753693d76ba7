"""DuckDB's exceptions as errors that say what happened, where, and what to do next."""

from __future__ import annotations

import re
from pathlib import Path

from crmetrics.errors import (
    CrmetricsError,
    QueryError,
    QueryTimeoutError,
    WarehouseError,
    WarehouseLockedError,
)
from crmetrics.secrets import redact
from crmetrics.warehouse.statements import first_lines

_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.*?) ?\(PID (?P<pid>\d+)")

_DISK_FULL = ("no space left", "disk quota", "file too large", "max_temp_directory_size")

_OPENING: tuple[tuple[tuple[str, ...], str], ...] = (
    (("this process holds it",), "Close the other session first, or use equal settings."),
    (
        ("there is no such file", "database does not exist"),
        "Load data first: crmetrics sync.",
    ),
    (
        ("it is a folder", "is a directory"),
        "Name a file under `warehouse:` in crmetrics.yaml, such as .crmetrics/warehouse.duckdb.",
    ),
    (
        ("not a valid duckdb database file", "external extensions", "made by another"),
        "Name another file under `warehouse:` in crmetrics.yaml, or move this one away.",
    ),
    (
        ("permission denied", "read-only file system", "operation not permitted"),
        "Give the user that runs crmetrics read and write access to the file and its folder.",
    ),
    (
        ("storage version", "newer version", "version number", "newer crmetrics"),
        "Upgrade crmetrics and duckdb to the versions that wrote it, or load into a new file.",
    ),
    (
        ("corrupt", "checksum", "could not read enough bytes", "serialization"),
        "Restore it from a backup, or move it away and load again: crmetrics sync --full.",
    ),
    (_DISK_FULL, "Free space on the disk and run the command again."),
    (
        ("timezone", "time zone"),
        "Set `reporting: timezone:` to an IANA name such as Europe/Berlin.",
    ),
    (
        ("memory", "parser error", "thread"),
        "Correct the settings under `warehouse:` in crmetrics.yaml (memory_limit such as 2GB).",
    ),
)


def opening_error(path: Path, reason: str) -> WarehouseError:
    """The file cannot be opened: why, and what to do."""
    found = redact(reason)
    lowered = found.lower()
    fitting = (advice for marks, advice in _OPENING if any(mark in lowered for mark in marks))
    advice = next(fitting, "Check the settings under `warehouse:` in crmetrics.yaml.")
    return WarehouseError(f"cannot open the warehouse {path}: {_sentence(found)} {advice}")


def is_locked(exc: Exception) -> bool:
    """True when somebody else holds the file, which may pass."""
    text = str(exc)
    return (
        "Could not set lock on file" in text
        or "being used by another process" in text
        or "with a different configuration than existing connections" in text
    )


def lock_holder(path: Path, exc: Exception) -> str:
    """Who holds the file, as a sentence."""
    text = str(exc)
    if "different configuration" in text:
        return f"The warehouse {path} is open in this process with other settings."
    match = _HOLDER.search(text)
    if match is None:
        return f"The warehouse {path} is held by another process."
    program = match["program"].strip() or "a program"
    return f"The warehouse {path} is held by {program} (PID {match['pid']})."


def locked_error(path: Path, exc: Exception, waited_s: float) -> WarehouseLockedError:
    """The file did not become free: who holds it, and what to do about it."""
    return WarehouseLockedError(
        f"{lock_holder(path, exc)} Waited {waited_s:g} s. Let it finish or end it, then run the "
        "command again; or raise `lock_timeout` under `warehouse:`."
    )


def statement_error(exc: Exception, statement: str) -> CrmetricsError:
    """A statement failed: DuckDB's message and the first lines of the statement."""
    text = redact(str(exc)).strip()
    lowered = text.lower()
    if any(mark in lowered for mark in _DISK_FULL):
        return WarehouseError(
            f"the disk is full: {_sentence(text)} Free space, or point `spill_directory` under "
            "`warehouse:` to a larger disk, and run the command again. Nothing was half-written."
        )
    if "database has been invalidated" in lowered or "corrupt database" in lowered:
        return WarehouseError(
            f"the warehouse cannot be read any further: {_sentence(text)} Run the command again; "
            "if it fails again, restore the file or load it anew: crmetrics sync --full."
        )
    message = f"{text}\nin: {redact(first_lines(statement))}"
    if "outofmemory" in lowered.replace(" ", ""):
        message += "\nRaise `memory_limit` under `warehouse:` or use fewer `threads`."
    return QueryError(message)


def timeout_error(limit_s: float, statement: str) -> QueryTimeoutError:
    return QueryTimeoutError(
        f"a statement was stopped at the limit of {limit_s:g} s. Ask for fewer periods or groups, "
        "or raise `statement_timeout` under `warehouse:`."
        f"\nin: {redact(first_lines(statement))}"
    )


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else text + "."
