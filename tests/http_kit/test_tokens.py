"""Tokens are renewed once per expiry, whatever the number of threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from crmetrics import http
from crmetrics.errors import SourceError
from crmetrics.secrets import Secret
from simulators.scripted import Server


class Service:
    """Gives tokens t1, t2, ... and takes only the newest, which `expire` ends."""

    def __init__(self) -> None:
        self.given = 0
        self.valid = ""
        self._lock = threading.Lock()

    def fetch(self) -> Secret:
        with self._lock:
            self.given += 1
            self.valid = f"token-{self.given}"
            return Secret(self.valid)

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        taken = self.valid and headers.get("authorization") == f"Bearer {self.valid}"
        return (200, {}, b"yours") if taken else (401, {}, b"expired")


@pytest.fixture
def service(server: Server) -> Service:
    service = Service()
    server.always = service.answer
    return service


def test_the_token_is_fetched_for_the_first_request_and_kept(
    server: Server, service: Service
) -> None:
    with http.Session(server.url, tokens=http.Tokens(service.fetch)) as session:
        assert [session.request("GET", "/").text for _ in range(3)] == ["yours"] * 3
    assert service.given == 1


def test_an_expired_token_is_renewed_once_and_the_request_sent_again(
    server: Server, service: Service
) -> None:
    tokens = http.Tokens(service.fetch)
    with http.Session(server.url, tokens=tokens) as session:
        session.request("GET", "/").close()
        service.valid = ""
        assert session.request("POST", "/", body=b"{}").text == "yours"
    assert (service.given, tokens.renewals) == (2, 1)


def test_threads_share_one_renewal_per_expiry(server: Server, service: Service) -> None:
    tokens = http.Tokens(service.fetch)
    with http.Session(server.url, tokens=tokens) as session, ThreadPoolExecutor(8) as pool:
        for expiry in range(1, 4):
            session.request("GET", "/").close()
            service.valid = ""
            found = list(pool.map(lambda _: session.request("GET", "/").status, range(16)))
            assert found == [200] * 16
            assert tokens.renewals == expiry


def test_a_token_that_never_works_is_renewed_once_and_no_more(server: Server) -> None:
    server.always = lambda path, headers: (401, {}, b"no scope")
    given: list[Secret] = []

    def fetch() -> Secret:
        given.append(Secret(f"useless-{len(given)}"))
        return given[-1]

    with http.Session(server.url, tokens=http.Tokens(fetch)) as session:
        assert [session.request("GET", "/").status for _ in range(4)] == [401] * 4
    assert len(given) == 2


def test_a_ready_made_token_is_not_renewed(server: Server) -> None:
    server.always = lambda path, headers: (401, {}, b"")
    with http.Session(server.url, tokens=http.fixed(Secret("ready-made"))) as session:
        assert session.request("GET", "/").status == 401
    assert len(server.seen) == 1


def test_a_request_bound_to_a_token_is_not_sent_with_another(
    server: Server, service: Service
) -> None:
    with http.Session(server.url, tokens=http.Tokens(service.fetch)) as session:
        first = session.request("GET", "/")
        service.valid = ""
        again = session.request("GET", "/", token=first.token)
        assert again.status == 401
        assert again.token == first.token
    assert service.given == 1


def test_a_failure_to_get_a_token_is_the_failure_of_the_request(server: Server) -> None:
    def fetch() -> Secret:
        raise SourceError("the consumer key is wrong")

    with (
        http.Session(server.url, tokens=http.Tokens(fetch)) as session,
        pytest.raises(SourceError, match="consumer key"),
    ):
        session.request("GET", "/")


def test_another_header_and_scheme_can_be_chosen(server: Server) -> None:
    tokens = http.fixed(Secret("key-of-the-service"), header="X-Api-Key", scheme="")
    with http.Session(server.url, tokens=tokens) as session:
        session.request("GET", "/").close()
    assert server.seen[0][2]["x-api-key"] == "key-of-the-service"
