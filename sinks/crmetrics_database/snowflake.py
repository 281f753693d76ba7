"""Snowflake through ADBC: Arrow goes up as Parquet, then one statement brings it into the table.

A transaction of Snowflake outlives a client that was killed, and keeps its locks for hours. So
there is none: the rows wait in a temporary table, are counted there, and one MERGE, which is atomic
by itself, removes, changes and adds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit
from uuid import uuid4

from crmetrics_database.adbc import StagedDatabase, literal
from crmetrics_database.address import TableName
from crmetrics_database.engines import DatabaseError
from crmetrics_database.statements import (
    Kind,
    add_column,
    create_table,
    merge,
    read_back,
)

if TYPE_CHECKING:
    import pyarrow as pa

_LOGIN_S = 60


class SnowflakeDatabase(StagedDatabase):
    """A schema of a Snowflake account.

    Names are in capitals, as Snowflake makes them of names without quotes. The primary key is a
    note there, which nothing enforces: the statement keeps one row per key.
    """

    label, extra, module = "Snowflake", "snowflake", "adbc_driver_snowflake"
    lost = re.compile(
        r"connection|EOF|timed? ?out|reset by peer|no such host|unreachable|50[234]|"
        r"session no longer exists|390111|390114|deadlock|lock",
        re.IGNORECASE,
    )
    types: ClassVar[Mapping[Kind, str]] = {
        "text": "varchar",
        "float": "float",
        "integer": "number(38, 0)",
        "decimal": "number(38, 10)",
        "boolean": "boolean",
        "date": "date",
        "instant": "timestamp_tz",
    }
    accepted: ClassVar[Mapping[Kind, frozenset[str]]] = {
        "text": frozenset({"TEXT", "VARCHAR", "STRING"}),
        "float": frozenset({"FLOAT", "DOUBLE", "REAL"}),
        "integer": frozenset({"NUMBER", "BIGINT"}),
        "boolean": frozenset({"BOOLEAN"}),
        "date": frozenset({"DATE"}),
        "instant": frozenset({"TIMESTAMP_TZ", "TIMESTAMP_LTZ"}),
    }

    def __init__(self, url: str) -> None:
        self._incoming = f"CRMETRICS_INCOMING_{uuid4().hex[:12].upper()}"
        self.connect(_with_time_limit(url), autocommit=True)

    # --- the table ---------------------------------------------------------------------------

    def qualified(self, name: TableName) -> str:
        return f"{_quoted(name.schema or self._schema)}.{_quoted(name.table)}"

    @property
    def _schema(self) -> str:
        found = self.first("select current_schema()")
        return str(found[0]) if found and found[0] else "PUBLIC"

    def columns(self, name: TableName) -> dict[str, str]:
        schema = (name.schema or self._schema).upper()
        with self.errors():
            self._cursor.execute(
                "select column_name, data_type from information_schema.columns "
                f"where table_schema = {literal(schema)} "
                f"and table_name = {literal(name.table.upper())} order by ordinal_position"
            )
            rows = self._cursor.fetchall()
        return {str(column).lower(): str(kind).upper() for column, kind in rows}

    def create_schema(self, name: TableName) -> None:
        if name.schema:
            self.execute(f"create schema if not exists {_quoted(name.schema)}")

    def create_table(
        self, name: TableName, columns: Mapping[str, Kind], key: Sequence[str]
    ) -> None:
        self.execute(create_table(self.qualified(name), columns, self.types, key, _quoted))

    def add_column(self, name: TableName, column: str, kind: Kind, default: str | None) -> None:
        self.execute(add_column(self.qualified(name), column, kind, self.types, default, _quoted))

    # --- rows --------------------------------------------------------------------------------

    @property
    def staging(self) -> str:
        return self._incoming

    def load(self, table: pa.Table) -> None:
        """The rows in a temporary table, none lost on the way."""
        described = ", ".join(
            f"{_quoted(column)} {self.types[kind]}" for column, kind in self.staged.items()
        )
        self.execute(f"create temporary table {_quoted(self._incoming)} ({described})")
        renamed = table.rename_columns([column.upper() for column in table.column_names])
        with self.errors():
            if table.num_rows:
                self._cursor.adbc_ingest(self._incoming, renamed, mode="append")
        found = self.first(f"select count(*), count({_quoted('value')}) from {self.staging}")
        expected = table.num_rows, table.num_rows - table.column("value").null_count
        if found is None or (int(found[0]), int(found[1])) != expected:
            raise DatabaseError(f"{found} rows and values came up of {expected}")

    def maintain(self, name: TableName) -> dict[str, int]:
        """Rows inserted, updated and removed, as the server counts them."""
        table = self.qualified(name)
        sql = merge(table, self.staging, list(self.staged), self.upkeep, _quoted)
        with self.errors():
            self._cursor.execute(sql)
            names = [str(column[0]).rpartition(" ")[2] for column in self._cursor.description]
            row = self._cursor.fetchone() or ()
        counted = dict(zip(names, (int(value) for value in row), strict=False))
        return {
            "inserted": counted.get("inserted", 0),
            "updated": counted.get("updated", 0),
            "removed": counted.get("deleted", 0),
        }

    def totals(self, name: TableName) -> tuple[Any, ...] | None:
        return self.first(read_back(self.qualified(name), self.staging, self.upkeep, _quoted))


def _quoted(identifier: str) -> str:
    return '"' + identifier.upper().replace('"', '""') + '"'


def _with_time_limit(url: str) -> str:
    """The driver's own address; a login that fails is otherwise tried for five minutes."""
    address = url.partition("://")[2]
    if "logintimeout=" in url.lower():
        return address
    return f"{address}{'&' if urlsplit(url).query else '?'}loginTimeout={_LOGIN_S}"
