"""Several groupings from one: rows are added up once by all dimensions, and those sums by each.

DuckDB computes GROUPING SETS by keeping the rows and grouping them once for each set. Where the
aggregates can be added up and the dimensions have few values together, the rows are grouped once
and the small result is grouped for each set (measured: 0.6 of the cost for three dimensions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crmetrics.compiler.fact import quoted
from crmetrics.compiler.overlapping import parts_of

_MOST_DIMENSIONS = 3


def have_few_values(dimensions: Sequence[str]) -> bool:
    """True when dimensions are worth grouping by together: not many, and none of them a key."""
    if not 0 < len(dimensions) <= _MOST_DIMENSIONS:
        return False
    return not any(name.rpartition(".")[2].endswith("id") for name in dimensions)


def rolled_up_statement(
    name: str, fact: str, dimensions: Sequence[str], aggregates: Mapping[str, str], group_by: str
) -> str | None:
    """The statement of a row set; None when an aggregate cannot be added up.

    fact: has `window_id`, the dimensions and the columns. aggregates: SQL over the rows -> alias.
    group_by: by `window_id` and the groups.
    """
    found = [parts_of(sql, alias) for sql, alias in aggregates.items()]
    parts = [part for part in found if part is not None]
    if len(parts) < len(found):
        return None
    keys = ["window_id", *map(quoted, dimensions)]
    own = [f"{sql} as {alias}" for each, _ in parts for alias, sql in each.items()]
    totals = [
        f"{total} as {alias}" for (_, total), alias in zip(parts, aggregates.values(), strict=True)
    ]
    body = "\n".join("  " + line for line in fact.splitlines())
    return (
        f"create or replace temp table {name} as\nwith fact as (\n{body}\n),\n"
        "cells as (\n  select\n    "
        + ",\n    ".join([*keys, *own])
        + f"\n  from fact\n  group by {', '.join(keys)}\n)\nselect\n  "
        + ",\n  ".join([*keys, *totals])
        + f"\nfrom cells\n{group_by}"
    )
