"""What quality rules left out: counts of excluded rows that would have entered a value (Q6).

Excluded rows (deleted, test, merged, spam, or children of such) are few, so they are counted in a
statement of their own beside the row set, with the same fact, groups and conditions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from crmetrics.compiler.conditions import disjunction
from crmetrics.compiler.rowset import RowSet
from crmetrics.warehouse.placeholders import identifier

REASONS: Mapping[str, str] = {
    "deleted": "excluded_deleted",
    "test": "excluded_test",
    "merged": "merged",
    "spam": "excluded_spam",
    "parent": "excluded_parent",
}
"""Reason of the warehouse -> coverage key."""

_MANY_READERS = 3
_READ = re.compile(r"\bfrom excluded_([a-z]\w*)")


@dataclass(frozen=True)
class Mirror:
    """What quality rules left out of a model. rows: a query with its columns and `_reason`, empty
    when nothing was. setup: the statements that make the tables that the query reads."""

    rows: str = ""
    setup: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExcludedCounts:
    """The statement, its table, and operand number -> coverage key -> column."""

    name: str
    sql: str
    columns: Mapping[int, Mapping[str, str]]


def excluded_counts(rowset: RowSet) -> ExcludedCounts | None:
    """None when the row set reads no dataset itself, or nothing of it was excluded."""
    other = rowset.excluded_fact()
    if other is None:
        return None
    counts: dict[str, str] = {}
    columns: dict[int, dict[str, str]] = {}
    for item in rowset.compiled:
        # One aggregate without a filter counts every row, whatever the filters of the others say.
        wanted = disjunction(item.conditions) if all(item.conditions) else ""
        for reason in rowset.around.reasons(other.relation.name):
            key = REASONS[reason]
            sql = f"count(*) filter (where _reason = '{reason}' and ({wanted or 'true'}))"
            alias = counts.setdefault(sql, f"e{len(counts)}")
            columns.setdefault(item.operand.number, {})[key] = alias
    name = rowset.excluded_name
    read = other.read_for(" ".join(counts))
    text = read.sql(rowset.fact_where, [("f._reason", "_reason")])
    body = "\n".join("  " + line for line in text.splitlines())
    shown = ["window_id", *(identifier(f"by {d}") for d in rowset.dimensions)]
    shown += [f"{sql} as {alias}" for sql, alias in counts.items()]
    statement = (
        f"create or replace temp table {name} as\nwith fact as (\n{body}\n)\n"
        "select\n  " + ",\n  ".join(shown) + f"\nfrom fact\n{rowset.group_by()}"
    )
    return ExcludedCounts(name, statement, columns)


def with_kept(statements: Sequence[str], is_kept: Callable[[str], bool]) -> list[str]:
    """The same statements, where several read what was left out of a dataset, from a table of it.

    To find these few rows all of a dataset are scanned, and to keep them all their columns are
    read: as much as three readers save (measured). is_kept: whether the table is there already.
    """
    readers = Counter(name for sql in statements for name in _READ.findall(sql))
    kept = {
        name
        for name, count in readers.items()
        if count >= _MANY_READERS or is_kept(f"removed_{name}")
    }

    def found(read: re.Match[str]) -> str:
        return f"from removed_{read[1]}" if read[1] in kept else read[0]

    return [_READ.sub(found, sql) for sql in statements]
