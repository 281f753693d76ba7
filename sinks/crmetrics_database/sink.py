"""Keep the results of every job in one table: upsert by key, in one transaction."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, field_validator, model_validator

from crmetrics.plugin import (
    CheckResult,
    Delivery,
    Options,
    Receipt,
    Secret,
    Sink,
    SinkError,
    export,
    redact,
)
from crmetrics_database import statements
from crmetrics_database.address import Address, TableName, parse_table, parse_url
from crmetrics_database.engines import Database, DatabaseError, open_database
from crmetrics_database.statements import DEFAULTS, KEY, REQUIRED, Kind

if TYPE_CHECKING:
    import pyarrow as pa


class DatabaseOptions(Options):
    """Which table results are kept in."""

    url: Secret = Field(
        description="duckdb:///FILE or sqlite:///FILE, relative to the project file; four slashes "
        "for an absolute path"
    )
    table: str = Field(default="kpis", description="TABLE, or SCHEMA.TABLE for DuckDB")

    @field_validator("url")
    @classmethod
    def _known_url(cls, url: Secret) -> Secret:
        parse_url(url.reveal())
        return url

    @model_validator(mode="after")
    def _known_table(self) -> DatabaseOptions:
        parse_table(self.table, self.address.engine)
        return self

    @property
    def address(self) -> Address:
        return parse_url(self.url.reveal())

    @property
    def table_name(self) -> TableName:
        return parse_table(self.table, self.address.engine)


class DatabaseSink(Sink):
    """One row per (job, KPI, variant, period, grain, segment).

    A later run restates rows in place and removes groups that no longer exist. A missing table is
    made, a missing column added; columns of the table that results do not have are left alone.
    """

    name = "database"
    Config = DatabaseOptions
    is_idempotent = True
    config: DatabaseOptions

    def destination(self, delivery: Delivery) -> str:
        return self._shown

    def check(self) -> Iterable[CheckResult]:
        subject = f"sink {self.context.name}"
        path = self._path
        if path.is_file():
            try:
                with self._open(read_only=True) as database:
                    self._refuse_foreign_table(database, database.columns(self.config.table_name))
            except SinkError as exc:
                return [CheckResult(subject, "error", str(exc), "Choose another url or table.")]
            folder = path
        else:
            folder = next(place for place in path.parents if place.exists())
        if not os.access(folder, os.W_OK):
            fix = "Choose another url, or give this user the right to write there."
            return [CheckResult(subject, "error", f"{folder} cannot be written to", fix)]
        return [CheckResult(subject, "ok", f"{self._shown} can be written")]

    def preview(self, delivery: Delivery) -> str:
        rows = _incoming(delivery)
        head = f"--- {self._shown}: {rows.num_rows} rows, one per {', '.join(KEY)}\n"
        return head + export.to_csv(rows)

    def write(self, delivery: Delivery) -> Receipt:
        rows = _incoming(delivery)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise self._error(f"{exc.strerror}: {exc.filename}") from exc
        with self._open() as database:
            try:
                counts = self._upsert(database, rows)
            except DatabaseError as exc:
                raise self._error(str(exc)) from exc
        return Receipt(
            destination=self._shown, rows=rows.num_rows, reference=delivery.key, details=counts
        )

    def _upsert(self, database: Database, rows: pa.Table) -> dict[str, int]:
        """Rows inserted, updated and removed; nothing is changed when any of it fails."""
        name = self.config.table_name
        table = database.qualified(name)
        columns = statements.kinds(rows)
        database.stage(rows)
        twice = database.first(statements.duplicate_keys())
        if twice is not None:
            key = ", ".join(f"{name} {value}" for name, value in zip(KEY, twice, strict=True))
            raise self._error(f"the results hold two rows for {key}; expected one per key")
        with database.transaction():
            self._prepare_table(database, columns)
            removed = database.execute(statements.delete_gone_groups(table))
            updated = database.execute(statements.update_known(table, columns))
            inserted = database.execute(statements.insert_new(table, list(columns)))
        return {"inserted": inserted, "updated": updated, "removed": removed}

    def _prepare_table(self, database: Database, columns: Mapping[str, Kind]) -> None:
        """Make the table, or the columns that an existing one lacks."""
        name = self.config.table_name
        table = database.qualified(name)
        existing = database.columns(name)
        if not existing:
            database.create_schema(name)
            database.execute(statements.create_table(table, columns, database.types))
            return
        self._refuse_foreign_table(database, existing, columns)
        for column, kind in columns.items():
            if column not in existing:
                database.execute(statements.add_column(table, column, kind, database.types))

    def _refuse_foreign_table(
        self,
        database: Database,
        existing: Mapping[str, str],
        columns: Mapping[str, Kind] | None = None,
    ) -> None:
        """Raise SinkError for a table that was not made for results, or would lose digits."""
        if not existing:
            return
        lacking = [column for column in REQUIRED if column not in existing]
        if lacking:
            raise self._error(
                f"the table exists but has no column {' or '.join(lacking)}: expected a table of "
                "results"
            )
        for column, kind in (columns or {}).items():
            accepted = database.accepted.get(kind, frozenset())
            found = existing.get(column)
            if accepted and found is not None and found not in accepted:
                raise self._error(
                    f"column {column!r} is {found}, expected {database.types[kind].upper()}"
                )

    @property
    def _path(self) -> Path:
        return self.context.project_dir / self.config.address.path

    @property
    def _shown(self) -> str:
        return f"{self.config.address.path.as_posix()}:{self.config.table_name}"

    def _open(self, *, read_only: bool = False) -> Database:
        engine = self.config.address.engine
        try:
            return open_database(engine, self._path, read_only=read_only)
        except DatabaseError as exc:
            raise self._error(str(exc)) from exc

    def _error(self, reason: str) -> SinkError:
        hint = ""
        if "lock" in reason.lower():
            hint = " Another program holds the file: close it, then run again."
        return SinkError(
            f"sink {self.context.name}: {self._shown}: {redact(reason).rstrip('.')}. "
            f"Nothing was changed.{hint}"
        )


def _incoming(delivery: Delivery) -> pa.Table:
    """The results as flat rows with their job; no null in a key column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = export.flat(delivery.results)
    rows = rows.add_column(0, "job", pa.array([delivery.job] * rows.num_rows, pa.string()))
    for column, default in DEFAULTS.items():
        index = rows.schema.get_field_index(column)
        filled = cast("pa.ChunkedArray[Any]", pc.coalesce(rows.column(index), pa.scalar(default)))
        rows = rows.set_column(index, column, filled)
    return rows
