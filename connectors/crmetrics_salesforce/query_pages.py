"""The pages of a query: followed to the end, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from crmetrics.plugin import Secret, SourceError, http
from crmetrics_salesforce.answers import unexpected
from crmetrics_salesforce.api import Api
from crmetrics_salesforce.soql import Query


class Opened:
    """A query whose first page is here. total: rows of the whole query."""

    def __init__(self, query: Query, page: http.Response) -> None:
        self.query = query
        self.page = page
        self.total = _total(query, page)


class Pages:
    """The bodies of a walk from its first page on. is_lost: the locator ended before the walk; the
    pages so far are good. count: how many came."""

    def __init__(self, api: Api, opened: Opened) -> None:
        self._api = api
        self._page = opened.page
        self._what = f"the query of {opened.query.object}"
        self._trail = http.Trail("the result")
        self._trail.enter(http.Step())
        self.is_lost = False
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.count += 1
            yield self._page.body
            link = self._next()
            if not link:
                return
            self._trail.enter(http.Step(link))
            # A locator belongs to the session that made it: a new token must not be tried on it.
            response = self._api.session.request("GET", link, is_whole=True, token=self._page.token)
            if response.status == 401 or _is_expired(response):
                self._renew(response.token if response.status == 401 else None)
                self.is_lost = True
                return
            if not response.is_ok:
                raise self._api.refused("a page of the query", response)
            self._page = self._api.whole(self._what, response)

    def _next(self) -> str:
        """The path of the next page; empty after the last."""
        link = http.member(self._page.body, "nextRecordsUrl")
        if not link:
            if http.member(self._page.body, "done") is False:
                raise SourceError(
                    "Salesforce sent a page that is not the last (done: false) and names no "
                    "next one. Nothing of this read was kept; run again."
                )
            return ""
        if not isinstance(link, str):
            raise SourceError(f"nextRecordsUrl of a page is no address but {link!r:.80}.")
        if not link.startswith("/") or link.startswith("//"):
            raise SourceError(
                f"the next page of the query lies at {http.origin(link)}, expected a path "
                "of the org; the token is not sent there."
            )
        return link

    def _renew(self, refused: Secret | None) -> None:
        tokens = self._api.session.tokens
        if refused is not None and tokens is not None and tokens.renew(refused) is None:
            raise SourceError(
                "the access token was refused in the middle of a read, and cannot be renewed. "
                "Give a fresh one, or choose a flow that renews tokens."
            )


class Tally:
    """The rows that came against those that the query counts.

    What a query counts is fixed when it is asked. A walk whose locator was lost asks again for the
    rest, and with each question the count is told anew.
    """

    def __init__(self, query: Query) -> None:
        self._object = query.object
        self.came = 0
        self._due = 0
        self._most = 0

    def ask(self, opened: Opened) -> None:
        self._due = self.came + opened.total
        self._most = max(self._most, self._due)

    def begin_again(self) -> None:
        """What was counted so far has come, or is gone rightly."""
        self._due = self._most = 0

    @property
    def lacks(self) -> bool:
        return self.came < self._most

    def require_no_more(self) -> None:
        """Raises SourceError when more came than there is."""
        if self.came > self._due:
            raise self.error()

    def error(self, counted: str = "") -> SourceError:
        """counted: what the org said when it was asked once more."""
        said = self._due if self.came > self._due else self._most
        return SourceError(
            f"{self._object}: the query says it found {said:,} rows, its pages hold "
            f"{self.came:,}{counted}. Nothing of this read was kept; run again. Set transport: "
            "bulk if it fails again."
        )


def _total(query: Query, page: http.Response) -> int:
    """How many rows the whole query has."""
    found: Any = None
    with suppress(http.HttpError):
        found = http.member(page.body, "totalSize")
    if isinstance(found, int) and found >= 0:
        return found
    raise unexpected(f"the query of {query.object}", "totalSize: a number is due", page.excerpt())


def _is_expired(response: http.Response) -> bool:
    return response.status == 400 and b"INVALID_QUERY_LOCATOR" in response.body
