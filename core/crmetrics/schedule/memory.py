"""What the scheduler remembers between its own starts, and shows to those who watch it.

One JSON file, replaced as a whole: who runs the scheduler, when it was last seen alive, and per job
the last start, its end and the next start.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from crmetrics.errors import ConfigError

Phase = Literal["waiting", "running", "stopped"]


@dataclass(frozen=True, slots=True)
class JobMemory:
    """A job's last start and its next. served_until: no earlier time of its schedule is owed;
    failures: failed runs in a row."""

    served_until: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    failures: int = 0
    next_start: datetime | None = None


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """The scheduler as a whole. seen_at: when it last wrote; running: the job that runs now."""

    phase: Phase = "stopped"
    pid: int = 0
    seen_at: datetime | None = None
    running: str = ""
    jobs: Mapping[str, JobMemory] = field(default_factory=dict)

    def with_job(self, name: str, **changes: Any) -> ScheduleState:
        changed = replace(self.jobs.get(name, JobMemory()), **changes)
        return replace(self, jobs={**self.jobs, name: changed})


class Memory(Protocol):
    """Where the state is kept."""

    def write(self, state: ScheduleState) -> None: ...


@dataclass(frozen=True, slots=True)
class HealthFile:
    """The state as a file."""

    path: Path

    def write(self, state: ScheduleState) -> None:
        """Replace the file: who reads it sees the former state or this one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(state), file, indent=2, default=_text)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def read_state(path: Path) -> ScheduleState | None:
    """The state in a file; None when there is none.

    Raises ConfigError for a file that is no state: it is left for somebody to look at.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        jobs = {name: _job(job) for name, job in found["jobs"].items()}
        return ScheduleState(
            found["phase"], found["pid"], _instant(found["seen_at"]), found["running"], jobs
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ConfigError(
            f"{path} is no state of the scheduler ({type(exc).__name__}). "
            "Delete it; missed starts before now are then not made up for."
        ) from None


def _job(found: Mapping[str, Any]) -> JobMemory:
    instants = ("served_until", "started_at", "finished_at", "next_start")
    return JobMemory(**{**found, **{name: _instant(found[name]) for name in instants}})


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _text(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="seconds")
