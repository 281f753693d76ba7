"""Compressed bodies are whole, or they broke off: nothing between passes for an answer."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from crmetrics import http
from simulators.scripted import Server

_TEXT = b'{"records":[' + b",".join(b'{"Id":"%d"}' % n for n in range(5000)) + b"]}"
_BODY = gzip.compress(_TEXT)


def _until_closed(body: bytes, encoding: str = "gzip") -> Callable[[Any], None]:
    """An answer whose end is the end of the connection: it cannot be seen whether it is early."""

    def answer(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", encoding)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return answer


def _chunked(body: bytes) -> Callable[[Any], None]:
    """Well-formed chunks around whatever the body is."""

    def answer(handler: Any) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
        handler.close_connection = True

    return answer


_TORN = {
    "half": _BODY[: len(_BODY) // 2],
    "its checksum only": _BODY[:-12],
    "the head alone": _BODY[:10],
    "the second of two members": _BODY + _BODY[:100],
}


@pytest.mark.parametrize("frame", [_until_closed, _chunked])
@pytest.mark.parametrize("body", _TORN.values(), ids=_TORN)
def test_a_torn_body_that_is_read_whole_is_asked_for_again(
    server: Server, session: http.Session, frame: Any, body: bytes
) -> None:
    server.script = [frame(body), frame(_BODY)]
    assert session.get("/page").body == _TEXT
    assert len(server.seen) == 2


@pytest.mark.parametrize("frame", [_until_closed, _chunked])
@pytest.mark.parametrize("body", _TORN.values(), ids=_TORN)
def test_a_torn_body_that_is_streamed_ends_in_an_error(
    server: Server, session: http.Session, frame: Any, body: bytes
) -> None:
    server.script = [frame(body)]
    with (
        pytest.raises(http.HttpError, match="the answer broke off: the connection was lost before"),
        session.request("GET", "/page") as answer,
    ):
        for _ in answer.stream(1000):
            pass


_WHOLE = {
    "gzip": ("gzip", _BODY, _TEXT),
    "in capitals": ("GZIP", _BODY, _TEXT),
    "two members": ("gzip", _BODY + _BODY, _TEXT + _TEXT),
    "padded": ("gzip", _BODY + bytes(512), _TEXT),
    "followed by something else": ("gzip", _BODY + b"<!-- proxy -->", _TEXT),
    "empty text": ("gzip", gzip.compress(b""), b""),
    "no body": ("gzip", b"", b""),
    "deflate": ("deflate", zlib.compress(_TEXT), _TEXT),
    "bare deflate": ("deflate", zlib.compress(_TEXT, wbits=-15), _TEXT),
    "plain": ("identity", _TEXT, _TEXT),
}


@pytest.mark.parametrize(("encoding", "body", "text"), _WHOLE.values(), ids=_WHOLE)
def test_a_whole_body_is_read_the_same_at_once_and_in_pieces(
    server: Server, session: http.Session, encoding: str, body: bytes, text: bytes
) -> None:
    server.script = [_until_closed(body, encoding), _until_closed(body, encoding)]
    assert session.get("/page").body == text
    with session.request("GET", "/page") as answer:
        pieces = list(answer.stream(1000))
    assert b"".join(pieces) == text
    assert len(server.seen) == 2


def test_pieces_stay_small_however_much_is_compressed_into_one(
    server: Server, session: http.Session
) -> None:
    server.script = [_until_closed(gzip.compress(bytes(3_000_000)))]
    with session.request("GET", "/page") as answer:
        sizes = [len(piece) for piece in answer.stream(65_536)]
    assert sum(sizes) == 3_000_000
    assert max(sizes) <= 65_536


def test_what_is_not_compressed_as_it_says_is_an_error(
    server: Server, session: http.Session
) -> None:
    server.script = [_until_closed(b"no gzip at all")] * 4
    with pytest.raises(http.HttpError, match="its compression cannot be read"):
        session.get("/page")


@pytest.mark.parametrize("wbits", [15, -15])
def test_torn_deflate_is_seen_too(server: Server, session: http.Session, wbits: int) -> None:
    body = zlib.compress(_TEXT, wbits=wbits)
    server.script = [_until_closed(body[: len(body) // 2], "deflate"), (200, {}, b"whole")]
    assert session.get("/page").body == b"whole"
