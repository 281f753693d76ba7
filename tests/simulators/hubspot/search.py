"""Search over one object type, with the rules and limits of the search endpoint."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from simulators.hubspot.errors import Refusal, error, invalid
from simulators.hubspot.records import ObjectStore, Record

LARGEST_PAGE = 200
MOST_RESULTS = 10_000
MOST_GROUPS, MOST_FILTERS, MOST_IN_ALL = 5, 6, 18
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class SearchIndex:
    """The index behind search.

    lag: how long a change takes to be found. leaks_newer: results hold the records that are
    newer than the window asked for. swaps_neighbours: records stand in the wrong order, those on
    either side of the end of a page among them. Those that are equal to a sort come in any order.
    """

    lag: timedelta = timedelta(0)
    leaks_newer: bool = False
    swaps_neighbours: bool = False

    def __post_init__(self) -> None:
        self._remembered: dict[str, tuple[int, list[Record]]] = {}
        self._dice = random.Random(2)

    def answer(self, store: ObjectStore, asked: Any, now: datetime) -> dict[str, Any]:
        """The body of the answer. Raises Refusal."""
        limit, offset = _page(asked)
        found = self._found(store, asked, now)
        page = self._disordered(found, limit)[offset : offset + limit]
        names = asked.get("properties") or ()
        body: dict[str, Any] = {
            "total": len(found),
            "results": [
                {
                    "id": record.id,
                    "properties": store.shown(record, names, in_search=True),
                    "createdAt": record.properties[store.created],
                    "updatedAt": record.properties[store.cursor],
                    "archived": False,
                }
                for record in page
            ],
        }
        if offset + limit < len(found):
            body["paging"] = {"next": {"after": str(offset + limit)}}
        return body

    def _found(self, store: ObjectStore, asked: Any, now: datetime) -> list[Record]:
        """What a search finds. What it finds but for conditions on the id is remembered, so that a
        walk by id looks through the records once."""
        groups = asked.get("filterGroups") or []
        all_tests = _groups(store, groups)
        rest, by_id = groups, list[Test]()
        if len(groups) == 1:
            filters = groups[0].get("filters", [])
            rest = [{"filters": [f for f in filters if f.get("propertyName") != "hs_object_id"]}]
            by_id = [
                test
                for item, test in zip(filters, all_tests[0], strict=True)
                if item.get("propertyName") == "hs_object_id"
            ]
        moment = now if self.lag else ""
        key = f"{store.name} {json.dumps(rest)} {asked.get('sorts')} {moment}"
        version, found = self._remembered.get(key, (-1, []))
        if version != store.version:
            found = self._look(store, {**asked, "filterGroups": rest}, now)
            self._remembered = {key: (store.version, found)}
        return [record for record in found if all(test(record) for test in by_id)]

    def _look(self, store: ObjectStore, asked: Any, now: datetime) -> list[Record]:
        groups = _groups(store, self._conditions(store, asked))
        known = [
            record
            for record in store.records.values()
            if record.archived_at is None and record.updated_at <= now - self.lag
        ]
        found = [r for r in known if not groups or any(all(f(r) for f in g) for g in groups)]
        self._dice.shuffle(found)  # what is equal to the sort comes in any order
        _sort(store, found, asked.get("sorts") or [])
        return found

    def _conditions(self, store: ObjectStore, asked: Any) -> list[Any]:
        """The groups of filters that count: without the end of the window where newer ones leak."""

        def is_end(item: dict[str, Any]) -> bool:
            return item.get("propertyName") == store.cursor and item.get("operator") in (
                "LT",
                "LTE",
            )

        groups: list[Any] = asked.get("filterGroups") or []
        if not self.leaks_newer:
            return groups
        return [{"filters": [f for f in group["filters"] if not is_end(f)]} for group in groups]

    def _disordered(self, found: list[Record], limit: int) -> list[Record]:
        if not self.swaps_neighbours or len(found) < 2:
            return found
        found = list(found)
        for place in (1, limit, 2 * limit):
            if place < len(found):
                found[place - 1], found[place] = found[place], found[place - 1]
        return found


def _page(asked: Any) -> tuple[int, int]:
    if not isinstance(asked, dict):
        raise invalid("Invalid input JSON")
    limit, after = asked.get("limit", 10), asked.get("after") or "0"
    if not isinstance(limit, int) or not 1 <= limit <= LARGEST_PAGE:
        raise invalid(f"Invalid limit {limit}: at most {LARGEST_PAGE} results per page")
    if not str(after).isdigit():
        raise invalid(f"Unable to parse value for 'after': {after}")
    if int(after) + limit > MOST_RESULTS:
        raise invalid(f"The offset plus the limit must not be larger than {MOST_RESULTS}")
    return limit, int(after)


# --- filters ----------------------------------------------------------------------------------

Test = Callable[[Record], bool]


def _groups(store: ObjectStore, groups: Any) -> list[list[Test]]:
    if len(groups) > MOST_GROUPS:
        raise invalid(f"at most {MOST_GROUPS} filterGroups")
    filters = [item for group in groups for item in group.get("filters", [])]
    if len(filters) > MOST_IN_ALL or any(len(g.get("filters", [])) > MOST_FILTERS for g in groups):
        raise invalid(f"at most {MOST_FILTERS} filters in a group and {MOST_IN_ALL} in all")
    return [[_test(store, item) for item in group.get("filters", [])] for group in groups]


def _test(store: ObjectStore, item: dict[str, Any]) -> Test:
    name, operator = item.get("propertyName", ""), item.get("operator", "")
    if name not in store.properties:
        raise invalid(f"There was a problem with the request: Property {name} does not exist")
    value = _reader(store, name)
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        wanted = operator == "HAS_PROPERTY"
        return lambda record: (value(record) is not None) == wanted
    if operator in ("IN", "NOT_IN"):
        if "values" not in item:
            raise invalid(f"operator {operator} requires values")
        if name in _SEVERAL:
            wanted = {str(text).lower() for text in item["values"]}
            return lambda record: (
                bool(wanted & set((value(record) or "").split(";"))) == (operator == "IN")
            )
        several = [_operand(store, name, text) for text in item["values"]]
        return lambda record: (value(record) in several) == (operator == "IN")
    if "value" not in item:
        raise invalid(f"operator {operator} requires a value")
    low = _operand(store, name, item["value"])
    if operator == "BETWEEN":
        if "highValue" not in item:
            raise invalid("operator BETWEEN requires highValue")
        high = _operand(store, name, item["highValue"])
        return lambda record: (found := value(record)) is not None and low <= found <= high
    if operator not in _COMPARISONS:
        raise invalid(f"Invalid operator {operator}")
    compare = _COMPARISONS[operator]
    return lambda record: (found := value(record)) is not None and compare(found, low)


_SEVERAL = frozenset({"hs_additional_emails"})
"""Properties with several values, of which a filter looks at each."""

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "EQ": lambda found, asked: found == asked,
    "NEQ": lambda found, asked: found != asked,
    "LT": lambda found, asked: found < asked,
    "LTE": lambda found, asked: found <= asked,
    "GT": lambda found, asked: found > asked,
    "GTE": lambda found, asked: found >= asked,
}


def _reader(store: ObjectStore, name: str) -> Callable[[Record], Any]:
    """What a filter or a sort compares: instants, numbers, or lower-case text."""
    if name == store.cursor:
        return lambda record: record.updated_at
    if name == "hs_object_id":
        return lambda record: record.number
    kind = store.properties[name].type

    def read(record: Record) -> Any:
        text = record.properties.get(name)
        if not text:
            return None
        if kind == "datetime":
            return instant_of(text)
        return float(text) if kind == "number" else text.lower()

    return read


def _operand(store: ObjectStore, name: str, text: Any) -> Any:
    kind = store.properties[name].type
    if kind == "datetime":
        instant = instant_of(str(text))
        if instant < _EPOCH + timedelta(seconds=1):
            raise Refusal(error(500, "INTERNAL_ERROR", "internal error"))
        return instant
    if kind == "number":
        return int(text) if name == "hs_object_id" else float(text)
    return str(text).lower()


def instant_of(text: str) -> datetime:
    """Milliseconds since 1970 or ISO 8601. Raises Refusal for anything else."""
    try:
        if text.lstrip("-").isdigit():
            return _EPOCH + timedelta(milliseconds=int(text))
        return datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"{text} is not a valid datetime") from None


def _sort(store: ObjectStore, found: list[Record], sorts: Iterable[Any]) -> None:
    sorts = list(sorts)
    if len(sorts) > 1:
        raise invalid("only one sort is supported")
    if not sorts:
        found.sort(key=lambda record: record.number)
        return
    name, is_descending = _sort_key(sorts[0])
    if name not in store.properties:
        raise invalid(f"Property {name} does not exist")
    value = _reader(store, name)
    found.sort(
        key=lambda record: (value(record) is not None, value(record) or 0), reverse=is_descending
    )


def _sort_key(sort: Any) -> tuple[str, bool]:
    """(property, whether descending) of a sort, which is an object or a text such as `-amount`."""
    if isinstance(sort, str):
        return sort.removeprefix("-"), sort.startswith("-")
    return sort.get("propertyName", ""), sort.get("direction") == "DESCENDING"
