"""The project file as a tree whose every key and value knows its place.

The tree keeps scalars as they were written. `to_data` reads them by the rules of YAML 1.2 (only
`true` and `false` are booleans, only plain decimal numbers are numbers), so that `no`, `1:30`,
`012` or `2026-01-01` stay the text that stands in the file. What a key expects decides later
whether that text is a date, a number or simply a text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, TypeAlias

from msgspec import Struct, field

from crmetrics.errors import Finding

Path: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the top of the file down to a value."""

DROPPED: Final = object()
"""As a replacement in `to_data`: leave the key out."""


class Place(Struct, frozen=True):
    """Where something stands: file, line and column, both from 1."""

    file: str
    line: int
    column: int

    def finding(self, message: str, hint: str = "") -> Finding:
        return Finding(message, self.file, self.line, self.column, hint)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class _Unshown(Struct, frozen=True):
    """A node does not show its content in a repr: it may be a secret."""

    __repr__ = object.__repr__

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What rich shows in place of the repr."""
        return []


class Scalar(_Unshown, frozen=True):
    """One value. text: with variables filled in. is_plain: written without quotes.

    variables: the variables whose values stand in `text`. is_unresolved: a variable is missing,
    which is a finding already.
    """

    place: Place
    text: str
    is_plain: bool = False
    variables: tuple[str, ...] = ()
    is_unresolved: bool = False

    @property
    def value(self) -> str | int | float | bool | None:
        """What the text means by itself; a text from quotes or from a variable stays text."""
        return _plain_value(self.text) if self.is_plain and not self.variables else self.text


class Listing(_Unshown, frozen=True):
    """A list."""

    place: Place
    items: tuple[Node, ...] = ()


class Entry(_Unshown, frozen=True):
    """One key of a section: the place of the key, and its value."""

    place: Place
    node: Node


class Section(_Unshown, frozen=True):
    """A mapping of keys to values, in the order of the file."""

    place: Place
    entries: Mapping[str, Entry] = field(default_factory=dict)

    def node(self, key: str) -> Node | None:
        entry = self.entries.get(key)
        return entry.node if entry else None

    def select(self, keys: Collection[str]) -> Section:
        """The same section with only these keys."""
        kept = {key: entry for key, entry in self.entries.items() if key in keys}
        return Section(self.place, kept)


Node: TypeAlias = Scalar | Listing | Section

_INTEGER = re.compile(r"[-+]?(0|[1-9]\d{0,17})")
_DECIMAL = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?")
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def _plain_value(text: str) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def is_empty(node: Node | None) -> bool:
    """True for a key without a value (`domain:`)."""
    return isinstance(node, Scalar) and node.value is None


def child(node: Node | None, part: str | int) -> Node | None:
    """What stands under a key or at a list position; None if nothing does."""
    if isinstance(node, Section) and isinstance(part, str):
        return node.node(part)
    if isinstance(node, Listing) and isinstance(part, int) and 0 <= part < len(node.items):
        return node.items[part]
    return None


def find(node: Node | None, path: Path) -> Node | None:
    """The node at the end of `path`; None if the path leads nowhere."""
    for part in path:
        node = child(node, part)
    return node


def place_of(root: Node, path: Path, *, at_key: bool = False) -> Place:
    """The place of the value at `path` (of its key: at_key); where the path leads nowhere, the
    place of the last key on the way."""
    node, key = root, root.place
    for part in path:
        below = child(node, part)
        if below is None:
            return key
        entry = node.entries.get(str(part)) if isinstance(node, Section) else None
        node, key = below, entry.place if entry else below.place
    return key if at_key else node.place


def to_data(node: Node, replaced: Mapping[int, Any], *, without: Collection[str] = ()) -> Any:
    """Plain Python values. replaced: by `id` of a node, a value that stands in for it (or
    DROPPED). without: keys of the top section to leave out."""
    if id(node) in replaced:
        return replaced[id(node)]
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Listing):
        return [to_data(item, replaced) for item in node.items]
    return {
        key: to_data(entry.node, replaced)
        for key, entry in node.entries.items()
        if key not in without and replaced.get(id(entry.node)) is not DROPPED
    }


def scalars(node: Node | None) -> Iterator[Scalar]:
    """Every single value in `node`."""
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Listing):
        for item in node.items:
            yield from scalars(item)
    elif isinstance(node, Section):
        for entry in node.entries.values():
            yield from scalars(entry.node)


def has_unresolved(node: Node | None) -> bool:
    """True when a missing variable stands somewhere in `node`."""
    return any(scalar.is_unresolved for scalar in scalars(node))


def dotted(path: Path) -> str:
    """`jobs.weekly_sales.kpis[1]`: a path as people write it."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
