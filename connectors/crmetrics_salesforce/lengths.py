"""How long the address of a query is, and how it is cut when that is too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlencode

from crmetrics.plugin import SourceError
from crmetrics_salesforce.soql import Query

LONGEST_URI = 14_000  # URI and headers together may have 16,384 bytes
IDS_AT_ONCE = 500  # so many and the rest of a query stay below that
IDS_AT_MOST = 20_000
"""Beyond so many records it takes fewer calls to read all there are."""
_LOWEST, _HIGHEST = "000000000000000000", "zzzzzzzzzzzzzzzzzz"


def length(query: Query) -> int:
    return _encoded(query.soql(order="Id"))


def needs_fewer_ids(query: Query, longest: int) -> bool:
    """True when its list of values is what makes the query too long, or groups of fields alone
    would not make it short enough."""
    among = query.among
    if among is None or len(among.values) < 2:
        return False
    return 2 * _encoded(among.condition) >= length(query) or shortest(query) > longest


def shortest(query: Query) -> int:
    """The length of what no grouping of fields makes shorter."""
    names = [name for name in query.fields if name != "Id"]
    return max(length(_pinned_to(query, part)) for part in [["Id"], *(["Id", n] for n in names)])


def field_groups(query: Query, longest: int) -> list[Query]:
    """Queries with a part of the fields each, all with Id, all short enough."""
    groups: list[Query] = []
    waiting: list[str] = ["Id"]
    for name in query.fields:
        if name == "Id":
            continue
        if length(_pinned_to(query, [*waiting, name])) > longest and len(waiting) > 1:
            groups.append(query.only(waiting))
            waiting = ["Id"]
        waiting.append(name)
    groups.append(query.only(waiting))
    if any(length(group) > longest for group in groups):
        raise SourceError(
            f"{query.object}: the conditions of the query alone are longer than a query may be. "
            "Shorten `where:` or `is_test:` of the project file."
        )
    return groups


def _pinned_to(query: Query, names: Sequence[str]) -> Query:
    """A part of the fields, with a range of ids."""
    part = replace(query, types={name: query.types[name] for name in names})
    return part.within(f"Id >= '{_LOWEST}'", f"Id <= '{_HIGHEST}'")


def _encoded(text: str) -> int:
    return len(urlencode({"q": text}))
