"""The tables of a delivery: long as results are, or wide for people and spreadsheets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from crmetrics.plugin import Delivery, export
from crmetrics_files.html import html_report
from crmetrics_files.markdown import markdown_report

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["csv", "json", "ndjson", "parquet", "xlsx", "markdown", "html"]
Form = Literal["long", "wide"]

BINARY: Mapping[Format, str] = {"parquet": "Parquet", "xlsx": "Excel"}
_STREAMS: Mapping[Format, Callable[[Any, TextIO], None]] = {
    "csv": export.write_csv,
    "json": export.write_json,
    "ndjson": export.write_ndjson,
}
_TEXTS: Mapping[Format, Callable[[Any], str]] = {
    "csv": export.to_csv,
    "json": export.to_json,
    "ndjson": export.to_ndjson,
}


def table_of(delivery: Delivery, form: Form) -> pa.Table:
    """The results in this form."""
    return delivery.results if form == "long" else wide(delivery.results)


def wide(results: pa.Table) -> pa.Table:
    """One row per period and group, a column per dimension and per KPI.

    Columns: period_start, period_end, grain, the dimensions in the order of their first use (null
    where a row is not of that dimension; all null is the total), then the values by `KPI` or
    `KPI.VARIANT` (null = no value; why, says the long form).
    """
    import pyarrow as pa

    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    dimensions: dict[str, None] = {}
    kpis: dict[str, None] = {}
    wanted = ["period_start", "period_end", "grain", "segment", "kpi", "variant", "value"]
    for row in results.select(wanted).to_pylist():
        segment = dict(row["segment"] or ())
        dimensions.update(dict.fromkeys(segment))
        name = f"{row['kpi']}.{row['variant']}" if row["variant"] else row["kpi"]
        kpis[name] = None
        place = (row["period_start"], row["period_end"], row["grain"])
        found = rows.setdefault((*place, tuple(segment.items())), {"segment": segment})
        found[name] = row["value"]
    columns: dict[str, Any] = {
        "period_start": pa.array([key[0] for key in rows], pa.date32()),
        "period_end": pa.array([key[1] for key in rows], pa.date32()),
        "grain": pa.array([key[2] for key in rows], pa.string()),
    }
    for dimension in dimensions:
        texts = [row["segment"].get(dimension) for row in rows.values()]
        # A dimension may be called like a KPI or like one of the first columns.
        taken = {*columns, *kpis}
        columns[f"by {dimension}" if dimension in taken else dimension] = pa.array(
            texts, pa.string()
        )
    for name in kpis:
        columns[name] = pa.array([row.get(name) for row in rows.values()], pa.float64())
    return pa.table(columns)


def text(kind: Format, delivery: Delivery, form: Form) -> str:
    """The whole file as text."""
    if kind == "markdown":
        return markdown_report(delivery.message)
    if kind == "html":
        return html_report(delivery.message)
    return _TEXTS[kind](table_of(delivery, form))


def writer(kind: Format, delivery: Delivery, form: Form) -> Callable[[Path], None]:
    """What writes one file; tables are streamed, reports are small."""

    def write(path: Path) -> None:
        if kind == "parquet":
            export.write_parquet(table_of(delivery, form), path)
            return
        if kind == "xlsx":
            from crmetrics_files.xlsx import write_xlsx

            write_xlsx(delivery, table_of(delivery, form), path)
            return
        with path.open("w", encoding="utf-8", newline="") as out:
            if kind in _STREAMS:
                _STREAMS[kind](table_of(delivery, form), out)
            else:
                out.write(text(kind, delivery, form))

    return write
