"""Results as an Excel workbook: numbers as numbers, days as days, and no text that is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmetrics.plugin import Delivery, SinkError, export

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_ROWS = 1_048_575  # of a sheet, beside the head
_MOST_CHARACTERS = 32_767  # of a cell
_ROWS_AT_ONCE = 10_000
_FORMATS: Mapping[str, str] = {"day": "yyyy-mm-dd", "instant": "yyyy-mm-dd hh:mm:ss"}


def write_xlsx(delivery: Delivery, table: pa.Table, path: Path) -> None:
    """Write the table to a sheet `Results` (and `Results 2`, ... beyond a million rows), and what
    the report says to a sheet `Report`.

    Every text is stored as a text: none is taken for a formula or a link. Instants are UTC. The
    same delivery gives the same bytes.
    """
    try:
        import xlsxwriter
    except ImportError:
        raise SinkError("xlsx needs the extra 'xlsx': pip install 'crmetrics[xlsx]'") from None
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "remove_timezone": True,
        "in_memory": False,
    }
    with xlsxwriter.Workbook(str(path), options) as book:
        made = delivery.message.created_at or datetime(2000, 1, 1, tzinfo=UTC)
        book.set_properties({"title": delivery.message.title, "created": made.replace(tzinfo=None)})
        look = {name: book.add_format({"num_format": text}) for name, text in _FORMATS.items()}
        look["head"] = book.add_format({"bold": True, "bottom": 1})
        _write_report(book, delivery, look)
        _write_table(book, table, look)


def _write_table(book: Any, table: pa.Table, look: Mapping[str, Any]) -> None:
    number = 0
    while True:
        part = table.slice(number * _MOST_ROWS, _MOST_ROWS)
        if number and not part.num_rows:
            return
        sheet = book.add_worksheet("Results" if not number else f"Results {number + 1}")
        for index, name in enumerate(part.column_names):
            sheet.write_string(0, index, name, look["head"])
        sheet.freeze_panes(1, 0)
        if part.num_columns:
            sheet.autofilter(0, 0, max(part.num_rows, 1), part.num_columns - 1)
            sheet.set_column(0, part.num_columns - 1, 16)
        for row, values in enumerate(_rows(part), start=1):
            for column, value in enumerate(values):
                _write_cell(sheet, row, column, value, look)
        number += 1


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    for batch in export.flat(table).to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _write_cell(sheet: Any, row: int, column: int, value: Any, look: Mapping[str, Any]) -> None:
    """One value; null is an empty cell."""
    if value is None:
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float):
        sheet.write_number(row, column, value)
    elif isinstance(value, datetime):
        in_utc = value.astimezone(UTC) if value.tzinfo else value
        sheet.write_datetime(row, column, in_utc.replace(tzinfo=None), look["instant"])
    elif isinstance(value, date):
        sheet.write_datetime(row, column, datetime(value.year, value.month, value.day), look["day"])
    else:
        sheet.write_string(row, column, _fitting(str(value)))


def _write_report(book: Any, delivery: Delivery, look: Mapping[str, Any]) -> None:
    """What people read: a line per KPI with its words."""
    message = delivery.message
    sheet = book.add_worksheet("Report")
    sheet.set_column(0, 0, 32)
    sheet.set_column(1, 8, 24)
    rows: list[tuple[str, ...]] = [(message.title,), (message.headline,)]
    rows += [(note,) for note in message.notes]
    for number, texts in enumerate(rows):
        sheet.write_string(number, 0, _fitting(texts[0]), look["head"] if not number else None)
    top = len(rows) + 1
    head = (
        "KPI",
        "Value",
        "Change",
        "Trend",
        "Signal",
        "Goal",
        "Guardrails",
        "State",
        "Data",
    )
    for column, name in enumerate(head):
        sheet.write_string(top, column, name, look["head"])
    for number, line in enumerate(message.kpis, start=top + 1):
        texts = (line.title, line.value_text, line.change_text, line.trend_text, line.alert_text,
                 line.goal_text, line.guardrail_text, line.status_text,
                 line.coverage_text)  # fmt: skip
        for column, text in enumerate(texts):
            sheet.write_string(number, column, _fitting(text))
    foot = top + len(message.kpis) + 2
    for number, text in enumerate(message.footer, start=foot):
        sheet.write_string(number, 0, _fitting(text))


def _fitting(text: str) -> str:
    """At most what a cell takes; a longer text would be dropped as a whole."""
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
