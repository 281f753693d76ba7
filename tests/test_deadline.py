"""Attempts that may not take longer than they may, however slowly an answer trickles in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from crmetrics import http
from crmetrics.deadline import Deadline
from simulators.dripping import Drip

HEAD = b"HTTP/1.1 200 OK\r\nX-Slow: "
BODIES = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9999\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TIMEOUTS = http.Timeouts(connect_s=5, read_s=5, total_s=0.3)
ONCE = http.Retries(attempts=1)


def session(drip: Drip, scheme: str = "http") -> http.Session:
    return http.Session(f"{scheme}://127.0.0.1:{drip.port}", timeouts=TIMEOUTS, retries=ONCE)


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("begin", [HEAD, *BODIES])
def test_an_answer_that_trickles_in_is_an_unknown_outcome(begin: bytes, is_whole: bool) -> None:
    with (
        Drip(begin) as drip,
        session(drip) as asked,
        pytest.raises(http.HttpError) as caught,
        asked.request("POST", "/hook", body=b"{}", is_whole=is_whole) as response,
    ):
        list(response.stream(10))
    assert caught.value.is_outcome_unknown
    assert str(caught.value).endswith(": no whole answer within 0.3 s.")


def test_a_connection_of_an_earlier_request_has_the_limit_of_the_next_one() -> None:
    with Drip(OK, HEAD) as drip, session(drip) as asked:
        assert asked.request("POST", "/hook", is_whole=True).text == "ok"
        with pytest.raises(http.HttpError, match="no whole answer") as caught:
            asked.request("POST", "/hook")
        assert drip.connections == 1
    assert caught.value.is_outcome_unknown


def test_nothing_has_arrived_where_no_connection_was_made() -> None:
    handshake = b"\x16\x03\x03\x40\x00"
    with (
        Drip(handshake) as drip,
        session(drip, "https") as asked,
        pytest.raises(http.HttpError, match="no whole answer") as caught,
    ):
        asked.request("POST", "/hook")
    assert not caught.value.is_outcome_unknown


CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
CUT = b"HTTP/1.1 200 Connection established\r\nContent-Le"


@pytest.mark.parametrize(
    "timeouts",
    [TIMEOUTS, http.Timeouts(connect_s=0.2, read_s=0.2, total_s=5)],
    ids=["whole", "per byte"],
)
@pytest.mark.parametrize("begin", [b"", HEAD, CONNECTED, CUT])
def test_nothing_has_arrived_where_a_proxy_made_no_way(
    begin: bytes, timeouts: http.Timeouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with _silent_after(begin) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        with (
            http.Session("https://hooks.example", proxy=address, timeouts=timeouts, retries=ONCE)
            as asked,
            pytest.raises(http.HttpError) as caught,
        ):  # fmt: skip
            asked.request("POST", "/hook", body=b"{}")
    assert not caught.value.is_outcome_unknown


@contextmanager
def _silent_after(begin: bytes) -> Iterator[socket.socket]:
    """A server that says so much to its only caller, and nothing more until it is closed."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            caller, _ = listening.accept()
            with caller:
                caller.recv(65536)
                caller.sendall(begin)
                ended.wait()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening
        ended.set()
        thread.join()


def test_what_is_watched_is_shut_down_when_the_time_is_up() -> None:
    one, other = socket.socketpair()
    with one, other, Deadline(0.01) as deadline:
        deadline.watch(one)
        assert one.recv(1) == other.recv(1) == b""
        assert deadline.is_over
        late, end = socket.socketpair()
        with late, end:
            deadline.watch(late)
            assert end.recv(1) == b""


def test_what_came_to_its_end_in_time_stays_open() -> None:
    one, other = socket.socketpair()
    with one, other:
        with Deadline(60) as deadline:
            deadline.watch(one)
        assert not deadline.is_over
        one.sendall(b"1")
        assert other.recv(1) == b"1"
