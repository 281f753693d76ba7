"""What tests of sinks share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.mariadb import VARIABLE, MariaDbServer, find_mariadbd
from simulators.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of the process; each test takes a schema of its own."""
    pytest.importorskip("pgserver", reason="no PostgreSQL wheel for this Python")
    pytest.importorskip("adbc_driver_postgresql", reason="the extra `postgres` is not installed")
    # A short path: that of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="pg") as folder, PostgresServer(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDbServer]:
    """One server for all tests of the process; each test takes a database of its own."""
    program = find_mariadbd()
    if program is None:
        pytest.skip(f"no MariaDB here: run .ci/mariadb, or name a mariadbd in {VARIABLE}")
    with (
        tempfile.TemporaryDirectory(prefix="my") as folder,
        MariaDbServer(program, Path(folder)) as server,
    ):
        yield server
