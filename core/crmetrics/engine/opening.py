"""Sinks of the project file, each opened in its own attempt."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NoReturn

from crmetrics.errors import PLUGIN_ERRORS, CrmetricsError, SinkError
from crmetrics.plugin import Delivery, Receipt, Sink, SinkContext
from crmetrics.secrets import redact

if TYPE_CHECKING:
    from crmetrics.engine.project import Project

log = logging.getLogger(__name__)


@contextmanager
def opened(project: Project, names: Iterable[str]) -> Iterator[Mapping[str, Sink]]:
    """The sinks of these names, in their order, open until the end.

    In place of one that cannot be opened stands an `Unopened`: it fails alone, when it is its turn.
    """
    with ExitStack() as stack:
        found: dict[str, Sink] = {}
        for name in names:
            try:
                found[name] = open_sink(project, name)
            except SinkError as exc:
                found[name] = Unopened(context_of(project, name), exc)
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


def _told(exc: BaseException) -> str:
    text = redact(str(exc))
    return text if isinstance(exc, CrmetricsError) else f"{type(exc).__name__}: {text}"


class Unopened(Sink):
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
