"""Vectors: one row per entity with its state at the opening and the closing of each period.

Retention, churn and revenue movements compare what an account had at two days. A join of states and
periods would make a row per state and period; a vector aggregates each entity once, with one
conditional aggregate per reading, and unfolds the list afterwards (measured: an eighth of the
cost over 24 months).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from crmetrics.catalog import Vector
from crmetrics.compiler import expressions
from crmetrics.compiler.relations import virtual_base
from crmetrics.compiler.slices import Clock, Frame, Window

MAX_READINGS = 80
"""Above it (days of a year, say) the list of conditional aggregates is dearer than a join."""

_DAY, _RATE = "reading_day_", "reading_rate_"


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

    Columns: window_id, period_start, the entity's columns, and per value `opening_NAME` (day before
    the period) and `closing_NAME` (snapshot day); null = no state on that day. Entities without a
    state on either day have no row. `amount_rc` in a value is the amount in the reporting currency,
    both sides of a period at the rate of its opening day (C3), or each reading at its own day's.
    """
    numbers, windows = zip(*frame.ordered(), strict=True)
    build = _Build(vector, source, numbers, windows, clock, conversion)
    return f"create or replace temp view {vector.name} as\n{build.sql()}"


@dataclass(frozen=True)
class _Build:
    vector: Vector
    source: str
    numbers: Sequence[int]
    windows: Sequence[Window]
    clock: Clock
    conversion: Conversion

    def sql(self) -> str:
        days = {reading.day for pair in self._pairs() for reading in pair}
        return self._folded() if len(days) <= MAX_READINGS else self._joined()

    def _pairs(self, value: str = "") -> list[tuple[Reading, Reading]]:
        """The readings of a value at the opening and the closing of each period."""
        is_rated = self._is_rated(value)
        return [self._pair(window, is_rated=is_rated) for window in self.windows]

    def _pair(self, window: Window, *, is_rated: bool) -> tuple[Reading, Reading]:
        opening = window.start - timedelta(days=1)
        closing = self.clock.snapshot_day(window.end)
        if not is_rated:
            return Reading(opening, None), Reading(closing, None)
        last = opening if self.vector.rate_day == "opening" else closing
        return Reading(opening, opening), Reading(closing, last)

    @property
    def _values(self) -> dict[str, str]:
        return {**self.vector.values, **self.vector.defects}

    @property
    def _amounts(self) -> list[str]:
        """The columns that values read as `amount_rc`."""
        values = self._values.values()
        names = sorted({name for value in values for name in expressions.columns(value)})
        return list(dict.fromkeys(filter(None, map(virtual_base, names))))

    def _is_rated(self, value: str) -> bool:
        """True when readings of the value differ by the day of their rates."""
        if not value or not self.conversion.has_rates:
            return False
        return any(map(virtual_base, expressions.columns(value)))

    def _active(self, day: str) -> str:
        start, end = self.vector.span
        return f"{start} <= {day} and ({end} is null or {end} > {day})"

    def _aggregate(self, value: str, *, is_plain: bool = False) -> str:
        """The aggregate of a value over the rows valid on `reading_day_`, amounts converted at
        `reading_rate_`: parsed once, filled in for every reading. is_plain: amounts are in the
        reporting currency already."""
        rate = _RATE if self._is_rated(value) else ""
        columns = {}
        for name in expressions.columns(value, self.vector.place):
            base = virtual_base(name)
            if base is not None:
                converted = self.conversion.convert(base, self.vector.currency, rate)
                columns[name] = base if is_plain else converted
        text = expressions.substituted(value, columns, self.vector.place)
        split = expressions.split(text, self._active(_DAY), self.vector.place)
        return split.aggregates[0].sql

    # --- a list per entity ------------------------------------------------------------------------

    def _folded(self) -> str:
        """One list per entity and value. Where amounts are converted, entities whose amounts are
        all there and in the reporting currency are the rule: they are summed up as they are."""
        if not self._amounts:
            unfolded = self._unfolded("entities", self.vector.values)
            return (
                f"with entities as ({self._lists(self.source, self.vector.values)}),\n"
                f"unfolded as ({unfolded})\nselect * from unfolded"
            )
        days = self._rate_days()
        rates = {day: f"rate_{number}" for number, day in enumerate(days, start=1)}
        entity = ", ".join(self.vector.entity)
        special = " or ".join(
            f"{self.conversion.convert(amount, self.vector.currency, '')} is null"
            for amount in self._amounts
        )
        where = f"{self._where()} and ({special})" if self.vector.where else f" where {special}"
        same = " and ".join(f"x.{c} is not distinct from s.{c}" for c in self.vector.entity)
        some = f"{self.source} s\n  semi join special x on {same}"
        others = f"{self.source} s\n  anti join special x on {same}"
        if rates:
            some += f"\n  left join rates on rates.rated_currency = {self.vector.currency}"
        return (
            f"with {_rates_cte(rates)}"
            f"special as (\n  select distinct {entity}\n  from {self.source}{where}\n),\n"
            f"converted as ({self._lists(some, self._values, rates)}),\n"
            f"plain as ({self._lists(others, self.vector.values)}),\n"
            f"unfolded as ({self._unfolded('converted', self._values)}\n  union all"
            f"{self._unfolded('plain', self.vector.values)}\n)\nselect * from unfolded"
        )

    def _rate_days(self) -> list[date]:
        pairs = [pair for value in self._values.values() for pair in self._pairs(value)]
        return sorted({r.rate_day for pair in pairs for r in pair if r.rate_day is not None})

    def _readings(self, value: str, *, is_plain: bool) -> list[tuple[Reading, Reading]]:
        return self._pairs("" if is_plain else value)

    def _lists(
        self, rows: str, values: Mapping[str, str], rates: Mapping[date, str] | None = None
    ) -> str:
        """One row per entity with a list of readings per value; without rates amounts are summed
        up as they are."""
        lists = []
        for name, value in values.items():
            readings = _positions(self._readings(value, is_plain=rates is None))
            template = self._aggregate(value, is_plain=rates is None)
            items = ",\n      ".join(
                _filled(template, f"date '{r.day}'", (rates or {}).get(r.rate_day or r.day, ""))
                for r in readings
            )
            lists.append(f"[\n      {items}\n    ]::{self.vector.type_of(name)}[] as {name}")
        entity = ", ".join(self.vector.entity)
        return (
            f"\n  select {entity},\n    "
            + ",\n    ".join(lists)
            + f"\n  from {rows}{self._where()}\n  group by {entity}\n"
        )

    def _unfolded(self, entities: str, values: Mapping[str, str]) -> str:
        """One row per entity and period with a state on either day."""
        is_plain = entities == "plain" or not self._amounts
        columns = [self._starts()]
        for name, value in self._values.items():
            kind = self.vector.type_of(name)
            pairs = self._readings(value, is_plain=is_plain)
            position = _positions(pairs)
            for which, edge in enumerate(("opening", "closing")):
                picked = ", ".join(f"{name}[{position[pair[which]]}]" for pair in pairs)
                column = f"unnest([{picked}]::{kind}[])" if name in values else f"null::{kind}"
                columns.append(f"{column} as {edge}_{name}")
        entity = ", ".join(self.vector.entity)
        return (
            f"\n  select * from (\n    select {entity},\n      "
            + ",\n      ".join(columns)
            + f"\n    from {entities}\n  )\n  where {_present(values)}"
        )

    def _starts(self) -> str:
        starts = ", ".join(f"date '{window.start}'" for window in self.windows)
        numbers = ", ".join(map(str, self.numbers))
        return (
            f"unnest([{numbers}]) as window_id,\n      unnest([{starts}]::date[]) as period_start"
        )

    def _where(self) -> str:
        return f"\n  where {self.vector.where}" if self.vector.where else ""

    # --- a row per entity and period -------------------------------------------------------------

    def _joined(self) -> str:
        vector = self.vector
        rows = ", ".join(
            f"({number}, date '{window.start}', date '{opening.day}', date '{closing.day}')"
            for number, window, (opening, closing) in zip(
                self.numbers, self.windows, self._pairs(), strict=True
            )
        )
        closing_rate = "opening_rate" if vector.rate_day == "opening" else "closing_rate"
        values = []
        for name, value in self._values.items():
            template = self._aggregate(value)
            for edge, rate in (("opening", "opening_rate"), ("closing", closing_rate)):
                sql = _filled(template, f"{edge}_day", rate)
                values.append(f"({sql})::{vector.type_of(name)} as {edge}_{name}")
        start, end = vector.span
        condition = f"{start} <= closing_day and ({end} is null or {end} > opening_day)"
        entity = ", ".join(vector.entity)
        return (
            "with readings(window_id, period_start, opening_day, closing_day)"
            f" as (values {rows}),\n"
            f"unfolded as (\n  select {entity}, window_id, period_start,\n    "
            + ",\n    ".join(values)
            + f"\n  from {self.source}\n  join readings on {condition}{self._rate_joins()}"
            f"{self._where()}\n  group by {entity}, window_id, period_start\n)\n"
            f"select * from unfolded where {_present(self._values)}"
        )

    def _rate_joins(self) -> str:
        if not any(map(self._is_rated, self._values.values())):
            return ""
        edges = ["opening"] if self.vector.rate_day == "opening" else ["opening", "closing"]
        return "".join(
            f"\n  left join (\n    select currency as {edge}_currency, day as {edge}_rated_day,"
            f" rate as {edge}_rate\n    from rates_by_day\n  ) {edge}_rates"
            f" on {edge}_currency = {self.vector.currency} and {edge}_rated_day = {edge}_day"
            for edge in edges
        )


def _filled(template: str, day: str, rate: str) -> str:
    return template.replace(_DAY, day).replace(_RATE, rate)


def _positions(pairs: Sequence[tuple[Reading, Reading]]) -> dict[Reading, int]:
    """Each reading with its place in the list, in order of the days."""
    readings = sorted({reading for pair in pairs for reading in pair}, key=_by_day)
    return {reading: number for number, reading in enumerate(readings, start=1)}


def _present(values: Iterable[str]) -> str:
    edges = [f"{edge}_{name}" for name in values for edge in ("opening", "closing")]
    return " or ".join(f"{edge} is not null" for edge in edges)


def _by_day(reading: Reading) -> tuple[date, date]:
    return reading.day, reading.rate_day or date.min


def _rates_cte(rates: Mapping[date, str]) -> str:
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
