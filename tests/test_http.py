"""The HTTP session against a real local server."""

from __future__ import annotations

import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from crmetrics import http
from crmetrics._version import __version__
from crmetrics.errors import ConfigError
from crmetrics.secrets import Secret
from simulators.scripted import Server

NOW = datetime(2026, 1, 1, tzinfo=UTC)


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
    session = http.Session(
        server.url,
        timeouts=http.Timeouts(connect_s=5, read_s=5),
        retries=http.Retries(attempts=4, first_pause_s=1, longest_pause_s=3, longest_wait_s=60),
        sleep=pauses.append,
        chance=lambda: 1.0,
        now=lambda: NOW,
    )
    with session:
        yield session


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


# --- requests --------------------------------------------------------------------------------


def test_a_request_carries_the_name_and_version(session: http.Session, server: Server) -> None:
    with session.request("GET", "/records", params={"limit": "5"}) as response:
        assert (response.status, response.text) == (200, "ok")
    [(method, path, headers, _)] = server.seen
    assert (method, path) == ("GET", "/records?limit=5")
    assert headers["user-agent"] == f"crmetrics/{__version__}"


def test_credentials_of_netrc_are_not_sent(
    server: Server, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ann password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with http.Session(server.url) as session:
        session.request("GET", "/").close()
    assert "authorization" not in server.seen[0][2]


def test_a_proxy_is_not_used_for_this_machine(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with http.Session(server.url) as session:
        assert session.request("GET", "/").text == "ok"


def test_other_hosts_are_reached_through_the_proxy(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def decline(handler: BaseHTTPRequestHandler) -> None:
        asked.append(f"{handler.command} {handler.path}")
        handler.send_error(403)

    server.script = [decline, decline]
    retries = http.Retries(attempts=1)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with (
        http.Session("https://crm.example", proxy=server.url, retries=retries) as session,
        pytest.raises(http.HttpError, match="the proxy could not be used"),
    ):
        session.request("GET", "/secretpath")
    monkeypatch.setenv("https_proxy", server.url)
    with (
        http.Session("https://crm.example", retries=retries) as session,
        pytest.raises(http.HttpError, match="the proxy could not be used") as caught,
    ):
        session.request("GET", "/secretpath")
    assert asked == ["CONNECT crm.example:443"] * 2
    assert "secretpath" not in str(caught.value)


def test_a_redirect_is_not_followed(session: http.Session, server: Server) -> None:
    server.script = [(302, {"Location": "http://127.0.0.1:1/elsewhere"}, b"")]
    with session.request("POST", "/hook", body=b"{}") as response:
        assert response.status == 302
    assert len(server.seen) == 1


def test_a_body_can_be_read_as_a_stream(session: http.Session, server: Server) -> None:
    server.script = [(200, {}, b"x" * 100_000)]
    with session.request("GET", "/") as response:
        sizes = [len(chunk) for chunk in response.stream(10_000)]
    assert sum(sizes) == 100_000
    assert max(sizes) <= 10_000


def test_a_body_that_breaks_off_is_an_error(session: http.Session, server: Server) -> None:
    def half(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")

    server.script = [half]
    with session.request("GET", "/") as response, pytest.raises(http.HttpError) as caught:
        _ = response.body
    assert "broke off" in str(caught.value)


def test_the_debug_log_does_not_show_paths(
    session: http.Session, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        session.request("POST", "/services/T0/B0/secretpath").close()
    assert "secretpath" not in caplog.text


# --- retries ---------------------------------------------------------------------------------


def test_an_idempotent_request_is_repeated_with_growing_pauses(
    session: http.Session, server: Server, pauses: list[float]
) -> None:
    server.script = [(503, {}, b""), (500, {}, b""), (502, {}, b""), (200, {}, b"at last")]
    assert session.request("GET", "/").text == "at last"
    assert pauses == [1.0, 2.0, 3.0]  # doubled, then capped
    assert session.requests_sent == 4


def test_pauses_are_cut_at_random_to_between_half_and_all() -> None:
    retries = http.Retries(first_pause_s=8)
    assert [retries.pause_s(1, chance) for chance in (0.0, 0.5, 1.0)] == [4.0, 6.0, 8.0]


def test_the_last_answer_is_returned_when_attempts_are_used_up(
    session: http.Session, server: Server
) -> None:
    server.script = [(503, {}, b"")] * 4
    assert session.request("GET", "/").status == 503
    assert len(server.seen) == 4


def test_a_post_is_not_repeated_after_a_server_error(session: http.Session, server: Server) -> None:
    server.script = [(500, {}, b"rollup_error")]
    assert session.request("POST", "/hook", body=b"{}").status == 500
    assert len(server.seen) == 1


def test_a_post_whose_answer_is_lost_is_not_repeated(session: http.Session, server: Server) -> None:
    server.script = [hang_up]
    with pytest.raises(http.HttpError) as caught:
        session.request("POST", "/hook", body=b"{}")
    assert caught.value.is_outcome_unknown
    assert len(server.seen) == 1


def test_a_get_whose_answer_is_lost_is_repeated(session: http.Session, server: Server) -> None:
    server.script = [hang_up, (200, {}, b"again")]
    assert session.request("GET", "/").text == "again"


def test_a_server_that_is_not_there_is_tried_again_also_for_a_post(pauses: list[float]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    retries = http.Retries(attempts=3, first_pause_s=1)
    with (
        http.Session(url, retries=retries, sleep=pauses.append) as session,
        pytest.raises(http.HttpError) as caught,
    ):
        session.request("POST", "/hook", body=b"{}")
    assert not caught.value.is_outcome_unknown
    assert session.requests_sent == 3
    assert len(pauses) == 2


def test_no_answer_in_time_is_an_unknown_outcome(server: Server) -> None:
    release = threading.Event()
    server.script = [lambda handler: release.wait(10)]
    session = http.Session(server.url, timeouts=http.Timeouts(read_s=0.05))
    try:
        with session, pytest.raises(http.HttpError) as caught:
            session.request("POST", "/hook", body=b"{}")
    finally:
        release.set()
    assert caught.value.is_outcome_unknown
    assert "no answer within the time limit" in str(caught.value)


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0.0),
        ("soon", 1.0),
        ("", 1.0),
        ("²", 1.0),
    ],
)
def test_a_declined_post_waits_as_long_as_asked(
    session: http.Session, server: Server, pauses: list[float], header: str, pause: float
) -> None:
    headers = {"Retry-After": header.encode("utf-8").decode("latin-1")}
    server.script = [(429, headers, b"rate_limited"), (200, {}, b"ok")]
    assert session.request("POST", "/hook", body=b"{}").text == "ok"
    assert pauses == [pause]


def test_a_wait_beyond_the_limit_is_not_waited_for(
    session: http.Session, server: Server, pauses: list[float]
) -> None:
    server.script = [(429, {"Retry-After": "61"}, b"")]
    with session.request("POST", "/hook", body=b"{}") as response:
        assert (response.status, response.headers["retry-after"]) == (429, "61")
    assert pauses == []


# --- addresses and secrets -------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/x",
        "http://localhost:80/x",
        "http://127.0.0.1/x",
        "http://127.9.9.9:1/x",
        "http://[::1]:8/x",
    ],
)
def test_https_and_this_machine_are_allowed(url: str) -> None:
    assert http.require_safe(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/secretpath",
        "http://localhost.evil.com/secretpath",
        "http://0.0.0.0/secretpath",
        "http://10.0.0.1/secretpath",
        "http://user:secretpath@127.0.0.1.evil.com/",
        "ftp://localhost/secretpath",
        "secretpath",
        "https:///secretpath",
        "http://[::1/secretpath",
        "",
    ],
)
def test_every_other_address_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        http.require_safe(url)
    assert "secretpath" not in str(caught.value)


def test_a_session_refuses_an_absolute_address_that_is_not_safe(session: http.Session) -> None:
    with pytest.raises(ConfigError):
        session.request("GET", "http://example.com/")


def test_an_error_shows_scheme_and_host_only_down_to_its_traceback() -> None:
    path = "/services/T0123/B0123/veryverysecret"
    url = f"http://127.0.0.1:{free_port()}"
    retries = http.Retries(attempts=1)
    with (
        http.Session(url, retries=retries) as session,
        pytest.raises(http.HttpError) as caught,
    ):
        session.request("POST", path, body=b"{}")
    shown = "".join(traceback.format_exception(caught.value, chain=True))
    assert url in str(caught.value)
    assert "veryverysecret" not in shown
    assert caught.value.__context__ is None


def test_a_known_secret_is_masked_in_an_error() -> None:
    secret = Secret("hidden-host-name.invalid")
    error = http.HttpError(f"https://{secret.reveal()}: refused", is_outcome_unknown=False)
    assert secret.reveal() not in str(error)
