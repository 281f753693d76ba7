"""Vectors: one row per entity and period with its state at the opening and the closing.

Retention, churn and revenue movements compare what an account had at two days. A join of states and
periods would make a row per state and period. Where a value can be added up, a vector holds runs
(`runs`): a row per entity and change. Else, and for accounts whose amounts are converted at each
reading, it aggregates each entity once, with one conditional aggregate per reading, and unfolds the
list afterwards (measured: an eighth of the cost of the join over 24 months).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property

from msgspec import Struct, field

from crmetrics.catalog import Vector
from crmetrics.compiler import expressions
from crmetrics.compiler.conditions import conjunction
from crmetrics.compiler.relations import virtual_base
from crmetrics.compiler.runs import Tally, are_in_order, runs_query, tally
from crmetrics.compiler.slices import Clock, Frame, Window

MAX_READINGS = 80
"""Above it (days of a year, say) the list of conditional aggregates is dearer than a join."""

_DAY, _RATE = "reading_day_", "reading_rate_"


class Conversion(Struct, frozen=True):
    """How `amount_rc` of a vector is made: (amount, currency, rate) -> SQL.

    has_rates: any rate is loaded; else every reading converts alike, with an empty rate. is_needed:
    (relation, condition) -> whether it has any row for which the condition is true, that is, an
    amount that is missing or in another currency.
    """

    convert: Callable[[str, str, str], str]
    has_rates: bool = False
    is_needed: Callable[[str, str], bool] = lambda relation, condition: True


UNCONVERTED = Conversion(lambda amount, currency, rate: amount)
"""Amounts as they are: for the columns of a vector, not for its numbers."""


class Reading(Struct, frozen=True, order=True):
    """A day on which states are read, and the day of the rates that convert them."""

    day: date
    rate_day: date | None


class VectorViews(Struct, frozen=True, dict=True):
    """The views of a vector for the periods of a frame, `NAME_runs` first if it has runs.

    Columns: window_id, period_start, the entity's columns, and per value `opening_NAME` (day before
    the period) and `closing_NAME` (snapshot day); null = no state on that day. Entities without a
    state on either day have no row. `amount_rc` in a value is the amount in the reporting currency,
    both sides of a period at the rate of its opening day (C3), or each reading at its own day's.
    `NAME_runs` has the positions [first_reading, last_reading) of periods in place of the period.

    source: SQL name of its relation. types: of the relation's columns; without them no runs.
    whole: the vector that holds it, where it is read in its place.
    """

    vector: Vector
    source: str
    frame: Frame
    clock: Clock
    conversion: Conversion = UNCONVERTED
    types: Mapping[str, str] = field(default_factory=dict)
    whole: VectorViews | None = None

    def statements(self, *, is_kept: bool = False) -> list[str]:
        """The statements that make them. is_kept: what they are made of, the runs or a row per
        entity, is computed once for several readers."""
        head, name = "create or replace temp view", self.vector.name
        if self.has_runs:
            periods = f"{head} {name} as\n{self.periods_of_runs_sql()}"
            if self.whole is not None:
                runs = f"{head} {name}_runs as\n{self._runs_of(self.whole.vector)}"
                return [self.whole.kept_runs(), runs, periods]
            if not is_kept:
                return [f"{head} {name}_runs as\n{self.runs_sql()}", periods]
            runs = f"{head} {name}_runs as\nselect * from {name}_runs_kept"
            return [self.kept_runs(), runs, periods]
        if not is_kept or self._amounts or self._has_many_readings:
            return [f"{head} {name} as\n{self.sql()}"]
        lists = self._lists(self.source, self.vector.values).rstrip()
        unfolded = self._unfolded(f"{name}_kept", self.vector.values)
        return [
            f"create or replace temp table {name}_kept as{lists}",
            f"{head} {name} as{unfolded}",
        ]

    def kept_runs(self) -> str:
        """The statement of the table that keeps the runs."""
        return f"create or replace temp table {self.vector.name}_runs_kept as\n{self.runs_sql()}"

    def has_whole(self, whole: VectorViews) -> bool:
        """True when another vector holds this one for these periods, as far as amounts go."""
        return not self._amounts and self.has_runs and not whole._amounts and whole.has_runs

    def _runs_of(self, whole: Vector) -> str:
        """The runs from those of the vector that holds it."""
        part = self.vector.part_of
        assert part is not None
        columns, present = [*self.vector.entity, "first_reading", "last_reading"], []
        for name in self._values:
            kind, theirs = self.vector.type_of(name), part.values.get(name, "")
            for edge in ("opening", "closing"):
                value = f"{edge}_{theirs}" if theirs else "null"
                columns.append(f"{value}::{kind} as {edge}_{name}")
                present += [f"{value} is not null"] if theirs else []
        return (
            "select\n  "
            + ",\n  ".join(columns)
            + f"\nfrom {whole.name}_runs_kept\nwhere "
            + " or ".join(present)
        )

    @cached_property
    def numbers(self) -> Sequence[int]:
        return [number for number, _ in self.frame.ordered()]

    @cached_property
    def windows(self) -> Sequence[Window]:
        return [window for _, window in self.frame.ordered()]

    def sql(self) -> str:
        return self._joined() if self._has_many_readings else self._folded()

    @property
    def _has_many_readings(self) -> bool:
        return len({reading.day for pair in self._pairs() for reading in pair}) > MAX_READINGS

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

    @cached_property
    def _amounts(self) -> list[str]:
        """The columns that values read as `amount_rc`, where any amount needs conversion."""
        found = self._own_amounts
        return found if found and self.conversion.is_needed(self.source, self._special) else []

    @cached_property
    def _special(self) -> str:
        """The condition of a row whose amount is missing, or in another currency."""
        special = " or ".join(
            f"{self.conversion.convert(amount, self.vector.currency, '')} is null"
            for amount in self._own_amounts
        )
        return conjunction([self.vector.where, special])

    @cached_property
    def _own_amounts(self) -> list[str]:
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

    # --- runs of periods --------------------------------------------------------------------------

    @cached_property
    def has_runs(self) -> bool:
        if any(self.types.get(column) != "DATE" for column in self.vector.span):
            return False
        if self._amounts and self._has_many_readings:
            return False
        return self._tallies is not None and are_in_order(self._edges)

    @property
    def _edges(self) -> list[tuple[date, date]]:
        return [(opening.day, closing.day) for opening, closing in self._pairs()]

    @cached_property
    def _tallies(self) -> Mapping[str, Tally] | None:
        """How the values are added up, of entities whose amounts need no conversion."""
        found = {
            name: tally(self._in_own_currency(value), self.types)
            for name, value in self.vector.values.items()
        }
        tallies = {name: value for name, value in found.items() if value is not None}
        return tallies if len(tallies) == len(found) else None

    def _in_own_currency(self, value: str) -> str:
        names = expressions.columns(value, self.vector.place)
        columns = {name: base for name in names if (base := virtual_base(name)) is not None}
        return expressions.substituted(value, columns, self.vector.place) if columns else value

    def runs_sql(self) -> str:
        """The runs of all entities; of those with converted amounts one run per period."""
        columns = ["first_reading", "last_reading"]
        for name in self._values:
            kind = self.vector.type_of(name)
            empty = "" if name in self.vector.values else f"null::{kind} as "
            columns += [f"{empty}{edge}_{name}" for edge in ("opening", "closing")]
        shown = ",\n  ".join([*self.vector.entity, *columns])
        plain = f"select\n  {shown}\nfrom runs"
        tallies = self._tallies or {}
        if not self._amounts:
            runs = runs_query(self.vector, self.source, self._edges, tallies)
            return f"with {runs}\n{plain}"
        special, others = self._split()
        runs = runs_query(self.vector, others, self._edges, tallies)
        positions = ", ".join(map(str, range(len(self.windows))))
        starts = (
            f"unnest([{positions}]) as first_reading,\n"
            f"      unnest([{positions}]) + 1 as last_reading"
        )
        unfolded = self._unfolded("converted", self._values, starts)
        return f"with {special},\n{runs}\n{plain}\nunion all{unfolded}"

    def periods_of_runs_sql(self) -> str:
        """One row per entity and period, from its runs."""
        periods = ", ".join(
            f"({position}, {number}, date '{window.start}')"
            for position, (number, window) in enumerate(
                zip(self.numbers, self.windows, strict=True)
            )
        )
        values = [f"r.{edge}_{name}" for name in self._values for edge in ("opening", "closing")]
        columns = [*(f"r.{name}" for name in self.vector.entity), "w.window_id", "w.period_start"]
        shown = ",\n  ".join([*columns, *values])
        return (
            f"select\n  {shown}\nfrom (\n"
            "  select *, unnest(range(first_reading, last_reading)) as position\n"
            f"  from {self.vector.name}_runs\n) r\n"
            f"join (values {periods}) w(position, window_id, period_start)"
            " on w.position = r.position"
        )

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
        special, others = self._split()
        return (
            f"with {special},\n"
            f"plain as ({self._lists(others, self.vector.values)}),\n"
            f"unfolded as ({self._unfolded('converted', self._values)}\n  union all"
            f"{self._unfolded('plain', self.vector.values)}\n)\nselect * from unfolded"
        )

    def _split(self) -> tuple[str, str]:
        """The CTEs of the entities whose amounts are converted or missing, with their lists; and
        the rows of the others."""
        days = self._rate_days()
        rates = {day: f"rate_{number}" for number, day in enumerate(days, start=1)}
        entity = ", ".join(self.vector.entity)
        same = " and ".join(f"x.{c} is not distinct from s.{c}" for c in self.vector.entity)
        some = f"{self.source} s\n  semi join special x on {same}"
        if rates:
            some += f"\n  left join rates on rates.rated_currency = {self.vector.currency}"
        return (
            f"{_rates_cte(rates)}"
            f"special as (\n  select distinct {entity}\n  from {self.source}\n"
            f"  where {self._special}\n),\n"
            f"converted as ({self._lists(some, self._values, rates)})",
            f"{self.source} s\n  anti join special x on {same}",
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

    def _unfolded(self, entities: str, values: Mapping[str, str], starts: str = "") -> str:
        """One row per entity and period with a state on either day. starts: what tells the
        periods."""
        is_plain = entities == "plain" or not self._amounts
        columns = [starts or self._starts()]
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
        # Of a period that has not begun, the closing is read before the opening.
        condition = (
            f"{start} <= greatest(opening_day, closing_day)"
            f" and ({end} is null or {end} > least(opening_day, closing_day))"
        )
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
