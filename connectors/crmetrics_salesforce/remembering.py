"""What Salesforce forgets by age, and the warehouse does not.

Field tracking keeps changes for 18 to 24 months. A record that is read again later lacks what they
told: its row is delivered without those columns, and the stored values stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_KEPT = timedelta(days=17 * 30)  # 18 months, less some time that the service may take
_TOLD = "IsTold"


def told_before(since: datetime | None, started: datetime) -> str | None:
    """Records that were created before have been read, and may have lost their first changes
    since; None = nothing has been read."""
    return None if since is None else min(since, started - _KEPT).isoformat()


def told_apart(batch: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """The rows of a relation, and whether earlier reads know better what they say."""
    import pyarrow.compute as pc

    if _TOLD not in batch.schema.names:
        yield batch, False
        return
    told = batch.column(_TOLD)
    for rows, is_told in ((batch.filter(pc.invert(told)), False), (batch.filter(told), True)):
        if rows.num_rows:
            yield rows, is_told


def known_parts(batch: pa.RecordBatch, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows in batches without those of the columns that say nothing of them: null, and for a
    flag false."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = [name for name in columns if name in batch.schema.names]
    if not names:
        yield batch
        return
    code: Any = pa.repeat(pa.scalar(0, pa.int64()), batch.num_rows)
    for bit, name in enumerate(names):
        column: Any = batch.column(name)
        is_flag = pa.types.is_boolean(column.type)
        known: Any = pc.fill_null(column, False) if is_flag else pc.is_valid(column)
        code = pc.add(code, pc.multiply(known.cast(pa.int64()), pa.scalar(1 << bit, pa.int64())))
    for value in pc.unique(code).to_pylist():
        unknown = {name for bit, name in enumerate(names) if not value >> bit & 1}
        rows = batch.filter(pc.equal(code, value))
        yield rows.select([name for name in rows.schema.names if name not in unknown])
