"""Arrow tables as CSV, JSON, newline-delimited JSON and Parquet; for results and for records.

One rendering for the command line and for every sink, so that a number reads the same wherever it
is delivered:

- instants are UTC with a `Z`, dates are ISO 8601;
- maps are JSON objects, lists are JSON arrays (in CSV: their JSON text, keys sorted);
- there is no NaN or infinity: both are null, in CSV an empty cell;
- a decimal is a JSON number when a float holds it exactly, otherwise its text;
- CSV is RFC 4180 in UTF-8 with `\\n` line ends. A text that a spreadsheet would run as a formula
  gets an apostrophe before the sign that starts it, also behind a `;`, tab or line end within:
  a spreadsheet may split there (`a; -5` is `a; '-5`). Numbers are never touched.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from crmetrics.nested import json_texts

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 10_000

# What starts a formula in Excel, LibreOffice or Google Sheets (OWASP "CSV injection"), the
# full-width forms included, which spreadsheets fold to the plain ones.
_FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")

# Where another cell starts for a reader that splits at semicolons (the spreadsheets of most of
# Europe) or tabs: it does not see the quotes of a cell that commas delimit. Blanks and quotes in
# front of the cell are dropped by some.
_FORMULA_WITHIN = re.compile(r"""([;\t\r\n](?:[^\S\t\r\n]|")*)(?=[=+\-@＝＋－＠])""")


def to_csv(table: pa.Table) -> str:
    """The table as CSV text with a header row; null is an empty cell."""
    return _text(write_csv, table)


def to_json(table: pa.Table) -> str:
    """The table as a JSON array of one object per row."""
    return _text(write_json, table)


def to_ndjson(table: pa.Table) -> str:
    """The table as one JSON object per line."""
    return _text(write_ndjson, table)


def write_csv(table: pa.Table, out: TextIO) -> None:
    """Write what `to_csv` gives; memory stays bounded by the batch."""
    out.write(",".join(_quoted(_inert(name)) for name in table.column_names) + "\n")
    cells = [_csv_cell(field.type) for field in table.schema]
    for row in _rows(table):
        texts = [
            "" if value is None else cell(value) for cell, value in zip(cells, row, strict=True)
        ]
        # A lone empty cell must be quoted: a blank line is no row for most readers.
        out.write((",".join(texts) if texts != [""] else '""') + "\n")


def write_json(table: pa.Table, out: TextIO) -> None:
    """Write what `to_json` gives; memory stays bounded by the batch."""
    before = "[\n"
    for line in _json_objects(table):
        out.write(before + line)
        before = ",\n"
    out.write("\n]\n" if before == ",\n" else "[]\n")


def write_ndjson(table: pa.Table, out: TextIO) -> None:
    """Write what `to_ndjson` gives; memory stays bounded by the batch."""
    for line in _json_objects(table):
        out.write(line + "\n")


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write the Arrow table as it is (maps and lists included) to a Parquet file."""
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")


def flat(table: pa.Table) -> pa.Table:
    """The table with every map, list and struct as JSON text, and without NaN and infinity.

    For stores without nested types. Equal maps give equal text, because keys are sorted.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for index, field in enumerate(table.schema):
        column = table.column(index)
        if pa.types.is_floating(field.type) and column.null_count < len(column):
            finite = pc.if_else(pc.is_finite(column), column, pa.scalar(None, field.type))
            table = table.set_column(index, field.name, finite)
        if not pa.types.is_nested(field.type):
            continue
        texts = json_texts(table.column(index))
        if texts is None:
            texts = pa.array(_texts(field.type, table.column(index)), pa.string())
        table = table.set_column(index, field.name, texts)
    return table


def _texts(kind: pa.DataType, column: pa.ChunkedArray[Any]) -> list[str | None]:
    """Nested values as JSON texts, one by one."""
    convert = _json_value(kind)
    return [None if value is None else _canonical(convert(value)) for value in column.to_pylist()]


def rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """One JSON-like dict per row: only dicts, lists, texts, numbers, booleans and None."""
    converters = [_json_value(field.type) for field in table.schema]
    for row in _rows(table):
        yield {
            name: None if value is None else convert(value)
            for name, convert, value in zip(table.column_names, converters, row, strict=True)
        }


def _text(write: Callable[[pa.Table, TextIO], None], table: pa.Table) -> str:
    out = io.StringIO(newline="")
    write(table, out)
    return out.getvalue()


def _json_objects(table: pa.Table) -> Iterator[str]:
    for row in rows(table):
        yield json.dumps(row, ensure_ascii=False, allow_nan=False)


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """The rows as Python values, a bounded number of them at a time."""
    for batch in _microseconds(table).to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _microseconds(table: pa.Table) -> pa.Table:
    """Python has no nanoseconds; they are cut, as everywhere in the warehouse."""
    import pyarrow as pa

    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = table.column(index).cast(pa.timestamp("us", tz=field.type.tz), safe=False)
            table = table.set_column(index, field.name, column)
    return table


# --- CSV -------------------------------------------------------------------------------------


def _csv_cell(kind: pa.DataType) -> Callable[[Any], str]:
    """How a value of this Arrow type (never None) reads in a CSV cell."""
    import pyarrow as pa

    convert = _json_value(kind)
    if pa.types.is_nested(kind):
        return lambda value: _quoted(_inert(_canonical(convert(value))))
    if pa.types.is_decimal(kind):
        return lambda value: format(value, "f")
    return lambda value: _scalar_cell(convert(value))


def _scalar_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(_inert(value))
    return repr(value)


def _inert(text: str) -> str:
    text = _FORMULA_WITHIN.sub(r"\1'", text)
    return "'" + text if text.startswith(_FORMULA_STARTS) else text


def _quoted(text: str) -> str:
    # Not the csv module: before Python 3.13 it leaves a lone carriage return unquoted.
    if any(character in text for character in ',"\r\n') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


# --- JSON ------------------------------------------------------------------------------------


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True)


def _json_value(kind: pa.DataType) -> Callable[[Any], Any]:
    """How a value of this Arrow type (never None) reads in JSON."""
    import pyarrow as pa

    if pa.types.is_map(kind):
        item = _optional(_json_value(kind.item_type))
        return lambda pairs: {str(key): item(value) for key, value in pairs}
    if pa.types.is_struct(kind):
        parts: Sequence[tuple[str, Callable[[Any], Any]]] = [
            (field.name, _optional(_json_value(field.type))) for field in kind
        ]
        return lambda value: {name: convert(value[name]) for name, convert in parts}
    # Lists of all sorts; unions, which have none, are given as Python reads them.
    element_type: pa.DataType | None = getattr(kind, "value_type", None)
    if pa.types.is_nested(kind) and element_type is not None:
        element = _optional(_json_value(element_type))
        return lambda values: [element(value) for value in values]
    return _scalar


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return value


def number(value: Decimal) -> float | str | None:
    """A decimal as a float when that loses nothing, else its text; None when it is no number."""
    if not value.is_finite():
        return None
    close = float(value)
    return close if Decimal(repr(close)) == value else format(value, "f")


def instant(value: datetime) -> str:
    """ISO 8601; an aware instant in UTC with `Z`, a naive one as it is."""
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
