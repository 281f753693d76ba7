"""The records of one object type: all of them by list, changed ones by search, and those of ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from crmetrics.plugin import SourceError
from crmetrics_hubspot.api import HubSpotApi

PAGE, PAGE_WITH_HISTORY = 100, 50
SEARCH_PAGE = 200
_NEIGHBOURS = 5
LONGEST_PROPERTIES = 2_000
"""Characters of property names in an address; longer lists are refused somewhere on the way."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = _EPOCH + timedelta(seconds=1)  # a search from 0 on ends in an error of HubSpot's
_MILLISECOND = timedelta(milliseconds=1)


def cursor_of(kind: str) -> str:
    """The property that tells when a record last changed."""
    return "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"


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

    def changed(self, since: datetime, until: datetime | None) -> Iterator[bytes]:
        """The records that changed in [since, until), read by id.

        Search only finds them: what it says of their properties can be null or old.
        """
        for ids in _chunks(self.changed_ids(since, until), self.page):
            yield self.of(ids)

    def changed_ids(self, since: datetime, until: datetime | None) -> Iterator[str]:
        """The ids of the records that changed in [since, until), each at least once.

        Each search begins where the last one ended, by the time of the change and not by an offset:
        a record that is edited meanwhile leaves its place, and what stands behind it moves up.
        """
        start = max(_floored(since), _EARLIEST)
        seen: set[str] = set()
        while until is None or start < until:
            found, has_more = self._search(*_between(self.kind, start, until))
            # Results can be newer than the window: those are for the next read.
            inside = [(n, s) for n, s in found if until is None or s < until]
            yield from (name for name, _ in inside if name not in seen)
            seen = {name for name, _ in inside}
            if not has_more:
                return
            # Neighbours can come in the wrong order: the last of a page are seen twice.
            following = min((stamp for _, stamp in found[-_NEIGHBOURS:]), default=start)
            if following > start:
                start = following
                continue
            # More in one millisecond than a page shows: through them by id, then past them.
            yield from (name for name in self._at(start) if name not in seen)
            start += _MILLISECOND

    def _at(self, stamp: datetime) -> Iterator[str]:
        """The ids of all records that changed in this millisecond."""
        cursor, last, has_more = cursor_of(self.kind), "0", True
        while has_more:
            filters = [
                {"propertyName": cursor, "operator": "EQ", "value": _ms(stamp)},
                {"propertyName": "hs_object_id", "operator": "GT", "value": last},
            ]
            found, has_more = self._search(filters, "hs_object_id")
            yield from (name for name, _ in found)
            last = max((name for name, _ in found), key=int, default=last)

    def _search(
        self, filters: list[dict[str, str]], order: str
    ) -> tuple[list[tuple[str, datetime]], bool]:
        """(id, change) of the first that a search finds, and whether it has more."""
        cursor = cursor_of(self.kind)
        body = self.api.post(
            "objects",
            self.kind,
            "search",
            body={
                "filterGroups": [{"filters": filters}],
                "sorts": [{"propertyName": order, "direction": "ASCENDING"}],
                "properties": [cursor],
                "limit": SEARCH_PAGE,
            },
        )
        answer = json.loads(body)
        found = [(str(record["id"]), _stamp(record, cursor)) for record in answer["results"]]
        return found, bool(((answer.get("paging") or {}).get("next") or {}).get("after"))

    def count(self) -> int:
        """How many records there are, by the total of a search."""
        body = self.api.post("objects", self.kind, "search", body={"limit": 1})
        return int(json.loads(body)["total"])


def _between(
    kind: str, start: datetime, until: datetime | None
) -> tuple[list[dict[str, str]], str]:
    cursor = cursor_of(kind)
    filters = [{"propertyName": cursor, "operator": "GTE", "value": _ms(start)}]
    if until is not None:
        filters.append({"propertyName": cursor, "operator": "LT", "value": _ms(_ceiled(until))})
    return filters, cursor


def _stamp(record: dict[str, Any], cursor: str) -> datetime:
    text = (record.get("properties") or {}).get(cursor) or record.get("updatedAt")
    if not text:
        raise SourceError(f"HubSpot's search gave record {record.get('id')} without {cursor}.")
    if str(text).isdigit():
        return _EPOCH + timedelta(milliseconds=int(text))
    return datetime.fromisoformat(str(text))


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
