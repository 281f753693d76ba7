"""Runs of jobs as processes of their own, for the scheduler: what a run does to its process (a
crash, a leak, a hang) does not reach the next one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from crmetrics import stopping
from crmetrics.cli.console import Console
from crmetrics.cli.session import Session

if TYPE_CHECKING:
    from crmetrics.schedule import ScheduledJob

_BEAT_S = 10.0
_GRACE_S = 120.0
"""How long a run that is asked to end may go on sending what it has begun to send."""


class ChildRuns(Struct, frozen=True):
    """Starts `crmetrics run JOB` and waits for its end; ends it when the program is to end."""

    session: Session

    def __call__(self, job: ScheduledJob, beat: Callable[[], None]) -> int:
        process = subprocess.Popen(self._command(job.name))
        limit_s = job.time_limit.total_seconds() if job.time_limit else None
        began, asked = time.monotonic(), 0.0
        try:
            while process.poll() is None:
                beat()
                self._wait(process, limit_s, began)
                elapsed = time.monotonic() - began
                is_late = limit_s is not None and elapsed >= limit_s
                if (stopping.is_asked() or is_late) and not asked:
                    if is_late:
                        self._say(f"job {job.name} takes longer than its time limit; it is ended")
                    process.terminate()
                    asked = time.monotonic()
                elif asked and time.monotonic() - asked > _GRACE_S:
                    process.kill()
        except BaseException:
            process.kill()
            process.wait()
            raise
        code = process.returncode
        return code if code >= 0 else 128 - code

    def _wait(self, process: subprocess.Popen[bytes], limit_s: float | None, began: float) -> None:
        """Until the process ends, somebody asks to stop, the limit is over, or a beat is due."""
        until = time.monotonic() + _BEAT_S
        if limit_s is not None and began + limit_s > time.monotonic():
            until = min(until, began + limit_s)
        was_asked = stopping.is_asked()
        while time.monotonic() < until and stopping.is_asked() == was_asked:
            try:
                process.wait(timeout=0.2)
                return
            except subprocess.TimeoutExpired:
                continue

    def _command(self, job: str) -> list[str]:
        console: Console = self.session.console
        options = ["-C", str(self.session.directory), "--log-format", console.log_format]
        if console.quiet:
            options.append("--quiet")
        options += ["-v"] * console.verbosity
        return [sys.executable, "-m", "crmetrics", *options, "run", job]

    def _say(self, text: str) -> None:
        self.session.console.warn(text)
