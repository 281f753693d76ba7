"""Sinks and sources of the project file, each opened in its own attempt."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from crmetrics import extract
from crmetrics.errors import PLUGIN_ERRORS, ConfigError, CrmetricsError, SinkError, SourceError
from crmetrics.plugin import (
    CheckResult,
    Connector,
    ConnectorContext,
    Delivery,
    ReadRequest,
    Receipt,
    Sink,
    SinkContext,
    SourceStorage,
    Supply,
)
from crmetrics.secrets import redact

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.project import Project

log = logging.getLogger(__name__)


@contextmanager
def opened(project: Project, names: Iterable[str]) -> Iterator[Mapping[str, Sink]]:
    """The sinks of these names, in their order, open until the end.

    In place of one that cannot be opened stands an `UnopenedSink`: it fails alone, when it is its
    turn.
    """
    with ExitStack() as stack:
        found: dict[str, Sink] = {}
        for name in names:
            try:
                found[name] = open_sink(project, name)
            except SinkError as exc:
                found[name] = UnopenedSink(context_of(project, name), exc)
            stack.callback(close_sink, name, found[name])
        yield found


def open_sink(project: Project, name: str) -> Sink:
    """A sink of the project file; close it after use (`close_sink`).

    Raises SinkError, whatever its plugin raised.
    """
    config = project.config.sinks[name]
    try:
        return project.registry.require_sink(config.sink)(config.options, context_of(project, name))
    except PLUGIN_ERRORS as exc:
        told = _told(exc)
        raise SinkError(f"sink {name!r} ({config.sink}) could not be opened: {told}") from exc


def close_sink(name: str, sink: Sink) -> None:
    """What was delivered stays delivered when a sink cannot be closed: that is told, no more."""
    try:
        sink.close()
    except PLUGIN_ERRORS as exc:  # a plugin's bug must not stop the other sinks
        log.warning("sink %r could not be closed: %s", name, _told(exc))


def context_of(project: Project, name: str) -> SinkContext:
    """What the sink of that name knows about the project."""
    return SinkContext(
        name=name,
        project_dir=project.config.directory,
        project=project.config.project,
        timezone=project.config.reporting.timezone,
        currency=project.config.reporting.currency,
    )


class UnopenedSink(Sink):
    """A sink that could not be opened: whatever it is asked fails with the reason."""

    name = "unopened"

    def __init__(self, context: SinkContext, error: SinkError) -> None:
        super().__init__(None, context)
        self._error = error

    def destination(self, delivery: Delivery) -> str:
        self._fail()

    def preview(self, delivery: Delivery) -> str:
        self._fail()

    def write(self, delivery: Delivery) -> Receipt:
        self._fail()

    def _fail(self) -> NoReturn:
        raise self._error


# --- sources -------------------------------------------------------------------------------------


def connectors(project: Project, names: Sequence[str] = ()) -> Iterator[tuple[str, Connector]]:
    """The connectors of these sources (all by default); close each after use (`close_connector`).

    In place of one that cannot be opened stands an `UnopenedSource`: it fails alone.
    """
    for name in project.config.sources:
        if not names or name in names:
            yield name, _connector(project, name)


def close_connector(name: str, connector: Connector) -> None:
    """What was read stays read when a connector cannot be closed: that is told, no more."""
    try:
        connector.close()
    except PLUGIN_ERRORS as exc:  # a plugin's bug must not stop the other sources
        log.warning("source %r could not be closed: %s", name, _told(exc))


def supplies_by(name: str, connector: Connector) -> list[Supply]:
    """What the source of that name can give. Raises SourceError, whatever its plugin raised."""
    try:
        return list(connector.datasets())
    except CrmetricsError:
        raise
    except PLUGIN_ERRORS as exc:
        raise SourceError(
            f"source {name!r} ({connector.name}) does not say what it gives: {_told(exc)}. "
            "This is a defect of the connector."
        ) from exc


def _connector(project: Project, name: str) -> Connector:
    source = project.config.sources[name]
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
    try:
        return kind(source.options, context)
    except ConfigError:
        raise
    except PLUGIN_ERRORS as exc:
        told = f"source {name!r} ({source.connector}) could not be opened: {_told(exc)}"
        error = SourceError(told)
        error.__cause__ = exc
        return UnopenedSource(context, error)


def _trial(
    project: Project, timezone: str, dataset: str, mapping: Mapping[str, str]
) -> AbstractContextManager[extract.Request]:
    return extract.trial(
        project.registry.datasets[dataset], mapping, timezone=timezone, now=project.now()
    )


class UnopenedSource(Connector):
    """A source that could not be opened: whatever it is asked fails with the reason."""

    name = "unopened"

    def __init__(self, context: ConnectorContext, error: SourceError) -> None:
        super().__init__(None, context)
        self._error = error

    def datasets(self) -> Sequence[Supply]:
        raise self._error

    def check(self) -> Iterable[CheckResult]:
        raise self._error

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        raise self._error


def _told(exc: BaseException) -> str:
    text = redact(str(exc))
    return text if isinstance(exc, CrmetricsError) else f"{type(exc).__name__}: {text}"
