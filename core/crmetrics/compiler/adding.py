"""Sums of sums: rows are grouped once, and what comes out is grouped again.

Several groupings. DuckDB computes GROUPING SETS by keeping the rows and grouping them once for each
set. Where the dimensions have few values together, the rows are grouped once by all of them, and
the small result for each set (measured: 0.6 of the cost for three dimensions).

Overlapping windows, such as months and the 90 days to each month's end. The bounds of all windows
cut the calendar into pieces. A row that lies in four windows is added up once with the other rows
of its piece and group, and the pieces are added up to windows.

This is exact for counts and for sums of integers and decimals, and no less exact for floats.
Medians and distinct counts cannot be added up: they are computed on the rows of the windows that
ask for them. Where they go through all rows once for each set anyway, a few counts and sums go with
them, which costs less than to group the rows by all dimensions beside.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta

from msgspec import Struct

from crmetrics.catalog import Measure
from crmetrics.compiler import expressions
from crmetrics.compiler.conditions import filtered
from crmetrics.compiler.frames import WINDOW_COLUMNS
from crmetrics.compiler.grouping import grouped
from crmetrics.compiler.slices import Window
from crmetrics.warehouse.placeholders import identifier

_WORTH = 1.5
"""Windows per day from which pieces pay."""
_MOST_DIMENSIONS = 4
_MOST_BESIDE = 24
"""Counts and sums, times sets of dimensions, up to which they go with medians of all rows (measured
with four sets: 3 of them save an eighth of the statement, 6 a fortieth, 12 cost an eighth)."""
_OF_VALUES = re.compile(r"(?:count|median|quantile_cont|quantile_disc)\((\w+)[,)]", re.IGNORECASE)
"""An aggregate of a column that leaves out its nulls of itself."""
_PARTS = ("value", "numerator", "denominator", "n", "standard_error")


def do_overlap(windows: Iterable[Window]) -> bool:
    """True when a day lies in so many windows that its rows are better added up first."""
    days = [
        window.start + timedelta(days=number)
        for window in windows
        for number in range((window.end - window.start).days)
    ]
    return len(days) > _WORTH * len(set(days))


def have_few_values(dimensions: Sequence[str]) -> bool:
    """True when dimensions are worth grouping by together: not many, and none of them a key."""
    if not 0 < len(dimensions) <= _MOST_DIMENSIONS:
        return False
    return not any(name.rpartition(".")[2].endswith("id") for name in dimensions)


class Part(Struct, frozen=True):
    """What is added up of an aggregate. sql: over the rows; how: sum, min or max of parts."""

    name: str
    sql: str
    how: str


def parts_of(sql: str, alias: str) -> tuple[Sequence[Part], str] | None:
    """How an aggregate is added up: its parts, and itself over them; None when it cannot be."""
    shape = expressions.shape_of(sql)
    if {*shape.columns} & {*WINDOW_COLUMNS} or shape.is_distinct:
        return None
    if shape.kind == "count":
        return [Part(alias, sql, "sum")], f"sum({alias})::bigint"
    if shape.kind in ("sum", "min", "max"):
        return [Part(alias, sql, shape.kind)], f"{shape.kind}({alias})"
    if shape.kind == "avg":
        under = filtered(shape.condition)
        total, count = f"{alias}_sum", f"{alias}_count"
        parts = [
            Part(total, f"sum({shape.argument}){under}", "sum"),
            Part(count, f"count({shape.argument}){under}", "sum"),
        ]
        return parts, f"sum({total})::double / nullif(sum({count}), 0)"
    return None


def adds_up(measure: Measure) -> bool:
    """True when all numbers of a measure can be added up."""
    texts = [(key, getattr(measure, key)) for key in _PARTS]
    texts += [(f"coverage.{name}", sql) for name, sql in measure.coverage.items()]
    return all(
        parts_of(aggregate.sql, "a") is not None
        for key, sql in texts
        if sql
        for aggregate in expressions.split(sql, "", measure.place(key)).aggregates
    )


def reads_windows(measure: Measure) -> bool:
    """True when a measure may say something of the window that a row falls into."""
    texts = [measure.time, *(getattr(measure, key) for key in _PARTS), *measure.coverage.values()]
    texts += [term.sql for term in measure.where]
    return any(name in text for text in texts if text for name in WINDOW_COLUMNS)


class Adding(Struct, frozen=True):
    """The statement of a row set whose aggregates are added up as far as possible.

    fact: has the key, the dimensions and the columns. aggregates: SQL over the rows -> alias.
    groupings: sets of dimensions. pieces: the relation (piece, window_id) where the key is `piece`
    and not `window_id`. asking: the windows of what cannot be added up.
    """

    name: str
    fact: str
    dimensions: Sequence[str]
    aggregates: Mapping[str, str]
    groupings: Sequence[Sequence[str]]
    pieces: str = ""
    asking: Collection[int] = ()

    def statement(self) -> str | None:
        """None when nothing is gained by it."""
        found = {alias: parts_of(sql, alias) for sql, alias in self.aggregates.items()}
        added = {alias: parts for alias, parts in found.items() if parts is not None}
        is_rolled_up = len(self.groupings) > 1 and have_few_values(self.dimensions)
        if not added or not (self.pieces or is_rolled_up):
            return None
        parts = [part for own, _ in added.values() for part in own]
        rest = {sql: alias for sql, alias in self.aggregates.items() if alias not in added}
        if self._are_beside(len(parts), rest):
            return None
        totals = [f"{total} as {alias}" for alias, (_, total) in added.items()]
        steps = [_step("fact", self.fact)]
        source, aggregates = "fact", [f"{part.sql} as {part.name}" for part in parts]
        again = [f"{part.how}({part.name}) as {part.name}" for part in parts]
        if is_rolled_up:
            cells = grouped(source, self._key, [self.dimensions], aggregates)
            steps.append(_step("cells", cells))
            source, aggregates = "cells", again
        if self.pieces:
            steps.append(_step("by_piece", self._in_groups(source, aggregates)))
            steps.append(_step("added", self._windows_of("by_piece", totals)))
        else:
            steps.append(_step("added", self._in_groups(source, totals)))
        return self._together(steps, rest)

    def _are_beside(self, count: int, rest: Collection[str]) -> bool:
        """Whether what adds up is better computed beside what does not, on the same rows: where
        that goes through all of them, once for each set, and this is little."""
        if not rest or self.pieces or count * len(self.groupings) > _MOST_BESIDE:
            return False
        return not any(expressions.shape_of(plain(sql)).condition for sql in rest)

    @property
    def _key(self) -> str:
        return "piece" if self.pieces else "window_id"

    @property
    def _dims(self) -> list[str]:
        return [identifier(f"by {name}") for name in self.dimensions]

    def _in_groups(self, source: str, aggregates: Sequence[str]) -> str:
        are_few = source == "cells"
        return grouped(source, self._key, self.groupings, aggregates, are_few=are_few)

    def _windows_of(self, source: str, totals: Sequence[str]) -> str:
        keys = ", ".join(["p.window_id", *(f"s.{dim}" for dim in self._dims)])
        return (
            f"select {keys},\n  "
            + ",\n  ".join(totals)
            + f"\nfrom {source} s\njoin {self.pieces} p on p.piece = s.piece\ngroup by {keys}"
        )

    def _rest(self, rest: Mapping[str, str]) -> str:
        """What cannot be added up, for the windows and, where possible, the rows that it needs."""
        source = "fact"
        if self.pieces:
            wanted = ", ".join(map(str, sorted(self.asking)))
            source = (
                f"(\n  select f.*, p.window_id\n  from fact f\n  join {self.pieces} p"
                f" on p.piece = f.piece and p.window_id in ({wanted})\n)"
            )
        shapes = [expressions.shape_of(sql) for sql in rest]
        shared = {shape.condition for shape in shapes}
        # Without its rows a group has no row here: null, which is what such an aggregate says of
        # no rows, but for counts.
        is_narrow = len(shared) == 1 and all(shape.kind != "count" for shape in shapes)
        where = f"\nwhere {shapes[0].condition}" if is_narrow and shapes[0].condition else ""
        met = filtered(shapes[0].condition) if where else ""
        aggregates = [f"{_without(sql, met)} as {alias}" for sql, alias in rest.items()]
        return grouped(source + where, "window_id", self.groupings, aggregates)

    def _together(self, steps: list[str], rest: Mapping[str, str]) -> str:
        last = "select * from added"
        if rest:
            steps.append(_step("others", self._rest(rest)))
            same = [f"o.{dim} is not distinct from a.{dim}" for dim in self._dims]
            shown = ", ".join(f"o.{alias}" for alias in rest.values())
            on = " and ".join(["o.window_id = a.window_id", *same])
            last = f"select a.*, {shown}\nfrom added a\nleft join others o on {on}"
        ctes = ",\n".join(steps)
        return f"create or replace temp table {self.name} as\nwith {ctes}\n{last}"


def plain(sql: str) -> str:
    """An aggregate that leaves out nulls, without a filter that only says the same."""
    values = _OF_VALUES.match(sql)
    return _without(sql, filtered(f"NOT {values[1]} IS NULL")) if values else sql


def _without(sql: str, met: str) -> str:
    """An aggregate without its filter, which all rows meet: it costs a seventh of a median."""
    has_it = met and sql.lower().endswith(met.lower())
    return sql[: -len(met)] if has_it else sql


def _step(name: str, query: str) -> str:
    return f"{name} as (\n{_indented(query)}\n)"


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())
