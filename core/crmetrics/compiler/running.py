"""Running sums: additive readings of long states without a row per state and reading.

A state that is open over many readings is not unfolded. States with the same span and group are
added up first; their sum is added at the first reading inside the span and taken back at the first
one after it, and a running sum over the readings gives every snapshot. Exact for counts and for
sums of integers and decimals; other aggregates, and sums whose amounts depend on the day of the
reading (exchange rates), unfold the state instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crmetrics.compiler import expressions
from crmetrics.compiler.adding import have_few_values
from crmetrics.compiler.conditions import filtered
from crmetrics.compiler.frames import WINDOW_COLUMNS
from crmetrics.compiler.grouping import grouped
from crmetrics.compiler.relations import Relation, virtual_base
from crmetrics.warehouse.placeholders import identifier

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
    types = (_type(name, relation) for name in shape.inner)
    return is_count or (shape.is_exact and all(map(is_exact_type, types)))


def is_exact_type(kind: str) -> bool:
    """True for the types whose sums have no rounding error, whatever is added first."""
    return kind.startswith(_EXACT)


def count_behind(sql: str) -> str | None:
    """The count of the rows that a sum adds up; None for what is no sum."""
    shape = expressions.shape_of(sql)
    if shape.kind != "sum":
        return None
    where = filtered(shape.condition)
    return f"count({shape.argument}){where}"


def _is_converted(name: str) -> bool:
    return name.endswith(("_rc", "_cc"))


def _type(name: str, relation: Relation) -> str:
    base = name if name in relation.columns else virtual_base(name) or name
    return relation.columns.get(base, "")


def running_statement(
    name: str,
    fact: str,
    windows: str,
    groupings: Sequence[Sequence[str]],
    aggregates: Sequence[tuple[str, str]],
    nullable: Mapping[str, str] | None = None,
) -> str:
    """The statement of a row set over spans.

    fact: has `first_reading` and `last_reading` (positions [first, last) of the readings), the
    dimensions and the columns. groupings: sets of dimensions. aggregates: (SQL over the states,
    alias). nullable: alias -> the alias of the count behind a sum that is null without it.
    """
    names = list(dict.fromkeys(name for grouping in groupings for name in grouping))
    dims = [identifier(f"by {name}") for name in names]
    listed = "".join(f", {dim}" for dim in dims)
    same = "".join(f" and c.{dim} is not distinct from g.{dim}" for dim in dims)
    partition = ", ".join(f"g.{dim}" for dim in dims)
    over = (f"partition by {partition} " if dims else "") + "order by w.position"
    sums = [
        _running(alias, (nullable or {}).get(alias)) + f" as {alias}" for _, alias in aggregates
    ]
    changed = [f"sum({alias} * change) as {alias}" for _, alias in aggregates]
    are_few = have_few_values(names)
    changes = grouped("edges", "position", groupings, changed, are_few=are_few)
    groups = f"select distinct {', '.join(dims)} from changes" if dims else "select 1 as one"
    return (
        f"create or replace temp table {name} as\nwith fact as (\n{_indented(fact)}\n),\n"
        f"spans as (\n  select first_reading, last_reading{listed},\n    "
        + ",\n    ".join(f"{sql} as {alias}" for sql, alias in aggregates)
        + f"\n  from fact\n  group by first_reading, last_reading{listed}\n),\n"
        "edges as (\n  select *, unnest([first_reading, last_reading]) as position,"
        " unnest([1, -1]) as change\n  from spans\n),\n"
        f"changes as (\n{_indented(changes)}\n),\n"
        f"groups as ({groups})\n"
        f"select w.window_id{''.join(f', g.{dim}' for dim in dims)},\n  "
        + ",\n  ".join(sums)
        + f"\nfrom groups g\ncross join {windows} w\n"
        f"left join changes c on c.position = w.position{same}\n"
        f"window readings as ({over})"
    )


def _running(alias: str, count: str | None) -> str:
    total = f"coalesce(sum(c.{alias}) over readings, 0)"
    return f"case when sum(c.{count}) over readings > 0 then {total} end" if count else total


def _indented(sql: str) -> str:
    return "\n".join("  " + line for line in sql.splitlines())
