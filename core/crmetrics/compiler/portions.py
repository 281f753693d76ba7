"""The portion of a kept relation that a question reads: no more of it need be kept.

Where dated facts alone read a relation, their columns are known, and so is the first day that any
of them looks at. Where anything else reads it, as a model or along a key, nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date

from msgspec import Struct

from crmetrics.compiler.fact import Fact
from crmetrics.compiler.rowset import RowSet
from crmetrics.periods import Calendar
from crmetrics.warehouse.placeholders import identifier

_OWN = re.compile(r'\bf\.(?:"((?:[^"]|"")+)"|(\w+))')


class Portion(Struct, frozen=True):
    """What is read of a relation. where: SQL over `m` that every row that counts meets; empty = all
    rows."""

    columns: frozenset[str]
    where: str


def own_columns(fact_sql: str) -> set[str]:
    """The columns that the SELECT of a fact reads of its own relation."""
    return {quoted or bare for quoted, bare in _OWN.findall(fact_sql)}


def portions(
    rowsets: Sequence[RowSet], statements: Sequence[str], calendar: Calendar
) -> Mapping[str, Portion]:
    """What the facts of row sets read, by the name of the relation; only of relations that no other
    statement reads."""
    facts: dict[str, list[tuple[RowSet, Fact]]] = {}
    for rowset in rowsets:
        if rowset.fact is not None:
            facts.setdefault(rowset.fact.relation.name, []).append((rowset, rowset.fact))
    text = "\n".join(statements)
    found = {}
    for name, readers in facts.items():
        is_dated = all(fact.time for _, fact in readers)
        if is_dated and len(re.findall(rf"\b{name}\b", text)) == len(readers):
            found[name] = _portion([rowset for rowset, _ in readers], calendar)
    return found


def _portion(rowsets: Sequence[RowSet], calendar: Calendar) -> Portion:
    read = {name for rowset in rowsets for name in own_columns(rowset.fact_sql)}
    terms: dict[str, None] = {}
    for rowset in rowsets:
        term = _since(rowset, calendar)
        if not term:
            return Portion(frozenset(read), "")
        terms[term] = None
    return Portion(frozenset(read), " or ".join(terms))


def _since(rowset: RowSet, calendar: Calendar) -> str:
    """That a row lies on or after the first day that is looked at; empty for what is dated by more
    than a column."""
    fact = rowset.fact
    assert fact is not None
    kind = fact.relation.columns.get(fact.time)
    start: date = min(window.start for window in rowset.frame.windows)
    if kind == "DATE":
        return f"m.{identifier(fact.time)} >= date '{start}'"
    if kind == "TIMESTAMP WITH TIME ZONE":
        instant = calendar.instant(start)
        return f"m.{identifier(fact.time)} >= timestamptz '{instant:%Y-%m-%d %H:%M:%S}+00'"
    return ""
