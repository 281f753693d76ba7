"""Pages: how a service says where the next one is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlsplit

from crmetrics.http.addresses import origin
from crmetrics.http.envelope import member
from crmetrics.http.failures import HttpError
from crmetrics.http.response import Response
from crmetrics.http.retries import expecting_json
from crmetrics.http.session import Session

_END = frozenset({"", "null"})


@dataclass(frozen=True)
class Page:
    """One page: its raw body, its headers, its number from 0."""

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    number: int = 0

    def member(self, path: str) -> Any:
        """The value at a dotted path outside the records, without parsing those; None = absent.

        Raises HttpError when the body is no JSON object.
        """
        return member(self.body, path)

    @cached_property
    def content(self) -> Any:
        """The body as JSON, parsed whole. Raises HttpError when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            pass
        raise HttpError(f"page {self.number} is no JSON.", is_outcome_unknown=True)


@dataclass(frozen=True, slots=True)
class Step:
    """Where a page is: an address in place of the first one, and parameters on top of its."""

    url: str = ""
    params: Mapping[str, str] = field(default_factory=dict)


class Pager(Protocol):
    """Finds the next page; holds no state of a walk, so that one serves many threads.

    is_json: pages are JSON; one that is not (what a gateway says) is asked for again, and an error
    when it stays so.
    """

    @property
    def is_json(self) -> bool: ...

    def first(self) -> Step: ...

    def after(self, page: Page, step: Step) -> Step | None:
        """The step after this page, None at the end."""


@dataclass(frozen=True, slots=True)
class CursorPager:
    """The body carries a cursor at the dotted `path`; it is sent as the parameter `param`."""

    param: str
    path: str
    is_json: bool = True

    def first(self) -> Step:
        return Step()

    def after(self, page: Page, step: Step) -> Step | None:
        cursor = page.member(self.path)
        return None if cursor is None or cursor == "" else Step("", {self.param: str(cursor)})


@dataclass(frozen=True, slots=True)
class LinkPager:
    """The body carries the next page's address at the dotted `path`; without a path, the header
    `Link` with rel="next"."""

    path: str = ""
    is_json: bool = True

    def first(self) -> Step:
        return Step()

    def after(self, page: Page, step: Step) -> Step | None:
        link = page.member(self.path) if self.path else _next_link(page.headers.get("Link", ""))
        return Step(str(link)) if link else None


@dataclass(frozen=True, slots=True)
class OffsetPager:
    """Pages are asked for by the number of records before them, until one comes without any.

    records: dotted path of the list. A short page is not taken for the last one: services cut
    pages for reasons of their own.
    """

    records: str
    limit: int
    offset_param: str = "offset"
    limit_param: str = "limit"
    is_json: bool = True

    def first(self) -> Step:
        return Step("", {self.offset_param: "0", self.limit_param: str(self.limit)})

    def after(self, page: Page, step: Step) -> Step | None:
        found = page.content
        for name in self.records.split(".") if self.records else ():
            found = found.get(name) if isinstance(found, dict) else None
        if not isinstance(found, list):
            raise HttpError(
                f"page {page.number} has no list {self.records!r}.", is_outcome_unknown=True
            )
        if not found:
            return None
        offset = int(step.params[self.offset_param]) + len(found)
        return Step("", {**step.params, self.offset_param: str(offset)})


@dataclass(frozen=True, slots=True)
class LocatorPager:
    """A header carries a locator, sent back as the parameter `param`; absent, empty and the
    literal `null` are the end."""

    header: str
    param: str = "locator"
    is_json: bool = False

    def first(self) -> Step:
        return Step()

    def after(self, page: Page, step: Step) -> Step | None:
        locator = page.headers.get(self.header, "").strip()
        return None if locator in _END else Step("", {self.param: locator})


class Trail:
    """Where a walk over pages has been. of: what is walked over, for the message.

    Keeps a number per page, some 70 bytes: a million pages are beyond what services allow a day.
    """

    def __init__(self, of: str) -> None:
        self._of = of
        self._seen: set[int] = set()

    def enter(self, step: Step) -> None:
        """Go on to this page. Raises HttpError when the walk was there before."""
        place = hash((step.url, *sorted(step.params.items())))
        if place in self._seen:
            raise HttpError(
                f"page {len(self._seen)} of {self._of} names one that was read before as the next: "
                "the walk would never end.",
                is_outcome_unknown=True,
            )
        self._seen.add(place)


def pages(
    session: Session,
    url: str,
    pager: Pager,
    *,
    params: Mapping[str, str] = MappingProxyType({}),
    start: Step | None = None,
    **options: Any,
) -> Iterator[Page]:
    """The pages of a list, each read whole, one at a time.

    start: where to begin in place of the first page. options: as `Session.request` takes them.
    Raises StatusError for an answer that is not 2xx, HttpError when a page cannot be had, was
    read before, or lies at another host, where the token must not go.
    """
    if pager.is_json:
        options.setdefault("judge", expecting_json(session.judge))
    step, number, trail = start or pager.first(), 0, Trail(url.partition("?")[0])
    while True:
        trail.enter(step)
        address = _checked(session, step.url) if step.url else url
        asked = dict(step.params) if step.url else {**params, **step.params}
        with session.get(address, params=asked or None, **options) as response:
            if pager.is_json and response.body.lstrip()[:1] not in (b"{", b"["):
                raise _no_page(url, response)
            page = Page(response.body, response.headers, number)
        yield page
        following = pager.after(page, step)
        if following is None:
            return
        step, number = following, number + 1


def _checked(session: Session, url: str) -> str:
    """The address of a further page, at the session's own host.

    A path is below the host and not below `base_url`: that is how services mean it.
    """
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        if origin(url) != origin(session.base_url):
            raise HttpError(
                f"the next page lies at {origin(url)}, expected {origin(session.base_url)}; "
                "the token is not sent there.",
                is_outcome_unknown=False,
                is_permanent=True,
            )
        return url
    base = urlsplit(session.base_url)
    return f"{base.scheme}://{base.netloc}/{url.lstrip('/')}"


def _no_page(url: str, response: Response) -> HttpError:
    return HttpError(
        f"{url.partition('?')[0]} answered {response.status} with something that is no page of "
        f"JSON: {response.excerpt()!r}.",
        is_outcome_unknown=True,
    )


def _next_link(header: str) -> str:
    for part in header.split(","):
        address, _, rest = part.partition(";")
        if 'rel="next"' in rest.replace(" ", "") or "rel=next" in rest.replace(" ", ""):
            return address.strip().strip("<>")
    return ""
