"""What quality rules left out: counts of excluded rows that would have entered a value (Q6).

Excluded rows (deleted, test, merged, spam, or children of such) are few, so they are counted in a
statement of their own beside the row set, with the same fact, groups and conditions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct

from crmetrics.compiler.conditions import disjunction
from crmetrics.compiler.grouping import grouped
from crmetrics.compiler.portions import own_columns
from crmetrics.compiler.rowset import RowSet
from crmetrics.compiler.surroundings import ALL_COLUMNS
from crmetrics.datasets import Dataset
from crmetrics.warehouse.placeholders import identifier, words

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


class Mirror(Struct, frozen=True):
    """What quality rules left out of a model. rows: a query with its columns and `_reason`, empty
    when nothing was. setup: the statements that make the tables that the query reads."""

    rows: str = ""
    setup: tuple[str, ...] = ()


class ExcludedCounts(Struct, frozen=True):
    """The statement, its table, and operand number -> coverage key -> column. reads: dataset -> the
    columns that are read of what was left out of it, where they are known."""

    name: str
    sql: str
    columns: Mapping[int, Mapping[str, str]]
    reads: Mapping[str, Collection[str]]


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
    shown = [f"{sql} as {alias}" for sql, alias in counts.items()]
    query = grouped("fact", "window_id", rowset.operands[0].groupings, shown, are_few=True)
    statement = f"create or replace temp table {name} as\nwith fact as (\n{body}\n)\n{query}"
    return ExcludedCounts(name, statement, columns, _reads(rowset, statement))


def _reads(rowset: RowSet, statement: str) -> Mapping[str, Collection[str]]:
    """The columns of the rows themselves. What their statement names is more: it joins parents, and
    of these what was left out as well."""
    fact = rowset.fact
    assert fact is not None
    if fact.relation.dataset is None:
        texts = dict.fromkeys(_READ.findall(rowset.mirror), rowset.mirror)
        found = {
            name: columns_named(dataset, texts[name])
            for name, dataset in rowset.around.schema.datasets.items()
            if name in texts
        }
    else:
        name = fact.relation.name
        texts = {name: fact.over(f"excluded_{name}").sql(rowset.fact_where)}
        found = {name: [identifier(c) for c in own_columns(texts[name])]}
    every = Counter(_READ.findall(statement))
    return {n: c for n, c in found.items() if every[n] == _READ.findall(texts[n]).count(n)}


class Keeping(Struct, frozen=True):
    """How what was left out of datasets may be kept for statements that read it.

    datasets: by name. is_made: whether a relation of the session is there already. keeps_named:
    whether what was left out of a dataset is worth a table of the columns that two readers name.
    """

    datasets: Mapping[str, Dataset]
    is_made: Callable[[str], bool]
    keeps_named: Callable[[str], bool]

    def kept(
        self, statements: Sequence[str], reads: Sequence[Mapping[str, Collection[str]]]
    ) -> tuple[list[str], list[str]]:
        """Statements that keep what several others read, and the others, which read it there.
        reads: of each of them, see `ExcludedCounts`.

        To find these few rows all of a dataset are scanned, and to keep them all their columns are
        read: as much as three readers save (measured). Where a join finds them, a table of the
        columns that are named is worth it for two.
        """
        readers = Counter(name for sql in statements for name in _READ.findall(sql))
        tables, made = {}, []
        for name, count in readers.items():
            if self.is_made(f"removed_{name}"):
                tables[name] = f"removed_{name}"
            elif count > 1 and (columns := self._named(name, statements, reads)):
                tables[name] = f"left_out_of_{name}"
                made.append(
                    f"create or replace temp table {tables[name]} as\n"
                    f"select {', '.join(columns)}\nfrom excluded_{name}"
                )
            elif count >= _MANY_READERS:
                tables[name] = f"removed_{name}"

        def found(read: re.Match[str]) -> str:
            return f"from {tables.get(read[1]) or read[0].removeprefix('from ')}"

        return made, [_READ.sub(found, sql) for sql in statements]

    def _named(
        self,
        name: str,
        statements: Sequence[str],
        reads: Sequence[Mapping[str, Collection[str]]],
    ) -> list[str]:
        """The columns of a dataset that the statements which read what was left out of it name;
        none where one may read others, or where it is not to be kept."""
        readers = [
            (sql, known.get(name))
            for sql, known in zip(statements, reads, strict=True)
            if name in _READ.findall(sql)
        ]
        whole = re.compile(rf"{re.escape(ALL_COLUMNS)} from excluded_{name}\b")
        is_whole = any(whole.search(sql) for sql, _ in readers)
        if is_whole or name not in self.datasets or not self.keeps_named(name):
            return []
        dataset = self.datasets[name]
        named = {c for sql, own in readers for c in (own or columns_named(dataset, sql))}
        return [*(c for c in map(identifier, dataset.column_names) if c in named), "_reason"]


def columns_named(dataset: Dataset, sql: str) -> list[str]:
    """The columns of a dataset that a text may read, as SQL: those that it names bare or quoted."""
    names = (column.name for column in dataset.columns)
    return [identifier(c) for c in names if c.lower() in words(sql) or f'"{c}"' in sql]
