"""Putting rows together from several objects, in a DuckDB file that is thrown away afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmetrics.plugin import SourceError
from crmetrics_salesforce.streams import Extra, Stream

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from filelock import BaseFileLock

_OUT_ROWS = 50_000
_MEMORY = "256MB"
_PREFIX = "crmetrics-salesforce-"
_DEAD_S = 24 * 3600


class Workbench:
    """Tables of a read; beyond some memory they lie on disk, in a folder for temporary files.

    A read that is killed cannot remove its folder; one that begins a day later or more does.
    """

    def __init__(self) -> None:
        _remove_dead()
        self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
        self._lock = _lock(Path(self._folder.name))
        with suppress(NotImplementedError, OSError):  # a file system without locks
            self._lock.acquire()
        self._connection: duckdb.DuckDBPyConnection | None = None

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            import duckdb

            self._connection = duckdb.connect(str(Path(self._folder.name) / "rows.duckdb"))
            for setting in (
                "set timezone = 'UTC'",
                f"set memory_limit = '{_MEMORY}'",
                "set enable_progress_bar = false",
                "set preserve_insertion_order = false",
                "set python_enable_replacements = false",
            ):
                self._connection.execute(setting)
        return self._connection

    def make(self, table: str, types: Mapping[str, Any]) -> None:
        """An empty table of these Arrow types."""
        import pyarrow as pa

        empty = pa.schema(list(types.items())).empty_table()
        self.connection.register("fresh", empty)
        self.connection.execute(f"create or replace table {table} as from fresh")
        self.connection.unregister("fresh")

    def fill(self, table: str, batches: Iterable[pa.RecordBatch]) -> None:
        """Add rows to a table; what comes as text makes its column text.

        Raises SourceError when a value does not fit its column.
        """
        import duckdb

        failure = ""
        for batch in batches:
            self.connection.register("arrived", batch)
            try:
                self._widen(table, batch)
                self.connection.execute(f"insert into {table} by name from arrived")
            except duckdb.Error as exc:
                failure = str(exc).partition("\n")[0]
            finally:
                self.connection.unregister("arrived")
            if failure:
                raise SourceError(f"rows of {table} cannot be put together: {failure}.")

    def _widen(self, table: str, batch: pa.RecordBatch) -> None:
        import pyarrow as pa

        texts = {field.name for field in batch.schema if pa.types.is_string(field.type)}
        for name, kind, *_ in self.connection.execute(f"describe {table}").fetchall():
            if name in texts and kind != "VARCHAR":
                self.connection.execute(f'alter table {table} alter "{name}" type varchar')

    def given(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A small table of texts."""
        listed = ", ".join(f'"{name}" varchar' for name in columns)
        self.connection.execute(f"create or replace table {table} ({listed})")
        if rows:
            marks = ", ".join("?" for _ in columns)
            self.connection.executemany(f"insert into {table} values ({marks})", list(rows))

    def settle(self, table: str, cursor: str) -> None:
        """One row per Id, the one that changed last: a resumed job gives some rows twice."""
        count = self.connection.execute(f"select count(*) - count(distinct Id) from {table}")
        if (count.fetchone() or (0,))[0]:
            newest = f', "{cursor}" desc nulls last' if cursor else ""
            self.connection.execute(
                f"create or replace table {table} as "
                f"select distinct on (Id) * from {table} order by Id{newest}"
            )

    def column(self, sql: str) -> list[str]:
        return [str(value) for (value,) in self.connection.execute(sql).fetchall()]

    def pairs(
        self, column: str, stream: Stream, extras: Mapping[str, Extra]
    ) -> dict[str, str | None]:
        """Id -> the text of one extra."""
        sql = f'select Id, "{column}"::varchar from ({statement(stream, extras)})'
        return {str(name): text for name, text in self.connection.execute(sql).fetchall()}

    def rows_of(self, stream: Stream, extras: Mapping[str, Extra]) -> Iterator[pa.RecordBatch]:
        """The rows of the stream with the extras that were asked for.

        Raises SourceError when they cannot be computed from the values that came.
        """
        import duckdb

        failure = ""
        try:
            yield from self.connection.sql(statement(stream, extras)).to_arrow_reader(_OUT_ROWS)
        except duckdb.Error as exc:
            failure = str(exc).partition("\n")[0]
        if failure:
            raise SourceError(f"rows of {stream.object} cannot be put together: {failure}.")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.release()
        self._folder.cleanup()


def _remove_dead() -> None:
    """Remove folders of this user that no process holds any more.

    They are left alone for a day: between its making and its lock a folder is nobody's.
    """
    from filelock import Timeout

    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Held, gone meanwhile, out of reach, or on a file system without locks.
        with suppress(Timeout, OSError, NotImplementedError):
            found = folder.lstat()
            is_own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
            if is_own and time.time() - found.st_mtime > _DEAD_S and not folder.is_symlink():
                with _lock(folder).acquire(timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> BaseFileLock:
    from filelock import FileLock

    # A stream may be closed by another thread than the one that began it.
    return FileLock(folder / "lock", thread_local=False)


def statement(stream: Stream, extras: Mapping[str, Extra]) -> str:
    """The SQL that puts the rows together; an extra without a value is a column of `relation`."""
    values = [f'{extra.value} as "{name}"' for name, extra in extras.items() if extra.value]
    joins = dict.fromkeys(extra.join for extra in extras.values() if extra.join)
    lines = [
        "select " + ", ".join(["m.*", *values]),
        f"from {stream.relation or 'main'} m",
        *joins,
    ]
    return "\n".join(lines)
