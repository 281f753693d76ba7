"""One process at a time: locks beside the warehouse, freed by the system when their holder dies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from crmetrics.errors import JobBusyError


@contextmanager
def alone(directory: Path, name: str, what: str, *, wait_s: float, advice: str) -> Iterator[None]:
    """Hold the lock `name` of a project while the block runs.

    directory: where the locks of the project lie. what: what is locked, as the message says it
    (`job 'weekly'`); advice: what to do about it. wait_s: how long to wait for another process.
    Raises JobBusyError, with the holder, when it is still at it.
    """
    import filelock

    directory.mkdir(parents=True, exist_ok=True)
    holder = directory / f"{name}.holder"
    try:
        with filelock.FileLock(directory / f"{name}.lock", timeout=wait_s):
            started = datetime.now(UTC).isoformat(timespec="seconds")
            holder.write_text(json.dumps({"pid": os.getpid(), "since": started}))
            try:
                yield
            finally:
                holder.unlink(missing_ok=True)
    except filelock.Timeout:
        raise JobBusyError(
            f"{what} is already running{_told(holder)}; waited {wait_s:g} s. {advice}"
        ) from None


def _told(holder: Path) -> str:
    """Who holds a lock, as far as it said so."""
    try:
        known = json.loads(holder.read_text())
        return f" (process {known['pid']}, since {known['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
