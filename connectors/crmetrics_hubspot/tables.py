"""Rows of the small datasets as canonical batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from crmetrics.plugin import ReadRequest
from crmetrics_hubspot.values import INSTANT, Misfits, typed

_ROWS = 5_000
_TYPES: Mapping[str, pa.DataType] = {
    "timestamp": INSTANT,
    "date": pa.date32(),
    "bool": pa.bool_(),
    "float": pa.float64(),
}


def batches_of(
    request: ReadRequest,
    rows: Iterable[Mapping[str, Any]],
    types: Mapping[str, pa.DataType] | None = None,
    columns: Sequence[str] = (),
) -> Iterator[pa.RecordBatch]:
    """Batches of rows whose canonical columns are texts; further members are fields for mappings.

    types: of columns that are neither text nor what their canonical type says. columns: those that
    may be given; by default all that are wanted.
    """
    rest = iter(rows)
    misfits = Misfits(request.dataset.name)
    while chunk := list(islice(rest, _ROWS)):
        batch = _batch(request, chunk, types or {}, misfits)
        own = {name: name for name in batch.schema.names if name in request.dataset}
        yield request.derive(batch, own, columns)
    for notice in misfits.notices():
        request.notice(notice)


def _batch(
    request: ReadRequest,
    rows: Sequence[Mapping[str, Any]],
    given: Mapping[str, pa.DataType],
    misfits: Misfits,
) -> pa.RecordBatch:
    names = list(rows[0])
    types = {name: given.get(name) or _type(request, name) for name in names}
    texts = pa.RecordBatch.from_arrays(
        [pa.array([_text(row[name]) for row in rows], pa.string()) for name in names], names=names
    )
    return pa.RecordBatch.from_arrays(typed(texts, types, misfits), names=names)


def _type(request: ReadRequest, name: str) -> pa.DataType:
    if name not in request.dataset:
        return pa.string()
    return _TYPES.get(request.dataset.column(name).type, pa.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
