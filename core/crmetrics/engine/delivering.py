"""From what a run computed to what its sinks were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from crmetrics import state
from crmetrics.config import JobConfig
from crmetrics.config.settings import setting_value
from crmetrics.deliver import (
    Facts,
    Ledger,
    Outcome,
    Terms,
    build_message,
    create_deliveries,
    definitions_text,
    deliver,
)
from crmetrics.engine.computing import Computed, Earlier, threshold_of
from crmetrics.engine.gate import is_incomplete, is_maturing, why_blocked
from crmetrics.engine.loading import SyncReport
from crmetrics.engine.opening import opened
from crmetrics.engine.restating import has_moved, sinks_to_tell
from crmetrics.message import Message, Note
from crmetrics.periods import Period
from crmetrics.plugin import Delivery, Sink
from crmetrics.warehouse.load import LoadSession, open_for_load

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.planning import CutWindow
    from crmetrics.engine.project import Project


class Mailing(Struct, frozen=True):
    """A run on its way to the sinks.

    is_resend: as if nothing had been delivered before. shown: of a dry run: earlier periods whose
    restatement it has shown already. cut: KPIs that count less than their windows say.
    """

    run_id: str
    period: Period
    computed: Computed
    loaded: SyncReport
    started: datetime
    dry_run: bool = False
    is_resend: bool = False
    shown: frozenset[date] = frozenset()
    cut: tuple[CutWindow, ...] = ()

    @property
    def current(self) -> Earlier:
        """The reported period, like those before it."""
        found = self.computed
        alerts = found.signals.alerts[self.period.start]
        return Earlier(self.period, found.results, found.verdicts, alerts)

    @property
    def is_partial(self) -> bool:
        """True when a source failed, or a KPI of the job has no number for want of data."""
        return bool(self.loaded.failures) or is_incomplete(self.computed.results)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know of the loads and of the reported period."""
        return tuple(note.text for note in self.notes_of(self.period))

    def notes_of(self, period: Period) -> tuple[Note, ...]:
        breaches = self.computed.checked.breaches
        broken = (each.note for each in breaches if each.period_start == period.start)
        cut = (Note(str(each), str(each)) for each in self.cut)
        return (*self.loaded.remarks(), *cut, *broken)


class Sent(Struct, frozen=True):
    """What became of a mailing. message: that of the reported period. restated: the first days of
    earlier periods that were sent again."""

    message: Message
    outcomes: tuple[Outcome, ...]
    blocked: str = ""
    restated: tuple[date, ...] = ()


def deliver_all(project: Project, job: JobConfig, mailing: Mailing) -> Sent:
    """Record the results and hand them to the job's sinks, the oldest period first: earlier ones
    that changed since they were told, then the reported one, so that a place that holds one period
    ends with the newest.

    Every sink has its own attempt, from its opening on: one that fails stops no other. What the
    quality gate keeps back is neither recorded nor sent; each sink's entry in the ledger says so.
    What was told to whom is known by sink: whatever ends the run before a change was told, the
    next one finds it again.
    """
    blocked = _why_blocked(project, job, mailing, mailing.computed.results)
    with (
        opened(project, job.sinks) as sinks,
        open_for_load(project.engine_settings, project.registry.datasets) as session,
    ):
        if not mailing.dry_run:
            create_deliveries(session)
        terms = Terms(
            ledger=Ledger(session),
            dry_run=mailing.dry_run,
            resend=mailing.is_resend,
            blocked=blocked,
            definitions=definitions_text(mailing.computed.definitions),
            where=job.where or "",
            job_sinks=sinks,
            threshold=threshold_of(project),
            moved=partial(has_moved, session, threshold_of(project)),
            now=project.now,
        )
        current = _letter(project, job, mailing, mailing.current)
        letters = [] if blocked else _restatements(project, job, mailing, session, sinks, terms)
        letters.append(_Letter(current, sinks, terms))
        if not mailing.dry_run and not blocked:
            _record(project, job, mailing, session)
            terms = replace(terms, recording=state.last_recording(session))
        outcomes: list[Outcome] = []
        for letter in letters:
            kept = replace(letter.terms, recording=terms.recording)
            outcomes += deliver(letter.sinks, letter.delivery, kept)
    _notify(project, job, mailing.run_id, outcomes)
    restated = tuple(letter.delivery.period_start for letter in letters[:-1])
    return Sent(current.message, tuple(outcomes), blocked, restated)


class _Letter(Struct, frozen=True):
    """One report, whom it goes to and how."""

    delivery: Delivery
    sinks: Mapping[str, Sink]
    terms: Terms


def _restatements(
    project: Project,
    job: JobConfig,
    mailing: Mailing,
    session: LoadSession,
    sinks: Mapping[str, Sink],
    terms: Terms,
) -> list[_Letter]:
    """The earlier periods that read differently from what a sink was told, the oldest first."""
    found = []
    for part in mailing.computed.earlier:
        if part.period.start in mailing.shown:
            continue
        letter = _letter(project, job, mailing, part)
        kept_back = _why_blocked(project, job, mailing, part.results)
        again = replace(terms, is_restatement=True, resend=False, blocked=kept_back)
        asked = sinks
        if part.is_old and is_maturing(part.results):
            # Told at each step of its way to the final value, a chat would see little else.
            asked = {name: sink for name, sink in sinks.items() if sink.is_idempotent}
        concerned = sinks_to_tell(session, asked, letter, again)
        if concerned:
            found.append(_Letter(letter, concerned, again))
    return found


def _why_blocked(project: Project, job: JobConfig, mailing: Mailing, results: pa.Table) -> str:
    min_coverage = float(setting_value(project.config.metrics.settings, "min_coverage"))
    return why_blocked(job.block_on, results, mailing.loaded, min_coverage=min_coverage)


def _record(project: Project, job: JobConfig, mailing: Mailing, session: LoadSession) -> None:
    """All results that the gate lets pass as their current versions (rule P6)."""
    earlier = (part.results for part in mailing.computed.earlier)
    passing = (one for one in earlier if not _why_blocked(project, job, mailing, one))
    for results in (*passing, mailing.computed.results):
        state.record_results(
            session, results, job=job.name, run_id=mailing.run_id, at=project.now()
        )


def _letter(project: Project, job: JobConfig, mailing: Mailing, part: Earlier) -> Delivery:
    """The report on one period."""
    is_partial = bool(mailing.loaded.failures) or is_incomplete(part.results)
    return Delivery(
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
        has_totals=job.totals or not job.by,
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
