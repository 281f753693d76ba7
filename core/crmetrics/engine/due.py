"""What a job owes: the last complete period, and those before it that no run has delivered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from crmetrics import state
from crmetrics.config import JobConfig
from crmetrics.config.cron import parse_cron
from crmetrics.engine.locks import alone
from crmetrics.engine.running import Loaded, RunReport, reported_period, require_known_job, run
from crmetrics.errors import CrmetricsError, ExitCode, UsageError
from crmetrics.periods import Period
from crmetrics.schedule import last_firing, next_firing
from crmetrics.secrets import redact
from crmetrics.warehouse.load import open_for_load

if TYPE_CHECKING:
    from crmetrics.engine.project import Project

log = logging.getLogger(__name__)

DELIVERED = (ExitCode.OK, ExitCode.PARTIAL)
"""How a run ends that leaves nothing to catch up."""


def run_alone(
    project: Project,
    name: str,
    *,
    day: date | str | None = None,
    dry_run: bool = False,
    resend: bool = False,
    wait_s: float | None = None,
    progress: Callable[..., None] | None = None,
) -> RunReport:
    """One period of a job, while no other process runs that job."""
    if not dry_run:
        require_known_job(project, name)
    lock = nullcontext() if dry_run else _lock(project, name, wait_s)
    with lock, project.patient(wait_s):
        return run(project, name, day=day, dry_run=dry_run, resend=resend, progress=progress)


def run_due(
    project: Project,
    name: str,
    *,
    dry_run: bool = False,
    wait_s: float | None = None,
    progress: Callable[..., None] | None = None,
) -> Iterator[RunReport]:
    """Every period that the job owes, the oldest first; the sources are read once, before the
    first. A period that fails does not keep the next from running: the next run owes it again.

    dry_run: what would be sent on all of them; nothing is recorded, and no lock is taken.
    Raises JobBusyError when another process still runs the job after `wait_s` seconds (by default
    the project's `lock_timeout`); so long at least another one that holds the warehouse is waited
    for as well. An error without a report, such as a warehouse that cannot be
    written, is raised when the later periods have run, the first of several; at once where none
    could run: the project file is wrong, a source cannot be read at all, the warehouse is in use.
    """
    job = require_known_job(project, name)
    lock = nullcontext() if dry_run else _lock(project, name, wait_s)
    with lock, project.patient(wait_s):
        loaded, shown, failures = Loaded(), set[date](), list[Exception]()
        periods = due_periods(project, job, project.now())
        for period in periods:
            try:
                report = run(
                    project, name, period=period, loaded=loaded, dry_run=dry_run, shown=shown,
                    progress=progress,
                )  # fmt: skip
            except Exception as error:
                if loaded.report is None or _stops_all(error):
                    raise
                if failures or period != periods[-1]:
                    told = redact(str(error) or type(error).__name__)
                    log.error("%s of job %s: %s", project.calendar.label(period), name, told)
                failures.append(error)
                continue
            if dry_run:
                shown.update(report.restated)
            yield report
        if failures:
            raise failures[0]


def _stops_all(error: Exception) -> bool:
    """True for what the next period would meet as well."""
    code = error.exit_code if isinstance(error, CrmetricsError) else ExitCode.INTERNAL
    return code in (ExitCode.USAGE, ExitCode.BUSY)


def due_periods(project: Project, job: JobConfig, now: datetime) -> list[Period]:
    """The last complete period; before it, the oldest first, up to `catch_up` missed ones.

    Missed is a period without a run that delivered, since the first period that a run without
    `--date` reported: what was before a job was scheduled is not owed.
    """
    last = reported_period(project.calendar, job, None, now)
    window = [last]
    for _ in range(job.catch_up):
        window.append(project.calendar.previous(window[-1]))
    window.reverse()
    known = _reported(project, job)
    scheduled = [found.start for found in known if not found.is_dated]
    if not scheduled:
        return [last]
    done = {found.start for found in known if found.exit_code in DELIVERED}
    first = min(scheduled)
    missed = [p for p in window[:-1] if p.start >= first and p.start not in done]
    return [*missed, last]


def next_due(project: Project, name: str) -> datetime | None:
    """When the job's schedule fires next; None when it has fired and the period that was complete
    then (or a later one) has not been delivered since, without being asked for a day: it is due
    now.

    Raises UsageError for a job without a schedule.
    """
    job = require_known_job(project, name)
    if job.schedule is None:
        raise UsageError(
            f"job {name!r} has no `schedule:`, so it is never due. Add one, or run it."
        )
    cron, zone, now = parse_cron(job.schedule), project.calendar.zone, project.now()
    fired = last_firing(cron, zone, now)
    if fired is None:
        return next_firing(cron, zone, now)
    asked = reported_period(project.calendar, job, None, fired).start
    is_answered = any(
        found.exit_code in DELIVERED
        and not found.is_dated
        and found.run_at >= fired
        and found.start >= asked  # an owed one before it does not answer this firing
        for found in _reported(project, job)
    )
    return next_firing(cron, zone, now) if is_answered else None


def _reported(project: Project, job: JobConfig) -> list[state.ReportedPeriod]:
    if not project.engine_settings.path.exists():
        return []
    with open_for_load(project.engine_settings, project.registry.datasets) as session:
        return state.reported_periods(session, job.name, grain=job.grain)


def _lock(project: Project, name: str, wait_s: float | None) -> AbstractContextManager[None]:
    wait_s = project.engine_settings.lock_timeout_s if wait_s is None else wait_s
    return alone(
        lock_directory(project),
        f"job-{name}",
        f"job {name!r}",
        wait_s=wait_s,
        advice="Start it again later, or wait longer with --wait.",
    )


def lock_directory(project: Project) -> Path:
    """Where the locks of a project lie: beside its warehouse."""
    return project.engine_settings.path.parent / "locks"
