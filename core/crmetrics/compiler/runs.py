"""Runs: the periods in a row over which an entity of a vector opens and closes alike.

Most accounts neither change at the opening nor at the closing of most months. A run is a row per
entity and pair of opening and closing with the positions [first, last) of its periods, so that the
cost follows the number of changes and not of months (measured: a fifth of a row per account and
month over 24 months). Runs are added up from what each state adds at the first period that sees it
and takes back at the first one that does not; exact for sums of integers and decimals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from crmetrics.catalog import Vector
from crmetrics.compiler import expressions
from crmetrics.compiler.running import is_exact_type


@dataclass(frozen=True, slots=True)
class Tally:
    """How a value is added up: what a state adds (empty for a value that is true or null), and the
    condition under which it counts (empty = always)."""

    amount: str
    condition: str

    @property
    def is_true(self) -> bool:
        return not self.amount


def tally(value: str, types: Mapping[str, str]) -> Tally | None:
    """How an aggregate is added up; None for one that cannot be, such as max()."""
    shape = expressions.shape_of(value)
    if shape.kind == "any" and shape.argument.lower() == "true":
        return Tally("", shape.condition)
    if shape.kind != "sum" or shape.is_distinct or not shape.is_exact:
        return None
    if not all(is_exact_type(types.get(name, "")) for name in shape.inner):
        return None
    return Tally(shape.argument, shape.condition)


def are_in_order(edges: Sequence[tuple[date, date]]) -> bool:
    """True when neither openings nor closings ever go back from one period to the next."""
    return all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(edges))


def runs_query(
    vector: Vector, rows: str, edges: Sequence[tuple[date, date]], tallies: Mapping[str, Tally]
) -> str:
    """The runs of the entities in `rows` as CTEs, the last of them `runs`.

    edges: opening and closing day of each period, in order. Columns: the entity's, `first_reading`,
    `last_reading` (positions of periods), and per value `opening_NAME` and `closing_NAME`.
    """
    entity = ", ".join(vector.entity)
    size = len(edges)
    sums = [
        f"sum({name}{what} * {edge}) as {edge}_{name}{what}"
        for name, value in tallies.items()
        for edge in ("opening", "closing")
        for what in (("_rows",) if value.is_true else ("", "_rows"))
    ]
    totals = [item.rpartition(" as ")[2] for item in sums]
    return (
        f"{_days_cte(edges)},\n{_located_cte(vector, rows, edges, tallies)},\n"
        "edges as (\n"
        "  select * exclude (opens, shuts, closes, ends),\n"
        "    unnest([opens, shuts, closes, ends]) as position,\n"
        "    unnest([1, -1, 0, 0]) as opening, unnest([0, 0, 1, -1]) as closing\n"
        "  from located\n  where opens < shuts or closes < ends\n),\n"
        f"changes as (\n  select {entity}, position,\n    "
        + ",\n    ".join(sums)
        + f"\n  from edges\n  where position < {size}\n  group by {entity}, position\n),\n"
        f"balances as (\n  select {entity}, position as first_reading,\n"
        f"    lead(position, 1, {size}) over steps as last_reading,\n    "
        + ",\n    ".join(f"sum({name}) over steps as {name}" for name in totals)
        + f"\n  from changes\n  window steps as (partition by {entity} order by position)\n),\n"
        f"runs as (\n  select {entity}, first_reading, last_reading,\n    "
        + ",\n    ".join(_values(vector, tallies))
        + "\n  from balances\n  where "
        + " or ".join(f"{name} > 0" for name in totals if name.endswith("_rows"))
        + "\n)"
    )


def _days_cte(edges: Sequence[tuple[date, date]]) -> str:
    """How many openings, and how many closings, lie before a day."""
    listed = ", ".join(f"(date '{opening}', date '{closing}')" for opening, closing in edges)
    first, last = _bounds(edges)
    return (
        f"bounds(opening_day, closing_day) as (values {listed}),\n"
        "days as (\n  select day, count(*) filter (where opening_day < day) as openings,\n"
        "    count(*) filter (where closing_day < day) as closings\n"
        f"  from (select unnest(generate_series(date '{first}', date '{last}', interval 1 day))"
        "::date as day)\n  cross join bounds\n  group by day\n)"
    )


def _bounds(edges: Sequence[tuple[date, date]]) -> tuple[date, date]:
    days = [day for pair in edges for day in pair]
    return min(days), max(days) + timedelta(days=1)


def _located_cte(
    vector: Vector, rows: str, edges: Sequence[tuple[date, date]], tallies: Mapping[str, Tally]
) -> str:
    """The states with the periods whose opening ([opens, shuts)) and closing ([closes, ends)) they
    are valid on, and what they add to each value."""
    first, last = _bounds(edges)
    start, end = vector.span
    size = len(edges)

    def passed(column: str, day: str, alias: str) -> str:
        return (
            f"case when {day} < date '{first}' then 0 when {day} > date '{last}' then {size}"
            f" else {alias}.{column} end"
        )

    def ended(column: str) -> str:
        return f"case when {end} is null then {size} else {passed(column, end, 'b')} end"

    amounts = []
    for name, value in tallies.items():
        if not value.is_true:
            amounts.append(_where(value.condition, value.amount, name))
        counted = [value.condition, f"{value.amount} is not null" if value.amount else ""]
        amounts.append(_where(expressions.conjunction(counted), "1", f"{name}_rows"))
    condition = [
        vector.where,
        f"{start} < date '{last}'",
        f"({end} is null or {end} > date '{first}')",
    ]
    return (
        f"located as (\n  select {', '.join(vector.entity)},\n    "
        + ",\n    ".join(amounts)
        + f",\n    {passed('openings', start, 'a')} as opens,\n    {ended('openings')} as shuts,\n"
        f"    {passed('closings', start, 'a')} as closes,\n    {ended('closings')} as ends\n"
        f"  from {rows}\n  left join days a on a.day = {start}\n"
        f"  left join days b on b.day = {end}\n"
        f"  where {expressions.conjunction(condition)}\n)"
    )


def _where(condition: str, sql: str, name: str) -> str:
    return f"case when {condition} then {sql} end as {name}" if condition else f"{sql} as {name}"


def _values(vector: Vector, tallies: Mapping[str, Tally]) -> list[str]:
    found = []
    for name, value in tallies.items():
        for edge in ("opening", "closing"):
            column = f"{edge}_{name}"
            total = "true" if value.is_true else f"{column}::{vector.type_of(name)}"
            found.append(f"case when {column}_rows > 0 then {total} end as {column}")
    return found
