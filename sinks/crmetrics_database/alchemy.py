"""MySQL, MariaDB and SQL Server through SQLAlchemy: rows in batches, one transaction.

They have no driver that takes Arrow. What the table holds of the scope is read first, so that rows
are inserted, updated or removed by their key, and no statement is more than standard SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from crmetrics_database.address import TableName
from crmetrics_database.engines import Database, DatabaseError
from crmetrics_database.statements import Kind

if TYPE_CHECKING:
    import pyarrow as pa
    import sqlalchemy as sa

_ROWS_AT_ONCE = 10_000
_DRIVERS: Mapping[str, tuple[str, str]] = {
    "mysql": ("mysql+pymysql", "mysql"),
    "mssql": ("mssql+pymssql", "mssql"),
}
"""Kind -> the driver that is meant when the URL names none, and the extra that brings it."""

# What an index takes limits the texts of a key: 3,072 bytes in MySQL, 1,700 in SQL Server.
_KEY_LENGTHS: Mapping[str, int] = {
    "job": 100, "kpi": 100, "variant": 60, "grain": 10, "run_id": 60, "segment": 400,
}  # fmt: skip


class AlchemyDatabase(Database):
    """A server that SQLAlchemy knows."""

    # The types are SQLAlchemy's, made per column in `_type`.
    types: ClassVar[Mapping[Kind, str]] = {}
    accepted: ClassVar[Mapping[Kind, frozenset[str]]] = {}

    def __init__(self, kind: str, url: str) -> None:
        self._kind = kind
        with self._errors():
            import sqlalchemy

            self._sa = sqlalchemy
            scheme, _, rest = url.partition("://")
            scheme = scheme if "+" in scheme else _DRIVERS.get(kind, (scheme, ""))[0]
            self._engine = sqlalchemy.create_engine(
                f"{scheme}://{rest}", poolclass=sqlalchemy.NullPool, hide_parameters=True
            )
            self._connection = self._engine.connect()

    # --- the table ---------------------------------------------------------------------------

    def qualified(self, name: TableName) -> str:
        return str(name)

    def columns(self, name: TableName) -> dict[str, str]:
        with self._errors():
            inspector = self._sa.inspect(self._connection)
            if not inspector.has_table(name.table, schema=name.schema or None):
                return {}
            found = inspector.get_columns(name.table, schema=name.schema or None)
        return {str(column["name"]).lower(): str(column["type"]).upper() for column in found}

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
            sa.Column(column, self._type(column, kind), nullable=column not in key)
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
        type_text = self._type(column, kind).compile(dialect=compiler)
        suffix = f" default '{default}' not null" if default is not None else ""
        quoted = compiler.identifier_preparer.quote(column)
        verb = "add" if self._kind == "mssql" else "add column"
        with self._errors():
            self._connection.execute(
                sa.text(f"alter table {table} {verb} {quoted} {type_text}{suffix}")
            )

    def _bare(self, name: TableName) -> sa.Table:
        return self._sa.Table(name.table, self._sa.MetaData(), schema=name.schema or None)

    def _type(self, column: str, kind: Kind) -> Any:
        """Texts of a key compare by bytes: `East` and `east` are two teams."""
        from sqlalchemy.dialects import mssql, mysql

        sa = self._sa
        if kind == "text" and column in _KEY_LENGTHS:
            length = _KEY_LENGTHS[column]
            return (
                sa.String(length)
                .with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")
                .with_variant(mssql.NVARCHAR(length, collation="Latin1_General_BIN2"), "mssql")
            )
        plain: Mapping[Kind, Any] = {
            "text": sa.UnicodeText().with_variant(mssql.NVARCHAR(None), "mssql"),
            "float": sa.Double(),
            "integer": sa.BigInteger(),
            "decimal": sa.Numeric(38, 10),
            "boolean": sa.Boolean(),
            "date": sa.Date(),
            "instant": sa.DateTime(timezone=True).with_variant(
                mysql.DATETIME(fsp=6), "mysql", "mariadb"
            ),
        }
        return plain[kind]

    # --- rows --------------------------------------------------------------------------------

    def load(self, table: pa.Table) -> None:
        self._rows = table

    def maintain(self, name: TableName) -> dict[str, int]:
        """Rows inserted, updated and removed by key."""
        sa = self._sa
        with self._errors():
            table = sa.Table(
                name.table, sa.MetaData(), autoload_with=self._connection,
                schema=name.schema or None,
            )  # fmt: skip
            columns = {column.name.lower(): column for column in table.columns}
            known = self._known(table, columns)
            fresh, changed = list[dict[str, Any]](), list[dict[str, Any]]()
            for row in self._python_rows():
                key = self._key_of(row)
                (changed if key in known else fresh).append(row)
                known.discard(key)
            self._delete(table, columns, known)
            self._update(table, columns, changed)
            self._insert(table, columns, fresh)
        return {"inserted": len(fresh), "updated": len(changed), "removed": len(known)}

    def totals(self, name: TableName) -> tuple[Any, ...]:
        """Count, count of values, least and largest value of the scope."""
        sa = self._sa
        with self._errors():
            table = sa.Table(
                name.table, sa.MetaData(), autoload_with=self._connection,
                schema=name.schema or None,
            )  # fmt: skip
            columns = {column.name.lower(): column for column in table.columns}
            value = columns["value"]
            query = sa.select(
                sa.func.count(), sa.func.count(value), sa.func.min(value), sa.func.max(value)
            ).where(self._in_scope(columns))
            return tuple(self._connection.execute(query).one())

    def _known(self, table: sa.Table, columns: Mapping[str, Any]) -> set[tuple[Any, ...]]:
        key = [columns[name] for name in self.upkeep.key]
        query = self._sa.select(*key).where(self._in_scope(columns))
        return {tuple(row) for row in self._connection.execute(query)}

    def _in_scope(self, columns: Mapping[str, Any]) -> Any:
        """The rows that agree with an incoming one in all columns of the scope."""
        sa, scope = self._sa, list(self.upkeep.scope)
        scopes = self._rows.select(scope).group_by(scope).aggregate([]).to_pylist()
        terms = [sa.and_(*(columns[name] == row[name] for name in scope)) for row in scopes]
        return sa.or_(*terms) if terms else sa.false()

    def _key_of(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.upkeep.key)

    def _python_rows(self) -> Iterator[dict[str, Any]]:
        is_naive = self._engine.dialect.name in ("mysql", "mariadb", "sqlite")
        for batch in self._rows.to_batches(max_chunksize=_ROWS_AT_ONCE):
            for row in batch.to_pylist():
                yield {name: _value(value, is_naive) for name, value in row.items()}

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

    def close(self) -> None:
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
                exc.connection_invalidated or "connect" in str(exc.orig).lower()
            )
            text = str(exc.orig) if isinstance(exc, DBAPIError) else str(exc)
            raise DatabaseError(" ".join(text.split()), is_lost=is_lost) from None

    def _needs(self) -> str:
        extra = _DRIVERS.get(self._kind, ("", self._kind))[1]
        return f"{self._kind} needs the extra {extra!r}: pip install 'crmetrics[{extra}]'"


def _value(value: Any, is_naive: bool) -> Any:
    """An instant in UTC, without its zone where the database keeps none."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if is_naive else value
    return value
