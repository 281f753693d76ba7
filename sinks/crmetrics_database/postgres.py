"""PostgreSQL through ADBC: Arrow goes in as it is, by COPY, without a loop over rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from crmetrics_database.adbc import AdbcDatabase, literal
from crmetrics_database.address import TableName
from crmetrics_database.statements import (
    INCOMING,
    Kind,
    any_in_scope,
    create_table,
    quoted,
)

if TYPE_CHECKING:
    import pyarrow as pa

_SCOPES = "crmetrics_scopes"
_CONNECT_S = 10
_LOCK_S = 60
_SORT_MEMORY = "256MB"  # a million keys are then sorted without a file


class PostgresDatabase(AdbcDatabase):
    """A PostgreSQL server; everything of one delivery is one transaction.

    The key is a unique index over hashes of it.
    """

    label, extra, module = "PostgreSQL", "postgres", "adbc_driver_postgresql"
    lost = re.compile(
        r"connection|server closed|terminat|starting up|shutting down|could not (?:send|receive)"
        r"|no COPY in progress|SSL|(?<!lock )(?<!statement )timeout",  # those would come again
        re.IGNORECASE,
    )
    types: ClassVar[Mapping[Kind, str]] = {
        "text": "text",
        "float": "double precision",
        "integer": "bigint",
        "decimal": "numeric",
        "boolean": "boolean",
        "date": "date",
        "instant": "timestamptz",
    }
    accepted: ClassVar[Mapping[Kind, frozenset[str]]] = {
        "text": frozenset({"TEXT", "CHARACTER VARYING", "JSON", "JSONB"}),
        # Not NUMERIC, which may have been given digits to round to.
        "float": frozenset({"DOUBLE PRECISION"}),
        "integer": frozenset({"BIGINT"}),
        "decimal": frozenset({"NUMERIC"}),
        "boolean": frozenset({"BOOLEAN"}),
        "date": frozenset({"DATE"}),
        "instant": frozenset({"TIMESTAMP WITH TIME ZONE"}),
    }
    source: ClassVar[str] = _SCOPES

    def __init__(self, url: str) -> None:
        self._rows: pa.Table | None = None
        self._is_new = False
        self.connect(_with_time_limit(url))

    def qualified(self, name: TableName) -> str:
        return f"{quoted(name.schema or self._schema)}.{quoted(name.table)}"

    @property
    def _schema(self) -> str:
        found = self.first("select current_schema()")
        return str(found[0]) if found and found[0] else "public"

    def columns(self, name: TableName) -> dict[str, str]:
        with self.errors():
            self._cursor.execute(
                "select column_name, data_type from information_schema.columns "
                f"where table_schema = {literal(name.schema or self._schema)} "
                f"and table_name = {literal(name.table)} order by ordinal_position"
            )
            rows = self._cursor.fetchall()
        return {str(column).lower(): str(kind).upper() for column, kind in rows}

    def create_schema(self, name: TableName) -> None:
        if name.schema:
            self.execute(f"create schema if not exists {quoted(name.schema)}")

    def create_table(
        self, name: TableName, columns: Mapping[str, Kind], key: Sequence[str]
    ) -> None:
        self.execute(create_table(self.qualified(name), columns, self.types, ()))
        self._is_new = True

    def lock(self, name: TableName) -> None:
        self.execute(f"lock table {self.qualified(name)} in share row exclusive mode")

    # --- the key -----------------------------------------------------------------------------

    def maintain(self, name: TableName) -> dict[str, int]:
        """With the index made afterwards when most of the table is written: that takes a fifth of
        the time of the load, keeping it up row by row more than all of it."""
        rebuilds = self._is_new or self._is_mostly_new(name)
        if not self._is_new and rebuilds:
            self.execute(f"drop index if exists {self._index(name)}")
        counts = super().maintain(name)
        if rebuilds:
            self._create_index(name)
        return counts

    def guards_key(self, name: TableName) -> bool:
        return self._is_new  # of an old one, rows that are updated would hide a second one

    def totals(self, name: TableName) -> tuple[Any, ...] | None:
        if not self._is_new:
            return super().totals(name)
        return self.first(
            f"select count(*), count(value), min(value), max(value) from {self.qualified(name)}"
        )

    def _is_mostly_new(self, name: TableName) -> bool:
        """Whether more rows come than there are, and the index is ours to make again."""
        assert self._rows is not None
        indexed = self._indexed_rows(name)
        return indexed is not None and self._rows.num_rows > max(indexed, 10_000.0)

    def _indexed_rows(self, name: TableName) -> float | None:
        """About how many rows the table has; None when it lacks the index."""
        found = self.first(
            "select c.reltuples from pg_class c join pg_index i on i.indrelid = c.oid "
            f"where i.indexrelid = to_regclass({literal(self._index(name))})"
        )
        return None if found is None else float(found[0])

    def _create_index(self, name: TableName) -> None:
        """One row per key, by two hashes of it: a segment may be longer than an index takes, and
        comparing long texts costs more than writing them. Hashes are joined by exclusive or, each
        with a seed of its own, which costs less than joining the texts."""
        others = [one for one in self.upkeep.key if one not in ("period_start", "segment")]
        place = " # ".join(
            f"hashtextextended(coalesce({quoted(column)}, ''), {seed})"
            for seed, column in enumerate(others, start=2)
        )
        hashes = (
            f"(hashtextextended(segment, 0) # {place}), "
            "(hashtextextended(segment, 1) # (period_start - date '2000-01-01')::bigint)"
        )
        self.execute(f"set local maintenance_work_mem = '{_SORT_MEMORY}'")
        self.execute(
            f"create unique index {quoted(_index_name(name))} on {self.qualified(name)} ({hashes})"
        )

    def _index(self, name: TableName) -> str:
        return f"{quoted(name.schema or self._schema)}.{quoted(_index_name(name))}"

    # --- rows --------------------------------------------------------------------------------

    def load(self, table: pa.Table) -> None:
        """Only the scopes; the rows themselves follow when they cannot be appended."""
        self._rows, scope = table, list(self.upkeep.scope)
        scopes = table.select(scope).group_by(scope).aggregate([])
        self._ingest_temporary(_SCOPES, scopes)

    def append(self, name: TableName) -> int | None:
        assert self._rows is not None
        table = self.qualified(name)
        if self.first(any_in_scope(table, _SCOPES, self.upkeep)) is not None:
            self._ingest_temporary(INCOMING, self._rows)
            self.execute(f"analyze {INCOMING}")
            return None
        with self.errors():
            self._cursor.adbc_ingest(
                name.table,
                self._rows,
                mode="append",
                db_schema_name=name.schema or self._schema,
            )
        return int(self._rows.num_rows)

    def _ingest_temporary(self, name: str, table: pa.Table) -> None:
        with self.errors():
            self._cursor.execute(f"drop table if exists pg_temp.{name}")
            self._cursor.adbc_ingest(name, table, mode="create", temporary=True)

    # --- transactions ------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """The driver has begun one with the connection; it ends here."""
        try:
            # A forgotten transaction of somebody else would keep the run, and its warehouse, for
            # ever: from the table itself, and from a new column of it.
            self.first(
                f"select set_config('lock_timeout', '{_LOCK_S}s', true) "
                "where current_setting('lock_timeout') = '0'"
            )
            yield
            with self.errors():
                self._connection.commit()
        except BaseException:
            self.roll_back()
            raise


def _index_name(name: TableName) -> str:
    return f"{name.table[:55]}_key"


def _with_time_limit(url: str) -> str:
    """A server that does not answer must not hold a run for ever."""
    if "connect_timeout=" in url:
        return url
    return f"{url}{'&' if urlsplit(url).query else '?'}connect_timeout={_CONNECT_S}"
