"""Small objects that say what values mean: stages, statuses, queues, questions."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import datetime
from typing import TYPE_CHECKING

from crmetrics_salesforce.soql import Query
from crmetrics_salesforce.transport import Transport

if TYPE_CHECKING:
    import pyarrow as pa


class Lookups:
    """Reads each of them once per run, whole; thread-safe.

    A run plans by the same rows that it puts its own together with: what changes meanwhile is
    seen by the next one.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._read: dict[tuple[str, datetime], list[pa.RecordBatch]] = {}

    def rows(self, query: Query, started: datetime) -> list[pa.RecordBatch]:
        """All rows of the object. Raises SourceError."""
        key = (query.soql(), started)
        with self._lock:
            if key not in self._read:
                self._read[key] = list(self._transport.batches(query, started))
            return self._read[key]

    def fingerprint(self, query: Query, started: datetime) -> str:
        """The same for the same rows, in whatever order they come. Raises SourceError."""
        rows = [row for batch in self.rows(query, started) for row in batch.to_pylist()]
        texts = sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()
