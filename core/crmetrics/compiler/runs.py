"""Runs: the periods in a row over which an entity of a vector opens and closes alike.

Most accounts neither change at the opening nor at the closing of most months. A run is a row per
entity and pair of opening and closing with the positions [first, last) of its periods, so that the
cost follows the number of changes and not of months (measured: a fifth of a row per account and
month over 24 months). Runs are added up from what each state adds at the first period that sees it
and takes back at the first one that does not; exact for sums of integers and decimals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise

from msgspec import Struct

from crmetrics.catalog import Vector
from crmetrics.compiler import expressions
from crmetrics.compiler.conditions import conjunction
from crmetrics.compiler.running import is_exact_type

_EDGES = ("opening", "closing")


class Tally(Struct, frozen=True):
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


def are_chained(edges: Sequence[tuple[date, date]]) -> bool:
    """True when each period closes on the day on which the next one opens, as months do."""
    follow = all(a[1] == b[0] for a, b in pairwise(edges))
    return follow and all(opening <= closing for opening, closing in edges)


def runs_query(
    vector: Vector, rows: str, edges: Sequence[tuple[date, date]], tallies: Mapping[str, Tally]
) -> str:
    """The runs of the entities in `rows` as CTEs, the last of them `runs`.

    edges: opening and closing day of each period, in order. Columns: the entity's, `first_reading`,
    `last_reading` (positions of periods), and per value `opening_NAME` and `closing_NAME`.
    """
    query = _chained_query if are_chained(edges) else _paired_query
    return query(vector, rows, edges, tallies)


def _chained_query(
    vector: Vector, rows: str, edges: Sequence[tuple[date, date]], tallies: Mapping[str, Tally]
) -> str:
    """The runs where a closing is the next opening, so that one balance per day says both
    (measured: half the cost). Between two changes all periods open and close with the same balance;
    the period in which a change lies opens with the balance before it."""
    entity, totals = ", ".join(vector.entity), _totals(tallies)
    days = [edges[0][0], *(closing for _, closing in edges)]
    counts = {"passed": ("passed_day", days)}
    located = _located_cte(vector, rows, counts, tallies, {"begins": "ends"})
    both = [
        f"unnest([{name} - {name}_change, {name}]) as opening_{name}, {name} as closing_{name}"
        for name in totals
    ]
    return (
        f"{_days_cte(counts)},\n{located},\n"
        "edges as (\n  select * exclude (begins, ends),\n"
        "    unnest([begins, ends]) as day_position, unnest([1, -1]) as change\n"
        "  from located\n  where begins < ends\n),\n"
        f"changes as (\n  select {entity}, day_position,\n    "
        + ",\n    ".join(f"coalesce(sum({name} * change), 0) as {name}_change" for name in totals)
        + f"\n  from edges\n  where day_position < {len(days)}\n"
        f"  group by {entity}, day_position\n),\n"
        f"balances as (\n  select *,\n    "
        f"lead(day_position, 1, {len(days)}) over steps as next_position,\n    "
        + ",\n    ".join(f"sum({name}_change) over steps as {name}" for name in totals)
        + f"\n  from changes\n  window steps as (partition by {entity} order by day_position)\n),\n"
        f"steps as (\n  select {entity},\n"
        "    unnest([day_position - 1, day_position]) as first_reading,\n"
        "    unnest([day_position, next_position - 1]) as last_reading,\n    "
        + ",\n    ".join(both)
        + "\n  from balances\n),\n"
        + _runs_cte(vector, tallies, "steps", "first_reading between 0 and last_reading - 1 and ")
    )


def _paired_query(
    vector: Vector, rows: str, edges: Sequence[tuple[date, date]], tallies: Mapping[str, Tally]
) -> str:
    """The runs of periods whose closings are not the next openings."""
    entity, size = ", ".join(vector.entity), len(edges)
    counts = {
        "openings": ("opening_day", [opening for opening, _ in edges]),
        "closings": ("closing_day", [closing for _, closing in edges]),
    }
    located = _located_cte(vector, rows, counts, tallies, {"opens": "shuts", "closes": "ends"})
    totals = [f"{edge}_{name}" for name in _totals(tallies) for edge in ("opening", "closing")]
    sums = [
        f"sum({name} * {edge}) as {edge}_{name}"
        for name in _totals(tallies)
        for edge in ("opening", "closing")
    ]
    return (
        f"{_days_cte(counts)},\n{located},\n"
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
        + _runs_cte(vector, tallies, "balances", "")
    )


def _totals(tallies: Mapping[str, Tally]) -> list[str]:
    """What is added up: of each value its amount, and how many states have one."""
    return [
        f"{name}{what}"
        for name, value in tallies.items()
        for what in (("_rows",) if value.is_true else ("", "_rows"))
    ]


def _days_cte(counts: Mapping[str, tuple[str, Sequence[date]]]) -> str:
    """How many of the days of each kind lie before a day. counts: name -> (its day, the days)."""
    names = ", ".join(name for name, _ in counts.values())
    rows = zip(*(days for _, days in counts.values()), strict=True)
    listed = ", ".join("(" + ", ".join(f"date '{day}'" for day in row) + ")" for row in rows)
    passed = ",\n    ".join(
        f"count(*) filter (where {day} < day) as {name}" for name, (day, _) in counts.items()
    )
    first, last = _bounds(counts)
    return (
        f"bounds({names}) as (values {listed}),\n"
        f"days as (\n  select day, {passed}\n"
        f"  from (select unnest(generate_series(date '{first}', date '{last}', interval 1 day))"
        "::date as day)\n  cross join bounds\n  group by day\n)"
    )


def _bounds(counts: Mapping[str, tuple[str, Sequence[date]]]) -> tuple[date, date]:
    days = [day for _, own in counts.values() for day in own]
    return min(days), max(days) + timedelta(days=1)


def _located_cte(
    vector: Vector,
    rows: str,
    counts: Mapping[str, tuple[str, Sequence[date]]],
    tallies: Mapping[str, Tally],
    spans: Mapping[str, str],
) -> str:
    """The states with what they add to each value, and the positions [first, last) of the days on
    which they are valid. spans: the names of first and last, for each of the counts."""
    first, last = _bounds(counts)
    start, end = vector.span
    positions = []
    for (begins, ends), (column, (_, days)) in zip(spans.items(), counts.items(), strict=True):

        def passed(day: str, alias: str, column: str = column, size: int = len(days)) -> str:
            return (
                f"when {day} < date '{first}' then 0 when {day} > date '{last}' then {size}"
                f" else {alias}.{column} end"
            )

        positions.append(f"case {passed(start, 'a')} as {begins}")
        positions.append(f"case when {end} is null then {len(days)} {passed(end, 'b')} as {ends}")
    condition = [
        vector.where,
        f"{start} < date '{last}'",
        f"({end} is null or {end} > date '{first}')",
    ]
    return (
        f"located as (\n  select {', '.join(vector.entity)},\n    "
        + ",\n    ".join([*_amounts(tallies), *positions])
        + f"\n  from {rows}\n  left join days a on a.day = {start}\n"
        f"  left join days b on b.day = {end}\n"
        f"  where {conjunction(condition)}\n)"
    )


def _amounts(tallies: Mapping[str, Tally]) -> list[str]:
    """What a state adds to each total."""
    amounts = []
    for name, value in tallies.items():
        if not value.is_true:
            amounts.append(_where(value.condition, value.amount, name))
        counted = [value.condition, f"{value.amount} is not null" if value.amount else ""]
        amounts.append(_where(conjunction(counted), "1", f"{name}_rows"))
    return amounts


def _where(condition: str, sql: str, name: str) -> str:
    return f"case when {condition} then {sql} end as {name}" if condition else f"{sql} as {name}"


def _runs_cte(vector: Vector, tallies: Mapping[str, Tally], source: str, condition: str) -> str:
    """The runs with any state, from the totals at their openings and closings."""
    edges = [(name, value, edge) for name, value in tallies.items() for edge in _EDGES]
    columns, counts = [], []
    for name, value, edge in edges:
        column = f"{edge}_{name}"
        total = "true" if value.is_true else f"{column}::{vector.type_of(name)}"
        columns.append(f"case when {column}_rows > 0 then {total} end as {column}")
        counts.append(f"{column}_rows > 0")
    either = " or ".join(counts)
    return (
        f"runs as (\n  select {', '.join(vector.entity)}, first_reading, last_reading,\n    "
        + ",\n    ".join(columns)
        + f"\n  from {source}\n  where {condition}({either})\n)"
    )
