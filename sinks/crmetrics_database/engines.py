"""DuckDB and SQLite behind one small face: columns, staging, statements, transaction."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from crmetrics.plugin import export
from crmetrics_database.address import TableName
from crmetrics_database.statements import (
    INCOMING,
    Kind,
    Upkeep,
    add_column,
    create_table,
    delete_gone_groups,
    insert_new,
    kinds,
    quoted,
    read_back,
    update_known,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_BUSY_TIMEOUT_S = 30.0


class DatabaseError(Exception):
    """The database refused; the text is the driver's.

    is_lost: there is, or was at last, no connection; a repeat may find one.
    """

    def __init__(self, text: str, *, is_lost: bool = False) -> None:
        super().__init__(text)
        self.is_lost = is_lost


class Database(ABC):
    """An open database; a context manager that closes it.

    types: the type of each kind of column in a table made by us. accepted: types of an existing
    column that hold the kind without loss; a kind that is not there is held by all. source: the
    relation that holds the incoming rows, or their scopes. commits_before_read_back: one statement
    changes the rows and is a transaction of its own.
    """

    types: ClassVar[Mapping[Kind, str]]
    accepted: ClassVar[Mapping[Kind, frozenset[str]]]
    upkeep: Upkeep
    staged: Mapping[str, Kind]
    source: ClassVar[str] = INCOMING
    commits_before_read_back: ClassVar[bool] = False

    @abstractmethod
    def qualified(self, name: TableName) -> str:
        """The table's name as SQL."""

    @abstractmethod
    def columns(self, name: TableName) -> dict[str, str]:
        """Columns of a table, in small letters, and their types; empty without such a table."""

    @abstractmethod
    def create_schema(self, name: TableName) -> None:
        """Make the schema of the table when it is missing."""

    def stage(self, table: pa.Table, upkeep: Upkeep) -> None:
        """Take over the flat rows of a delivery, readable as the temporary relation `source`."""
        self.upkeep, self.staged = upkeep, kinds(table)
        self.load(table)

    @abstractmethod
    def load(self, table: pa.Table) -> None:
        """Make the rows, or at least their scopes, readable as the temporary relation `source`."""

    def append(self, name: TableName) -> int | None:
        """Add the staged rows straight to a table that holds none of their scope; None = it holds
        some, or there is no way quicker than the staged one."""
        return None

    def maintain(self, name: TableName) -> dict[str, int]:
        """Bring the staged rows into the table: rows inserted, updated and removed."""
        table, upkeep, columns = self.qualified(name), self.upkeep, self.staged
        inserted = self.append(name)
        if inserted is not None:
            return {"inserted": inserted, "updated": 0, "removed": 0}
        removed = self.execute(delete_gone_groups(table, upkeep))
        updated = self.execute(update_known(table, columns, upkeep))
        inserted = self.execute(insert_new(table, list(columns), upkeep))
        return {"inserted": inserted, "updated": updated, "removed": removed}

    def totals(self, name: TableName) -> tuple[Any, ...] | None:
        """What the table holds of the staged scope: count, count of values, least and largest."""
        return self.first(read_back(self.qualified(name), self.source, self.upkeep))

    def add_column(self, name: TableName, column: str, kind: Kind, default: str | None) -> None:
        """Add a column that an existing table lacks."""
        self.execute(add_column(self.qualified(name), column, kind, self.types, default))

    def create_table(
        self, name: TableName, columns: Mapping[str, Kind], key: Sequence[str]
    ) -> None:
        """Make the table, with one row per key."""
        self.execute(create_table(self.qualified(name), columns, self.types, key))

    def expected(self, kind: Kind) -> str:
        """The type of a column that is made for this kind."""
        return self.types[kind].upper()

    def accepts(self, kind: Kind, found: str) -> bool:
        """Whether a column of this type holds the kind without loss."""
        accepted = self.accepted.get(kind)
        return not accepted or found in accepted

    def guards_key(self, name: TableName) -> bool:
        """Whether the table itself refuses a second row of a key, at little cost."""
        return False

    def lock(self, name: TableName) -> None:
        """Keep other writers out of the table until the transaction ends; a file has one anyway."""
        return

    @abstractmethod
    def execute(self, sql: str) -> int:
        """Run a statement; the number of rows that it changed."""

    @abstractmethod
    def first(self, sql: str) -> tuple[Any, ...] | None:
        """The first row of a query."""

    def cancel(self) -> None:
        """End the statement that is running, where the driver can; called by another thread."""
        return

    @abstractmethod
    def close(self) -> None: ...

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        self.execute(self._begin)
        try:
            yield
            self.execute("commit")
        except BaseException:
            self.roll_back()
            raise

    _begin: ClassVar[str] = "begin transaction"

    @abstractmethod
    def roll_back(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def open_file(engine: str, path: Path, *, read_only: bool = False) -> Database:
    """Open the file, made when missing unless read_only. Raises DatabaseError."""
    return DuckDatabase(path, read_only) if engine == "duckdb" else SqliteDatabase(path, read_only)


class DuckDatabase(Database):
    """A DuckDB file; instants are `timestamptz`."""

    types: ClassVar[Mapping[Kind, str]] = {
        "text": "varchar",
        "float": "double",
        "integer": "bigint",
        "decimal": "decimal(38, 10)",
        "boolean": "boolean",
        "date": "date",
        "instant": "timestamptz",
    }
    accepted: ClassVar[Mapping[Kind, frozenset[str]]] = {
        "text": frozenset({"VARCHAR", "JSON"}),
        "float": frozenset({"DOUBLE"}),
        "integer": frozenset({"BIGINT", "HUGEINT"}),
        "date": frozenset({"DATE"}),
        "instant": frozenset({"TIMESTAMP WITH TIME ZONE", "TIMESTAMP"}),
    }

    def __init__(self, path: Path, read_only: bool) -> None:
        self._connection: duckdb.DuckDBPyConnection
        with _duckdb_errors():
            import duckdb

            self._connection = duckdb.connect(
                str(path),
                read_only=read_only,
                config={
                    "autoinstall_known_extensions": "false",
                    "autoload_known_extensions": "false",
                    "python_enable_replacements": "false",
                },
            )
            self._connection.execute("set enable_progress_bar = false")
            self._connection.execute("set TimeZone = 'UTC'")
            [(catalog,)] = self._connection.execute("select current_catalog()").fetchall()
            self._catalog = str(catalog)

    def qualified(self, name: TableName) -> str:
        # With the catalog: `results.kpis` in results.duckdb would be ambiguous.
        parts = (self._catalog, name.schema or "main", name.table)
        return ".".join(quoted(part) for part in parts)

    def columns(self, name: TableName) -> dict[str, str]:
        with _duckdb_errors():
            rows = self._connection.execute(
                "select column_name, data_type from information_schema.columns "
                "where table_catalog = ? and table_schema = ? and table_name = ? "
                "order by ordinal_position",
                [self._catalog, name.schema or "main", name.table],
            ).fetchall()
        return {str(column).lower(): str(kind) for column, kind in rows}

    def create_schema(self, name: TableName) -> None:
        if name.schema:
            schema = f"{quoted(self._catalog)}.{quoted(name.schema)}"
            self.execute(f"create schema if not exists {schema}")

    def load(self, table: pa.Table) -> None:
        with _duckdb_errors():
            self._connection.register("crmetrics_arrow", table)
            self._connection.execute(
                f"create or replace temp table {INCOMING} as from crmetrics_arrow"
            )
            self._connection.unregister("crmetrics_arrow")

    def execute(self, sql: str) -> int:
        with _duckdb_errors():
            result = self._connection.execute(sql)
            counts = bool(result.description) and result.description[0][0] == "Count"
            # A partly read result would block the next statement: always to its end.
            rows = result.fetchall() if counts else []
        return int(rows[0][0]) if rows else 0

    def first(self, sql: str) -> tuple[Any, ...] | None:
        with _duckdb_errors():
            rows: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        return rows[0] if rows else None

    def roll_back(self) -> None:
        # A failed statement may have ended the transaction already.
        import duckdb

        with _suppressed(duckdb.Error):
            self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


class SqliteDatabase(Database):
    """A SQLite file; dates are ISO text, instants ISO text in UTC with `Z`."""

    types: ClassVar[Mapping[Kind, str]] = {
        "text": "text",
        "float": "real",
        "integer": "integer",
        "decimal": "text",
        "boolean": "integer",
        "date": "text",
        "instant": "text",
    }
    # SQLite stores any value in any column; only an integer column would keep 1.0 as 1, which
    # reads back equal.
    accepted: ClassVar[Mapping[Kind, frozenset[str]]] = {}
    _begin: ClassVar[str] = "begin immediate"

    def __init__(self, path: Path, read_only: bool) -> None:
        target = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        with _sqlite_errors():
            self._connection = sqlite3.connect(
                target, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None
            )
            # The first read shows whether the file is a database at all.
            self._connection.execute("select count(*) from sqlite_master")

    def qualified(self, name: TableName) -> str:
        return f'"main".{quoted(name.table)}'

    def columns(self, name: TableName) -> dict[str, str]:
        with _sqlite_errors():
            rows = self._connection.execute(
                "select name, type from pragma_table_info(?, 'main')", [name.table]
            ).fetchall()
        return {str(column).lower(): str(kind).upper() for column, kind in rows}

    def create_schema(self, name: TableName) -> None:
        """SQLite has none; `parse_table` refuses them."""

    def load(self, table: pa.Table) -> None:
        columns = kinds(table)
        described = ", ".join(
            f"{quoted(name)} {self.types[kind]}" for name, kind in columns.items()
        )
        marks = ", ".join("?" * len(columns))
        key = ", ".join(quoted(name) for name in self.upkeep.key)
        with _sqlite_errors():
            self._connection.execute(f"drop table if exists temp.{INCOMING}")
            self._connection.execute(f"create temp table {INCOMING} ({described})")
            self._connection.executemany(
                f"insert into temp.{INCOMING} values ({marks})",
                (tuple(row.values()) for row in export.rows(table)),
            )
            self._connection.execute(f"create index temp.{INCOMING}_key on {INCOMING} ({key})")

    def execute(self, sql: str) -> int:
        with _sqlite_errors():
            return max(self._connection.execute(sql).rowcount, 0)

    def first(self, sql: str) -> tuple[Any, ...] | None:
        with _sqlite_errors():
            row: tuple[Any, ...] | None = self._connection.execute(sql).fetchone()
        return row

    def roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


@contextmanager
def _duckdb_errors() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as exc:
        raise DatabaseError(str(exc)) from exc


@contextmanager
def _sqlite_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise DatabaseError(str(exc)) from exc


@contextmanager
def _suppressed(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind:
        return
