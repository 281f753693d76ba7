"""Which rows a row set reads: those that any of its operands counts.

DuckDB gives a comparison of one column to the scan, and takes every filter above it, such as `a or
b`, for one that keeps a fifth of the rows. It then believes that the rows are fewer than a large
parent's, and builds the join from them (measured: 1.3 times the cost of a row set by the segment of
300,000 accounts). So where the rows of one condition are among those of another, as won deals are
among the closed ones, the wider condition is written alone. Whether they are is asked of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crmetrics.catalog import NOWHERE
from crmetrics.compiler import expressions
from crmetrics.compiler.conditions import disjunction
from crmetrics.compiler.relations import Relation
from crmetrics.compiler.surroundings import Surroundings

_MOST_CONDITIONS = 3


def any_of(
    conditions: Sequence[str], relation: Relation, dimensions: Iterable[str], around: Surroundings
) -> str:
    """The condition of the rows that meet at least one of several."""
    distinct = list(dict.fromkeys(conditions))
    if _is_worth_asking(distinct, relation, dimensions, around):
        name = around.source_name(relation.name)
        for wide in distinct:
            others = disjunction(item for item in distinct if item != wide)
            if not around.has_any(name, f"({others}) and ({wide}) is not true"):
                return wide
    return disjunction(distinct)


def _is_worth_asking(
    conditions: Sequence[str], relation: Relation, dimensions: Iterable[str], around: Surroundings
) -> bool:
    """True where a large dataset is joined with a large parent, and its own columns decide."""
    if len(conditions) > _MOST_CONDITIONS or not around.is_large(relation.name):
        return False
    paths = (around.schema.dimension_path(relation, name) for name in dimensions)
    parents = (
        parent.name
        for path in paths
        if path is not None
        for parent in around.schema.along(relation, path.hops)
    )
    names = {name for sql in conditions for name in expressions.columns(sql, NOWHERE)}
    return any(map(around.is_large, parents)) and names <= relation.columns.keys()
