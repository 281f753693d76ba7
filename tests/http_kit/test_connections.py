"""Connections are kept open: a new one for each request would cost more than most answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crmetrics import http
from simulators.service import Answer, Call, Service, route


class Pages(Service):
    """Answers with a page that is long enough to be compressed."""

    @route("GET", "/page")
    def page(self, call: Call) -> Answer:
        return Answer.json({"records": ["text"] * 1000})


@pytest.fixture
def pages() -> Iterator[Pages]:
    with Pages() as service:
        yield service


@pytest.mark.parametrize("is_compressed", [True, False], ids=["gzip", "plain"])
def test_requests_after_each_other_share_a_connection(pages: Pages, is_compressed: bool) -> None:
    pages.compresses = is_compressed
    with http.Session(pages.base_url) as session:
        for _ in range(5):
            assert len(session.get("/page").json()["records"]) == 1000
        for _ in range(5):
            with session.request("GET", "/page") as response:
                assert sum(map(len, response.stream(1000))) > 1000
    assert (pages.count("GET /page"), pages.connections) == (10, 1)


def test_a_session_has_connections_of_its_own(pages: Pages) -> None:
    for _ in range(2):
        with http.Session(pages.base_url) as session:
            session.get("/page")
    assert pages.connections == 2
