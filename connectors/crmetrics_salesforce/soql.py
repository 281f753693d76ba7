"""Queries as values, and their text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Window:
    """`lower <= field < upper`; None = no bound."""

    field: str
    lower: datetime | None = None
    upper: datetime | None = None

    @property
    def conditions(self) -> tuple[str, ...]:
        found = []
        if self.lower is not None:
            found.append(f"{self.field} >= {instant(self.lower)}")
        if self.upper is not None:
            found.append(f"{self.field} < {instant(self.upper)}")
        return tuple(found)


@dataclass(frozen=True)
class Among:
    """One of these values in a field; the list can be cut without changing what is asked for."""

    field: str
    values: tuple[str, ...]

    @property
    def condition(self) -> str:
        return f"{self.field} IN ({','.join(quoted(value) for value in self.values)})"

    def halves(self) -> tuple[Among, Among]:
        middle = len(self.values) // 2
        return replace(self, values=self.values[:middle]), replace(
            self, values=self.values[middle:]
        )


@dataclass(frozen=True)
class Query:
    """What is selected from one object. types: field -> Arrow type; `Id` is always the first.

    all_rows: those in the recycle bin as well, and archived activities. among: at most one list.
    """

    object: str
    types: Mapping[str, pa.DataType]
    where: tuple[str, ...] = ()
    window: Window | None = None
    all_rows: bool = True
    among: Among | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.types)

    @property
    def lasting(self) -> tuple[str, ...]:
        """The conditions without those of the window."""
        return (*self.where, self.among.condition) if self.among else self.where

    @property
    def conditions(self) -> tuple[str, ...]:
        return (*self.lasting, *(self.window.conditions if self.window else ()))

    def soql(self, *more: str, order: str = "") -> str:
        text = f"SELECT {', '.join(self.fields)} FROM {self.object}"
        conditions = [*self.conditions, *more]
        if conditions:
            text += " WHERE " + " AND ".join(conditions)
        return f"{text} ORDER BY {order}" if order else text

    def within(self, *more: str) -> Query:
        return replace(self, where=(*self.where, *more))

    def over(self, window: Window | None) -> Query:
        return replace(self, window=window)

    def of(self, field: str, values: Iterable[str]) -> Query:
        return replace(self, among=Among(field, tuple(values)))

    def halves(self) -> tuple[Query, ...]:
        """The same rows by half of the list each; the query itself when the list is too short."""
        if self.among is None or len(self.among.values) < 2:
            return (self,)
        return tuple(replace(self, among=half) for half in self.among.halves())

    def only(self, fields: Iterable[str]) -> Query:
        return replace(self, types={name: self.types[name] for name in fields})


def instant(at: datetime) -> str:
    """A datetime literal: unquoted, UTC, so that no `+` can be lost on the way."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def quoted(value: str) -> str:
    """A text literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")
_WORD = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_COMPARED = re.compile(
    rf"\b(?!(?:NOT|AND|OR)\b)({_WORD.pattern})\s*"
    r"(?:<|>|=|!=|(?:(?:NOT\s+)?IN|LIKE|INCLUDES|EXCLUDES)\b)",
    re.IGNORECASE,
)
_INNERMOST = re.compile(r"\([^()]*\)")
_SUBQUERY = re.compile(r"\(\s*SELECT\b", re.IGNORECASE)
_ABOUT_NOW = re.compile(
    r"YESTERDAY|TODAY|TOMORROW|(?:LAST|THIS|NEXT)_[A-Z0-9_]+|N_[A-Z_]+_AGO|SELECT", re.IGNORECASE
)


def words_of(condition: str) -> list[str]:
    """Names in a condition, those of fields, functions and clauses alike; texts are left out."""
    return list(dict.fromkeys(_WORD.findall(_TEXT.sub("''", condition))))


def compared_in(condition: str) -> list[str]:
    """Fields that a condition compares with something: words on the left of an operator, those of
    subqueries left out."""
    text = _without_subqueries(_TEXT.sub("''", condition))
    return list(dict.fromkeys(_COMPARED.findall(text)))


def _without_subqueries(text: str) -> str:
    """Brackets are taken away from the inside out: ordinary ones leave what they hold."""
    while True:
        shorter = _INNERMOST.sub(
            lambda found: "''" if _SUBQUERY.match(found[0]) else f" {found[0][1:-1]} ", text
        )
        if shorter == text:
            return text
        text = shorter


def has_subquery(condition: str) -> bool:
    """True where another query is part of the condition: no NOT may stand before that."""
    return any(word.upper() == "SELECT" for word in words_of(condition))


def conjunct(condition: str) -> str:
    """A condition of the project file as one of several that must all be met.

    Salesforce takes subqueries at the top level only: what only AND joins goes without brackets.
    """
    if has_subquery(condition):
        outer = _without_subqueries(_TEXT.sub("''", condition))
        if "OR" not in (word.upper() for word in words_of(outer)):
            return condition
    return f"({condition})"


def is_about_now(word: str) -> bool:
    """True for what another day or another record makes true: `LAST_N_DAYS:30`, a subquery."""
    return _ABOUT_NOW.fullmatch(word) is not None


def is_soql_name(name: str) -> bool:
    """True for a field or a field of a parent: nothing else may get into a query."""
    return re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*){0,5}", name) is not None
