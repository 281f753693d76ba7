"""Texts of kept models as values of enumerations (see `compiler.coding`).

A materialized model that does nothing with a text of a large dataset but to pass it on, and to
group by it, is kept with the value of an enumeration in its place. Models that pass it on from
there have it as well; any other model reads the text, as enumerations are ordered otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from crmetrics.compiler.coding import Coded, can_be_coded
from crmetrics.compiler.expressions import gives, is_made_of, passes_on
from crmetrics.datasets import Dataset
from crmetrics.warehouse.compute import ComputeSession
from crmetrics.warehouse.placeholders import identifier, words

_WITHOUT_TEXTS = ("looked_at", "period_days", "periods")
"""What models may read beside a dataset."""


class CodedModels(Struct):
    """Which texts of models are coded. has_few: whether a text is worth it."""

    session: ComputeSession
    datasets: Mapping[str, Dataset]
    has_few: Callable[[str, Coded], bool]
    _types: dict[str, Coded] = field(default_factory=dict)
    _made: set[Coded] = field(default_factory=set)

    def type_of(self, kind: str) -> Coded | None:
        """The enumeration that is the type of a column; None for any other type."""
        return self._types.get(kind)

    def coded(self, text: str) -> tuple[str, Sequence[str]]:
        """The text of a kept model with coded texts, and what makes the enumerations it names."""
        found = list(self._worth(text))
        if not found:
            return text, ()
        shown = self.session.describe(text)
        found = [one for one in found if shown.get(one.column) == "VARCHAR"]
        for one in found:
            if one not in self._made:
                self._make(one)
        values = {one.column: one.value_of(identifier(one.column)) for one in found}
        # Of the rows that are kept: a dataset that they are made of has more.
        coded = _replaced(f"(\n{text.strip()}\n)", values) if values else text
        return coded, [one.type_sql() for one in found]

    def _make(self, one: Coded) -> None:
        self.session.prepare(one.type_sql())
        self.session.execute(one.type_sql())
        self._made.add(one)
        self._types[self.session.describe(f"select null::{one.type} as value")["value"]] = one

    def _worth(self, text: str) -> Iterator[Coded]:
        named = words(text)
        read = [one for name, one in self.datasets.items() if f"live_{name}" in named]
        if len(read) != 1:
            return
        name = f"live_{read[0].name}"
        for column in read[0].columns:
            is_text = can_be_coded(column.name, column.sql_type) and not column.expression
            if not is_text or column.name not in named:
                continue
            table = self.session.table_of(read[0].name, column.name)
            one = Coded("f", name, column.name, table)
            if self.has_few(read[0].name, one):
                only = is_made_of(text, (name, *_WITHOUT_TEXTS))
                if only and gives(text, column.name):
                    yield one

    def plain(self, text: str, columns: Mapping[str, Mapping[str, str]]) -> str:
        """The text of a model with the texts of those that it reads, but for what it passes on.

        columns: of the models so far, with their types.
        """
        for name in sorted(words(text) & columns.keys()):
            coded = [c for c, kind in columns[name].items() if kind in self._types]
            texts = [c for c in coded if not passes_on(text, c.lower())]
            if texts:
                shown = {column: f"{identifier(column)}::varchar" for column in texts}
                text = _shadowed(text, name, _replaced(name, shown))
        return text


def _replaced(relation: str, values: Mapping[str, str]) -> str:
    columns = [f"{sql} as {identifier(column)}" for column, sql in values.items()]
    return f"select * replace ({', '.join(columns)}) from {relation}"


def _shadowed(text: str, name: str, query: str) -> str:
    """The text where another query stands for a relation that it names."""
    return f"with {name} as (\n{query}\n)\nselect * from (\n{text.strip()}\n)"
