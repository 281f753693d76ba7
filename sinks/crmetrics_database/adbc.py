"""What databases share that are reached through ADBC: one connection, one cursor, errors."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from crmetrics_database.engines import Database, DatabaseError


class AdbcDatabase(Database):
    """A server with an ADBC driver.

    label, extra, module: how it is called, the extra that brings the driver, the driver's package.
    lost: what the driver's text says when there is no connection, or another writer was quicker.
    """

    label: ClassVar[str]
    extra: ClassVar[str]
    module: ClassVar[str]
    lost: ClassVar[re.Pattern[str]]

    def connect(self, *words: str, **options: Any) -> None:
        """Open the connection; the words and options are the driver's."""
        with self.errors():
            driver = importlib.import_module(f"{self.module}.dbapi")
            self._connection = driver.connect(*words, **options)
            self._cursor = self._connection.cursor()

    def execute(self, sql: str) -> int:
        with self.errors():
            self._cursor.execute(sql)
            return max(int(self._cursor.rowcount), 0)

    def first(self, sql: str) -> tuple[Any, ...] | None:
        with self.errors():
            self._cursor.execute(sql)
            row: tuple[Any, ...] | None = self._cursor.fetchone()
        return row

    def cancel(self) -> None:
        import adbc_driver_manager

        with suppress(adbc_driver_manager.Error, RuntimeError, ValueError):  # it may be closed
            self._cursor.adbc_cancel()

    def roll_back(self) -> None:
        import adbc_driver_manager

        with suppress(adbc_driver_manager.Error):
            self._connection.rollback()

    def close(self) -> None:
        import adbc_driver_manager

        # A connection that broke cannot be closed in order; the server has ended it.
        with suppress(adbc_driver_manager.Error, RuntimeError):
            self._cursor.close()
        with suppress(adbc_driver_manager.Error, RuntimeError):
            self._connection.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """The driver's errors as DatabaseError, without their trace: it may hold the address."""
        try:
            import adbc_driver_manager

            importlib.import_module(self.module)
        except ImportError:
            raise DatabaseError(
                f"{self.label} needs the extra {self.extra!r}: pip install "
                f"'crmetrics[{self.extra}]'"
            ) from None
        try:
            yield
        except adbc_driver_manager.Error as exc:
            text = " ".join(str(exc).split())
            raise DatabaseError(text, is_lost=bool(self.lost.search(text))) from None


class StagedDatabase(AdbcDatabase):
    """A server without transactions that can be trusted: the rows wait in a table of their own, and
    one MERGE, atomic by itself, brings them in.
    """

    commits_before_read_back = True

    @property
    def staging(self) -> str:
        """The quoted name of the table in which they wait."""
        raise NotImplementedError

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Each statement is one of its own; only the MERGE changes rows."""
        try:
            yield
        finally:
            with suppress(DatabaseError):
                self.execute(f"drop table if exists {self.staging}")


def literal(text: str) -> str:
    """A text as SQL of a database that knows no escapes in it."""
    return "'" + text.replace("'", "''") + "'"
