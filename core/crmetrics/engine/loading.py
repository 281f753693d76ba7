"""Loading: the sources of a project into its warehouse."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from crmetrics import extract
from crmetrics.engine.opening import UnopenedSource, close_connector, connectors, supplies_by
from crmetrics.engine.orphans import Orphans, find_orphans
from crmetrics.errors import PLUGIN_ERRORS, Finding, SourceError, UsageError, did_you_mean
from crmetrics.message import Note
from crmetrics.planner import plan_reads
from crmetrics.plugin import Connector, Supply
from crmetrics.warehouse.compute import open_for_compute
from crmetrics.warehouse.intake import LoadReport
from crmetrics.warehouse.load import LoadSession, open_for_load

if TYPE_CHECKING:
    from crmetrics.engine.project import Project

log = logging.getLogger(__name__)


class SyncReport(Struct, frozen=True):
    """What was loaded, and what failed.

    reports: one per dataset and source, failed ones too; one without a dataset for a source that
    could not even say what it gives. orphans: references without a target, looked for when
    something changed. news: what was noticed, with its place, and not by the sync before.
    """

    reports: tuple[LoadReport, ...] = ()
    orphans: tuple[Orphans, ...] = ()
    news: tuple[str, ...] = ()

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
            yield _quoting(f"{report.place} was not read", report.error)
        for report in self.reports:
            place = report.place
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


def sync(
    project: Project,
    names: Sequence[str],
    *,
    full: bool = False,
    needs: Mapping[str, Any] | None = None,
    progress: Callable[..., None] | None = None,
    run_id: str = "",
) -> SyncReport:
    """Load these sources (all by default); a dataset or source that fails stops no other.

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
        news = tuple(f"{r.place}: {text}" for r in reports for text in session.news(r))
    orphans = find_orphans(project) if changed else ()
    return SyncReport(tuple(reports), orphans, news)


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
            supplies = offered = supplies_by(name, connector)
        except SourceError as exc:
            # The reader meets the same error again, and reports it for each dataset.
            supplies = [Supply(d, ()) for d in project.config.sources[name].options.datasets]
            if isinstance(connector, UnopenedSource) or not supplies:
                return [_unread(project, name, exc)]
        wanted = None if connector.is_local else needs
        plan = plan_reads(wanted, {name: supplies}, datasets)
        requests = {**_vanished(session, name, connector, supplies), **plan.requests(name)}
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
        close_connector(name, connector)


def _unread(project: Project, source: str, error: SourceError) -> LoadReport:
    now = project.now()
    return LoadReport(token_hex(8), source, "", now, now, "failed", error=error)


def _vanished(
    session: LoadSession, source: str, connector: Connector, supplies: Sequence[Supply]
) -> dict[str, tuple[str, ...]]:
    """Datasets that the source gave before and gives no more: asked for again, so that their
    absence is an error and not a silence. Without any row only what the project file leaves out
    is: that it was read, and held none, is forgotten."""
    offered = {supply.dataset for supply in supplies}
    return {
        name: tuple(held.by_source[source].columns)
        for name, held in session.inventory().items()
        if source in held.by_source
        and name not in offered
        and (held.by_source[source].rows or _is_left_out(connector, name))
    }


def _is_left_out(connector: Connector, dataset: str) -> bool:
    try:
        return bool(connector.left_out(dataset))
    except PLUGIN_ERRORS:
        return True  # the reader meets it again, and reports it


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
    kinds = {name: project.config.sources[name].connector for name in waiting}
    local = [name for name in waiting if project.registry.require_connector(kinds[name]).is_local]
    if local:
        report = sync(project, local)
        if report.error is not None:
            raise report.error
        for note in report.notes():
            log.warning("%s", note)
    elif not project.engine_settings.path.exists():
        raise UsageError("nothing is loaded yet. Run `crmetrics sync` first.")
