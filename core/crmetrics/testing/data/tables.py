"""Records as Arrow tables, and Arrow tables as CSV and Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from crmetrics.datasets import Column, Dataset
from crmetrics.testing.data.company import Row

SOURCE = "sample"

FINANCE = frozenset(
    {
        "marketing_spend",
        "expenses",
        "benefits",
        "quotas",
        "training_enrollments",
        "survey_responses",
        "exchange_rates",
        "web_sessions",
    }
)
"""Datasets that no CRM holds: they lie in spreadsheets of finance and other departments."""


def to_table(dataset: Dataset, rows: Iterable[Row]) -> pa.Table:
    """The rows with every column of the dataset; an absent value is null or the default."""
    rows = list(rows)
    arrays = [_array(column, rows) for column in dataset.columns]
    return pa.Table.from_arrays(arrays, schema=dataset.arrow_schema())


def _array(column: Column, rows: list[Row]) -> Any:
    name, default = column.name, column.default
    if name == "source":
        return pa.array([SOURCE] * len(rows), pa.string())
    values = [row.get(name, default) for row in rows]
    if column.type == "float":
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, column.arrow_type)


def write_csv(
    tables: Mapping[str, pa.Table], directory: Path, *, split: bool = False
) -> list[Path]:
    """One `DATASET.csv` per table, without the column `source`, which the engine sets.

    Instants are ISO 8601 in UTC, booleans true and false, nulls empty. split: the datasets that a
    CRM holds go to `crm/`, the others (`FINANCE`) to `finance/`. Returns the files written.
    """
    # pyarrow quotes every text and the header by default; nothing in the sample needs it.
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    paths = []
    for name, table in tables.items():
        text = _as_text(table)
        path = _place(directory, name, split) / f"{name}.csv"
        with path.open("wb") as file:
            file.write(f"{','.join(text.column_names)}\n".encode())
            pa.csv.write_csv(text, file, options)
        paths.append(path)
    return paths


def write_parquet(
    tables: Mapping[str, pa.Table], directory: Path, *, split: bool = False
) -> list[Path]:
    """One `DATASET.parquet` per table with canonical types; otherwise as `write_csv`."""
    paths = []
    for name, table in tables.items():
        path = _place(directory, name, split) / f"{name}.parquet"
        pa.parquet.write_table(table.drop_columns(["source"]), path)
        paths.append(path)
    return paths


def _place(directory: Path, name: str, split: bool) -> Path:
    if split:
        directory = directory / ("finance" if name in FINANCE else "crm")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _as_text(table: pa.Table) -> pa.Table:
    """The table without `source`, instants as `2025-01-31T08:00:00Z`, money without padding."""
    names = [name for name in table.column_names if name != "source"]
    columns: list[Any] = []
    for name in names:
        column: Any = table[name]
        if pa.types.is_timestamp(column.type):
            text = column.cast(pa.timestamp("s")).cast(pa.string())
            column = pc.binary_join_element_wise(pc.replace_substring(text, " ", "T"), "Z", "")
        elif pa.types.is_decimal(column.type):
            column = column.cast(pa.decimal128(18, 2))
        columns.append(column)
    return pa.table(columns, names)
