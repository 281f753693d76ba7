"""From what a run computed to what its sinks were given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from crmetrics import state
from crmetrics.config import JobConfig, SinkConfig
from crmetrics.config.settings import setting_value
from crmetrics.deliver import (
    Facts,
    Ledger,
    Outcome,
    Terms,
    build_message,
    create_deliveries,
    deliver,
)
from crmetrics.engine.computing import Computed, Earlier, threshold_of
from crmetrics.engine.gate import is_incomplete, why_blocked
from crmetrics.engine.loading import SyncReport
from crmetrics.message import Message
from crmetrics.periods import Period
from crmetrics.plugin import Delivery, Sink, SinkContext
from crmetrics.warehouse.load import LoadSession, open_for_load

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.project import Project


@dataclass(frozen=True)
class Mailing:
    """A run on its way to the sinks. is_resend: as if nothing had been delivered before."""

    run_id: str
    period: Period
    computed: Computed
    loaded: SyncReport
    started: datetime
    dry_run: bool = False
    is_resend: bool = False

    @property
    def is_partial(self) -> bool:
        """True when a source failed, or a KPI of the job has no number for want of data."""
        return bool(self.loaded.failures) or is_incomplete(self.computed.results)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know of the loads and of the reported period."""
        return self.notes_of(self.period)

    def notes_of(self, period: Period) -> tuple[str, ...]:
        breaches = self.computed.checked.breaches
        broken = (each.text for each in breaches if each.period_start == period.start)
        return (*self.loaded.notes(), *broken)


@dataclass(frozen=True)
class Sent:
    """What became of a mailing. message: that of the reported period."""

    message: Message
    outcomes: tuple[Outcome, ...]
    blocked: str = ""


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


def deliver_all(project: Project, job: JobConfig, mailing: Mailing) -> Sent:
    """Record the results and hand them to the job's sinks, earlier periods that changed last.

    What the quality gate keeps back is neither recorded nor sent; each sink's entry in the ledger
    says so. An earlier period is recorded anew when every sink has been told: whatever ends the run
    before, the next one finds the change again.
    """
    blocked = _why_blocked(project, job, mailing, mailing.computed.results)
    with ExitStack() as stack:
        opened: dict[str, Sink] = {}
        for name, sink in sinks(project, job.sinks):
            stack.callback(sink.close)
            opened[name] = sink
        session = stack.enter_context(
            open_for_load(project.engine_settings, project.registry.datasets)
        )
        if not mailing.dry_run:
            create_deliveries(session)
            if not blocked:
                unchanged = (one for one in mailing.computed.earlier if not one.has_changed)
                for results in (mailing.computed.results, *(one.results for one in unchanged)):
                    _record(project, job, mailing, session, results)
        terms = Terms(
            ledger=Ledger(session),
            dry_run=mailing.dry_run,
            resend=mailing.is_resend,
            blocked=blocked,
            threshold=threshold_of(project),
            now=project.now,
        )
        letters = list(_letters(project, job, mailing))
        outcomes = deliver(opened, letters[0], terms)
        for letter in () if blocked else letters[1:]:
            kept_back = _why_blocked(project, job, mailing, letter.results)
            again = replace(terms, only_again=True, resend=False, blocked=kept_back)
            told = deliver(opened, letter, again)
            if not mailing.dry_run and all(one.is_settled for one in told):
                _record(project, job, mailing, session, letter.results)
            outcomes += told
    _notify(project, job, mailing.run_id, outcomes)
    return Sent(letters[0].message, tuple(outcomes), blocked)


def _why_blocked(project: Project, job: JobConfig, mailing: Mailing, results: pa.Table) -> str:
    min_coverage = float(setting_value(project.config.metrics.settings, "min_coverage"))
    return why_blocked(job.block_on, results, mailing.loaded, min_coverage=min_coverage)


def _record(
    project: Project, job: JobConfig, mailing: Mailing, session: LoadSession, results: pa.Table
) -> None:
    """The results of one period as its current version (rule P6)."""
    state.record_results(session, results, job=job.name, run_id=mailing.run_id, at=project.now())


def _letters(project: Project, job: JobConfig, mailing: Mailing) -> Iterator[Delivery]:
    """The report of the period, then those of earlier periods whose figures have changed."""
    computed = mailing.computed
    current = Earlier(
        mailing.period,
        computed.results,
        computed.verdicts,
        has_changed=True,
        alerts=computed.signals.alerts[mailing.period.start],
    )
    for part in (current, *(one for one in computed.earlier if one.has_changed)):
        is_partial = mailing.is_partial if part is current else is_incomplete(part.results)
        yield Delivery(
            key="",
            run_id=mailing.run_id,
            job=job.name,
            results=part.results,
            message=_message(project, job, mailing, part, is_partial=is_partial),
            period_start=part.period.start,
            period_end=part.period.end,
            grain=job.grain,
            is_partial=is_partial,
        )


def _message(
    project: Project, job: JobConfig, mailing: Mailing, part: Earlier, *, is_partial: bool
) -> Message:
    settings = project.config.metrics.settings
    facts = Facts(
        job=job.name,
        project=project.config.project,
        calendar=project.calendar,
        period=part.period,
        as_of=mailing.computed.as_of,
        currency=project.config.reporting.currency,
        where=job.where or "",
        is_partial=is_partial,
        notes=mailing.notes_of(part.period),
        min_coverage=float(setting_value(settings, "min_coverage")),
        created_at=mailing.started,
    )
    return build_message(
        part.results,
        facts,
        mailing.computed.traits,
        verdicts=part.verdicts,
        history=mailing.computed.series,
        alerts=part.alerts,
        # What the series is heading for is known of its end only.
        trends=mailing.computed.signals.trends if part.period == mailing.period else {},
    )


def _notify(project: Project, job: JobConfig, run_id: str, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.receipt is not None:
            project.registry.notify(
                "crmetrics_delivered",
                run_id=run_id,
                job=job.name,
                sink=outcome.sink,
                receipt=outcome.receipt,
            )
