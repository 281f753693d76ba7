"""Windows that overlap, such as the 90 days to each month's end: sums by day, then by window.

A row that lies in three windows is not read and grouped three times. It is added up once with the
other rows of its day and group, and the days are added up to windows. This is exact for counts and
for sums of integers and decimals, and no less exact for floats; medians and distinct counts cannot
be added up and are computed on the rows of each window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from crmetrics.compiler import expressions
from crmetrics.compiler.fact import quoted
from crmetrics.compiler.frames import WINDOW_COLUMNS
from crmetrics.compiler.slices import Window

_WORTH = 1.5
"""Windows per day from which the second grouping pays."""


def do_overlap(windows: Iterable[Window]) -> bool:
    """True when a day lies in so many windows that its rows are better added up first."""
    days = [
        window.start + timedelta(days=number)
        for window in windows
        for number in range((window.end - window.start).days)
    ]
    return len(days) > _WORTH * len(set(days))


def parts_of(sql: str, alias: str) -> tuple[Mapping[str, str], str] | None:
    """How an aggregate is added up from days: name -> aggregate of a day, and the aggregate over
    these; None when it cannot be."""
    shape = expressions.shape_of(sql)
    if {*shape.columns} & {*WINDOW_COLUMNS} or shape.is_distinct:
        return None
    if shape.kind == "count":
        return {alias: sql}, f"sum({alias})::bigint"
    if shape.kind in ("sum", "min", "max"):
        return {alias: sql}, f"{shape.kind}({alias})"
    if shape.kind == "avg":
        under = f" filter (where {shape.condition})" if shape.condition else ""
        parts = {
            f"{alias}_sum": f"sum({shape.argument}){under}",
            f"{alias}_count": f"count({shape.argument}){under}",
        }
        return parts, f"sum({alias}_sum)::double / nullif(sum({alias}_count), 0)"
    return None


def by_day_statement(
    name: str,
    fact: str,
    days: str,
    dimensions: Sequence[str],
    aggregates: Mapping[str, str],
    group_by: str,
) -> str | None:
    """The statement of a row set, by way of days; None when an aggregate cannot be added up.

    fact: has `window_day`, the dimensions and the columns. days: a relation of (day, window_id).
    aggregates: SQL over the rows -> alias. group_by: of the sums by day.
    """
    found = [parts_of(sql, alias) for sql, alias in aggregates.items()]
    parts = [part for part in found if part is not None]
    if len(parts) < len(found):
        return None
    dims = [quoted(item) for item in dimensions]
    daily = [f"{sql} as {part}" for own, _ in parts for part, sql in own.items()]
    sums = [
        f"{total} as {alias}" for (_, total), alias in zip(parts, aggregates.values(), strict=True)
    ]
    body = "\n".join("  " + line for line in fact.splitlines())
    grouped = ", ".join(["w.window_id", *(f"d.{dim}" for dim in dims)])
    return (
        f"create or replace temp table {name} as\nwith fact as (\n{body}\n),\n"
        "daily as (\n  select\n    "
        + ",\n    ".join(["window_day", *dims, *daily])
        + f"\n  from fact\n  {group_by}\n)\nselect\n  "
        + ",\n  ".join(["w.window_id", *(f"d.{dim}" for dim in dims), *sums])
        + f"\nfrom daily d\njoin {days} w on w.day = d.window_day\ngroup by {grouped}"
    )
