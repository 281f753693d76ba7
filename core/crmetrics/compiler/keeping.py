"""The vectors of a question, each computed once for all that read it.

A vector that is part of another one is read from that, where a question reads several of its parts:
customers, what they pay and how it moves are one scan of subscriptions.

A view is computed anew by each of its readers: by the row sets over it or over models that read it,
and by what counts excluded rows, which reads it once for each reason. A vector with several readers
is kept in a table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from crmetrics.catalog import Vector, Whole
from crmetrics.compiler.rowset import RowSet
from crmetrics.compiler.slices import Window
from crmetrics.compiler.surroundings import Surroundings
from crmetrics.compiler.vectors import Conversion, VectorViews

_WORTH = 2
_Key = tuple[str, tuple[tuple[int, Window], ...]]
"""The name of a vector, and the periods it is read for."""


class QuestionVectors(Struct):
    """vectors: name -> vector. read_by: the vectors that a relation is or reads. has_any: whether
    any row of a relation meets a condition. settings: what holds for the question."""

    around: Surroundings
    vectors: Mapping[str, Vector]
    read_by: Callable[[str], Sequence[Vector]]
    has_any: Callable[[str, str], bool]
    settings: Mapping[str, object]
    _parts: dict[_Key, set[str]] = field(default_factory=dict)
    _views: dict[tuple[str, str], VectorViews] = field(default_factory=dict)
    _first: dict[str, VectorViews] = field(default_factory=dict)
    _readers: Counter[str] = field(default_factory=Counter)

    def plan(self, rowsets: Iterable[RowSet]) -> None:
        """Find the vectors that are to be read from others, before anything is compiled."""
        found: dict[_Key, dict[str, tuple[Vector, Whole, RowSet]]] = {}
        for rowset in rowsets:
            for vector in self._read_by(rowset):
                if vector.part_of is not None:
                    known = found.setdefault(_key(vector.part_of, rowset), {})
                    known[vector.name] = vector, vector.part_of, rowset
        for key, known in found.items():
            parts = {name for name, part in known.items() if len(known) > 1 and self._holds(*part)}
            self._parts[key] = parts if len(parts) > 1 else set()

    def _holds(self, vector: Vector, whole: Whole, rowset: RowSet) -> bool:
        """True when the other vector says the same as this one."""
        other = self.vectors.get(whole.vector)
        if other is None or any(
            str(self.settings.get(name) or 0) != value for name, value in whole.when.items()
        ):
            return False
        own, others = (self._for_periods(each, rowset) for each in (vector, other))
        return own.has_whole(others) and not any(
            self.has_any(self.around.source_name(name), condition)
            for name, condition in whole.none.items()
        )

    def statements(self, rowset: RowSet) -> list[str]:
        """The vectors that a row set over periods reads, for these periods."""
        return [sql for views in self._of(rowset) for sql in self._shared(views, rowset)]

    def own(self, rowset: RowSet) -> Mapping[str, str]:
        """The statements of each vector by itself, by the name of what they make."""
        texts = [sql for views in self._of(rowset) for sql in views.statements()]
        return {text.split(maxsplit=6)[5]: text for text in texts}

    def _shared(self, views: VectorViews, rowset: RowSet) -> list[str]:
        whole = self._whole(views.vector, rowset)
        return (replace(views, whole=whole) if whole else views).statements()

    def _whole(self, vector: Vector, rowset: RowSet) -> VectorViews | None:
        """The vector that this one is read from; None where it stands for itself."""
        if vector.part_of is None:
            return None
        if vector.name not in self._parts.get(_key(vector.part_of, rowset), ()):
            return None
        return self._for_periods(self.vectors[vector.part_of.vector], rowset)

    def has_runs(self, rowset: RowSet) -> bool:
        """True when the row set is over a vector that has runs."""
        vector = self.vectors.get(rowset.operands[0].measure.relation)
        return vector is not None and self._for_periods(vector, rowset).has_runs

    def note(self, rowset: RowSet, others: str) -> None:
        """Note what a row set reads, and the text of what is read beside it."""
        for views in self._of(rowset):
            if self._whole(views.vector, rowset) is not None:
                continue
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
        return [self._for_periods(vector, rowset) for vector in self._read_by(rowset)]

    def _read_by(self, rowset: RowSet) -> Sequence[Vector]:
        measure = rowset.operands[0].measure
        return self.read_by(measure.relation) if measure.shape == "period" else []

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


def _key(whole: Whole, rowset: RowSet) -> _Key:
    return whole.vector, tuple(rowset.frame.ordered())


def _mentions(name: str, text: str) -> int:
    """How often a text reads a vector; not where it makes one of that name itself."""
    if re.search(rf"\b{name}(?:_runs)? as \(", text):
        return 0
    return len(re.findall(rf"\b(?:from|join) {name}(?:_runs)?\b", text))
