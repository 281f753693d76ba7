"""The records of one object type: all of them by list, changed ones by search, and those of ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from crmetrics.plugin import SourceError
from crmetrics_hubspot.api import HubSpotApi
from crmetrics_hubspot.values import instant_of

PAGE, PAGE_WITH_HISTORY = 100, 50
SEARCH_PAGE = 200
_NEIGHBOURS = 5
"""How far from its place in the order a result may stand at the end of a page."""
LONGEST_PROPERTIES = 2_000
"""Characters of property names in an address; longer lists are refused somewhere on the way."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = _EPOCH + timedelta(seconds=1)  # a search from 0 on ends in an error of HubSpot's
_MILLISECOND = timedelta(milliseconds=1)


def cursor_of(kind: str) -> str:
    """The property that tells when a record last changed."""
    return "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"


Filter = dict[str, str]
Short = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search: (id, change) of each record; total: how many there are in all."""

    found: list[tuple[str, datetime]]
    has_more: bool
    total: int


@dataclass(slots=True)
class Tally:
    """What a search counted at its start, and how many records it gave until its end.

    outside: those that it gave although they were not asked for; they are in its count.
    """

    total: int = 0
    inside: int = 0
    outside: set[str] = field(default_factory=set)

    @property
    def found(self) -> int:
        return self.inside + len(self.outside)


@dataclass(frozen=True)
class Objects:
    """Reads records of one type with these properties, as raw pages with a list `results`.

    history: properties whose former values are wanted too.
    """

    api: HubSpotApi
    kind: str
    properties: tuple[str, ...]
    history: tuple[str, ...] = ()

    @property
    def page(self) -> int:
        return PAGE_WITH_HISTORY if self.history else PAGE

    # --- all of them ---------------------------------------------------------------------------

    def all(self) -> Iterator[bytes]:
        """Every record."""
        return (body for body, _ in self.walk())

    def archived(self) -> Iterator[bytes]:
        """Every record in the recycle bin."""
        return (body for body, _ in self.walk(archived=True))

    def walk(self, start: str = "", *, archived: bool = False) -> Iterator[tuple[bytes, str]]:
        """Pages with the place where the walk goes on after each; empty at the end."""
        names = ",".join(self.properties)
        is_long = len(names) + len(",".join(self.history)) > LONGEST_PROPERTIES
        params = {"limit": str(self.page), "archived": "true" if archived else "false"}
        if is_long:
            yield from self._by_ids_of_list({**params, "properties": "hs_object_id"}, start)
            return
        params["properties"] = names or "hs_object_id"
        if self.history:
            params["propertiesWithHistory"] = ",".join(self.history)
        yield from self.api.pages("objects", self.kind, params=params, start=start)

    def _by_ids_of_list(self, params: dict[str, str], start: str) -> Iterator[tuple[bytes, str]]:
        """Too many properties for an address: the list gives the ids, a POST the records."""
        archived = params["archived"] == "true"
        for body, after in self.api.pages("objects", self.kind, params=params, start=start):
            ids = [record["id"] for record in json.loads(body)["results"]]
            if ids:
                yield self.of(ids, archived=archived), after

    def of(self, ids: Sequence[str], *, archived: bool = False) -> bytes:
        """The records of these ids (at most a page of them), in any order.

        A record that was merged comes under its new id; one that is gone does not come.
        """
        body: dict[str, Any] = {
            "properties": list(self.properties) or ["hs_object_id"],
            "propertiesWithHistory": list(self.history),
            "inputs": [{"id": name} for name in ids],
        }
        params = {"archived": "true"} if archived else None
        answer = self.api.post("objects", self.kind, "batch", "read", body=body, params=params)
        _require_known_errors(answer, self.kind)
        return answer

    # --- changed ones ----------------------------------------------------------------------------

    def changed(
        self, since: datetime, until: datetime | None, fell_short: Short | None = None
    ) -> Iterator[bytes]:
        """The records that changed in [since, until), read by id.

        Search only finds them: what it says of their properties can be null or old. fell_short:
        called with what was found and counted when search counts more than it gives.
        """
        for ids in _chunks(self.changed_ids(since, until, fell_short), self.page):
            yield self.of(ids)

    def changed_ids(
        self, since: datetime, until: datetime | None, fell_short: Short | None = None
    ) -> Iterator[str]:
        """The ids of the records that changed in [since, until), each at least once.

        In the order of their ids, each search behind the last of the one before. Neither an offset
        nor the time of change would hold still: a record that is edited meanwhile leaves its place
        in both, and thousands may share one millisecond. What search counts and did not give is
        looked for once more, from the other end.
        """
        start = max(_floored(since), _EARLIEST)
        if until is not None and start >= until:
            return
        window, tally = _window(self.kind, start, until), Tally()
        for is_rising in (True, False):
            tally = Tally()
            yield from self._by_id(window, until, tally, is_rising=is_rising)
            # Records that were edited meanwhile have left the window: they are counted no longer.
            if tally.found >= tally.total or tally.found >= self._search(window, limit=1).total:
                return
        if fell_short is not None:
            fell_short(tally.found, tally.total)

    def _by_id(
        self, window: list[Filter], until: datetime | None, tally: Tally, *, is_rising: bool
    ) -> Iterator[str]:
        operator, nearest = ("GT", min) if is_rising else ("LT", max)
        last: int | None = None
        seen: set[str] = set()
        while True:
            beyond = [] if last is None else [_id_filter(operator, last)]
            page = self._search([*window, *beyond], is_rising=is_rising)
            # Results can be newer than the window: those are for the next read.
            inside = [name for name, stamp in page.found if until is None or stamp < until]
            fresh = [name for name in inside if name not in seen]
            tally.total = tally.total if beyond else page.total
            tally.inside += len(fresh)
            tally.outside |= {name for name, _ in page.found} - set(inside)
            yield from fresh
            if not page.has_more:
                return
            # The next search begins behind all of the page: it may hold none but newer ones.
            seen = {name for name, _ in page.found}
            # Neighbours can come in the wrong order: the last of a page are seen twice.
            numbers = (int(name) for name, _ in page.found[-_NEIGHBOURS:])
            following = nearest(numbers, default=last)
            if following == last:
                raise SourceError(
                    f"HubSpot's search for changed {self.kind} gives the same page again and again."
                )
            last = following

    def _search(
        self, filters: list[Filter], *, is_rising: bool = True, limit: int = SEARCH_PAGE
    ) -> Found:
        """What a search finds first, by id."""
        cursor = cursor_of(self.kind)
        direction = "ASCENDING" if is_rising else "DESCENDING"
        body = self.api.post(
            "objects",
            self.kind,
            "search",
            body={
                "filterGroups": [{"filters": filters}],
                "sorts": [{"propertyName": "hs_object_id", "direction": direction}],
                "properties": [cursor],
                "limit": limit,
            },
        )
        answer = json.loads(body)
        found = [(str(record["id"]), _stamp(record, cursor)) for record in answer["results"]]
        has_more = bool(((answer.get("paging") or {}).get("next") or {}).get("after"))
        return Found(found, has_more, int(answer.get("total") or 0))

    def count(self) -> int:
        """How many records there are, by the total of a search."""
        body = self.api.post("objects", self.kind, "search", body={"limit": 1})
        return int(json.loads(body)["total"])


def _window(kind: str, start: datetime, until: datetime | None) -> list[Filter]:
    cursor = cursor_of(kind)
    filters = [{"propertyName": cursor, "operator": "GTE", "value": _ms(start)}]
    if until is not None:
        filters.append({"propertyName": cursor, "operator": "LT", "value": _ms(_ceiled(until))})
    return filters


def _id_filter(operator: str, record: int) -> Filter:
    return {"propertyName": "hs_object_id", "operator": operator, "value": str(record)}


def _stamp(record: dict[str, Any], cursor: str) -> datetime:
    """When a record changed; one that does not say it is taken to be in every window."""
    told = ((record.get("properties") or {}).get(cursor), record.get("updatedAt"))
    return next((at for text in told if text and (at := instant_of(text))), _EARLIEST)


def _ms(instant: datetime) -> str:
    return str((instant - _EPOCH) // _MILLISECOND)


def _floored(instant: datetime) -> datetime:
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _ceiled(instant: datetime) -> datetime:
    floored = _floored(instant)
    return floored if floored == instant else floored + _MILLISECOND


def _chunks(names: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(names)
    while chunk := list(islice(rest, size)):
        yield chunk


def _require_known_errors(body: bytes, kind: str) -> None:
    """Ids that are gone come as errors of a 207: the search was before the deletion."""
    if b'"numErrors"' not in body:
        return
    for error in json.loads(body).get("errors") or ():
        if error.get("category") != "OBJECT_NOT_FOUND":
            raise SourceError(
                f"HubSpot could not read some {kind}: "
                f"{str(error.get('message') or error.get('category'))[:300]}."
            )
