"""A job: load, compute, judge, deliver, record."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from crmetrics import http, log, state, stopping
from crmetrics.config import JobConfig
from crmetrics.deliver import Outcome
from crmetrics.engine.checking import require_job
from crmetrics.engine.computing import compute
from crmetrics.engine.delivering import Mailing, deliver_all
from crmetrics.engine.identities import Breach
from crmetrics.engine.loading import SyncReport, sync
from crmetrics.engine.planning import CutWindow, cut_windows, needs_of_job, supplies_of
from crmetrics.errors import CrmetricsError, ExitCode, UsageError, did_you_mean
from crmetrics.goals import GoalVerdict
from crmetrics.message import Message
from crmetrics.periods import Calendar, Period
from crmetrics.secrets import redact
from crmetrics.warehouse.load import open_for_load

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.project import Project

logger = logging.getLogger(__name__)


class RunReport(Struct, frozen=True):
    """What a run of a job did.

    results: the rows of the reported period. outcomes: those of earlier periods whose figures have
    changed (by their first days: `restated`), the oldest first, then one per sink. sync: what was
    loaded. blocked: why the quality gate kept the numbers back; empty = it did not. identities: the
    names of those that were checked; breaches: where one does not hold.
    exit_code: 7 kept back, 3 a source failed, 5 a sink failed, 4 delivered on partial data, else 0.
    """

    run_id: str
    job: str
    period: Period
    exit_code: int
    results: pa.Table
    message: Message
    outcomes: tuple[Outcome, ...]
    verdicts: tuple[GoalVerdict, ...] = ()
    sync: SyncReport | None = None
    notes: tuple[str, ...] = ()
    titles: Mapping[str, str] = field(default_factory=dict)
    blocked: str = ""
    identities: tuple[str, ...] = ()
    breaches: tuple[Breach, ...] = ()
    restated: tuple[date, ...] = ()

    @property
    def previews(self) -> Mapping[str, str]:
        """Sink -> exactly what it would send on the reported period; of a dry run."""
        return {outcome.sink: outcome.preview for outcome in self.outcomes if outcome.preview}


class Loaded(Struct):
    """What was loaded, shared by the runs that follow one another: the sources are read once."""

    report: SyncReport | None = None


def run(
    project: Project,
    name: str,
    *,
    day: date | str | None = None,
    period: Period | None = None,
    loaded: Loaded | None = None,
    dry_run: bool = False,
    resend: bool = False,
    shown: Collection[date] = (),
    progress: Callable[..., None] | None = None,
) -> RunReport:
    """Run a job for one period: that of `period`, or the last complete one (by `day`).

    loaded: what runs just before have loaded; kept there by the first. resend: deliver as if
    nothing had been delivered before. shown: of a dry run of several periods: those whose
    restatement was shown before.
    Raises UsageError for an unknown job, ConfigError for a job that names what is not there;
    before anything is loaded or sent."""
    job = require_known_job(project, name)
    require_job(project, name)
    started = project.now()
    is_dated = day is not None
    period = period or reported_period(project.calendar, job, day, started)
    run_id = state.new_run_id(started)
    asked = _Asked(run_id, period, is_dated, started, dry_run, resend, frozenset(shown))
    token = log.run_id.set(run_id)
    try:
        return _run(project, job, asked, loaded or Loaded(), progress)
    except BaseException as error:
        log.mark(error, run_id)
        _tell_failure(project, asked, name, error)
        raise
    finally:
        log.run_id.reset(token)


def _tell_failure(project: Project, asked: _Asked, job: str, error: BaseException) -> None:
    """Observers hear of every run that began how it ended."""
    kinds: tuple[tuple[type[BaseException], int], ...] = (
        (stopping.Terminated, ExitCode.TERMINATED),
        (KeyboardInterrupt, ExitCode.INTERRUPTED),
    )
    code = error.exit_code if isinstance(error, CrmetricsError) else ExitCode.INTERNAL
    code = next((ended for kind, ended in kinds if isinstance(error, kind)), code)
    told = {
        "run_id": asked.run_id,
        "job": job,
        "period": [asked.period.start.isoformat(), asked.period.end.isoformat()],
        "exit_code": code,
        "error": redact(str(error) or type(error).__name__),
    }
    project.registry.notify(
        "crmetrics_run_finished", run_id=asked.run_id, job=job, exit_code=code, summary=told
    )


class _Asked(Struct, frozen=True):
    """One run: which period, whether a day was named for it, and when it began."""

    run_id: str
    period: Period
    is_dated: bool
    started: datetime
    dry_run: bool
    is_resend: bool
    shown: frozenset[date]


def _run(
    project: Project,
    job: JobConfig,
    asked: _Asked,
    loaded: Loaded,
    progress: Callable[..., None] | None,
) -> RunReport:
    run_id, name = asked.run_id, job.name
    project.registry.notify("crmetrics_run_started", run_id=run_id, job=name)
    if not asked.dry_run:
        # First of all: whatever ends this run, the next one knows that the job owes the period.
        _start(project, job, asked)
    if loaded.report is None:
        needs = _needs(project, job)
        loaded.report = sync(project, (), needs=needs, progress=progress, run_id=run_id)
        for text in loaded.report.news:
            logger.warning("%s", text)
    computed = compute(project, job, asked.period, run_id)
    project.registry.notify(
        "crmetrics_kpis_computed", run_id=run_id, job=name, results=computed.results
    )
    mailing = Mailing(
        run_id,
        asked.period,
        computed,
        loaded.report,
        asked.started,
        dry_run=asked.dry_run,
        is_resend=asked.is_resend,
        shown=asked.shown,
        cut=_cut_windows(project, job),
    )
    with http.recording.suspended():
        report = _delivered(project, job, mailing)
    project.registry.notify(
        "crmetrics_run_finished",
        run_id=run_id,
        job=name,
        exit_code=report.exit_code,
        summary=summary(report),
    )
    return report


def _needs(project: Project, job: JobConfig) -> Mapping[str, set[str]] | None:
    """What the job reads; None (= everything) where only local files are read anyway."""
    if _is_local(project):
        return None
    needs, _ = needs_of_job(project, job, supplies_of(project, or_held=True))
    return needs


def _is_local(project: Project) -> bool:
    """Whether all sources are local files."""
    kinds = {
        project.registry.require_connector(s.connector) for s in project.config.sources.values()
    }
    return all(kind.is_local for kind in kinds)


def _cut_windows(project: Project, job: JobConfig) -> tuple[CutWindow, ...]:
    """The job's KPIs that count less than their windows say."""
    if _is_local(project):
        return ()  # a file holds all that becomes of its rows
    return tuple(cut_windows(project, job.kpis, supplies_of(project, or_held=True)))


def require_known_job(project: Project, name: str) -> JobConfig:
    """The job of that name. Raises UsageError with close matches when there is none."""
    found = project.config.jobs.get(name)
    if found is None:
        hint = did_you_mean(name, project.config.jobs)
        raise UsageError(f"there is no job {name!r} in {project.config.file.name}. {hint}")
    return found


def reported_period(
    calendar: Calendar, job: JobConfig, day: date | str | None, now: datetime
) -> Period:
    """The last complete period whose last day is `day` or earlier; by default the last one that
    is over."""
    if day is None:
        return calendar.last_complete(now, job.grain)
    if isinstance(day, str):
        try:
            day = date.fromisoformat(day)
        except ValueError:
            raise UsageError(f"expected a day such as 2026-01-31, found {day!r}.") from None
    following = calendar.instant(day + timedelta(days=1))
    return calendar.last_complete(min(following, now), job.grain)


# --- delivering ----------------------------------------------------------------------------------


def _delivered(project: Project, job: JobConfig, mailing: Mailing) -> RunReport:
    """The run with its results recorded and sent."""
    computed, loaded = mailing.computed, mailing.loaded
    sent = deliver_all(project, job, mailing)
    report = RunReport(
        run_id=mailing.run_id,
        job=job.name,
        period=mailing.period,
        exit_code=_exit_code(sent.blocked, loaded, sent.outcomes, is_partial=mailing.is_partial),
        results=computed.results,
        message=sent.message,
        outcomes=sent.outcomes,
        verdicts=computed.verdicts,
        sync=loaded,
        notes=mailing.notes,
        titles={name: trait.title for name, trait in computed.traits.items()},
        blocked=sent.blocked,
        identities=computed.checked.identities,
        breaches=computed.checked.breaches,
        restated=sent.restated,
    )
    if not mailing.dry_run:
        _finish(project, report, computed.as_of)
    return report


def _start(project: Project, job: JobConfig, asked: _Asked) -> None:
    with open_for_load(project.engine_settings, project.registry.datasets) as session:
        state.create_ledger(session)
        state.start_run(
            session,
            asked.run_id,
            job=job.name,
            period=asked.period,
            is_dated=asked.is_dated,
            at=asked.started,
            config_hash=_config_hash(project),
        )


def _finish(project: Project, report: RunReport, as_of: datetime) -> None:
    with open_for_load(project.engine_settings, project.registry.datasets) as session:
        state.finish_run(
            session,
            report.run_id,
            at=project.now(),
            as_of=as_of,
            exit_code=report.exit_code,
            summary=summary(report),
        )


def _exit_code(
    blocked: str, loaded: SyncReport, outcomes: Sequence[Outcome], *, is_partial: bool
) -> int:
    if blocked or any(outcome.status == "blocked" for outcome in outcomes):
        return ExitCode.QUALITY
    if loaded.failures:
        return ExitCode.SOURCE
    if any(o.status in ("failed", "unknown") or o.error is not None for o in outcomes):
        return ExitCode.SINK
    return ExitCode.PARTIAL if is_partial else ExitCode.OK


def _config_hash(project: Project) -> str:
    return hashlib.sha256(project.config.file.read_bytes()).hexdigest()[:12]


def summary(report: RunReport) -> dict[str, Any]:
    """The run as JSON-like values, for the ledger and for observers."""
    return {
        "run_id": report.run_id,
        "job": report.job,
        "period": [report.period.start.isoformat(), report.period.end.isoformat()],
        "exit_code": report.exit_code,
        "rows": report.results.num_rows,
        "blocked": report.blocked,
        "deliveries": [
            {
                "sink": outcome.sink,
                "period": outcome.period,
                "status": outcome.status,
                "destination": outcome.destination,
                "error": str(outcome.error) if outcome.error else "",
            }
            for outcome in report.outcomes
        ],
        "notes": list(report.notes),
        "identities": {
            "checked": list(report.identities),
            "broken": [breach.text for breach in report.breaches],
        },
    }
