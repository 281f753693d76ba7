"""Running sums: additive readings of long states without a row per state and reading.

A state that is open over many readings is not unfolded. It adds its amount at the first reading
inside its span and takes it back at the first one after it; a running sum over the readings gives
every snapshot. Exact for counts and for sums of integers and decimals; other aggregates, and sums
whose amounts depend on the day of the reading (exchange rates), unfold the state instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from crmetrics.compiler import expressions
from crmetrics.compiler.fact import quoted
from crmetrics.compiler.frames import WINDOW_COLUMNS
from crmetrics.compiler.relations import Relation, virtual_base

_EXACT = ("DECIMAL", "BIGINT", "INTEGER", "HUGEINT", "SMALLINT", "TINYINT", "BOOLEAN")


def can_run(aggregates: Sequence[str], relation: Relation, *, has_rates: bool) -> bool:
    """True when every aggregate may be summed up from changes without a rounding error."""
    return all(_is_exact(sql, relation, has_rates=has_rates) for sql in aggregates)


def _is_exact(sql: str, relation: Relation, *, has_rates: bool) -> bool:
    shape = expressions.shape_of(sql)
    names = {*shape.columns}
    if names & {*WINDOW_COLUMNS} or (has_rates and any(_is_converted(n) for n in names)):
        return False
    if shape.is_distinct or shape.kind not in ("count", "sum"):
        return False
    is_count = shape.kind == "count"
    return is_count or all(_type(name, relation).startswith(_EXACT) for name in shape.inner)


def _is_converted(name: str) -> bool:
    return name.endswith(("_rc", "_cc"))


def _type(name: str, relation: Relation) -> str:
    base = name if name in relation.columns else virtual_base(name) or name
    return relation.columns.get(base, "")


def change_of(sql: str) -> str:
    """The aggregate over changes: `sum(x)` becomes `sum(x * change)`, `count(x)` the changes of
    rows where x is there."""
    shape = expressions.shape_of(sql)
    terms = [shape.condition]
    if shape.kind == "count":
        summed = "change"
        terms.append(f"{shape.argument} is not null" if shape.argument else "")
    else:
        summed = f"({shape.argument}) * change"
    where = expressions.conjunction(terms)
    return f"sum({summed})" + (f" filter (where {where})" if where else "")


def running_statement(
    name: str,
    fact: str,
    windows: str,
    dimensions: Sequence[str],
    aggregates: Sequence[tuple[str, str]],
    group_by: str,
) -> str:
    """The statement of a row set over changes.

    fact: has `window_id` (= the position of the reading), `change` (+1, -1), the dimensions and
    the columns. aggregates: (SQL over the states, alias).
    """
    dims = [quoted(item) for item in dimensions]
    body = "\n".join("  " + line for line in fact.splitlines())
    changes = ",\n    ".join(f"{change_of(sql)} as {alias}" for sql, alias in aggregates)
    listed = "".join(f", {dim}" for dim in dims)
    same = "".join(f" and c.{dim} is not distinct from g.{dim}" for dim in dims)
    partition = ", ".join(f"g.{dim}" for dim in dims)
    over = (f"partition by {partition} " if dims else "") + "order by w.position"
    sums = ",\n  ".join(
        f"coalesce(sum(c.{alias}) over readings, 0) as {alias}" for _, alias in aggregates
    )
    groups = f"select distinct {', '.join(dims)} from changes" if dims else "select 1 as one"
    return (
        f"create or replace temp table {name} as\nwith fact as (\n{body}\n),\n"
        f"changes as (\n  select window_id as position{listed},\n    {changes}\n"
        f"  from fact\n  {group_by}\n),\n"
        f"groups as ({groups})\n"
        f"select w.window_id{''.join(f', g.{dim}' for dim in dims)},\n  {sums}\n"
        f"from groups g\ncross join {windows} w\n"
        f"left join changes c on c.position = w.position{same}\n"
        f"window readings as ({over})"
    )
