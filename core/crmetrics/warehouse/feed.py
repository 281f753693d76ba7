"""Feeding a running statement from the caller's thread.

The connector stays on the caller's thread: Ctrl-C reaches it, its exceptions come out as they are,
and it reads the next page while DuckDB stores the last one. The statement, on the connection's
thread, scans a reader whose batches come through a short queue, which bounds the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any

from crmetrics.errors import QueryError
from crmetrics.warehouse.connection import Connection

if TYPE_CHECKING:
    import pyarrow as pa

FEED = "incoming_rows"
"""The name under which a fed statement reads its rows, once."""

_WAITING_BATCHES = 3
_STEP_S = 0.05

_Batches = Queue["pa.RecordBatch | None"]


class _Abandoned(Exception):
    """The source failed: the statement that reads from it ends too."""


def feed(
    connection: Connection, statement: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> int:
    """Run `statement`, which scans the relation FEED, on these batches; the rows it changed.

    An exception of `batches` ends the statement and is raised unchanged; the transaction around it
    is left to the caller.
    """
    import pyarrow as pa

    waiting: _Batches = Queue(_WAITING_BATCHES)
    abandoned: list[bool] = []
    reader = pa.RecordBatchReader.from_batches(schema, _drain(waiting, abandoned))
    connection.register(FEED, reader)
    future = connection.begin(statement)
    try:
        for batch in batches:
            if not _hand_over(batch, waiting, future):
                break
        else:
            _hand_over(None, waiting, future)
        changed = connection.wait_for(future, statement, timed=False)
    except BaseException:
        abandoned.append(True)
        _empty(waiting)
        waiting.put(None)
        connection.interrupt(future)
        # The statement may have broken the transaction, which then takes nothing but its end: that
        # must not hide why.
        with suppress(QueryError):
            connection.unregister(FEED)
        raise
    connection.unregister(FEED)
    return changed


def _drain(waiting: _Batches, abandoned: list[bool]) -> Iterator[pa.RecordBatch]:
    while True:
        batch = waiting.get()
        if abandoned:
            raise _Abandoned
        if batch is None:
            return
        yield batch


def _hand_over(batch: pa.RecordBatch | None, waiting: _Batches, future: Future[Any]) -> bool:
    """False when the statement has ended, so that nobody takes batches any more."""
    while not future.done():
        try:
            waiting.put(batch, timeout=_STEP_S)
        except Full:
            continue
        return True
    return False


def _empty(waiting: _Batches) -> None:
    try:
        while True:
            waiting.get_nowait()
    except Empty:
        return
