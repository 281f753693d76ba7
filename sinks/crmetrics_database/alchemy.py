"""MySQL, MariaDB and SQL Server through SQLAlchemy: rows in batches, one transaction.

They have no driver that takes Arrow. What the table holds of the scope is read first, so that rows
are inserted, updated or removed by their key, and no statement is more than standard SQL.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from crmetrics_database.address import TableName
from crmetrics_database.dialects import column_type, dialect_of
from crmetrics_database.engines import Database, DatabaseError
from crmetrics_database.statements import Kind

if TYPE_CHECKING:
    import pyarrow as pa
    import sqlalchemy as sa

_ROWS_AT_ONCE = 10_000
_CANCEL_EVERY_S, _CANCELS = 0.1, 50
_SCOPES_AT_ONCE = 300  # five values each: SQL Server takes at most 2,100 in a statement


class AlchemyDatabase(Database):
    """A server that SQLAlchemy knows."""

    # The types are SQLAlchemy's, made per column by `column_type`.
    types: ClassVar[Mapping[Kind, str]] = {}
    accepted: ClassVar[Mapping[Kind, frozenset[str]]] = {}

    def __init__(self, kind: str, url: str) -> None:
        self._kind, self._dialect = kind, dialect_of(kind)
        self._is_over = threading.Event()
        with self._errors():
            import sqlalchemy

            self._sa = sqlalchemy
            scheme, _, rest = url.partition("://")
            if "+" not in scheme:
                scheme = self._dialect.driver
            options: dict[str, Any] = {}
            if self._dialect.isolation:
                options["isolation_level"] = self._dialect.isolation
            self._engine = sqlalchemy.create_engine(
                f"{scheme}://{rest}", poolclass=sqlalchemy.NullPool, hide_parameters=True, **options
            )
            self._connection = self._engine.connect()
            for statement in self._dialect.session:
                self._connection.execute(sqlalchemy.text(statement))
            self._number = self._scalar(self._dialect.number) if self._dialect.number else None

    # --- the table ---------------------------------------------------------------------------

    def qualified(self, name: TableName) -> str:
        return str(name)

    def columns(self, name: TableName) -> dict[str, str]:
        with self._errors():
            inspector = self._sa.inspect(self._connection)
            if not inspector.has_table(name.table, schema=name.schema or None):
                return {}
            found = inspector.get_columns(name.table, schema=name.schema or None)
        return {
            str(column["name"]).lower(): str(column["type"]).upper().partition("(")[0].strip()
            for column in found
        }

    def expected(self, kind: Kind) -> str:
        return self._dialect.types[kind].upper()

    def accepts(self, kind: Kind, found: str) -> bool:
        accepted = self._dialect.accepted.get(kind)
        return accepted is None or found.partition(" COLLATE")[0] in accepted

    def lock(self, name: TableName) -> None:
        """A named lock that all sinks of the table wait for; it ends with the connection."""
        if not self._dialect.lock:
            return
        with self._errors():
            query = self._sa.text(self._dialect.lock)
            given = self._connection.execute(query, {"name": f"crmetrics {name}"}).scalar()
        if given is None or int(given) <= self._dialect.refused:
            raise DatabaseError("another run has been writing to the table for five minutes")

    def create_schema(self, name: TableName) -> None:
        if name.schema:
            with self._errors():
                inspector = self._sa.inspect(self._connection)
                if name.schema not in inspector.get_schema_names():
                    self._connection.execute(self._sa.schema.CreateSchema(name.schema))

    def create_table(
        self, name: TableName, columns: Mapping[str, Kind], key: Sequence[str]
    ) -> None:
        sa = self._sa
        parts = [
            sa.Column(column, column_type(column, kind), nullable=column not in key)
            for column, kind in columns.items()
        ]
        primary = sa.PrimaryKeyConstraint(*key, mssql_clustered=False)
        table = sa.Table(
            name.table, sa.MetaData(), *parts, primary, schema=name.schema or None,
            mysql_charset="utf8mb4",
        )  # fmt: skip
        with self._errors():
            table.create(self._connection)

    def add_column(self, name: TableName, column: str, kind: Kind, default: str | None) -> None:
        """Add a column that an existing table lacks."""
        sa, compiler = self._sa, self._engine.dialect
        table = compiler.identifier_preparer.format_table(self._bare(name))
        type_text = column_type(column, kind).compile(dialect=compiler)
        suffix = f" default '{default}' not null" if default is not None else ""
        quoted = compiler.identifier_preparer.quote(column)
        verb = "add" if self._kind == "mssql" else "add column"
        with self._errors():
            self._connection.execute(
                sa.text(f"alter table {table} {verb} {quoted} {type_text}{suffix}")
            )

    def _bare(self, name: TableName) -> sa.Table:
        return self._sa.Table(name.table, self._sa.MetaData(), schema=name.schema or None)

    # --- rows --------------------------------------------------------------------------------

    def load(self, table: pa.Table) -> None:
        self._rows = table

    def maintain(self, name: TableName) -> dict[str, int]:
        """Rows inserted, updated and removed by key; so many rows at a time."""
        counts = {"inserted": 0, "updated": 0, "removed": 0}
        with self._errors():
            table, columns = self._reflected(name)
            self._refuse_long_texts(columns)
            known = self._known(columns)
            for rows in self._python_rows():
                fresh, changed = list[dict[str, Any]](), list[dict[str, Any]]()
                for row in rows:
                    key = self._key_of(row)
                    (changed if key in known else fresh).append(row)
                    known.discard(key)
                self._update(table, columns, changed)
                self._insert(table, columns, fresh)
                counts["inserted"] += len(fresh)
                counts["updated"] += len(changed)
            self._delete(table, columns, known)
        return {**counts, "removed": len(known)}

    def totals(self, name: TableName) -> tuple[Any, ...]:
        """Count, count of values, least and largest value of the scope."""
        sa = self._sa
        with self._errors():
            _, columns = self._reflected(name)
            value = columns["value"]
            query = sa.select(
                sa.func.count(), sa.func.count(value), sa.func.min(value), sa.func.max(value)
            )
            found = [self._connection.execute(query.where(part)).one() for part in
                     self._in_scope(columns)]  # fmt: skip
        least = [row[2] for row in found if row[2] is not None]
        most = [row[3] for row in found if row[3] is not None]
        return (
            sum(row[0] for row in found),
            sum(row[1] for row in found),
            min(least, default=None),
            max(most, default=None),
        )

    def _reflected(self, name: TableName) -> tuple[sa.Table, dict[str, sa.Column[Any]]]:
        """The table as it is, and its columns by their names in small letters."""
        table = self._sa.Table(
            name.table, self._sa.MetaData(), autoload_with=self._connection,
            schema=name.schema or None,
        )  # fmt: skip
        return table, {column.name.lower(): column for column in table.columns}

    def _refuse_long_texts(self, columns: Mapping[str, sa.Column[Any]]) -> None:
        """An index takes no longer ones, and a server may cut what it is given."""
        import pyarrow.compute as pc

        for name in self.upkeep.key:
            limit = getattr(columns[name].type, "length", None)
            texts = self._rows.column(name)
            if not limit or not len(texts) or self.staged[name] != "text":
                continue
            longest = pc.max(pc.utf8_length(texts)).as_py()
            if longest > limit:
                raise DatabaseError(
                    f"a {name} of the results has {longest:,} characters, where the key of the "
                    f"table takes {limit}; group by fewer dimensions, or keep them in another kind "
                    "of database"
                )

    def _known(self, columns: Mapping[str, sa.Column[Any]]) -> set[tuple[Any, ...]]:
        key = [columns[name] for name in self.upkeep.key]
        return {
            tuple(row)
            for part in self._in_scope(columns)
            for row in self._connection.execute(self._sa.select(*key).where(part))
        }

    def _in_scope(self, columns: Mapping[str, sa.Column[Any]]) -> Iterator[Any]:
        """The rows that agree with an incoming one in all columns of the scope, in parts."""
        sa, scope = self._sa, list(self.upkeep.scope)
        scopes = self._rows.select(scope).group_by(scope).aggregate([]).to_pylist()
        for start in range(0, len(scopes), _SCOPES_AT_ONCE):
            some = scopes[start : start + _SCOPES_AT_ONCE]
            yield sa.or_(*(sa.and_(*(columns[n] == row[n] for n in scope)) for row in some))

    def _key_of(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.upkeep.key)

    def _python_rows(self) -> Iterator[list[dict[str, Any]]]:
        is_naive = self._engine.dialect.name in ("mysql", "mariadb", "sqlite")
        for batch in self._rows.to_batches(max_chunksize=_ROWS_AT_ONCE):
            yield [
                {name: _value(value, is_naive) for name, value in row.items()}
                for row in batch.to_pylist()
            ]

    def _delete(
        self, table: sa.Table, columns: Mapping[str, Any], keys: set[tuple[Any, ...]]
    ) -> None:
        bound = [
            {f"key_{name}": value for name, value in zip(self.upkeep.key, key, strict=True)}
            for key in keys
        ]
        self._many(table.delete().where(self._by_key(columns)), bound)

    def _update(
        self, table: sa.Table, columns: Mapping[str, Any], rows: Sequence[dict[str, Any]]
    ) -> None:
        sa, key = self._sa, self.upkeep.key
        if not rows:
            return
        values = {columns[name]: sa.bindparam(f"new_{name}") for name in rows[0] if name not in key}
        bound = [
            {f"{'key' if name in key else 'new'}_{name}": value for name, value in row.items()}
            for row in rows
        ]
        self._many(table.update().where(self._by_key(columns)).values(values), bound)

    def _insert(
        self, table: sa.Table, columns: Mapping[str, Any], rows: Sequence[dict[str, Any]]
    ) -> None:
        named = [{columns[name].name: value for name, value in row.items()} for row in rows]
        self._many(table.insert(), named)

    def _by_key(self, columns: Mapping[str, Any]) -> Any:
        sa = self._sa
        return sa.and_(*(columns[name] == sa.bindparam(f"key_{name}") for name in self.upkeep.key))

    def _many(self, statement: Any, rows: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            self._connection.execute(statement, rows[start : start + _ROWS_AT_ONCE])

    # --- statements and transactions -----------------------------------------------------------

    def execute(self, sql: str) -> int:
        raise NotImplementedError("rows are maintained by key, not by statements")

    def first(self, sql: str) -> tuple[Any, ...] | None:
        raise NotImplementedError("rows are maintained by key, not by statements")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """The connection has begun one with its first statement; it ends here."""
        try:
            yield
            with self._errors():
                self._connection.commit()
        except BaseException:
            self.roll_back()
            raise

    def roll_back(self) -> None:
        with suppress(self._sa.exc.SQLAlchemyError):
            self._connection.rollback()

    def cancel(self) -> None:
        """Say it until the work is over: between two statements of it nothing hears that."""
        if not self._dialect.cancel:
            return
        statement = self._dialect.cancel.format(number=self._number)
        with suppress(self._sa.exc.SQLAlchemyError), self._engine.connect() as other:
            for _ in range(_CANCELS):
                other.exec_driver_sql(statement)
                if self._is_over.wait(_CANCEL_EVERY_S):
                    return

    def _scalar(self, query: str) -> Any:
        return self._connection.execute(self._sa.text(query)).scalar()

    def close(self) -> None:
        self._is_over.set()
        with suppress(self._sa.exc.SQLAlchemyError):
            self._connection.close()
        self._engine.dispose()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            from sqlalchemy.exc import DBAPIError, SQLAlchemyError
        except ImportError:
            raise DatabaseError(self._needs()) from None
        try:
            yield
        except ModuleNotFoundError:
            raise DatabaseError(self._needs()) from None
        except SQLAlchemyError as exc:
            is_lost = isinstance(exc, DBAPIError) and (
                exc.connection_invalidated
                or _code(exc.orig) in self._dialect.transient
                or "connect" in str(exc.orig).lower()
            )
            text = str(exc.orig) if isinstance(exc, DBAPIError) else str(exc)
            raise DatabaseError(" ".join(text.split()), is_lost=is_lost) from None

    def _needs(self) -> str:
        extra = self._dialect.extra
        return f"{self._kind} needs the extra {extra!r}: pip install 'crmetrics[{extra}]'"


def _code(error: BaseException | None) -> int:
    """The server's or the driver's number of an error; 0 without one."""
    found = error.args[0] if error is not None and error.args else 0
    return found if isinstance(found, int) else 0


def _value(value: Any, is_naive: bool) -> Any:
    """An instant in UTC, without its zone where the database keeps none."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if is_naive else value
    return value
