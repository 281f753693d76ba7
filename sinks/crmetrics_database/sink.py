"""Keep the results of every job in one table: by key, in one transaction, looked at afterwards."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
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
    UnknownOutcomeError,
    export,
    pause,
    redact,
)
from crmetrics_database import statements
from crmetrics_database.address import (
    EXTRAS,
    Address,
    TableName,
    identity_of,
    parse_table,
    parse_url,
    place_of,
)
from crmetrics_database.engines import Database, DatabaseError, open_file
from crmetrics_database.limits import Attempt, LimitError, StillAtWorkError, T
from crmetrics_database.statements import DEFAULTS, REQUIRED, UPKEEP, Kind, Mode

if TYPE_CHECKING:
    import pyarrow as pa

_PAUSES_S = (1.0, 4.0)
"""Before the second and the third try after a connection was lost."""
_TABLE = "the table"
_THERE = "The rows of this run are there."


class DatabaseOptions(Options):
    """Which table results are kept in."""

    url: Secret = Field(
        description="duckdb:///FILE or sqlite:///FILE, relative to the project file; four slashes "
        "for an absolute path. postgresql://USER:PASSWORD@HOST/DATABASE, and the like for mysql, "
        "mariadb and mssql; snowflake://USER:PASSWORD@ACCOUNT/DATABASE/SCHEMA?warehouse=NAME; "
        "bigquery://PROJECT/DATASET?credentials=FILE (extras of these names)"
    )
    table: str = Field(default="kpis", description="TABLE, or SCHEMA.TABLE where there are schemas")
    mode: Mode = Field(
        default="upsert",
        description="upsert: one row per job, KPI, variant, period and segment, restated in place. "
        "append: one more for every run. replace: only the last delivery of the job",
    )

    timeout: float = Field(
        default=600.0,
        gt=0,
        le=86_400,
        description="on a server: seconds that a write may take before it is given up",
    )

    @field_validator("url")
    @classmethod
    def _known_url(cls, url: Secret) -> Secret:
        parse_url(url.reveal())
        return url

    @model_validator(mode="after")
    def _known_table(self) -> DatabaseOptions:
        address = self.address
        name = parse_table(self.table, address.engine)
        if address.needs_schema and not name.schema:
            raise ValueError(
                f"the url names no schema: expected {address.engine}://USER:PASSWORD@ACCOUNT/"
                "DATABASE/SCHEMA, or SCHEMA.TABLE under `table`"
            )
        return self

    @property
    def address(self) -> Address:
        return parse_url(self.url.reveal())

    def required_extras(self) -> Iterable[str]:
        engine = self.address.engine
        return () if self.address.is_file else (EXTRAS.get(engine, engine),)

    def local_paths(self) -> Iterable[str]:
        return (self.address.path.as_posix(),) if self.address.is_file else ()

    def keeps(self, job: str) -> Mapping[str, str]:
        place = self.place
        rows = "a row per run (append)" if self.mode == "append" else "a row per period"
        return {f"{place} of the job {job}": f"mode {self.mode}", place: rows}

    @property
    def table_name(self) -> TableName:
        return parse_table(self.table, self.address.engine)

    @property
    def place(self) -> str:
        """The table, the same however it is written."""
        return place_of(self.url.reveal(), self.table_name)


class DatabaseSink(Sink):
    """One row per (job, KPI, variant, period, grain, segment).

    A later run restates rows in place and removes groups that no longer exist. A missing table is
    made, a missing column added; columns of the table that results do not have are left alone. All
    of a delivery is one transaction, and is counted at the destination before it is committed.
    """

    name = "database"
    Config = DatabaseOptions
    is_idempotent = True
    config: DatabaseOptions

    def destination(self, delivery: Delivery) -> str:
        return self._shown

    def destination_id(self, delivery: Delivery) -> str:
        return identity_of(self.config.url.reveal(), self.config.table_name, self._shown)

    def holds_one_period(self, delivery: Delivery) -> bool:
        return self.config.mode == "replace"

    def check(self) -> Iterable[CheckResult]:
        subject = f"sink {self.context.name}"
        if not self.config.address.is_file:
            attempt = Attempt(self.config.timeout, self.config.place)
            return [self._limited(lambda _: self._check_server(subject), attempt)]
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

    def _check_server(self, subject: str) -> CheckResult:
        try:
            with self._open() as database:
                self._refuse_foreign_table(database, database.columns(self.config.table_name))
        except SinkError as exc:
            return CheckResult(subject, "error", str(exc), "Check url, rights and table.")
        return CheckResult(subject, "ok", f"{self._shown} can be reached")

    def preview(self, delivery: Delivery) -> str:
        rows = _incoming(delivery)
        key = UPKEEP[self.config.mode].key
        head = f"--- {self._shown}: {rows.num_rows} rows, one per {', '.join(key)}\n"
        return head + export.to_csv(rows)

    def write(self, delivery: Delivery) -> Receipt:
        rows = _incoming(delivery)
        if self.config.address.is_file:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise self._error(f"{exc.strerror}: {exc.filename}") from exc
        attempt = Attempt(self.config.timeout, self.config.place)
        try:
            counts = self._limited(lambda attempt: self._keep(rows, attempt), attempt)
        except Exception:
            if attempt.has_made_table:  # it may stand, where that is no part of a transaction
                delivery.keep(Receipt(self._shown, made=_TABLE))
            raise
        return Receipt(
            destination=self._shown,
            rows=rows.num_rows,
            reference=delivery.key,
            details=counts,
            made=_TABLE if attempt.has_made_table else "",
        )

    def pause(self, seconds: float) -> bool:
        """Wait for a server to come back; False when the program is to end meanwhile."""
        return pause(seconds)

    def _limited(self, work: Callable[[Attempt], T], attempt: Attempt) -> T:
        """The work, within the time limit where it waits for a server."""
        if self.config.address.is_file:
            return work(attempt)
        try:
            return attempt.run(work)
        except StillAtWorkError:
            # It may still reach its commit, and would take the place of what came later.
            reason = "an earlier write that was given up has not ended; run again"
            raise self._error(reason) from None
        except LimitError as exc:
            at_work = attempt.at_work
            is_atomic = at_work is None or not at_work.commits_before_read_back
            if exc.has_ended and is_atomic:
                raise self._error(str(exc)) from None
            left = "It may be done all the same; the next run writes the same rows."
            raise UnknownOutcomeError(str(self._error(str(exc), left))) from None

    def _keep(self, rows: pa.Table, attempt: Attempt) -> dict[str, int]:
        """Write; a connection that was lost is made anew, since a repeat does no harm."""
        for pause_s in (*_PAUSES_S, None):
            try:
                with self._open_database() as database:
                    attempt.at_work = database
                    return self._maintain(database, rows, attempt)
            except DatabaseError as exc:
                if "unique" in str(exc).lower():
                    self._refuse_duplicates(rows)
                if attempt.is_given_up:
                    raise
                if not exc.is_lost or pause_s is None or not self.pause(pause_s):
                    raise self._error(str(exc)) from exc
        raise AssertionError("the last try returns or raises")

    def _maintain(self, database: Database, rows: pa.Table, attempt: Attempt) -> dict[str, int]:
        """Rows inserted, updated and removed; nothing is changed when any of it fails."""
        name, upkeep = self.config.table_name, UPKEEP[self.config.mode]
        columns = statements.kinds(rows)
        with database.transaction():
            if self._prepare_table(database, columns):
                attempt.has_made_table = True
            if not database.guards_key(name):
                self._refuse_duplicates(rows)
            database.lock(name)
            database.stage(rows, upkeep)
            _refuse_given_up(attempt)  # where one statement is a transaction, for the last time
            counts = database.maintain(name)
            self._read_back(database, rows)
            _refuse_given_up(attempt)
        return counts

    def _read_back(self, database: Database, rows: pa.Table) -> None:
        """Count at the destination, before the commit if there is one, what is said to be there."""
        expected = _totals(rows)
        try:
            found = database.totals(self.config.table_name)
        except DatabaseError as exc:
            if exc.is_lost or not database.commits_before_read_back:
                raise
            raise self._error(str(exc), _THERE) from exc
        if found is not None and _agree(tuple(found), expected):
            return
        reason = (
            f"the table holds {_totals_text(found)} where {_totals_text(expected)} were written"
        )
        if database.commits_before_read_back:
            raise self._error(f"{reason}; look for rows that another program doubled", _THERE)
        raise self._error(f"{reason}; look for triggers and rules on it")

    def _refuse_duplicates(self, rows: pa.Table) -> None:
        key = list(UPKEEP[self.config.mode].key)
        counted = rows.group_by(key).aggregate([([], "count_all")])
        if counted.num_rows == rows.num_rows:
            return
        twice = next(row for row in counted.to_pylist() if row["count_all"] > 1)
        shown = ", ".join(f"{name} {twice[name]}" for name in key)
        raise self._error(f"the results hold two rows for {shown}; expected one per key")

    def _prepare_table(self, database: Database, columns: Mapping[str, Kind]) -> bool:
        """Make the table (True), or the columns that an existing one lacks."""
        name = self.config.table_name
        existing = database.columns(name)
        if not existing:
            database.create_schema(name)
            database.create_table(name, columns, UPKEEP[self.config.mode].key)
            return True
        self._refuse_foreign_table(database, existing, columns)
        for column, kind in columns.items():
            if column not in existing:
                database.add_column(name, column, kind, DEFAULTS.get(column))
        return False

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
            found = existing.get(column)
            if found is not None and not database.accepts(kind, found):
                raise self._error(
                    f"column {column!r} is {found}, expected {database.expected(kind)}"
                )

    @property
    def _path(self) -> Path:
        return self.context.project_dir / self.config.address.path

    @property
    def _shown(self) -> str:
        address = self.config.address
        place = address.path.as_posix() if address.is_file else address.shown
        return f"{place}:{self.config.table_name}"

    def _open_database(self, *, read_only: bool = False) -> Database:
        address = self.config.address
        if address.is_file:
            return open_file(address.engine, self._path, read_only=read_only)
        if address.engine == "postgresql":
            from crmetrics_database.postgres import PostgresDatabase

            return PostgresDatabase(self.config.url.reveal())
        if address.engine == "snowflake":
            from crmetrics_database.snowflake import SnowflakeDatabase

            return SnowflakeDatabase(self.config.url.reveal())
        if address.engine == "bigquery":
            from crmetrics_database.bigquery import BigQueryDatabase

            return BigQueryDatabase(self.config.url.reveal(), self.context.project_dir)
        from crmetrics_database.alchemy import AlchemyDatabase

        return AlchemyDatabase(address.engine, self.config.url.reveal())

    def _open(self, *, read_only: bool = False) -> Database:
        try:
            return self._open_database(read_only=read_only)
        except DatabaseError as exc:
            raise self._error(str(exc)) from exc

    def _error(self, reason: str, left: str = "Nothing was changed.") -> SinkError:
        hint = ""
        if "lock" in reason.lower() and self.config.address.is_file:
            hint = " Another program holds the file: close it, then run again."
        return SinkError(
            f"sink {self.context.name}: {self._shown}: {redact(reason).rstrip('.')}. {left}{hint}"
        )


def _refuse_given_up(attempt: Attempt) -> None:
    if attempt.is_given_up:
        raise DatabaseError("nobody waits for it any more")


def _incoming(delivery: Delivery) -> pa.Table:
    """The results as flat rows with their job; no null in a key column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = export.flat(delivery.results)
    rows = rows.add_column(0, "job", pa.repeat(pa.scalar(delivery.job), rows.num_rows))
    for column, default in DEFAULTS.items():
        index = rows.schema.get_field_index(column)
        if not rows.column(index).null_count:
            continue
        filled = cast("pa.ChunkedArray[Any]", pc.coalesce(rows.column(index), pa.scalar(default)))
        rows = rows.set_column(index, column, filled)
    return rows


# --- read back -------------------------------------------------------------------------------

Totals = tuple[int, int, float | None, float | None]


def _totals(rows: pa.Table) -> Totals:
    """Rows, values, the least and the largest of them."""
    import pyarrow.compute as pc

    values = rows.column("value")
    bounds = pc.min_max(values)
    return (
        rows.num_rows,
        rows.num_rows - values.null_count,
        bounds["min"].as_py(),
        bounds["max"].as_py(),
    )


def _agree(found: tuple[Any, ...], expected: Totals) -> bool:
    if tuple(found[:2]) != expected[:2]:
        return False
    for one, other in zip(found[2:], expected[2:], strict=True):
        if (one is None) != (other is None):
            return False
        # A numeric column gives a decimal, or its text.
        if one is not None and not math.isclose(float(one), float(other or 0.0), rel_tol=1e-12):
            return False
    return True


def _totals_text(found: tuple[Any, ...] | None) -> str:
    if found is None:
        return "nothing"
    count, values, least, most = found
    return f"{count} rows with {values} values from {least} to {most}"
