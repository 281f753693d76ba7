"""What tests of sinks share."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from crmetrics.deliver import Ledger, create_deliveries
from crmetrics.warehouse.connection import EngineSettings, connect
from simulators import mariadb as mariadb_server
from simulators import snowflake as snowflake_server
from simulators.mariadb import MariaDbServer
from simulators.postgres import PostgresServer
from simulators.snowflake import SnowflakeServer

Server = TypeVar("Server")


def started(stack: ExitStack, server: AbstractContextManager[Server], name: str) -> Server:
    """The server until the stack is left; skips where this machine lets it not start, such as
    root in a container whose folders nobody may change."""
    try:
        return stack.enter_context(server)
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        pytest.skip(f"{name} does not start on this machine: {str(error)[-300:]}")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """What was sent when and where, in a warehouse of the test's own."""
    settings = EngineSettings(path=tmp_path / "warehouse.duckdb", timezone="Europe/Berlin")
    with connect(settings, read_only=False) as connection:
        create_deliveries(connection)
        yield Ledger(connection)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of the process; each test takes a schema of its own."""
    pytest.importorskip("pgserver", reason="no PostgreSQL wheel for this Python")
    pytest.importorskip("adbc_driver_postgresql", reason="the extra `postgres` is not installed")
    # A short path: that of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="pg") as folder, ExitStack() as stack:
        yield started(stack, PostgresServer(Path(folder)), "PostgreSQL")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDbServer]:
    """One server for all tests of the process; each test takes a database of its own."""
    program = mariadb_server.find_mariadbd()
    if program is None:
        variable = mariadb_server.VARIABLE
        pytest.skip(f"no MariaDB here: run .ci/mariadb, or name a mariadbd in {variable}")
    with tempfile.TemporaryDirectory(prefix="my") as folder, ExitStack() as stack:
        yield started(stack, MariaDbServer(program, Path(folder)), "MariaDB")


@pytest.fixture(scope="session")
def snowflake() -> Iterator[SnowflakeServer]:
    """One server for all tests of the process; each test takes a schema of its own."""
    python = snowflake_server.find_fakesnow()
    if python is None:
        variable = snowflake_server.VARIABLE
        pytest.skip(f"no fakesnow here: run .ci/fakesnow, or name its Python in {variable}")
    with ExitStack() as stack:
        yield started(stack, SnowflakeServer(python), "fakesnow")
