"""A real PostgreSQL for tests: the server of a wheel, on a socket, in a folder of its own."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class PostgresServer:
    """A server that is started, restarted and stopped at will.

    with PostgresServer(folder) as server: ...server.url("schema")...
    """

    def __init__(self, folder: Path) -> None:
        # The library keeps a lock there, and comes back to it when the process ends.
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a library below, about XDG_RUNTIME_DIR
            import pgserver

        self._pgserver = pgserver
        self.folder = folder / "data"
        self.folder.mkdir()
        self._server: Any = None

    def __enter__(self) -> Self:
        self._server = self._pgserver.get_server(self.folder, cleanup_mode="stop")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.cleanup()

    def url(self, schema: str = "public") -> str:
        """A connection to the database `postgres` that looks into this schema first."""
        return f"{self._server.get_uri()}&options=-csearch_path%3D{schema}"

    def control(self, *words: str) -> None:
        """`control("restart", "-m", "immediate")`: pg_ctl, done when the server has done it."""
        self._pgserver.pg_ctl(
            ["-w", *words], pgdata=self.folder, user=self._server.system_user, timeout=300
        )

    def stop(self) -> None:
        self.control("stop", "-m", "immediate")

    def start(self) -> None:
        options = f'-h "" -k {self._server.get_postmaster_info().socket_dir}'
        self.control("start", "-o", options, "-l", str(self.folder / "log"))
