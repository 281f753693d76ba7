"""What tells one report from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_KEY_CHARACTERS = 32


def delivery_key(
    job: str, grain: str, start: date, end: date, sink: str, destination: str, definition: str = ""
) -> str:
    """The same text for every repeat of one (job, period, sink, destination, definitions).

    destination: as the sink tells it from others (`Sink.destination_id`). What is masked in it for
    people to see depends on all secrets of the project, and one of them that changes must not make
    another channel of it.
    """
    parts = [job, grain, start.isoformat(), end.isoformat(), sink, destination, definition]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_KEY_CHARACTERS]


def definitions_text(definitions: Iterable[tuple[str, str, str]]) -> str:
    """(KPI, variant, definition hash) of all that a report shows, as one text for its key."""
    return json.dumps(sorted(set(definitions)))


def definitions_of(results: pa.Table) -> str:
    """The same from the rows of a report."""
    pairs = results.select(["kpi", "variant", "definition_hash"]).to_pylist()
    return definitions_text(
        (row["kpi"], row["variant"] or "", row["definition_hash"] or "") for row in pairs
    )


def report_id(definitions: str, where: str) -> str:
    """Names definitions (`definitions_text`) with a filter, wherever their report goes."""
    text = json.dumps([definitions, where])
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_CHARACTERS]
