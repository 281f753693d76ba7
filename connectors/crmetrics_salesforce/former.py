"""What earlier reads left in the warehouse, of which Salesforce tells nothing any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from crmetrics.plugin import ReadRequest
from crmetrics_salesforce.assembling import Workbench
from crmetrics_salesforce.lengths import IDS_AT_MOST
from crmetrics_salesforce.reach import Reach, fields_in
from crmetrics_salesforce.streams import Companion

_AGED = timedelta(days=17 * 30)
"""Field tracking forgets after 18 months, less some time that the service may take."""


def recall(
    bench: Workbench,
    reach: Reach,
    request: ReadRequest,
    held: Sequence[str],
    *,
    is_whole: bool,
) -> None:
    """Fill the table `former`: what was read before of records that Salesforce forgets by age.

    held: the columns that the last read gave. is_whole: of all records, not only of those in
    `main`. A column of the project file is null.
    """
    if not reach.stream.remembered:
        return
    columns = ("id", *reach.stream.remembered)
    known = sorted(set(held) - set(request.mapping))
    bench.given("held_before", ("name",), [(name,) for name in known])
    bench.given("aged", ("instant",), [((request.started - _AGED).isoformat(),)])
    schema = request.dataset.arrow_schema(columns)
    bench.make("former", dict(zip(schema.names, schema.types, strict=True)))
    own = [name for name in columns if name not in request.mapping]
    of = reach.stream.belongs_to[1] if reach.stream.belongs_to else "id"
    if of not in own or "id" not in own:
        return
    ids = None if is_whole else bench.column("select Id from main")
    if ids is not None and len(ids) > IDS_AT_MOST:
        ids = None
    bench.fill("former", request.stored(own, ids=ids, of=of))


def shown_by(reach: Reach, companion: Companion) -> list[str]:
    """Columns that are put together from records of a companion, and leave with them."""
    extras = {name for name, extra in reach.extras.items() if companion in extra.companions}
    return [
        column
        for column, text in reach.entries.items()
        if companion.touches
        and column not in reach.stream.remembered
        and extras.intersection(fields_in(text))
    ]


def showing(request: ReadRequest, columns: Sequence[str]) -> Iterator[str]:
    """Ids of the stored records that have a value in one of these columns."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for batch in request.stored(("id", "is_deleted", *columns)):
        mask: Any = pa.repeat(pa.scalar(False), batch.num_rows)
        for name in columns:
            mask = pc.or_(mask, pc.is_valid(batch.column(name)))
        kept = pc.and_not(mask, batch.column("is_deleted"))
        yield from (str(name) for name in batch.column("id").filter(kept).to_pylist())
