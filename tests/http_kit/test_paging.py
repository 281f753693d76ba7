"""Pagers walk to the end, and a walk that cannot be right is an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from crmetrics import http
from simulators.scripted import Server

Answer = tuple[int, dict[str, str], bytes]


def paged(server: Server, pages: Mapping[str, tuple[dict[str, str], Any]]) -> None:
    """Serve bodies by `path?query`."""

    def answer(path: str, headers: Mapping[str, str]) -> Answer:
        if path not in pages:
            return 404, {}, f"no {path}".encode()
        extra, body = pages[path]
        return 200, extra, body if isinstance(body, bytes) else json.dumps(body).encode()

    server.always = answer


def numbers(session: http.Session, pager: http.Pager, **options: Any) -> list[int]:
    found = http.pages(session, "/list", pager, **options)
    return [n for page in found for n in page.content["items"]]


def test_a_cursor_is_followed_to_the_end(session: http.Session, server: Server) -> None:
    paged(
        server,
        {
            "/list?limit=2": ({}, {"items": [1, 2], "paging": {"next": {"after": "a b"}}}),
            "/list?limit=2&after=a+b": ({}, {"items": [3], "paging": {"next": {"after": 4}}}),
            "/list?limit=2&after=4": ({}, {"items": [], "paging": None}),
        },
    )
    pager = http.CursorPager("after", "paging.next.after")
    assert numbers(session, pager, params={"limit": "2"}) == [1, 2, 3]


def test_a_link_in_the_body_is_a_path_of_the_host(server: Server) -> None:
    paged(
        server,
        {
            "/api/v1/list?q=x": ({}, {"next": "/api/v1/query/01-500", "items": [1]}),
            "/api/v1/query/01-500": ({}, {"items": [2]}),
        },
    )
    with http.Session(f"{server.url}/api/v1") as session:
        assert numbers(session, http.LinkPager("next"), params={"q": "x"}) == [1, 2]


def test_a_link_header_is_followed(session: http.Session, server: Server) -> None:
    link = f'<{server.url}/list?page=1>; rel="prev", <{server.url}/list?page=3>; rel="next"'
    last = '</list>; rel="first"'
    paged(
        server,
        {
            "/list": ({"Link": link}, {"items": [1]}),
            "/list?page=3": ({"Link": last}, {"items": [2]}),
        },
    )
    assert numbers(session, http.LinkPager()) == [1, 2]


def test_a_link_to_another_host_is_not_followed(session: http.Session, server: Server) -> None:
    paged(server, {"/list": ({}, {"items": [1], "next": "https://evil.example/steal"})})
    with pytest.raises(http.HttpError, match=r"evil\.example.*token is not sent there"):
        numbers(session, http.LinkPager("next"))


def test_an_offset_grows_by_what_came_and_a_short_page_is_not_the_end(
    session: http.Session, server: Server
) -> None:
    served = list(range(7))

    def answer(path: str, headers: Mapping[str, str]) -> Answer:
        query = parse_qs(urlsplit(path).query)
        first = int(query["offset"][0])
        short = served[first : first + (3 if first == 0 else 2)]
        return 200, {}, json.dumps({"data": {"items": short}, "items": short}).encode()

    server.always = answer
    assert numbers(session, http.OffsetPager("data.items", limit=3)) == served
    assert server.seen[0][1] == "/list?offset=0&limit=3"


def test_an_offset_list_without_records_key_is_an_error(
    session: http.Session, server: Server
) -> None:
    paged(server, {"/list?offset=0&limit=3": ({}, {"rows": []})})
    with pytest.raises(http.HttpError, match="no list 'items'"):
        list(http.pages(session, "/list", http.OffsetPager("items", limit=3)))


@pytest.mark.parametrize("end", ["null", "", None])
def test_a_locator_ends_with_null_in_words_with_nothing_and_when_absent(
    session: http.Session, server: Server, end: str | None
) -> None:
    last = {} if end is None else {"Sforce-Locator": end}
    paged(
        server,
        {
            "/list?max=2": ({"Sforce-Locator": "MTAw"}, b"Id\n1\n"),
            "/list?max=2&locator=MTAw": (last, b"Id\n2\n"),
        },
    )
    pager = http.LocatorPager("Sforce-Locator")
    found = [p.body for p in http.pages(session, "/list", pager, params={"max": "2"})]
    assert found == [b"Id\n1\n", b"Id\n2\n"]


def test_a_page_that_names_itself_as_the_next_ends_the_walk_with_an_error(
    session: http.Session, server: Server
) -> None:
    body = {"items": [1], "next": "x"}
    paged(server, {"/list": ({}, body), "/list?after=x": ({}, body)})
    with pytest.raises(http.HttpError, match="would never end"):
        numbers(session, http.CursorPager("after", "next"))


def test_pages_that_lead_back_to_an_earlier_one_end_the_walk_with_an_error(
    session: http.Session, server: Server
) -> None:
    steps = {"": "b", "b": "c", "c": "d", "d": "b"}

    def answer(path: str, headers: Mapping[str, str]) -> Answer:
        after = parse_qs(urlsplit(path).query).get("after", [""])[0]
        return 200, {}, json.dumps({"items": [1], "next": steps[after]}).encode()

    server.always = answer
    with pytest.raises(http.HttpError, match=r"page 4 of /list .* would never end"):
        numbers(session, http.CursorPager("after", "next"))
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    "garbled", [b"upstream error", b"", b'{"items": [1], "ne', b'{"items": [{}']
)
def test_what_a_gateway_says_in_the_place_of_a_page_is_asked_for_again(
    session: http.Session, server: Server, pauses: list[float], garbled: bytes
) -> None:
    bodies = iter([garbled, garbled, b'{"items": [1, 2]}'])
    server.always = lambda path, headers: (200, {}, next(bodies))
    assert numbers(session, http.CursorPager("after", "next")) == [1, 2]
    assert len(pauses) == 2


@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b"null", b"", b"17"])
def test_what_is_no_page_is_an_error_and_not_the_end(
    session: http.Session, server: Server, body: bytes
) -> None:
    paged(server, {"/list": ({}, body)})
    with pytest.raises(http.HttpError, match="/list answered 200"):
        list(http.pages(session, "/list", http.CursorPager("after", "next")))


def test_a_status_other_than_2xx_is_an_error_with_status_and_body(
    session: http.Session, server: Server
) -> None:
    with pytest.raises(http.StatusError, match="GET /nowhere with 404: no /nowhere") as caught:
        paged(server, {})
        list(http.pages(session, "/nowhere", http.CursorPager("after", "next")))
    assert (caught.value.status, caught.value.body) == (404, "no /nowhere")


def test_a_page_that_breaks_off_is_asked_for_again(session: http.Session, server: Server) -> None:
    def half(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b'{"items": [1')

    server.script = [half, (200, {}, b'{"items": [1, 2]}')]
    assert numbers(session, http.CursorPager("after", "next")) == [1, 2]
    assert session.requests_sent == 2
