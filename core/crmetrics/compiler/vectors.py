"""Vectors: one row per entity with its state at the opening and the closing of each period.

Retention, churn and revenue movements compare what an account had at two days. A join of states and
periods would make a row per state and period; a vector aggregates each entity once, with one
conditional aggregate per reading, and unfolds the list afterwards (measured: an eighth of the
cost over 24 months).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlglot import exp

from crmetrics.catalog import Vector
from crmetrics.compiler import expressions
from crmetrics.compiler.relations import virtual_base
from crmetrics.compiler.slices import Clock, Frame, Window

MAX_READINGS = 80
"""Above it (days of a year, say) the list of conditional aggregates is dearer than a join."""


@dataclass(frozen=True)
class Conversion:
    """How `amount_rc` of a vector is made: (amount, currency, rate) -> SQL.

    has_rates: any rate is loaded; else every reading converts alike, with an empty rate.
    """

    convert: Callable[[str, str, str], str]
    has_rates: bool = False


UNCONVERTED = Conversion(lambda amount, currency, rate: amount)
"""Amounts as they are: for the columns of a vector, not for its numbers."""


@dataclass(frozen=True, slots=True, order=True)
class Reading:
    """A day on which states are read, and the day of the rates that convert them."""

    day: date
    rate_day: date | None


def vector_sql(
    vector: Vector, source: str, frame: Frame, clock: Clock, conversion: Conversion = UNCONVERTED
) -> str:
    """The view of a vector for the periods of a frame.

    Columns: period_start, the entity's columns, and per value `opening_NAME` (day before the
    period) and `closing_NAME` (snapshot day); null = no state on that day. Entities without a
    state on either day have no row. `amount_rc` in a value is the amount in the reporting currency,
    both sides of a period at the rate of its opening day (C3), or each reading at its own day's.
    """
    windows = [window for _, window in frame.ordered()]
    build = _Build(vector, source, windows, clock, conversion)
    return f"create or replace temp view {vector.name} as\n{build.sql()}"


@dataclass(frozen=True)
class _Build:
    vector: Vector
    source: str
    windows: Sequence[Window]
    clock: Clock
    conversion: Conversion

    def sql(self) -> str:
        days = {reading.day for window in self.windows for reading in self._pair("", window)}
        return self._folded() if len(days) <= MAX_READINGS else self._joined()

    def _pair(self, value: str, window: Window) -> tuple[Reading, Reading]:
        """The readings of a value at the opening and the closing of a period."""
        opening = window.start - timedelta(days=1)
        closing = self.clock.snapshot_day(window.end)
        if not self._is_rated(value):
            return Reading(opening, None), Reading(closing, None)
        last = opening if self.vector.rate_day == "opening" else closing
        return Reading(opening, opening), Reading(closing, last)

    def _is_rated(self, value: str) -> bool:
        """True when readings of the value differ by the day of their rates."""
        if not value or not self.conversion.has_rates:
            return False
        return any(map(virtual_base, expressions.columns(expressions.parse(value))))

    def _active(self, day: str) -> str:
        start, end = self.vector.span
        return f"{start} <= {day} and ({end} is null or {end} > {day})"

    def _aggregate(self, value: str, day: str, rate: str) -> str:
        """The aggregate over the rows valid on a day, amounts converted at a rate."""

        def step(node: exp.Expression) -> exp.Expression:
            base = virtual_base(node.name) if isinstance(node, exp.Column) else None
            if base is None:
                return node
            return expressions.parse(
                self.conversion.convert(base, self.vector.currency, rate), self.vector.place
            )

        tree = expressions.parse(value, self.vector.place).transform(step)
        split = expressions.split(expressions.text(tree), self._active(day), self.vector.place)
        return split.aggregates[0].sql

    # --- a list per entity ------------------------------------------------------------------------

    def _folded(self) -> str:
        vector = self.vector
        rate_days = sorted(
            {
                reading.rate_day
                for value in vector.values.values()
                for window in self.windows
                for reading in self._pair(value, window)
                if reading.rate_day is not None
            }
        )
        rates = {day: f"rate_{number}" for number, day in enumerate(rate_days, start=1)}
        lists, unfolded = [], [self._starts()]
        for name, value in vector.values.items():
            pairs = [self._pair(value, window) for window in self.windows]
            readings = sorted({reading for pair in pairs for reading in pair}, key=_by_day)
            position = {reading: number for number, reading in enumerate(readings, start=1)}
            kind = vector.type_of(name)
            items = ",\n      ".join(
                self._aggregate(value, f"date '{r.day}'", rates[r.rate_day] if r.rate_day else "")
                for r in readings
            )
            lists.append(f"[\n      {items}\n    ]::{kind}[] as {name}")
            for which, edge in enumerate(("opening", "closing")):
                picked = ", ".join(f"{name}[{position[pair[which]]}]" for pair in pairs)
                unfolded.append(f"unnest([{picked}]::{kind}[]) as {edge}_{name}")
        entity = ", ".join(vector.entity)
        return (
            f"with {_rates_cte(rates)}entities as (\n  select {entity},\n    "
            + ",\n    ".join(lists)
            + f"\n  from {self._rows(rates)}{self._where()}\n  group by {entity}\n),\n"
            f"unfolded as (\n  select {entity},\n    "
            + ",\n    ".join(unfolded)
            + f"\n  from entities\n)\nselect * from unfolded where {self._present()}"
        )

    def _starts(self) -> str:
        starts = ", ".join(f"date '{window.start}'" for window in self.windows)
        return f"unnest([{starts}]::date[]) as period_start"

    def _rows(self, rates: object) -> str:
        if not rates:
            return self.source
        currency = self.vector.currency
        return f"{self.source}\n  left join rates on rates.rated_currency = {currency}"

    def _where(self) -> str:
        return f"\n  where {self.vector.where}" if self.vector.where else ""

    def _present(self) -> str:
        edges = [f"{edge}_{name}" for name in self.vector.values for edge in ("opening", "closing")]
        return " or ".join(f"{edge} is not null" for edge in edges)

    # --- a row per entity and period -------------------------------------------------------------

    def _joined(self) -> str:
        vector = self.vector
        rows = ", ".join(
            f"(date '{window.start}', date '{opening.day}', date '{closing.day}')"
            for window in self.windows
            for opening, closing in (self._pair("", window),)
        )
        closing_rate = "opening_rate" if vector.rate_day == "opening" else "closing_rate"
        values = []
        for name, value in vector.values.items():
            for edge, rate in (("opening", "opening_rate"), ("closing", closing_rate)):
                sql = self._aggregate(value, f"{edge}_day", rate if self._is_rated(value) else "")
                values.append(f"({sql})::{vector.type_of(name)} as {edge}_{name}")
        start, end = vector.span
        condition = f"{start} <= closing_day and ({end} is null or {end} > opening_day)"
        entity = ", ".join(vector.entity)
        return (
            f"with readings(period_start, opening_day, closing_day) as (values {rows}),\n"
            f"unfolded as (\n  select {entity}, period_start,\n    "
            + ",\n    ".join(values)
            + f"\n  from {self.source}\n  join readings on {condition}{self._rate_joins()}"
            f"{self._where()}\n  group by {entity}, period_start\n)\n"
            f"select * from unfolded where {self._present()}"
        )

    def _rate_joins(self) -> str:
        if not any(map(self._is_rated, self.vector.values.values())):
            return ""
        edges = ["opening"] if self.vector.rate_day == "opening" else ["opening", "closing"]
        return "".join(
            f"\n  left join (\n    select currency as {edge}_currency, day as {edge}_rated_day,"
            f" rate as {edge}_rate\n    from rates_by_day\n  ) {edge}_rates"
            f" on {edge}_currency = {self.vector.currency} and {edge}_rated_day = {edge}_day"
            for edge in edges
        )


def _by_day(reading: Reading) -> tuple[date, date]:
    return reading.day, reading.rate_day or date.min


def _rates_cte(rates: dict[date, str]) -> str:
    """One row per currency with its rates on these days; empty text when there are none."""
    if not rates:
        return ""
    columns = ",\n    ".join(
        f"max(rate) filter (where day = date '{day}') as {name}" for day, name in rates.items()
    )
    listed = ", ".join(f"date '{day}'" for day in rates)
    return (
        f"rates as (\n  select currency as rated_currency,\n    {columns}\n  from rates_by_day\n"
        f"  where day in ({listed})\n  group by currency\n),\n"
    )
