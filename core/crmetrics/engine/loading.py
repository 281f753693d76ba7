"""Loading: the sources of a project into its warehouse."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from crmetrics import extract
from crmetrics.engine.orphans import Orphans, find_orphans
from crmetrics.errors import Finding, SourceError, UsageError, did_you_mean
from crmetrics.message import Note
from crmetrics.planner import plan_reads
from crmetrics.plugin import Connector, ConnectorContext, SourceStorage, Supply
from crmetrics.warehouse.compute import open_for_compute
from crmetrics.warehouse.intake import LoadReport
from crmetrics.warehouse.load import LoadSession, open_for_load

if TYPE_CHECKING:
    from crmetrics.engine.project import Project

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyncReport:
    """What was loaded, and what failed.

    reports: one per dataset and source, failed ones too. orphans: references without a target,
    looked for when something changed.
    """

    reports: tuple[LoadReport, ...] = ()
    orphans: tuple[Orphans, ...] = ()

    @property
    def failures(self) -> tuple[LoadReport, ...]:
        return tuple(report for report in self.reports if report.failed)

    @property
    def error(self) -> SourceError | None:
        """All failures as one error; None when there is none."""
        if not self.failures:
            return None
        findings: list[Finding] = []
        for report in self.failures:
            assert report.error is not None
            findings += report.error.findings or (Finding(str(report.error)),)
        return SourceError(findings=findings)

    def notes(self) -> Iterator[str]:
        """What a reader of the numbers must know: failures, rejected rows, orphans."""
        yield from (note.text for note in self.remarks())

    def remarks(self) -> Iterator[Note]:
        """The notes, and what a chat may read of each: an error may quote a record."""
        for report in self.failures:
            yield _quoting(f"{report.source}.{report.dataset} was not read", report.error)
        for report in self.reports:
            place = f"{report.source}.{report.dataset}"
            if report.status == "absent":
                yield _quoting(f"{place} is not there", report.error)
            if report.rejected:
                yield _plain(
                    f"{place}: {report.rejected:,} of {report.fetched:,} records were set aside "
                    "(see rejected_rows)"
                )
            if report.duplicates:
                yield _plain(
                    f"{place}: {report.duplicates:,} of {report.fetched:,} records repeat a key; "
                    "the newest of each counts"
                )
        yield from (item.note for item in self.orphans)


def _quoting(what: str, error: object) -> Note:
    return Note(f"{what}: {error}", f"{what}; see `crmetrics run`")


def _plain(text: str) -> Note:
    return Note(text, text)


def connectors(project: Project, names: Sequence[str] = ()) -> Iterator[tuple[str, Connector]]:
    """The connectors of these sources (all by default), opened; close each after use."""
    for name, source in project.config.sources.items():
        if names and name not in names:
            continue
        kind = project.registry.require_connector(source.connector)
        timezone = source.options.timezone or project.config.reporting.timezone
        context = ConnectorContext(
            source=name,
            project_dir=project.config.directory,
            timezone=timezone,
            currency=project.config.reporting.currency,
            datasets=project.registry.datasets,
            storage=SourceStorage(project.config.directory / ".crmetrics" / "sources" / name),
            trial=partial(_trial, project, timezone),
        )
        yield name, kind(source.options, context)


def _trial(
    project: Project, timezone: str, dataset: str, mapping: Mapping[str, str]
) -> AbstractContextManager[extract.Request]:
    return extract.trial(
        project.registry.datasets[dataset], mapping, timezone=timezone, now=project.now()
    )


def sync(
    project: Project,
    names: Sequence[str],
    *,
    full: bool = False,
    needs: Mapping[str, Any] | None = None,
    progress: Callable[..., None] | None = None,
    run_id: str = "",
) -> SyncReport:
    """Load these sources (all by default); a dataset that fails does not stop the others.

    needs: dataset -> columns to ask of sources that can select; None = everything. Sources of
    local files are always read whole, so that jobs with other needs find their columns.
    Raises UsageError for an unknown source.
    """
    for name in names:
        if name not in project.config.sources:
            hint = did_you_mean(name, project.config.sources)
            raise UsageError(f"there is no source {name!r} in {project.config.file.name}. {hint}")
    reports: list[LoadReport] = []
    if not project.config.sources:
        return SyncReport()
    with open_for_load(project.engine_settings, project.registry.datasets) as session:
        for name, connector in connectors(project, names):
            reports += _sync_one(
                project, session, name, connector, full=full, needs=needs,
                progress=progress, run_id=run_id,
            )  # fmt: skip
        changed = any(r.inserted or r.updated or r.deleted or r.replaced for r in reports)
    orphans = find_orphans(project) if changed else ()
    return SyncReport(tuple(reports), orphans)


def _sync_one(
    project: Project,
    session: LoadSession,
    name: str,
    connector: Connector,
    *,
    full: bool,
    needs: Mapping[str, Any] | None,
    progress: Callable[..., None] | None,
    run_id: str,
) -> list[LoadReport]:
    datasets = project.registry.datasets
    offered: Sequence[Supply] | None = None
    try:
        try:
            supplies = offered = connector.datasets()
        except SourceError:
            # The reader meets the same error again, and reports it for each dataset.
            supplies = [Supply(d, ()) for d in project.config.sources[name].options.datasets]
            if not supplies:
                raise
        wanted = None if connector.is_local else needs
        plan = plan_reads(wanted, {name: supplies}, datasets)
        requests = {**_vanished(session, name, supplies), **plan.requests(name)}
        return extract.sync(
            session,
            connector,
            name,
            requests,
            options=project.config.sources[name].options,
            datasets=datasets,
            now=project.now(),
            run_id=run_id,
            full=full,
            observer=_Observer(project),
            progress=progress,
            supplies=offered,
        )
    finally:
        connector.close()


def _vanished(
    session: LoadSession, source: str, supplies: Sequence[Supply]
) -> dict[str, tuple[str, ...]]:
    """Datasets that the source gave before and gives no more: asked for again, so that their
    absence is an error and not a silence."""
    offered = {supply.dataset for supply in supplies}
    return {
        name: tuple(held.by_source[source].columns)
        for name, held in session.inventory().items()
        if source in held.by_source and held.by_source[source].rows and name not in offered
    }


class _Observer:
    """Passes what was loaded on to the observer hooks."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def crmetrics_dataset_loaded(self, **arguments: Any) -> None:
        self._project.registry.notify("crmetrics_dataset_loaded", **arguments)


def load_missing(project: Project) -> None:
    """Load local sources of which nothing was ever loaded; other sources wait for `sync`.

    Raises SourceError when such a source cannot be read: a question about half the data would be
    answered wrongly.
    """
    known: set[str] = set()
    if project.engine_settings.path.exists():
        view = project.view(project.clock(), ())
        with open_for_compute(project.engine_settings, project.registry.datasets, view) as session:
            known = set(session.inventory.sources)
    waiting = [name for name in project.config.sources if name not in known]
    if not waiting:
        return
    local = [name for name, connector in connectors(project, waiting) if _is_local(connector)]
    if local:
        report = sync(project, local)
        if report.error is not None:
            raise report.error
        for note in report.notes():
            log.warning("%s", note)
    elif not project.engine_settings.path.exists():
        raise UsageError("nothing is loaded yet. Run `crmetrics sync` first.")


def _is_local(connector: Connector) -> bool:
    connector.close()
    return connector.is_local
