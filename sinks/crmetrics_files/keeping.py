"""Keep the files of the last periods of each job, and remove only what was written here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crmetrics.plugin import Delivery
from crmetrics_files.stores import Store

MANIFEST = ".crmetrics-files.json"
"""Which file belongs to which sink, job and period; beside the files."""


@dataclass(frozen=True, slots=True)
class Period:
    """A period of a job with its files, by name below the folder."""

    start: str
    files: tuple[str, ...]


def keep_last(
    store: Store, sink: str, delivery: Delivery, names: Sequence[str], count: int
) -> list[str]:
    """Note the files of this delivery, and remove those of all but the last `count` periods of its
    job that this sink wrote; the removed ones.

    Sinks that share a folder keep different numbers of periods, each of its own files. The note is
    written before anything is removed: a kill in between leaves the rest to the next delivery. A
    file that a later period has taken over stays.
    """
    manifest = _read(store)
    job = f"{sink}/{delivery.job}/{delivery.grain}"
    periods = {one.start: one for one in _periods(manifest.get(job, []))}
    start = delivery.period_start.isoformat()
    periods[start] = Period(start, tuple(names))
    in_order = sorted(periods.values(), key=lambda one: one.start)
    kept, gone = in_order[-count:], in_order[:-count]
    manifest[job] = [{"start": one.start, "files": list(one.files)} for one in in_order]
    _write(store, manifest)
    in_use = {name for one in kept for name in one.files} | {
        name
        for other, entries in manifest.items()
        if other != job
        for one in _periods(entries)
        for name in one.files
    }
    removed = [name for one in gone for name in one.files if name not in in_use]
    for name in removed:
        store.remove(name)
    if gone:
        manifest[job] = [{"start": one.start, "files": list(one.files)} for one in kept]
        _write(store, manifest)
    return removed


def _read(store: Store) -> dict[str, Any]:
    """The manifest; an unreadable one is begun anew: then older files simply stay."""
    data = store.read(MANIFEST)
    if data is None:
        return {}
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _periods(entries: Any) -> list[Period]:
    return [Period(str(one["start"]), tuple(one["files"])) for one in entries]


def _write(store: Store, manifest: dict[str, Any]) -> None:
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    store.put({MANIFEST: write})
