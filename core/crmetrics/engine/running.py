"""A job: load, compute, judge, deliver, record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from crmetrics import log, state
from crmetrics.config import JobConfig, SinkConfig
from crmetrics.config.settings import setting_value
from crmetrics.deliver import Facts, Outcome, Series, build_message, deliver
from crmetrics.engine.answer import Question, groupings_of
from crmetrics.engine.checking import require_job
from crmetrics.engine.goal_rows import measured_goals
from crmetrics.engine.loading import SyncReport, sync
from crmetrics.engine.planning import needs_of, supplies_of
from crmetrics.errors import ExitCode, UsageError, did_you_mean
from crmetrics.goals import (
    Goal,
    GoalVerdict,
    Judgement,
    KpiTraits,
    judge,
    kpi_name,
    kpi_traits,
)
from crmetrics.message import Message
from crmetrics.periods import Calendar, Period
from crmetrics.plugin import Delivery, Sink, SinkContext
from crmetrics.warehouse.load import open_for_load

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.project import Project

SERIES_PERIODS = 13
"""Periods of a trend in reports (rule A1 looks at 8 to 13)."""


_INCOMPLETE = {"missing_dataset", "missing_column", "stale"}


@dataclass(frozen=True)
class RunReport:
    """What a run of a job did.

    results: the rows of the reported period. outcomes: one per sink. sync: what was loaded.
    exit_code: 3 a source failed, 5 a sink failed, 4 delivered on partial data, else 0.
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

    @property
    def previews(self) -> Mapping[str, str]:
        """Sink -> exactly what it would send; of a dry run."""
        return {outcome.sink: outcome.preview for outcome in self.outcomes if outcome.preview}


def run(
    project: Project,
    name: str,
    *,
    day: date | str | None = None,
    period: Period | None = None,
    loaded: SyncReport | None = None,
    dry_run: bool = False,
    progress: Callable[..., None] | None = None,
) -> RunReport:
    """Run a job for one period: that of `period`, or the last complete one (by `day`).

    loaded: what was loaded just before; the sources are not read again.
    Raises UsageError for an unknown job, ConfigError for a job that names what is not there;
    before anything is loaded or sent."""
    job = require_known_job(project, name)
    require_job(project, name)
    started = project.now()
    is_dated = day is not None
    period = period or reported_period(project.calendar, job, day, started)
    run_id = state.new_run_id(started)
    token = log.run_id.set(run_id)
    try:
        return _run(
            project, job, _Asked(run_id, period, is_dated, started, dry_run), loaded, progress
        )
    finally:
        log.run_id.reset(token)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One run: which period, whether a day was named for it, and when it began."""

    run_id: str
    period: Period
    is_dated: bool
    started: datetime
    dry_run: bool


def _run(
    project: Project,
    job: JobConfig,
    asked: _Asked,
    loaded: SyncReport | None,
    progress: Callable[..., None] | None,
) -> RunReport:
    run_id, name = asked.run_id, job.name
    project.registry.notify("crmetrics_run_started", run_id=run_id, job=name)
    if loaded is None:
        loaded = sync(project, (), needs=_needs(project, job), progress=progress, run_id=run_id)
    computed = _compute(project, job, asked.period, run_id)
    project.registry.notify(
        "crmetrics_kpis_computed", run_id=run_id, job=name, results=computed.results
    )
    report = _deliver(project, job, asked, computed, loaded)
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
    kinds = {
        project.registry.require_connector(s.connector) for s in project.config.sources.values()
    }
    if all(kind.is_local for kind in kinds):
        return None
    needs, _ = needs_of(project, job.kpis, job.by, supplies_of(project))
    return needs


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


# --- computing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Computed:
    results: pa.Table
    series: Mapping[str, Series]
    verdicts: tuple[GoalVerdict, ...]
    traits: Mapping[str, KpiTraits]
    as_of: datetime


def _compute(project: Project, job: JobConfig, period: Period, run_id: str) -> _Computed:
    past = _periods_before(project.calendar, period, SERIES_PERIODS - 1)
    groupings = groupings_of(job.by, job.totals)
    asked = Question(job.kpis, (period,), groupings, job.where or "", job.compare)
    goals = [goal for goal in project.config.goals if goal.kpi in job.kpis]
    with project.answerer([*past, period]) as answerer:
        results = answerer.answer(asked, run_id=run_id)
        trend = answerer.answer(Question(job.kpis, (*past, period), ((),), job.where or ""))
        measured = measured_goals(answerer, goals, job.grain, job.where or "")
        traits = kpi_traits(project.catalog.kpis.values())
        judgement = _judged(project, results, goals, traits, answerer.clock.as_of, measured)
        return _Computed(
            judgement.results,
            _series(trend),
            judgement.verdicts,
            traits,
            answerer.clock.as_of,
        )


def _judged(
    project: Project,
    results: pa.Table,
    goals: Sequence[Goal],
    traits: Mapping[str, KpiTraits],
    as_of: datetime,
    measured: Sequence[pa.Table],
) -> Judgement:
    import pyarrow as pa

    return judge(
        results,
        goals,
        traits,
        as_of=as_of,
        calendar=project.calendar,
        measured=pa.concat_tables(measured) if measured else None,
    )


def _periods_before(calendar: Calendar, period: Period, count: int) -> list[Period]:
    found = [period]
    for _ in range(count):
        found.append(calendar.previous(found[-1]))
    return found[:0:-1]


def _series(trend: pa.Table) -> Mapping[str, Series]:
    found: dict[str, list[tuple[date, float | None]]] = {}
    for row in trend.select(["kpi", "variant", "period_start", "segment", "value"]).to_pylist():
        if not row["segment"]:
            name = kpi_name(row["kpi"], row["variant"])
            found.setdefault(name, []).append((row["period_start"], row["value"]))
    return found


# --- delivering ----------------------------------------------------------------------------------


def sinks(project: Project, names: Iterable[str]) -> Iterator[tuple[str, Sink]]:
    """The sinks of the project file by name, opened; close each after use."""
    for name in names:
        config: SinkConfig = project.config.sinks[name]
        kind = project.registry.require_sink(config.sink)
        context = SinkContext(
            name=name,
            project_dir=project.config.directory,
            project=project.config.project,
            timezone=project.config.reporting.timezone,
            currency=project.config.reporting.currency,
        )
        yield name, kind(config.options, context)


def _deliver(
    project: Project,
    job: JobConfig,
    asked: _Asked,
    computed: _Computed,
    loaded: SyncReport,
) -> RunReport:
    run_id, period = asked.run_id, asked.period
    message = _message(project, job, period, computed, loaded, asked.started)
    delivery = Delivery(
        key="",
        run_id=run_id,
        job=job.name,
        results=computed.results,
        message=message,
        period_start=period.start,
        period_end=period.end,
        grain=job.grain,
        is_partial=_is_partial(computed, loaded),
    )
    opened = dict(sinks(project, job.sinks))
    try:
        outcomes = _sent(project, job, delivery, opened, asked, computed)
    finally:
        for sink in opened.values():
            sink.close()
    report = RunReport(
        run_id=run_id,
        job=job.name,
        period=period,
        exit_code=_exit_code(loaded, outcomes, is_partial=_is_partial(computed, loaded)),
        results=computed.results,
        message=message,
        outcomes=tuple(outcomes),
        verdicts=computed.verdicts,
        sync=loaded,
        notes=tuple(loaded.notes()),
        titles={name: trait.title for name, trait in computed.traits.items()},
    )
    if not asked.dry_run:
        _finish(project, report)
    return report


def _message(
    project: Project,
    job: JobConfig,
    period: Period,
    computed: _Computed,
    loaded: SyncReport,
    started: datetime,
) -> Message:
    facts = Facts(
        job=job.name,
        project=project.config.project,
        calendar=project.calendar,
        period=period,
        as_of=computed.as_of,
        currency=project.config.reporting.currency,
        where=job.where or "",
        is_partial=_is_partial(computed, loaded),
        notes=tuple(loaded.notes()),
        min_coverage=float(setting_value(project.config.metrics.settings, "min_coverage")),
        created_at=started,
    )
    return build_message(
        computed.results,
        facts,
        computed.traits,
        verdicts=computed.verdicts,
        history=computed.series,
    )


def _sent(
    project: Project,
    job: JobConfig,
    delivery: Delivery,
    opened: Mapping[str, Sink],
    asked: _Asked,
    computed: _Computed,
) -> list[Outcome]:
    if asked.dry_run:
        return deliver(opened, delivery, dry_run=True, now=project.now)
    with open_for_load(project.engine_settings, project.registry.datasets) as session:
        state.create_ledger(session)
        state.start_run(
            session,
            delivery.run_id,
            job=job.name,
            period=asked.period,
            is_dated=asked.is_dated,
            at=asked.started,
            as_of=computed.as_of,
            config_hash=_config_hash(project),
        )
        state.record_results(
            session, delivery.results, job=job.name, run_id=delivery.run_id, at=project.now()
        )
        outcomes = deliver(opened, delivery, ledger=state.Ledger(session), now=project.now)
    for outcome in outcomes:
        if outcome.receipt is not None:
            project.registry.notify(
                "crmetrics_delivered",
                run_id=delivery.run_id,
                job=job.name,
                sink=outcome.sink,
                receipt=outcome.receipt,
            )
    return outcomes


def _finish(project: Project, report: RunReport) -> None:
    with open_for_load(project.engine_settings, project.registry.datasets) as session:
        state.finish_run(
            session,
            report.run_id,
            at=project.now(),
            exit_code=report.exit_code,
            summary=summary(report),
        )


def _is_partial(computed: _Computed, loaded: SyncReport) -> bool:
    """True when a source failed, or a KPI of the job has no number for want of data."""
    statuses = set(computed.results.column("status").to_pylist())
    return bool(loaded.failures or statuses & _INCOMPLETE)


def _exit_code(loaded: SyncReport, outcomes: Sequence[Outcome], *, is_partial: bool) -> int:
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
        "deliveries": [
            {
                "sink": outcome.sink,
                "status": outcome.status,
                "destination": outcome.destination,
                "error": str(outcome.error) if outcome.error else "",
            }
            for outcome in report.outcomes
        ],
        "notes": list(report.notes),
    }
