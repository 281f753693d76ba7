"""Snowflake's protocol for tests: fakesnow, which runs its SQL on DuckDB, in a process of its own.

fakesnow wants certain versions of libraries that we use too, so it lives in an environment of its
own, which `.ci/fakesnow` makes. It is no Snowflake: rights, locks and sessions that end are not
there.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

VARIABLE = "CRMETRICS_TEST_FAKESNOW"
_MADE = Path(__file__).parents[2] / ".venv/fakesnow/bin/python"
_SERVER = Path(__file__).with_name("snowflake_server.py")


def find_fakesnow() -> Path | None:
    """A Python that has fakesnow."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    return _MADE if _MADE.is_file() else None


class SnowflakeServer:
    """with SnowflakeServer(python) as server: ...server.url("database", "schema")..."""

    def __init__(self, python: Path) -> None:
        self._python = python
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, empty."""
        self._process = subprocess.Popen(
            [str(self._python), "-P", "-W", "ignore", str(_SERVER)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def stop(self) -> None:
        """Kill it; all that it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def url(self, database: str, schema: str, password: str = "hunter2hunter2") -> str:
        return (
            f"snowflake://ann:{password}@127.0.0.1:{self.port}/{database}/{schema}"
            "?account=acme&protocol=http&loginTimeout=5"
        )
