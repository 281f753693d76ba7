"""The foreground scheduler: starts each job when it is due, one after the other.

Jobs of one project share its warehouse, which one process writes at a time, so they run in turn. A
job that is due again while it runs or waits starts once: it reports every period that it missed.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from crmetrics.config.cron import Cron
from crmetrics.errors import ConfigError, ExitCode
from crmetrics.schedule.firing import firings, next_firing
from crmetrics.schedule.memory import JobMemory, Memory, Phase, ScheduleState

log = logging.getLogger(__name__)

HEARTBEAT_S = 30.0
"""The longest sleep: how soon a changed clock, a changed file or a stop is noticed."""

DONE = (ExitCode.OK, ExitCode.PARTIAL, ExitCode.GOALS)
"""How a run ends that did what it should: the numbers went out, whatever they say."""

HOPELESS = (ExitCode.USAGE,)
"""How a run ends whose repeat changes nothing until somebody changes the project."""

_ENDED = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """A job and when it starts.

    jitter: a start is delayed by up to this much, at random. misfire_grace: a start that is late by
    more than this is left out; None = it is never too late. retries: how often a failed run is
    repeated, first after `retry_after`, then after twice as long each time.
    """

    name: str
    cron: Cron
    jitter: timedelta = timedelta()
    misfire_grace: timedelta | None = None
    retries: int = 0
    retry_after: timedelta = timedelta(minutes=10)
    time_limit: timedelta | None = None


class Launch(Protocol):
    """Runs a job to its end and gives its exit code; calls `beat` at least every 30 seconds."""

    def __call__(self, job: ScheduledJob, beat: Callable[[], None]) -> int: ...


@dataclass(frozen=True, slots=True)
class _Next:
    """The next start of a job: the firing it serves, when it starts, and which attempt it is."""

    firing: datetime
    at: datetime
    attempt: int = 0


class Scheduler:
    """The loop. now, wait and chance are its clock, its sleep and its dice.

    jobs: called before each look at the clock, so that a changed project file counts; it gives the
    same sequence as long as nothing changed. before: what an earlier scheduler of the project left;
    a firing that was missed since then is served at once.
    """

    def __init__(
        self,
        jobs: Callable[[], Sequence[ScheduledJob]],
        zone: Callable[[], ZoneInfo],
        launch: Launch,
        memory: Memory,
        *,
        before: ScheduleState | None = None,
        now: Callable[[], datetime],
        wait: Callable[..., object],
        chance: Callable[[], float] = random.random,
        pid: int = 0,
        tell: Callable[[str], None] = log.info,
    ) -> None:
        self._jobs, self._zone, self._launch, self._memory = jobs, zone, launch, memory
        self._now, self._wait, self._chance, self._tell = now, wait, chance, tell
        self._nexts: dict[str, _Next] = {}
        self._known: dict[str, ScheduledJob] = {}
        self._has_written = False
        self.state = ScheduleState("waiting", pid, jobs=dict(before.jobs) if before else {})

    def run(self, is_stopping: Callable[[], bool]) -> None:
        """Until asked to stop; the state is written before, between and after."""
        try:
            while not is_stopping():
                self.step()
        finally:
            self._write("stopped")

    def step(self) -> None:
        """Start the job that has been due longest; sleep when there is none."""
        self._look_at_jobs()
        now = self._now()
        due = min(self._nexts.items(), key=lambda item: (item[1].at, item[0]), default=None)
        if due is not None and due[1].at <= now:
            self._serve(self._known[due[0]], due[1], now)
            return
        self._write("waiting")
        pause_s = (due[1].at - now).total_seconds() if due is not None else HEARTBEAT_S
        self._wait(min(pause_s, HEARTBEAT_S))

    # --- what is next ------------------------------------------------------------------------

    def _look_at_jobs(self) -> None:
        """Take up new and changed jobs, forget those that are gone."""
        found = {job.name: job for job in self._jobs()}
        for name in self._known.keys() - found.keys():
            del self._nexts[name]
            self._tell(f"{name} is no longer scheduled.")
        for name, job in found.items():
            if self._known.get(name) != job:
                self._plan(job, self._served_until(job))
        self._known = found
        # Else a job that is gone would be unhealthy for ever.
        kept = {name: memory for name, memory in self.state.jobs.items() if name in found}
        self.state = replace(self.state, jobs=kept)

    def _served_until(self, job: ScheduledJob) -> datetime:
        """Firings after this instant are owed; for a job that is new, those from now on."""
        now = self._now()
        served = self.state.jobs.get(job.name, JobMemory()).served_until
        if served is None or served > now:
            # A clock that was set back must not silence a job until it has caught up.
            self.state = self.state.with_job(job.name, served_until=now)
            return now
        return served

    def _plan(self, job: ScheduledJob, after: datetime) -> None:
        firing = next_firing(job.cron, self._zone(), after)
        start = firing + job.jitter * self._chance()
        self._set(job, _Next(firing, start))
        self._tell(f"{job.name} starts next at {start.astimezone(self._zone()):%Y-%m-%d %H:%M %Z}.")

    def _set(self, job: ScheduledJob, following: _Next) -> None:
        self._nexts[job.name] = following
        self.state = self.state.with_job(job.name, next_start=following.at)

    # --- serving -----------------------------------------------------------------------------

    def _serve(self, job: ScheduledJob, start: _Next, now: datetime) -> None:
        """One start; it serves the firings that passed meanwhile as well."""
        missed = list(firings(job.cron, self._zone(), start.firing, now))
        latest = missed[-1] if missed else start.firing
        late = now - max(latest, start.at)
        if job.misfire_grace is not None and late > job.misfire_grace:
            log.warning("job %s: the start of %s is left out, %s late", job.name, latest, late)
            self.state = self.state.with_job(job.name, served_until=latest)
            self._plan(job, latest)
            return
        self.state = self.state.with_job(job.name, started_at=now, next_start=None)
        self._write("running", job.name)
        self._tell(f"{job.name} starts.")
        code = self._launch(job, lambda: self._write("running", job.name))
        ended = self._now()
        failures = 0 if code in DONE else self.state.jobs[job.name].failures + 1
        self.state = self.state.with_job(
            job.name, finished_at=ended, exit_code=code, failures=failures
        )
        if not (self._may_repeat(job, start, code) or code in _ENDED):
            # Only now: a scheduler that ends while the job runs, or before a run that failed is
            # repeated, owes it still.
            self.state = self.state.with_job(job.name, served_until=latest)
        level = logging.INFO if code in DONE else logging.ERROR
        log.log(level, "job %s ended with exit code %d", job.name, code)
        self._plan_after(job, replace(start, firing=latest), code, ended)
        self._write("waiting")

    def _plan_after(self, job: ScheduledJob, start: _Next, code: int, ended: datetime) -> None:
        self._plan(job, start.firing)
        if not self._may_repeat(job, start, code):
            return
        again = ended + job.retry_after * 2**start.attempt
        # The next firing serves the failed one as well.
        if again < self._nexts[job.name].at:
            self._tell(f"{job.name} is tried again at {again.astimezone(self._zone()):%H:%M %Z}.")
            self._set(job, _Next(start.firing, again, start.attempt + 1))

    @staticmethod
    def _may_repeat(job: ScheduledJob, start: _Next, code: int) -> bool:
        return code not in DONE and code not in HOPELESS and start.attempt < job.retries

    def _write(self, phase: Phase, running: str = "") -> None:
        """Raises ConfigError when the state cannot be kept from the start. Later a disk that is
        full for a while must not silence the jobs, and who watches sees the state grow old."""
        self.state = replace(self.state, phase=phase, running=running, seen_at=self._now())
        try:
            self._memory.write(self.state)
        except OSError as exc:
            if not self._has_written:
                raise ConfigError(f"the scheduler's state cannot be kept: {exc}") from exc
            log.warning("the scheduler's state could not be kept, the jobs go on: %s", exc)
        self._has_written = True


def problems(
    state: ScheduleState | None, now: datetime, max_age: timedelta
) -> Mapping[str, str] | None:
    """What is wrong with a scheduler, by job ("" = the scheduler itself); None = all is well."""
    if state is None or state.seen_at is None:
        return {"": "no scheduler has run in this project. Start one: crmetrics schedule"}
    if state.phase == "stopped":
        return {"": "the scheduler was stopped. Start it again: crmetrics schedule"}
    if now - state.seen_at > max_age:
        return {
            "": f"the scheduler was last seen {now - state.seen_at} ago. If its process is gone or "
            "hangs, start it again: crmetrics schedule"
        }
    failing = {
        name: f"failed {job.failures} times in a row, last with exit code {job.exit_code}. "
        f"Look at the log, or run it by hand: crmetrics run {name}"
        for name, job in state.jobs.items()
        if job.failures
    }
    return failing or None
