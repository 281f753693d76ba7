"""A warehouse file from tables written as in the KPI catalogue, and a session to compute on it.

A line `@name` starts the rows of a dataset, the next line names its columns; an empty field is
null. Columns that are not shown are filled by the rule of the catalogue's section 1.1. A column
`source` says which source gave the row; without it everything comes from `test`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from crmetrics.datasets import Column, Dataset, canonical_datasets
from crmetrics.periods import Calendar
from crmetrics.warehouse.compute import ComputeSession, open_for_compute
from crmetrics.warehouse.connection import EngineSettings
from crmetrics.warehouse.derived import ViewSettings
from crmetrics.warehouse.intake import Intake
from crmetrics.warehouse.load import open_for_load

LATE = datetime(2030, 1, 1, tzinfo=UTC)

_READ: Mapping[str, Callable[[str], Any]] = {
    "string": str,
    "bool": lambda text: text == "true",
    "int": int,
    "float": float,
    "money": Decimal,
    "date": date.fromisoformat,
    "timestamp": datetime.fromisoformat,
}

_FILL: Mapping[str, Any] = {
    "string": "-",
    "bool": False,
    "int": 0,
    "float": 0.0,
    "money": Decimal(0),
    "date": date(2000, 1, 1),
    "timestamp": datetime(2000, 1, 1, tzinfo=UTC),
}

_FILL_BY_NAME = {("activities", "activity_type"): "email", ("orders", "status"): "paid"}


def write_crm(
    folder: Path, tables: str, datasets: Mapping[str, Dataset] | None = None
) -> EngineSettings:
    """Load the tables of the text into a new warehouse file."""
    known = canonical_datasets() if datasets is None else datasets
    settings = EngineSettings(folder / "warehouse.duckdb", threads=1)
    with open_for_load(settings, known) as load:
        for name, rows in _tables(tables):
            dataset = known[name]
            sources = sorted({row.get("source") or "test" for row in rows}) or ["test"]
            for source in sources:
                batch = _batch(dataset, rows, source)
                intake = Intake(tuple(batch.schema.names), LATE, replaces=True)
                load.load(name, source, iter([batch]), intake)
    return settings


def open_crm(
    folder: Path,
    tables: str,
    *,
    datasets: Mapping[str, Dataset] | None = None,
    timezone: str = "UTC",
    as_of: str = "",
    horizon: date = date(2026, 12, 31),
    **settings: object,
) -> ComputeSession:
    """A session over a warehouse with these tables; as_of is late unless it is given."""
    known = canonical_datasets() if datasets is None else datasets
    calendar = Calendar(timezone)
    view = ViewSettings(
        calendar,
        "USD",
        calendar.parse_instant(as_of) if as_of else LATE,
        bool(as_of),
        horizon,
        settings,
    )
    return open_for_compute(write_crm(folder, tables, known), known, view)


def ask(session: ComputeSession, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, with every relation made that it names."""
    session.prepare(sql)
    return session.rows(sql)


def _tables(text: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    for part in text.split("@")[1:]:
        name, _, body = part.partition("\n")
        lines = [line.strip() for line in body.splitlines() if line.strip()]
        yield name.strip(), list(csv.DictReader(lines))


def _batch(dataset: Dataset, rows: list[dict[str, str]], source: str) -> pa.RecordBatch:
    schema = dataset.arrow_schema()
    records = [
        {
            column.name: _value(dataset, column, row, number)
            for column in dataset.columns
            if column.name != "source"
        }
        for number, row in enumerate(rows, 1)
        if (row.get("source") or "test") == source
    ]
    wanted = [field for field in schema if field.name != "source"]
    return pa.RecordBatch.from_pylist(records, schema=pa.schema(wanted))


def _value(dataset: Dataset, column: Column, row: Mapping[str, str], number: int) -> Any:
    if column.name in row:
        text = row[column.name]
        return _READ[column.type](text) if text else None
    if column.name in ("id", "subscription_id"):
        return str(number)
    if column.nullable:
        return None
    if column.default is not None:
        return column.default
    return _FILL_BY_NAME.get((dataset.name, column.name), _FILL[column.type])
