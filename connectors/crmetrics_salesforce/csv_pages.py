"""Pages of a bulk result as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmetrics.plugin import SourceError
from crmetrics_salesforce.misfits import Misfits
from crmetrics_salesforce.soql import Query

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 8 * 1024 * 1024  # a row may hold texts of 131,072 characters


def table_of(body: bytes, query: Query, misfits: Misfits) -> pa.Table:
    """One page with a header row, as the query's fields with their types.

    The empty text is null: Bulk does not tell the two apart. A value that is not of its field's
    type turns the column into texts, see `misfits`.
    Raises SourceError when the page is no CSV of this query.
    """
    import pyarrow as pa

    if b"\0" in body:
        body = body.replace(b"\0", b"")
    if not body or body.isspace():  # `strip` would copy all of it
        return pa.schema(list(query.types.items())).empty_table()
    try:
        return _parsed(body, dict(query.types), query)
    except pa.ArrowInvalid:
        pass
    texts = {name: pa.string() for name in query.types}
    try:
        return _settled(_parsed(body, texts, query), query, misfits)
    except pa.ArrowInvalid as exc:
        reason = str(exc).partition("\n")[0][:200]
    raise SourceError(f"{query.object}: a page of the bulk job cannot be read as CSV: {reason}.")


def _parsed(body: bytes, types: dict[str, Any], query: Query) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    source: Any = pa.BufferReader(body)
    names = _header(body)
    by_name = {name.lower(): name for name in types}
    unknown = [name for name in names if name.lower() not in by_name]
    missing = set(types) - {by_name.get(name.lower(), "") for name in names}
    if unknown or missing:
        raise SourceError(
            f"{query.object}: the bulk job gave the columns {', '.join(names)[:200]}, expected "
            f"{', '.join(types)[:200]}."
        )
    ours = [by_name[name.lower()] for name in names]
    table = csv.read_csv(
        source,
        read_options=csv.ReadOptions(
            column_names=ours, skip_rows=1, block_size=_BLOCK, use_threads=False
        ),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            true_values=["true"],
            false_values=["false"],
        ),
    )
    return table.select(list(types))


def _header(body: bytes) -> list[str]:
    """Names of the first line; field names hold neither commas nor quotes nor line breaks."""
    line = body[: body.find(b"\n") if b"\n" in body else len(body)]
    text = line.decode("utf-8-sig", "replace").strip()
    return [name.strip().strip('"') for name in text.split(",")]


def _settled(table: pa.Table, query: Query, misfits: Misfits) -> pa.Table:
    """Texts as the types of their fields, column by column."""
    import pyarrow as pa

    for number, (name, kind) in enumerate(query.types.items()):
        if not pa.types.is_string(kind):
            values = table.column(name).to_pylist()
            settled = misfits.settled(query.object, name, values, kind)
            table = table.set_column(number, name, settled)
    return table
