"""Periods: half-open ranges of local days, cut by grain, week start and fiscal year.

Rules P1 to P3 and P10 of the KPI catalogue. A period is [start, end) in local days of the
reporting zone; its instants are the first moments of those days, so a day around a clock change
has 23 or 25 hours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from crmetrics.errors import UsageError, did_you_mean

Grain = Literal["day", "week", "month", "quarter", "year"]
GRAINS: tuple[Grain, ...] = get_args(Grain)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

FIRST_YEAR, LAST_YEAR = 1900, 2999
"""Years that can be asked for; arithmetic around them stays inside of what dates can hold."""

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """The local days from `start` (inclusive) to `end` (exclusive)."""

    start: date
    end: date
    grain: Grain

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    def __str__(self) -> str:
        return f"{self.start}..{self.end}"


@dataclass(frozen=True, slots=True)
class Calendar:
    """How days are cut into periods: zone, first day of the week, first day of the fiscal year.

    week_start: 0 = monday. fiscal_start: (month, day), day at most 28.
    """

    timezone: str = "UTC"
    week_start: int = 0
    fiscal_start: tuple[int, int] = (1, 1)

    @property
    def zone(self) -> ZoneInfo:
        return _zone(self.timezone)

    # --- days and instants -------------------------------------------------------------------

    def instant(self, day: date) -> datetime:
        """The first moment of a local day, in UTC; right also where midnight does not exist."""
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)

    def local_day(self, instant: datetime) -> date:
        return instant.astimezone(self.zone).date()

    def parse_instant(self, text: str) -> datetime:
        """An instant from ISO text; a date is its 00:00, and no zone means the reporting zone.

        Raises UsageError when the text is neither a date nor a date and time.
        """
        try:
            value = datetime.fromisoformat(text)
            if not FIRST_YEAR <= value.year <= LAST_YEAR:
                raise UsageError(f"{text!r}: years go from {FIRST_YEAR} to {LAST_YEAR}.")
            if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
                return self.instant(value.date())
        except ValueError:
            raise UsageError(
                f"{text!r} is no date or instant; expected 2026-01-31 or 2026-01-31T18:00:00Z."
            ) from None
        return (value if value.tzinfo else value.replace(tzinfo=self.zone)).astimezone(UTC)

    # --- cutting -----------------------------------------------------------------------------

    def start_of(self, day: date, grain: Grain) -> date:
        """The first day of the period of this grain that holds `day`."""
        if grain == "day":
            return day
        if grain == "week":
            return day - timedelta(days=(day.weekday() - self.week_start) % 7)
        if grain == "month":
            return day.replace(day=1)
        month, first = self.fiscal_start
        year_start = date(day.year, month, first)
        if year_start > day:
            year_start = date(day.year - 1, month, first)
        if grain == "year":
            return year_start
        start = year_start
        while (following := add_months(start, 3)) <= day:
            start = following
        return start

    def end_of(self, start: date, grain: Grain) -> date:
        """The first day after the period that starts on `start`."""
        if grain == "day":
            return start + _ONE_DAY
        if grain == "week":
            return start + timedelta(days=7)
        return add_months(start, {"month": 1, "quarter": 3, "year": 12}[grain])

    def period_of(self, day: date, grain: Grain) -> Period:
        start = self.start_of(day, grain)
        return Period(start, self.end_of(start, grain), grain)

    def periods(self, start: date, end: date, grain: Grain) -> list[Period]:
        """The whole periods that overlap [start, end), in order."""
        return list(self._walk(start, end, grain))

    def _walk(self, start: date, end: date, grain: Grain) -> Iterator[Period]:
        period = self.period_of(start, grain)
        while period.start < end:
            yield period
            period = self.period_of(period.end, grain)

    def previous(self, period: Period) -> Period:
        """The period of the same grain just before."""
        return self.period_of(period.start - _ONE_DAY, period.grain)

    def year_ago(self, period: Period) -> Period | None:
        """The same period one year earlier; None for a week 53 that the earlier year lacks."""
        if period.grain != "week":
            return self.period_of(add_months(period.start, -12), period.grain)
        year, number = self.week_number(period)
        try:
            return self.week(year - 1, number)
        except ValueError:
            return None

    def last_complete(self, instant: datetime, grain: Grain) -> Period:
        """The last period that is over at `instant`."""
        return self.previous(self.period_of(self.local_day(instant), grain))

    # --- names -------------------------------------------------------------------------------

    def week_number(self, period: Period) -> tuple[int, int]:
        """(year, number) of a week: those of its Thursday, as ISO 8601 does."""
        thursday = period.start + timedelta(days=(3 - self.week_start) % 7)
        iso = thursday.isocalendar()
        return iso.year, iso.week

    def week(self, year: int, number: int) -> Period:
        """The week of that number; ValueError when the year has no such week."""
        return self.period_of(date.fromisocalendar(year, number, 4), "week")

    def label(self, period: Period) -> str:
        """`2026`, `2026-Q1`, `2026-01`, `2026-W05` or `2026-01-15`; what `parse` reads back."""
        if period.grain == "day":
            return period.start.isoformat()
        if period.grain == "week":
            year, number = self.week_number(period)
            return f"{year}-W{number:02d}"
        if period.grain == "month":
            return f"{period.start:%Y-%m}"
        year = self._fiscal_year(period.start)
        if period.grain == "year":
            return str(year)
        months = months_between(self.start_of(period.start, "year"), period.start)
        return f"{year}-Q{months // 3 + 1}"

    def _fiscal_year(self, day: date) -> int:
        # A fiscal year is named after the calendar year in which it ends (P3).
        start = self.start_of(day, "year")
        return (add_months(start, 12) - _ONE_DAY).year

    def _fiscal_year_start(self, year: int) -> date:
        start = date(year, *self.fiscal_start)
        return start if self._fiscal_year(start) == year else add_months(start, -12)

    def parse(self, text: str, now: datetime) -> Period:
        """The period that `text` names, relative names seen from `now`.

        Raises UsageError with the accepted forms when the text names no period.
        """
        text = text.strip()
        for pattern, build in _FORMS:
            match = pattern.fullmatch(text)
            if match:
                try:
                    numbers = [int(group) for group in match.groups()]
                    if not FIRST_YEAR <= numbers[0] <= LAST_YEAR:
                        raise ValueError(f"years go from {FIRST_YEAR} to {LAST_YEAR}")
                    return build(self, *numbers)
                except ValueError as exc:
                    raise UsageError(f"there is no period {text!r}: {exc}.") from None
        return self._relative(text, now)

    def _relative(self, text: str, now: datetime) -> Period:
        today = self.local_day(now)
        if text in ("today", "yesterday"):
            return self.period_of(today - _ONE_DAY * (text == "yesterday"), "day")
        which, _, grain = text.partition("_")
        if which in ("this", "last") and grain in GRAINS:
            period = self.period_of(today, grain)
            return period if which == "this" else self.previous(period)
        names = [f"{which}_{grain}" for which in ("this", "last") for grain in GRAINS]
        hint = did_you_mean(text, [*names, "today", "yesterday"])
        raise UsageError(
            f"{text!r} is no period; expected 2026, 2026-Q1, 2026-01, 2026-W05, 2026-01-15, "
            f"last_month or the like. {hint}".rstrip()
        )


_FORMS: tuple[tuple[re.Pattern[str], Callable[..., Period]], ...] = (
    (
        re.compile(r"(\d{4})"),
        lambda calendar, year: calendar.period_of(calendar._fiscal_year_start(year), "year"),
    ),
    (
        re.compile(r"(\d{4})-?[Qq]([1-4])"),
        lambda calendar, year, quarter: calendar.period_of(
            add_months(calendar._fiscal_year_start(year), 3 * (quarter - 1)), "quarter"
        ),
    ),
    (
        re.compile(r"(\d{4})-(\d\d)"),
        lambda calendar, year, month: calendar.period_of(date(year, month, 1), "month"),
    ),
    (
        re.compile(r"(\d{4})-?[Ww](\d\d?)"),
        lambda calendar, year, number: calendar.week(year, number),
    ),
    (
        re.compile(r"(\d{4})-(\d\d)-(\d\d)"),
        lambda calendar, year, month, day: calendar.period_of(date(year, month, day), "day"),
    ),
)


@lru_cache(maxsize=32)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def add_months(day: date, months: int) -> date:
    """The same day `months` later, clamped to the end of a shorter month."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    last = (following - _ONE_DAY).day
    return date(year, month + 1, min(day.day, last))


def months_between(start: date, end: date) -> int:
    """Month boundaries from `start` to `end`."""
    return (end.year - start.year) * 12 + end.month - start.month
