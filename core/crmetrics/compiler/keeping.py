"""The vectors of a question, each computed once for all that read it.

A view is computed anew by each of its readers: by the row sets over it or over models that read it,
and by what counts excluded rows, which reads it once for each reason. A vector with several readers
is kept in a table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from crmetrics.catalog import Vector
from crmetrics.compiler.rowset import RowSet
from crmetrics.compiler.surroundings import Surroundings
from crmetrics.compiler.vectors import Conversion, VectorViews

_WORTH = 2


@dataclass
class QuestionVectors:
    """vectors: name -> vector. read_by: the vectors that a relation is or reads. has_any: whether
    any row of a relation meets a condition."""

    around: Surroundings
    vectors: Mapping[str, Vector]
    read_by: Callable[[str], Sequence[Vector]]
    has_any: Callable[[str, str], bool]
    _views: dict[tuple[str, str], VectorViews] = field(default_factory=dict)
    _first: dict[str, VectorViews] = field(default_factory=dict)
    _readers: Counter[str] = field(default_factory=Counter)

    def statements(self, rowset: RowSet) -> list[str]:
        """The vectors that a row set over periods reads, for these periods."""
        return [sql for views in self._of(rowset) for sql in views.statements()]

    def has_runs(self, rowset: RowSet) -> bool:
        """True when the row set is over a vector that has runs."""
        vector = self.vectors.get(rowset.operands[0].measure.relation)
        return vector is not None and self._for_periods(vector, rowset).has_runs

    def note(self, rowset: RowSet, others: str) -> None:
        """Note what a row set reads, and the text of what is read beside it."""
        for views in self._of(rowset):
            first, *_ = views.statements()
            self._first[first] = views
            self._readers[first] += 1 + _mentions(views.vector.name, others)

    def kept(self, statement: str) -> Sequence[str]:
        """The statements in place of one: those that keep a vector, if it makes one with several
        readers; else itself."""
        if self._readers[statement] < _WORTH:
            return [statement]
        views = self._first[statement]
        beside = len(views.statements()) - 1
        found = views.statements(is_kept=True)
        return found[: len(found) - beside]

    def _of(self, rowset: RowSet) -> list[VectorViews]:
        measure = rowset.operands[0].measure
        if measure.shape != "period":
            return []
        return [self._for_periods(vector, rowset) for vector in self.read_by(measure.relation)]

    def _for_periods(self, vector: Vector, rowset: RowSet) -> VectorViews:
        key = vector.name, rowset.suffix
        if key not in self._views:
            self._views[key] = VectorViews(
                vector,
                self.around.source_name(vector.relation),
                rowset.frame,
                rowset.clock,
                Conversion(self.around.convert, self.around.has_rates, self.has_any),
                self.around.schema.relation(vector.relation).columns,
            )
        return self._views[key]


def _mentions(name: str, text: str) -> int:
    """How often a text reads a vector; not where it makes one of that name itself."""
    if re.search(rf"\b{name}(?:_runs)? as \(", text):
        return 0
    return len(re.findall(rf"\b(?:from|join) {name}(?:_runs)?\b", text))
