"""What `crmetrics list` can list: per kind its entries, their fields, and those a table shows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from crmetrics.cli.session import Session

Entry: TypeAlias = dict[str, str | Sequence[str]]


class Inventory(Struct, frozen=True):
    """One kind of thing.

    texts, lists: the fields of an entry that hold one text, or several. shown: those of a table.
    """

    entries: Callable[[Session], Iterable[Entry]]
    texts: tuple[str, ...]
    lists: tuple[str, ...]
    shown: tuple[str, ...]


def _plugins(session: Session) -> Iterator[Entry]:
    for plugin in session.registry.plugins:
        yield {
            "name": plugin.name,
            "state": plugin.state,
            "version": plugin.version,
            "origin": plugin.origin,
            "error": plugin.error,
            "offers": plugin.offers,
        }


def _connectors(session: Session) -> Iterator[Entry]:
    for name, connector in sorted(session.registry.connectors.items()):
        yield {
            "name": name,
            "about": _first_line(connector),
            "module": connector.__module__,
            "options": sorted(connector.Config.model_fields),
        }


def _sinks(session: Session) -> Iterator[Entry]:
    for name, sink in sorted(session.registry.sinks.items()):
        yield {
            "name": name,
            "about": _first_line(sink),
            "repeats": "replace what was delivered" if sink.is_idempotent else "deliver again",
            "module": sink.__module__,
            "options": sorted(sink.Config.model_fields),
        }


def _first_line(offered: type) -> str:
    return (inspect.getdoc(offered) or "").partition("\n")[0]


def _datasets(session: Session) -> Iterator[Entry]:
    for name, dataset in session.registry.datasets.items():
        yield {
            "name": name,
            "about": dataset.about,
            "key": dataset.key,
            "columns": dataset.column_names,
        }


def _kpis(session: Session) -> Iterator[Entry]:
    for kpi in session.catalog.kpis.values():
        yield {
            "id": kpi.id,
            "title": kpi.title,
            "question": kpi.question,
            "unit": kpi.unit,
            "better": kpi.better,
            "pack": kpi.pack,
            "variants": [name for name in kpi.variants if name],
            "dimensions": kpi.dimensions,
            "guardrails": kpi.guardrails,
            "grains": kpi.grains,
        }


def _dimensions(session: Session) -> Iterator[Entry]:
    of: dict[str, list[str]] = {}
    for kpi in session.catalog.kpis.values():
        for dimension in kpi.dimensions:
            of.setdefault(dimension, []).append(kpi.id)
    for name in session.catalog.segments:
        of.setdefault(name, [])
    for name in sorted(of):
        yield {"name": name, "kpis": of[name]}


def _jobs(session: Session) -> Iterator[Entry]:
    for name, job in session.config.jobs.items():
        yield {
            "name": name,
            "schedule": job.schedule or "",
            "grain": job.grain or "",
            "where": job.where or "",
            "kpis": job.kpis,
            "by": [",".join(grouping) for grouping in job.by],
            "compare": job.compare,
            "sinks": job.sinks,
        }


INVENTORIES: Mapping[str, Inventory] = {
    "kpis": Inventory(
        _kpis,
        ("id", "title", "question", "unit", "better", "pack"),
        ("variants", "dimensions", "guardrails", "grains"),
        shown=("id", "unit", "pack", "question"),
    ),
    "datasets": Inventory(
        _datasets, ("name", "about"), ("key", "columns"), shown=("name", "about")
    ),
    "connectors": Inventory(
        _connectors, ("name", "about", "module"), ("options",), shown=("name", "about", "options")
    ),
    "sinks": Inventory(
        _sinks,
        ("name", "about", "repeats", "module"),
        ("options",),
        shown=("name", "about", "repeats", "options"),
    ),
    "plugins": Inventory(
        _plugins,
        ("name", "state", "version", "origin", "error"),
        ("offers",),
        shown=("name", "state", "version", "origin", "offers", "error"),
    ),
    "jobs": Inventory(
        _jobs,
        ("name", "schedule", "grain", "where"),
        ("kpis", "by", "compare", "sinks"),
        shown=("name", "schedule", "grain", "kpis", "by", "sinks"),
    ),
    "dimensions": Inventory(_dimensions, ("name",), ("kpis",), shown=("name", "kpis")),
}
"""By the word that `crmetrics list` takes."""
