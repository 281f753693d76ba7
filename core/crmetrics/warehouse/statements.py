"""Small pieces of SQL text: quoted names and literals."""

from __future__ import annotations

from collections.abc import Iterable


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted_list(names: Iterable[str], prefix: str = "") -> str:
    """Names as identifiers, comma-separated, each after `prefix` (`stored.`)."""
    return ", ".join(prefix + quoted(name) for name in names)


def literal(value: str) -> str:
    """`value` as an SQL text literal; for places that take no parameter."""
    return "'" + value.replace("'", "''") + "'"


def first_lines(sql: str, *, lines: int = 6, width: int = 160) -> str:
    """The beginning of a statement, for messages."""
    kept = [line[:width] for line in sql.strip().splitlines()]
    shown = kept[:lines]
    if len(kept) > lines:
        shown.append("...")
    return "\n".join(shown)
