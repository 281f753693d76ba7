"""Slices and windows: which days a number of a period reads.

A slice is a period of the answer, or a helper period that a comparison looks at. A window is the
range of local days that one operand of a measure reads for a slice: the period itself, a trailing
length (P9), or the period before (P8), cut to the elapsed days while the period is incomplete (P4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from msgspec import Struct, field

from crmetrics.catalog import WindowSpec
from crmetrics.periods import Calendar, Grain, Period, add_months


class Window(Struct, frozen=True, order=True):
    """Local days [start, end)."""

    start: date
    end: date


class Slice(Struct, frozen=True):
    """One period of the answer (`is_reported`), or one that comparisons read.

    previous, year_ago: index of the slice to compare with; None = not asked for or none.
    """

    index: int
    start: date
    end: date
    grain: Grain
    is_reported: bool
    previous: int | None = None
    year_ago: int | None = None


class Clock(Struct, frozen=True):
    """The instant of a run and how it cuts days. is_past: as_of was given by the user."""

    calendar: Calendar
    as_of: datetime
    is_past: bool = False

    @property
    def as_of_day(self) -> date:
        return self.calendar.local_day(self.as_of)

    def is_over(self, day: date) -> bool:
        """True when `day`, the first day after something, has begun."""
        return self.calendar.instant(day) <= self.as_of

    def reading(self, end: date) -> datetime:
        """The instant of a snapshot: the period's end or as_of, whichever is first (P5)."""
        return min(self.calendar.instant(end), self.as_of)

    def snapshot_day(self, end: date) -> date:
        """The local day of the last microsecond before the snapshot (P11)."""
        return self.calendar.local_day(self.reading(end) - timedelta(microseconds=1))

    def elapsed_days(self, start: date, end: date) -> int:
        """Days of [start, end) that have begun, the running one included."""
        if self.is_over(end):
            return (end - start).days
        last = self.calendar.local_day(self.as_of - timedelta(microseconds=1))
        return max(0, (last - start).days + 1)


class SliceBook(Struct):
    """The slices of one question, in order; helper slices come after the reported ones."""

    clock: Clock
    slices: list[Slice] = field(default_factory=list)

    @classmethod
    def of(cls, periods: Sequence[Period], clock: Clock, compare: Iterable[str] = ()) -> SliceBook:
        """Slices for `periods`, and for what they are compared with."""
        book = cls(clock)
        wanted = set(compare)
        reported = [book._add(p.start, p.end, p.grain, is_reported=True) for p in periods]
        for item in reported:
            changes = {}
            if "previous" in wanted:
                changes["previous"] = book._compared(item, "previous")
            if "year_ago" in wanted:
                changes["year_ago"] = book._compared(item, "year_ago")
            book.slices[item.index] = _with(item, changes)
        return book

    def _add(self, start: date, end: date, grain: Grain, *, is_reported: bool) -> Slice:
        item = Slice(len(self.slices), start, end, grain, is_reported)
        self.slices.append(item)
        return item

    def _compared(self, item: Slice, which: str) -> int | None:
        window = shifted(item, which, self.clock)
        if window is None:
            return None
        for known in self.slices:
            if (known.start, known.end) == (window.start, window.end):
                return known.index
        return self._add(window.start, window.end, item.grain, is_reported=False).index


def _with(item: Slice, changes: Mapping[str, int | None]) -> Slice:
    return Slice(
        item.index,
        item.start,
        item.end,
        item.grain,
        item.is_reported,
        changes.get("previous"),
        changes.get("year_ago"),
    )


def shifted(item: Slice, which: str, clock: Clock) -> Window | None:
    """The period before (`previous`) or one year earlier (`year_ago`), as many days of it as have
    elapsed of the slice's own (P4); None when the earlier year has no such week."""
    calendar = clock.calendar
    period = Period(item.start, item.end, item.grain)
    earlier = calendar.previous(period) if which == "previous" else calendar.year_ago(period)
    if earlier is None:
        return None
    if clock.is_over(item.end):
        return Window(earlier.start, earlier.end)
    elapsed = timedelta(days=clock.elapsed_days(item.start, item.end))
    return Window(earlier.start, min(earlier.end, earlier.start + elapsed))


def window_of(item: Slice, spec: WindowSpec, clock: Clock) -> Window | None:
    """The days that a measure with this window reads for a slice; None = there are none."""
    window: Window | None = Window(item.start, item.end)
    if spec.shift:
        window = shifted(item, spec.shift, clock)
    if window is None:
        return None
    start, end = window.start, window.end
    if spec.trailing_days:
        start = end - timedelta(days=int(spec.trailing_days))
    elif spec.trailing_months:
        start = add_months(end, -spec.trailing_months)
    elif spec.trailing_periods:
        start = _periods_back(item, int(spec.trailing_periods), clock.calendar)
    if spec.shift_months:
        start, end = add_months(start, -spec.shift_months), add_months(end, -spec.shift_months)
    return Window(start, end)


def _periods_back(item: Slice, count: int, calendar: Calendar) -> date:
    """First day of so many periods of the slice's grain that end with it."""
    period = Period(item.start, item.end, item.grain)
    for _ in range(count - 1):
        period = calendar.previous(period)
    return period.start


class Frame(Struct):
    """The windows of one row set, numbered in order of their end; what `days` and `slots` hold."""

    windows: list[Window] = field(default_factory=list)
    _numbers: dict[Window, int] = field(default_factory=dict)

    def number(self, window: Window) -> int:
        if window not in self._numbers:
            self._numbers[window] = len(self.windows)
            self.windows.append(window)
        return self._numbers[window]

    def ordered(self) -> list[tuple[int, Window]]:
        numbered = [(self._numbers[window], window) for window in self.windows]
        return sorted(numbered, key=lambda pair: (pair[1].end, pair[1].start))

    def layers(self) -> list[Frame]:
        """The same windows under the same numbers, so that no two of one frame begin on one day."""
        found: list[dict[date, Window]] = []
        for window in self.windows:
            for layer in found:
                if window.start not in layer:
                    layer[window.start] = window
                    break
            else:
                found.append({window.start: window})
        return [Frame(list(layer.values()), self._numbers) for layer in found]
