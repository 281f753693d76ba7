"""The small tables a row set joins: its windows, and the days or slots that lead to them.

An event finds its windows by a hash join on its day (or, for an instant, on a slot of the clock):
measured at a fifth of the cost of `date_trunc` and a tenth of a cast of instants to local days. A
state finds the readings of its span as one run of positions, counted on the same slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from msgspec import Struct

from crmetrics.compiler.slices import Clock, Frame, Window
from crmetrics.periods import Calendar

_SLOT_SIZES_S = (3600, 900, 60, 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

WINDOW_COLUMNS = (
    "period_start",
    "period_end",
    "start_at",
    "end_at",
    "snapshot_at",
    "snapshot_day",
    "reading_day",
)
"""What expressions of a definition may say about the window a row falls into."""

_WINDOWS = {
    "window_id": "integer",
    "position": "integer",
    "period_start": "date",
    "period_end": "date",
    "start_at": "timestamptz",
    "end_at": "timestamptz",
    "snapshot_at": "timestamptz",
    "snapshot_day": "date",
    "reading_day": "date",
}

EMPTY_PERIODS = (
    "create or replace temp view periods as\n"
    "select null::date as period_start, null::date as period_end, null::timestamptz as start_at,"
    " null::timestamptz as end_at, null::timestamptz as snapshot_at, null::date as snapshot_day,"
    " null::date as reading_day where false",
    "create or replace temp view period_days as\nselect null::date as day, * from periods",
    "create or replace temp view looked_at as\nselect null::timestamptz as start_at where false",
    "create or replace temp macro first_looked_at() as\nnull::timestamptz",
)
"""The views without a row, and the macro without a value: models are checked against them before a
question is asked."""


def slot_seconds(clock: Clock, windows: Sequence[Window]) -> int:
    """The longest slot that no local midnight between the windows' bounds cuts.

    Zones change their offset by whole quarters of an hour, so a slot lies in one local day.
    """
    first = min(window.start for window in windows)
    last = max(window.end for window in windows)
    return _slot_seconds(clock.calendar, first, last)


@lru_cache(maxsize=256)
def _slot_seconds(calendar: Calendar, first: date, last: date) -> int:
    offsets = set()
    day = first
    while day <= last:
        offsets.add(int(calendar.instant(day).timestamp()))
        day += timedelta(days=1)
    return next(size for size in _SLOT_SIZES_S if all(at % size == 0 for at in offsets))


class FrameTables(Struct, frozen=True):
    """SQL of the temporary tables of one frame; `suffix` tells frames apart."""

    suffix: str
    frame: Frame
    clock: Clock

    @property
    def windows(self) -> str:
        return f"windows_{self.suffix}"

    @property
    def days(self) -> str:
        return f"days_{self.suffix}"

    @property
    def slots(self) -> str:
        return f"slots_{self.suffix}"

    @property
    def readings(self) -> str:
        return f"readings_{self.suffix}"

    @property
    def slot_us(self) -> int:
        return slot_seconds(self.clock, self.frame.windows) * 1_000_000

    def windows_sql(self, name: str | None = None) -> str:
        """One row per window, in order of its reading; `position` counts from 0."""
        instant = self.clock.calendar.instant
        rows = []
        for position, (number, window) in enumerate(self.frame.ordered()):
            reading = self.clock.reading(window.end)
            rows.append(
                (
                    number,
                    position,
                    window.start,
                    window.end,
                    _text(instant(window.start)),
                    _text(instant(window.end)),
                    _text(reading),
                    self.clock.snapshot_day(window.end),
                    self.clock.calendar.local_day(reading),
                )
            )
        return f"create or replace temp table {name or self.windows} as\n{listed(_WINDOWS, rows)}"

    def days_sql(self, *, is_cut: bool = False) -> str:
        """The days of each window. is_cut: only those that have begun at as_of, for facts dated by
        a day: what is dated later has not happened yet (P4, P5)."""
        end = "period_end"
        if is_cut and any(not self.clock.is_over(window.end) for window in self.frame.windows):
            last = self.clock.calendar.local_day(self.clock.as_of - timedelta(microseconds=1))
            end = f"least(period_end, date '{last + timedelta(days=1)}')"
        return (
            f"create or replace temp table {self.days} as\n"
            f"select unnest(generate_series(period_start, {end} - 1, interval 1 day))::date"
            f" as day, window_id\nfrom {self.windows}"
        )

    def slots_sql(self) -> str:
        size = self.slot_us
        return (
            f"create or replace temp table {self.slots} as\n"
            f"select slot, local_day(make_timestamptz(slot * {size})) as day,"
            " window_id\n"
            f"from (select unnest(range(epoch_us(start_at) // {size}, epoch_us(end_at) // {size}))"
            f" as slot, window_id from {self.windows})"
        )

    @property
    def pieces(self) -> str:
        return f"pieces_{self.suffix}"

    def pieces_sql(self) -> str:
        """What the bounds of all windows cut the days into, for each window that a piece is in."""
        return (
            f"create or replace temp table {self.pieces} as\n"
            "with edges as (\n"
            "  select distinct unnest([period_start, period_end]) as first_day\n"
            f"  from {self.windows}\n"
            "),\n"
            "spans as (\n"
            "  select row_number() over (order by first_day) as piece, first_day,\n"
            "    lead(first_day) over (order by first_day) as end_day\n  from edges\n"
            ")\n"
            "select s.piece, s.first_day, s.end_day, w.window_id\n"
            f"from spans s\njoin {self.windows} w"
            " on s.first_day >= w.period_start and s.end_day <= w.period_end"
        )

    def piece_days(self, *, is_daily: bool) -> str:
        """The days, or slots, of all windows with the piece that each of them is in."""
        days, columns = (self.days, "day") if is_daily else (self.slots, "slot, d.day")
        return (
            f"(select distinct d.{columns}, p.piece from {days} d join {self.pieces} p"
            " on p.window_id = d.window_id and d.day >= p.first_day and d.day < p.end_day)"
        )

    def period_views(self) -> list[str]:
        """What models may join: `periods`, and `period_days` with a row per day of a period."""
        columns = "* exclude (window_id, position)"
        return [
            f"create or replace temp view periods as\nselect {columns} from {self.windows}",
            "create or replace temp view period_days as\n"
            f"select d.day, w.{columns}\nfrom {self.days} d\n"
            f"join {self.windows} w on w.window_id = d.window_id",
        ]

    def readings_sql(self, *, is_daily: bool) -> str:
        """How many readings lie at or before a slot, or before a day, from the first to the last.

        A reading inside a slot (as_of) counts from the next slot on; rows that begin or end at
        as_of itself are told apart by the condition on the span.
        """
        if is_daily:
            return (
                f"create or replace temp table {self.readings} as\n"
                "with span as (\n"
                f"  select min(snapshot_day) as first, max(snapshot_day) + 1 as last"
                f" from {self.windows}\n"
                ")\n"
                "select day, count(w.snapshot_day) as passed\n"
                "from (select unnest(generate_series(first, last, interval 1 day))::date as day"
                " from span) d\n"
                f"left join {self.windows} w on w.snapshot_day < d.day\n"
                "group by day"
            )
        size = self.slot_us
        return (
            f"create or replace temp table {self.readings} as\n"
            "with reading as (\n"
            f"  select (epoch_us(snapshot_at) + {size - 1}) // {size} as slot"
            f" from {self.windows}\n"
            "),\n"
            "arrivals as (select slot, count(*) as arrived from reading group by slot)\n"
            "select s.slot, sum(coalesce(a.arrived, 0)) over (order by s.slot)::bigint as passed\n"
            "from (select unnest(range(min(slot), max(slot) + 1)) as slot from reading) s\n"
            "left join arrivals a on a.slot = s.slot"
        )

    def reading_span(self, *, is_daily: bool) -> tuple[str, str]:
        """SQL literals of the first and the last reading."""
        ends = [window.end for window in self.frame.windows]
        if is_daily:
            days = [self.clock.snapshot_day(end) for end in ends]
            return f"date '{min(days)}'", f"date '{max(days)}'"
        instants = [self.clock.reading(end) for end in ends]
        return _instant(min(instants)), _instant(max(instants))

    def spans(
        self, name: str, span: tuple[str, str], *, is_daily: bool, is_running: bool
    ) -> list[str]:
        """A state with the readings inside its span, positions [first, last): one row per reading,
        or for running sums one row where it begins and one where it ends."""
        inner = self.located(name, *span, is_daily=is_daily)
        if is_running:
            return [
                "from (",
                "  select f.*",
                "  from (",
                *inner,
                "  ) f",
                "  where first_reading < last_reading",
                ") f",
            ]
        return [
            "from (",
            "  select s.* exclude (first_reading, last_reading), w.window_id",
            "  from (",
            "    select f.*, unnest(range(first_reading, last_reading)) as position",
            "    from (",
            *inner,
            "    ) f",
            "    where first_reading < last_reading",
            "  ) s",
            f"  join {self.windows} w on w.position = s.position",
            ") f",
        ]

    def reading_bounds(self, *, is_daily: bool) -> tuple[str, str, int]:
        """SQL literals of when the first and the last key of `readings` begin, and the number of
        readings."""
        windows = [window for _, window in self.frame.ordered()]
        if is_daily:
            days = [self.clock.snapshot_day(window.end) for window in windows]
            return (
                f"date '{min(days)}'",
                f"date '{max(days) + timedelta(days=1)}'",
                len(windows),
            )
        size = self.slot_us
        slots = [-(-_micros(self.clock.reading(window.end)) // size) for window in windows]
        first, last = (
            _EPOCH + timedelta(microseconds=slot * size) for slot in (min(slots), max(slots))
        )
        return _instant(first), _instant(last), len(windows)

    def located(self, name: str, start: str, end: str, *, is_daily: bool) -> list[str]:
        """The lines of a query of the states `f` of a relation with `first_reading` and
        `last_reading`, counted on the slots of the clock (on days, where the span is of dates)."""
        low, high, count = self.reading_bounds(is_daily=is_daily)
        readings = self.readings
        first, last = self.reading_span(is_daily=is_daily)
        key, start_key, end_key = "day", start, end
        inside = f"{start} <= {last} and ({end} is null or {end} > {first})"
        ended = f"{end} is null"
        if not is_daily:
            key = "slot"
            start_key = f"epoch_us({start}) // {self.slot_us}"
            end_key = f"epoch_us({end}) // {self.slot_us}"
            moment = f"timestamptz '{self.clock.as_of:%Y-%m-%d %H:%M:%S.%f}+00'"
            inside = f"{start} < {last} and ({end} is null or {end} >= {first})"
            ended = f"{end} is null or {end} >= {moment}"

        def passed(at: str, alias: str) -> str:
            # By instants and not by slots: to divide costs more than the joins (measured).
            return (
                f"case when {at} < {low} then 0 when {at} >= {high} then {count}"
                f" else {alias}.passed end"
            )

        return [
            f"      select f.*, {passed(start, 'a')} as first_reading,",
            f"        case when {ended} then {count} else {passed(end, 'b')} end as last_reading",
            f"      from {name} f",
            f"      left join {readings} a on a.{key} = {start_key}",
            f"      left join {readings} b on b.{key} = {end_key}",
            # What no reading sees is dropped by the scan, before it is joined to anything.
            f"      where {inside}",
        ]


def _micros(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)


def _text(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00"


def _instant(instant: datetime) -> str:
    return f"timestamptz '{_text(instant)}'"


def listed(types: Mapping[str, str], rows: Iterable[Sequence[object]]) -> str:
    """A query of a few rows; None = null. Columns as lists in one text each: a literal per value
    takes three times as long to parse and bind."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in types]
    shown = [
        f"unnest('[{', '.join('NULL' if v is None else str(v) for v in column)}]'::{kind}[])"
        f" as {name}"
        for (name, kind), column in zip(types.items(), columns, strict=True)
    ]
    return "select\n  " + ",\n  ".join(shown)
