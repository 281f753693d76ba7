"""One connection to the warehouse file: settings, lock-down, interruption, plain errors.

Statements run on one worker thread per connection while the caller waits in short steps: DuckDB
2.0 does not stop a running statement on Ctrl-C and has no statement timeout, so both are made here
by interrupting it from outside. The connection stays usable afterwards.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from msgspec import Struct

from crmetrics.warehouse.faults import (
    is_locked,
    lock_holder,
    locked_error,
    opening_error,
    statement_error,
    timeout_error,
)
from crmetrics.warehouse.statements import literal

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

log = logging.getLogger(__name__)

Parameters = Sequence[Any] | Mapping[str, Any]
_T = TypeVar("_T")

_STEP_S = 0.05  # how long a Ctrl-C or a time limit may go unnoticed
_LOCK_POLL_S = 0.1
_STILLBORN_S = 10.0

_shared: dict[tuple[int, str], duckdb.DuckDBPyConnection] = {}
_sharing = threading.Lock()

_LOCK_DOWN = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
}
"""No file, network, extension or Python variable is reachable from SQL. Writing connections take
it too: they are fed through registered Arrow readers only."""


class EngineSettings(Struct, frozen=True):
    """Where the warehouse is and what it may use.

    timezone: session zone; `date_trunc` and casts of instants follow it. memory_limit: DuckDB text
    (`2GB`), None = DuckDB's default. threads: None = one per core, and one to read a small file.
    spill_directory: where sorts and joins spill, None = beside
    the file. statement_timeout_s: limit of one statement, None = none; it does not apply while a
    source is being read. lock_timeout_s: how long to wait for another process to let go.
    """

    path: Path
    timezone: str = "UTC"
    memory_limit: str | None = None
    threads: int | None = None
    spill_directory: Path | None = None
    statement_timeout_s: float | None = None
    lock_timeout_s: float = 60.0


class Connection:
    """A DuckDB connection whose statements can be interrupted and whose errors are ours.

    Not for use by several threads at the same time. Close it, or use it as a context manager:
    closing ends its worker thread.
    """

    def __init__(
        self,
        duck: duckdb.DuckDBPyConnection,
        path: Path,
        *,
        statement_timeout_s: float | None = None,
    ) -> None:
        self.path = path
        self._duck = duck
        self._timeout_s = statement_timeout_s
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="warehouse")
        self._is_closed = False
        self._streams: weakref.WeakSet[pa.RecordBatchReader] = weakref.WeakSet()
        self._threads: int | None = None
        self._used = 0

    # --- statements --------------------------------------------------------------------------

    def execute(self, sql: str, params: Parameters | None = None) -> int:
        """Run a statement for its effect; the number of rows that it changed (0 for a query)."""
        return self.wait_for(self.begin(sql, params), sql)

    def begin(self, sql: str, params: Parameters | None = None) -> Future[int]:
        """Start a statement as `execute` does, without waiting; give the future to `wait_for`."""

        def run() -> int:
            result = self._duck.execute(sql, params)
            described = result.description
            if described and described[0][0] == "Count":
                row = result.fetchone()
                return int(row[0]) if row else 0
            # An unread result would block the next statement.
            result.complete()
            return 0

        return self.submit(run)

    def rows(self, sql: str, params: Parameters | None = None) -> list[tuple[Any, ...]]:
        """All rows of a small result as Python values."""

        def run() -> list[tuple[Any, ...]]:
            return self._duck.execute(sql, params).fetchall()

        return self.wait_for(self.submit(run), sql)

    def scalar(self, sql: str, params: Parameters | None = None) -> Any:
        """The first value of the first row; None when there is no row."""
        rows = self.rows(sql, params)
        return rows[0][0] if rows else None

    def arrow(self, sql: str, params: Parameters | None = None) -> pa.Table:
        """The whole result as Arrow. Instants carry the session zone."""

        def run() -> pa.Table:
            table: pa.Table = self._duck.sql(sql, params=params).to_arrow_table()
            return table

        return self.wait_for(self.submit(run), sql)

    def reader(
        self, sql: str, params: Parameters | None = None, *, batch_rows: int = 100_000
    ) -> pa.RecordBatchReader:
        """The result as a stream of Arrow batches.

        The connection takes no other statement until the stream is read to its end or closed: a
        cursor would not see the temporary tables and registered objects of this connection.
        """
        import pyarrow as pa

        def start() -> pa.RecordBatchReader:
            stream: pa.RecordBatchReader = self._duck.sql(sql, params=params).to_arrow_reader(
                batch_rows
            )
            return stream

        source = self.wait_for(self.submit(start), sql)

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                while (
                    batch := self.wait_for(self.submit(lambda: next(source, None)), sql)
                ) is not None:
                    yield batch
            finally:
                source.close()

        return pa.RecordBatchReader.from_batches(source.schema, batches())

    def committed(
        self, sql: str, given: Mapping[str, Any], *, batch_rows: int = 50_000
    ) -> pa.RecordBatchReader:
        """The result over what is committed, as a stream, also while a statement runs here.

        given: Arrow tables by the name under which `sql` reads them. It only reads, and on the
        caller's thread, as this connection's own may be busy with what the caller feeds it: Ctrl-C
        is noticed between two batches (after 2 s in 20 million rows of which few are looked for),
        and ends the load as any error does. No time limit applies, as while a source is read.
        """
        import duckdb

        try:
            aside = self._duck.cursor()
            for name, table in given.items():
                aside.register(name, table)
            stream: pa.RecordBatchReader = aside.sql(sql).to_arrow_reader(batch_rows)
        except duckdb.Error as exc:
            raise statement_error(exc, sql) from None
        self._streams.add(stream)
        return stream

    def register(self, name: str, relation: Any) -> None:
        """Make an Arrow table, batch or reader readable as `name`; a reader only once."""
        self.wait_for(self.submit(lambda: self._duck.register(name, relation)), f"register {name}")

    def unregister(self, name: str) -> None:
        self.wait_for(self.submit(lambda: self._duck.unregister(name)), f"unregister {name}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is committed together, or nothing when an exception leaves it.

        Raises QueryError as well when an error that was caught inside has ended the transaction.
        """
        self.execute("begin transaction")
        try:
            yield
            # DuckDB answers the commit of a transaction that an error has ended as if it had
            # committed, and keeps nothing; every other statement fails then.
            self.execute("select 1")
            self.execute("commit")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        import duckdb

        try:
            self._worker.submit(self._duck.rollback).result()
        except duckdb.Error as exc:
            # The failed statement may have ended the transaction itself; the caller's error is
            # the one that matters.
            log.debug("rollback: %s", exc)

    def leave_a_core(self, is_left: bool) -> None:
        """From now on run statements on one thread less, since the caller's has work of its own, or
        on all again. To change it costs DuckDB the memory that it keeps at hand."""
        if self._threads is None:
            self._threads = self._used = int(self.scalar("select current_setting('threads')"))
        wanted = max(1, self._threads - is_left)
        if wanted != self._used:
            self.execute(f"set threads = {wanted}")
            self._used = wanted

    # --- running, waiting, interrupting ------------------------------------------------------

    def submit(self, call: Callable[[], _T]) -> Future[_T]:
        """Start a call on the connection's thread; give the future to `wait_for`."""
        return self._worker.submit(call)

    def wait_for(self, future: Future[_T], statement: str, *, timed: bool = True) -> _T:
        """The outcome of a call, with Ctrl-C and the time limit able to stop it.

        timed=False: the time limit of a statement does not apply.
        Raises QueryTimeoutError at the limit, QueryError or WarehouseError when DuckDB fails.
        """
        import duckdb

        limit = self._timeout_s if timed else None
        deadline = None if limit is None else time.monotonic() + limit
        try:
            while not self.is_done(future, deadline):
                if deadline is not None and time.monotonic() >= deadline:
                    self.interrupt(future)
                    if isinstance(future.exception(), duckdb.InterruptException):
                        raise timeout_error(limit or 0.0, statement)
            return future.result()
        except duckdb.Error as exc:
            raise statement_error(exc, statement) from None
        except KeyboardInterrupt:
            self.interrupt(future)
            raise

    @staticmethod
    def is_done(future: Future[Any], deadline: float | None = None) -> bool:
        """Wait one short step for the call; True when it is over, well or not."""
        step = _STEP_S
        if deadline is not None:
            step = max(0.0, min(step, deadline - time.monotonic()))
        try:
            future.exception(timeout=step)
        except TimeoutError:
            return future.done()
        return True

    def interrupt(self, future: Future[Any]) -> None:
        """Stop a running call and wait until it has stopped."""
        while not future.done():
            # An interrupt before the statement has begun is lost: repeat until it is over.
            self._duck.interrupt()
            self.is_done(future)

    # --- end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Release the file and end the worker thread; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        # One that is not read to its end, as the error of a read may keep it, holds the file: the
        # next opening in this process would wait for ever.
        for stream in list(self._streams):
            stream.close()
        try:
            self._worker.submit(self._duck.close).result()
        finally:
            self._worker.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


# --- opening ---------------------------------------------------------------------------------


def connect(settings: EngineSettings, *, read_only: bool) -> Connection:
    """A connection to the warehouse file with every setting made.

    read_only: the file must exist; SQL can neither write, nor reach a file, the network or Python,
    nor change a setting. Otherwise the file and its folder are made when missing. Several
    read-only connections of one process must have equal settings, as they share them.
    Raises WarehouseLockedError when another process keeps the file, WarehouseError when the file
    cannot be used.
    """
    _prepare_folders(settings, read_only)
    duck = _open_when_free(settings, read_only)
    try:
        _configure(duck, settings, read_only)
    except BaseException:
        duck.close()
        raise
    return Connection(duck, settings.path, statement_timeout_s=settings.statement_timeout_s)


def connect_scratch(timezone: str, *, threads: int = 1) -> Connection:
    """A private in-memory connection, locked down: for expressions over registered batches."""
    return Connection(_in_memory(timezone, threads), Path(":memory:"))


def connect_for_expressions(timezone: str) -> Connection:
    """A connection for expressions over registered batches; make no table in it.

    All of one zone share a database, which stays: to make one costs more than a mapping has to do
    there. What is registered is the connection's own.
    """
    key = (os.getpid(), timezone)  # a database does not live on in a forked process
    with _sharing:
        if key not in _shared:
            _shared[key] = _in_memory(timezone, 1)
        return Connection(_shared[key].cursor(), Path(":memory:"))


def _in_memory(timezone: str, threads: int) -> duckdb.DuckDBPyConnection:
    import duckdb

    duck = duckdb.connect(":memory:", config={**_LOCK_DOWN, "threads": threads})
    _configure(duck, EngineSettings(Path(":memory:"), timezone), read_only=True)
    return duck


_TAKEN_NAMES = ("crm", "main", "memory", "meta", "spare", "system", "temp")
"""DuckDB names a database after its file; with one of these `crm.opportunities` is ambiguous."""


def _prepare_folders(settings: EngineSettings, read_only: bool) -> None:
    path = settings.path
    if path.stem.lower() in _TAKEN_NAMES:
        raise opening_error(path, f"its name is taken; call it {path.stem}_warehouse{path.suffix}")
    try:
        if path.is_dir():
            raise opening_error(path, "it is a folder")
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
            _drop_stillborn(path)
        elif not path.exists():
            raise opening_error(path, "there is no such file")
        if settings.spill_directory is not None:
            # DuckDB makes the last folder itself, when it spills, and removes it again.
            settings.spill_directory.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise opening_error(path, f"{exc.strerror}: {exc.filename}") from exc


def _drop_stillborn(path: Path) -> None:
    """Remove the empty file that a process leaves when it dies while making it.

    DuckDB would refuse it as foreign. A fresh one is left alone: another process may be about to
    write its first block.
    """
    if path.is_file():
        found = path.stat()
        if found.st_size == 0 and time.time() - found.st_mtime > _STILLBORN_S:
            path.unlink(missing_ok=True)


def _open_when_free(settings: EngineSettings, read_only: bool) -> duckdb.DuckDBPyConnection:
    import duckdb

    config: dict[str, Any] = {**_LOCK_DOWN, **_resources(settings, read_only)}
    began = time.monotonic()
    is_told = False
    while True:
        try:
            return duckdb.connect(str(settings.path), read_only=read_only, config=config)
        except duckdb.Error as exc:
            if not is_locked(exc):
                raise opening_error(settings.path, str(exc)) from None
            waited = time.monotonic() - began
            if waited >= settings.lock_timeout_s:
                raise locked_error(settings.path, exc, settings.lock_timeout_s) from None
            if waited >= 1 and not is_told:
                is_told = True
                holder = lock_holder(settings.path, exc)
                log.warning("%s Waiting up to %g s.", holder, settings.lock_timeout_s)
        time.sleep(min(_LOCK_POLL_S, settings.lock_timeout_s - waited))


_SMALL_BYTES = 32 * 2**20
"""In a smaller file hardly a table has a second row group, which is what threads share: to read it
with several takes a tenth more of the processor and no less time (measured)."""


def _resources(settings: EngineSettings, read_only: bool) -> dict[str, str]:
    resources: dict[str, str] = {}
    if settings.memory_limit is not None:
        resources["memory_limit"] = settings.memory_limit
    if settings.threads is not None:
        resources["threads"] = str(settings.threads)
    elif read_only and settings.path.stat().st_size < _SMALL_BYTES:
        resources["threads"] = "1"
    if settings.spill_directory is not None:
        resources["temp_directory"] = str(settings.spill_directory)
    return resources


_SESSION = {
    "ieee_floating_point_ops": "false",  # 1/0 and 0/0 give null instead of inf and nan
    "error_on_division_by_zero": "false",  # 1//0 and 1%0 give null instead of an error
}
_NO_CHECKPOINT = "1TB"
"""What a connection that only reads may change in temporary tables before DuckDB puts them all in
order: by its own 16 MB it does so in the middle of a question, for what is soon replaced."""


def _configure(duck: duckdb.DuckDBPyConnection, settings: EngineSettings, read_only: bool) -> None:
    import duckdb

    wanted = {"TimeZone": settings.timezone, **_SESSION}
    try:
        duck.execute("set enable_progress_bar = false")
        for name, value in wanted.items():
            # GLOBAL, so that a further connection of this process to the locked file has them.
            duck.execute(f"set global {name} = {literal(value)}")
        if read_only:
            duck.execute(f"set global checkpoint_threshold = {literal(_NO_CHECKPOINT)}")
            duck.execute("set lock_configuration = true")
    except duckdb.Error as exc:
        if not (read_only and "configuration has been locked" in str(exc)):
            raise opening_error(settings.path, str(exc)) from None
        _require_shared(duck, settings.path, wanted)


def _require_shared(duck: duckdb.DuckDBPyConnection, path: Path, wanted: Mapping[str, str]) -> None:
    """A file that this process holds already has its settings locked: they must be ours."""
    for name, value in wanted.items():
        row = duck.execute(f"select current_setting({literal(name)})::varchar").fetchone()
        found = str(row[0]) if row else ""
        if found != value:
            raise opening_error(
                path, f"this process holds it open with {name} = {found}, wanted was {value}"
            )
