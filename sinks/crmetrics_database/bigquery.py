"""BigQuery through ADBC: rows wait in a table that expires, then one statement brings them in.

The driver has no way to load Arrow, and reading rows through it needs the right to BigQuery's
Storage API. So rows go up as one text per statement, which SQL takes apart, and nothing is read
back: the server itself compares, by ASSERT. One MERGE, atomic by itself, does the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from crmetrics.plugin import export
from crmetrics_database.adbc import StagedDatabase
from crmetrics_database.address import TableName
from crmetrics_database.engines import DatabaseError
from crmetrics_database.statements import Kind, create_table, merge, read_back

if TYPE_CHECKING:
    import pyarrow as pa

_BYTES_AT_ONCE = 4_000_000  # a request takes ten million
_OPTION = "adbc.bigquery.sql."


class BigQueryDatabase(StagedDatabase):
    """A dataset of a BigQuery project. Nothing enforces a key there: the statement keeps it."""

    label, extra, module = "BigQuery", "bigquery", "adbc_driver_bigquery"
    lost = re.compile(
        r"connection|EOF|timed? ?out|reset by peer|no such host|unreachable|Error 50[0234]"
        r"|backendError|rateLimitExceeded|could not serialize|concurrent update",
        re.IGNORECASE,
    )
    types: ClassVar[Mapping[Kind, str]] = {
        "text": "string",
        "float": "float64",
        "integer": "int64",
        "decimal": "bignumeric",
        "boolean": "bool",
        "date": "date",
        "instant": "timestamp",
    }
    accepted: ClassVar[Mapping[Kind, frozenset[str]]] = {
        kind: frozenset({name.upper()}) for kind, name in types.items() if kind != "decimal"
    }

    def __init__(self, url: str, folder: Path) -> None:
        parts = urlsplit(url)
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._project, self._dataset = parts.netloc, parts.path.strip("/")
        self._incoming = f"crmetrics_incoming_{uuid4().hex[:12]}"
        settings = {f"{_OPTION}project_id": self._project, f"{_OPTION}dataset_id": self._dataset}
        if "location" in options:
            settings[f"{_OPTION}location"] = options["location"]
        if "credentials" in options:
            settings[f"{_OPTION}auth_type"] = f"{_OPTION}auth_type.json_credential_file"
            settings[f"{_OPTION}auth_credentials"] = str(folder / options["credentials"])
        self.connect(db_kwargs=settings, autocommit=True)

    # --- the table ---------------------------------------------------------------------------

    def qualified(self, name: TableName) -> str:
        return self._path(name.schema or self._dataset, name.table)

    def _path(self, *names: str) -> str:
        return ".".join(_quoted(name) for name in (self._project, *names))

    def columns(self, name: TableName) -> dict[str, str]:
        try:
            with self.errors():
                schema = self._connection.adbc_get_table_schema(
                    name.table, db_schema_filter=name.schema or self._dataset
                )
        except DatabaseError as exc:
            if "404" in str(exc) or "notFound" in str(exc):
                return {}
            raise
        return {field.name.lower(): _sql_type(field.type) for field in schema}

    def create_schema(self, name: TableName) -> None:
        self.execute(f"create schema if not exists {self._path(name.schema or self._dataset)}")

    def create_table(
        self, name: TableName, columns: Mapping[str, Kind], key: Sequence[str]
    ) -> None:
        self.execute(create_table(self.qualified(name), columns, self.types, (), _quoted))

    def add_column(self, name: TableName, column: str, kind: Kind, default: str | None) -> None:
        """A column, and its default in the rows that there are: three statements in one job."""
        table, quoted = self.qualified(name), _quoted(column)
        sql = f"alter table {table} add column if not exists {quoted} {self.types[kind]}"
        if default is not None:
            sql += (
                f";\nalter table {table} alter column {quoted} set default '{default}';\n"
                f"update {table} set {quoted} = '{default}' where {quoted} is null"
            )
        self.execute(sql)

    # --- rows --------------------------------------------------------------------------------

    @property
    def staging(self) -> str:
        return self._path(self._dataset, self._incoming)

    def load(self, table: pa.Table) -> None:
        """The rows in a table that expires in a day, should nobody live to remove it."""
        self._rows = table
        described = ", ".join(
            f"{_quoted(column)} {self.types[kind]}" for column, kind in self.staged.items()
        )
        self.execute(
            f"create table {self.staging} ({described}) options (expiration_timestamp = "
            "timestamp_add(current_timestamp(), interval 1 day))"
        )
        values = ", ".join(
            f"cast(json_value(one, '$[{index}]') as {self.types[kind]})"
            for index, kind in enumerate(self.staged.values())
        )
        sql = (
            f"insert into {self.staging}\nselect {values}\nfrom unnest(json_query_array(?)) as one"
        )
        for text in _texts(table):
            # A cursor of its own: the driver sends its text along with every later statement.
            with self.errors(), self._connection.cursor() as cursor:
                cursor.execute(sql, [text])
        self._compare(f"select count(*), count(value) from {self.staging}",
                      _totals(table)[:2], "not all rows came up")  # fmt: skip

    def maintain(self, name: TableName) -> dict[str, int]:
        """The rows that were merged; the driver does not say which were known."""
        table, columns = self.qualified(name), list(self.staged)
        self.execute(merge(table, self.staging, columns, self.upkeep, _quoted))
        return {"merged": int(self._rows.num_rows)}

    def totals(self, name: TableName) -> tuple[Any, ...] | None:
        """What was written, when the server says that it is there."""
        expected = _totals(self._rows)
        query = read_back(self.qualified(name), self.staging, self.upkeep, _quoted)
        self._compare(
            query,
            expected,
            "the table does not hold what was written; look for rows doubled by another program",
        )
        return expected

    def _compare(self, query: str, expected: Sequence[float | int | None], told: str) -> None:
        """Let the server compare the only row of a query; raise DatabaseError with what is told."""
        columns = [f"c{index}" for index in range(len(expected))]
        terms = " and ".join(
            f"({column} is null)" if value is None else f"coalesce({column} = {value!r}, false)"
            for column, value in zip(columns, expected, strict=True)
        )
        selected, _, rest = query.removeprefix("select ").partition(" from ")
        parts = ", ".join(
            f"{part} as {column}"
            for part, column in zip(selected.split(", "), columns, strict=True)
        )
        # A name per column: BigQuery has no names for a row of values.
        self.execute(f"assert (select {terms} from (select {parts} from {rest})) as '{told}'")


def _texts(table: pa.Table) -> Iterator[str]:
    """The rows as JSON, each a list of texts; as many at once as a statement takes."""
    rows: list[str] = []
    size = 0
    for row in export.rows(table):
        values = [None if value is None else _text(value) for value in row.values()]
        rows.append(json.dumps(values, ensure_ascii=False))
        size += len(rows[-1].encode("utf-8"))
        if size > _BYTES_AT_ONCE:
            yield f"[{','.join(rows)}]"
            rows, size = [], 0
    if rows:
        yield f"[{','.join(rows)}]"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _totals(rows: pa.Table) -> tuple[int, int, float | None, float | None]:
    import pyarrow.compute as pc

    values = rows.column("value")
    bounds = pc.min_max(values)
    count = rows.num_rows
    return count, count - values.null_count, bounds["min"].as_py(), bounds["max"].as_py()


def _sql_type(kind: pa.DataType) -> str:
    """How BigQuery calls the type that the driver gives as Arrow."""
    import pyarrow as pa

    known = {
        pa.string(): "STRING",
        pa.float64(): "FLOAT64",
        pa.int64(): "INT64",
        pa.bool_(): "BOOL",
        pa.date32(): "DATE",
    }
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "DATETIME"
    return known.get(kind, str(kind).upper())


def _quoted(identifier: str) -> str:
    """Names of projects, datasets and columns hold no backtick: `parse_url` sees to it."""
    return f"`{identifier}`"
