"""The base of the simulators, asked by plain requests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import requests

from simulators.service import Answer, Call, Service, route


class Library(Service):
    """Two shelves and a door."""

    def __init__(self) -> None:
        super().__init__()
        self.lent: list[str] = []

    @route("GET", "/books/{name}")
    def show(self, call: Call, name: str) -> Answer:
        return Answer.json({"name": name, "text": "page " * 200})

    @route("POST", "/books/{name}/lend")
    def lend(self, call: Call, name: str) -> Answer:
        self.lent.append(name)
        return Answer.json({"reader": call.form["reader"]}, status=201)

    @route("GET", "/members")
    def members(self, call: Call) -> Answer:
        return Answer(204) if self.tokens.use(call.bearer) else Answer(401)


@pytest.fixture
def library() -> Iterator[Library]:
    with Library() as service:
        yield service


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_a_route_takes_its_segments_decoded(library: Library, client: requests.Session) -> None:
    answer = client.get(f"{library.base_url}/books/caf%C3%A9%2Fbar?page=2")
    assert answer.json()["name"] == "café/bar"
    assert library.calls[0].query == {"page": "2"}
    assert library.seen(r"GET /books/.*page=2")[0].status == 200


def test_an_unknown_path_is_404_and_a_wrong_method_405(
    library: Library, client: requests.Session
) -> None:
    assert client.get(f"{library.base_url}/nothing").status_code == 404
    assert client.delete(f"{library.base_url}/books/x").status_code == 405


def test_one_connection_serves_many_calls(library: Library, client: requests.Session) -> None:
    for _ in range(3):
        client.post(f"{library.base_url}/books/x/lend", data={"reader": "ann"}).raise_for_status()
    assert library.lent == ["x"] * 3
    assert library.count("POST .*/lend") == 3


def test_answers_are_compressed_for_those_who_accept_it(
    library: Library, client: requests.Session
) -> None:
    url = f"{library.base_url}/books/x"
    assert client.get(url).headers["Content-Encoding"] == "gzip"
    plain = client.get(url, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.json() == client.get(url).json()


def test_a_fault_lets_some_calls_through_and_ends_by_itself(
    library: Library, client: requests.Session
) -> None:
    library.faults.answer(503, b"", {"Retry-After": "2"}, on="GET /books", skip=1, times=2)
    url = f"{library.base_url}/books/x"
    assert [client.get(url).status_code for _ in range(4)] == [200, 503, 503, 200]


def test_a_faulty_call_has_no_effect_unless_it_acts(
    library: Library, client: requests.Session
) -> None:
    url = f"{library.base_url}/books/x/lend"
    library.faults.hang_up(on="lend")
    library.faults.hang_up(on="lend", acts=True)
    library.faults.reset(on="lend")
    for lent in ([], ["x"], ["x"]):
        with pytest.raises(requests.ConnectionError):
            client.post(url, data={"reader": "ann"})
        assert library.lent == lent


def test_a_truncated_body_is_shorter_than_it_says(
    library: Library, client: requests.Session
) -> None:
    library.faults.truncate(0.5)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.get(f"{library.base_url}/books/x")


def test_an_action_runs_before_the_answer(library: Library, client: requests.Session) -> None:
    token = library.tokens.issue()
    headers = {"Authorization": f"Bearer {token}"}
    library.faults.before(lambda: library.tokens.revoke(token), on="/members", skip=1)
    url = f"{library.base_url}/members"
    assert [client.get(url, headers=headers).status_code for _ in range(2)] == [204, 401]


def test_a_token_can_be_good_for_some_calls_only(
    library: Library, client: requests.Session
) -> None:
    headers = {"Authorization": f"Bearer {library.tokens.issue(calls=2)}"}
    url = f"{library.base_url}/members"
    assert [client.get(url, headers=headers).status_code for _ in range(3)] == [204, 204, 401]


def test_silence_outlasts_the_patience_of_a_client(
    library: Library, client: requests.Session
) -> None:
    library.faults.silence()
    with pytest.raises(requests.ReadTimeout):
        client.get(f"{library.base_url}/books/x", timeout=0.05)


def test_a_delay_moves_the_clock_of_the_service_only(
    library: Library, client: requests.Session
) -> None:
    before = library.clock()
    library.faults.delay(3600)
    client.get(f"{library.base_url}/books/x")
    assert (library.clock() - before).total_seconds() == 3600


def test_a_mistake_of_a_simulator_fails_its_test() -> None:
    class Broken(Service):
        def handle(self, call: Call) -> Answer:
            raise KeyError("oops")

    with (
        pytest.raises(KeyError, match="oops"),
        Broken() as service,
        contextlib.suppress(requests.ConnectionError),
    ):
        requests.get(service.base_url, timeout=5)
