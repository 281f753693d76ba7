"""A scripted server and a session that talks to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crmetrics import http
from simulators.scripted import Server


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def session(server: Server, pauses: list[float]) -> Iterator[http.Session]:
    with http.Session(
        server.url,
        timeouts=http.Timeouts(connect_s=5, read_s=5),
        retries=http.Retries(attempts=4, first_pause_s=1, longest_pause_s=3, longest_wait_s=60),
        sleep=pauses.append,
        chance=lambda: 1.0,
    ) as session:
        yield session
