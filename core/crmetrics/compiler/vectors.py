"""Vectors: one row per entity with its state at the opening and the closing of each period.

Retention, churn and revenue movements compare what an account had at two days. A join of states and
periods would make a row per state and period; a vector aggregates each entity once, with one
conditional aggregate per reading day, and unfolds the list afterwards (measured: an eighth of the
cost over 24 months).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from crmetrics.catalog import Vector
from crmetrics.compiler import expressions
from crmetrics.compiler.slices import Clock, Frame, Window

MAX_READINGS = 80
"""Above it (days of a year, say) the list of conditional aggregates is dearer than a join."""


def vector_sql(vector: Vector, source: str, frame: Frame, clock: Clock) -> str:
    """The view of a vector for the periods of a frame.

    Columns: period_start, the entity's columns, and per value `opening_NAME` (day before the
    period) and `closing_NAME` (snapshot day); null = no state on that day. Entities without a
    state on either day have no row.
    """
    windows = [window for _, window in frame.ordered()]
    days = sorted({day for window in windows for day in _days(window, clock)})
    build = _folded if len(days) <= MAX_READINGS else _joined
    return f"create or replace temp view {vector.name} as\n" + build(
        vector, source, windows, days, clock
    )


def _days(window: Window, clock: Clock) -> tuple[date, date]:
    return window.start - timedelta(days=1), clock.snapshot_day(window.end)


def _active(vector: Vector, day: str) -> str:
    start, end = vector.span
    return f"{start} <= {day} and ({end} is null or {end} > {day})"


def _folded(
    vector: Vector, source: str, windows: Sequence[Window], days: Sequence[date], clock: Clock
) -> str:
    entity = ", ".join(vector.entity)
    position = {day: number for number, day in enumerate(days, start=1)}
    lists = []
    for name, sql in vector.values.items():
        readings = ",\n      ".join(
            expressions.split(sql, _active(vector, f"date '{day}'"), vector.place).aggregates[0].sql
            for day in days
        )
        lists.append(f"[\n      {readings}\n    ]::{vector.type_of(name)}[] as {name}")
    unfolded = ["unnest([" + ", ".join(f"date '{w.start}'" for w in windows) + "]::date[])"]
    names = ["period_start"]
    for name in vector.values:
        for edge, which in (("opening", 0), ("closing", 1)):
            picked = ", ".join(f"{name}[{position[_days(w, clock)[which]]}]" for w in windows)
            unfolded.append(f"unnest([{picked}]::{vector.type_of(name)}[])")
            names.append(f"{edge}_{name}")
    shown = ",\n    ".join(f"{sql} as {name}" for sql, name in zip(unfolded, names, strict=True))
    present = " or ".join(f"{name} is not null" for name in names[1:])
    where = f"\n    where {vector.where}" if vector.where else ""
    return (
        f"with entities as (\n    select {entity},\n    "
        + ",\n    ".join(lists)
        + f"\n    from {source}{where}\n    group by {entity}\n),\n"
        f"unfolded as (\n    select {entity},\n    {shown}\n    from entities\n)\n"
        f"select * from unfolded where {present}"
    )


def _joined(
    vector: Vector, source: str, windows: Sequence[Window], days: Sequence[date], clock: Clock
) -> str:
    rows = ", ".join(
        f"(date '{w.start}', date '{_days(w, clock)[0]}', date '{_days(w, clock)[1]}')"
        for w in windows
    )
    values = []
    for name, sql in vector.values.items():
        for edge in ("opening", "closing"):
            aggregate = expressions.split(
                sql, _active(vector, f"p.{edge}_day"), vector.place
            ).aggregates[0]
            values.append(f"({aggregate.sql})::{vector.type_of(name)} as {edge}_{name}")
    start, end = vector.span
    entity = ", ".join(vector.entity)
    condition = f"{start} <= p.closing_day and ({end} is null or {end} > p.opening_day)"
    where = f" and ({vector.where})" if vector.where else ""
    return (
        f"select p.period_start, {entity},\n  "
        + ",\n  ".join(values)
        + f"\nfrom {source}\njoin (values {rows}) as p(period_start, opening_day, closing_day)\n"
        f"  on {condition}{where}\ngroup by p.period_start, {entity}"
    )
