"""Cron schedules: five fields, read as the cron of Unix reads them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MACROS: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class _Field(Struct, frozen=True):
    """One field of a schedule: its name, its bounds and the names of its values."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        if text.lower() in self.names:
            return self.low + self.names.index(text.lower())
        if text.isascii() and text.isdigit() and self.low <= int(text) <= self.high:
            return int(text)
        expected = f"{self.low} to {self.high}"
        if self.names:
            expected += f" or {self.names[0]} to {self.names[-1]}"
        raise ValueError(f"expected {expected} as the {self.name}, found {text!r}")

    def numbers(self, text: str) -> frozenset[int]:
        found: set[int] = set()
        for part in text.split(","):
            span, slash, step_text = part.partition("/")
            step = self._step(step_text) if slash else 1
            if span == "*":
                first, last = self.low, self.high
            else:
                start, dash, end = span.partition("-")
                first = self.number(start)
                last = self.number(end) if dash else self.high if slash else first
            if first > last:
                raise ValueError(f"the {self.name} range {span!r} runs backwards")
            found.update(range(first, last + 1, step))
        return frozenset(found)

    def _step(self, text: str) -> int:
        if text.isascii() and text.isdigit() and 1 <= int(text) <= self.high:
            return int(text)
        raise ValueError(f"expected a step of 1 to {self.high} for the {self.name}, found {text!r}")


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _DAYS),
)


class Cron(Struct, frozen=True):
    """A schedule as sets of numbers. weekdays: 0 = Sunday.

    any_day, any_weekday: the field was `*`. When neither is, cron runs on days that match either.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool


def parse_cron(text: str) -> Cron:
    """The schedule that `text` writes.

    Raises ValueError that says what was expected and found, also for a day that no month has.
    """
    if text.strip().lower() in _MACROS:
        raise ValueError(f"expected five fields; write {_MACROS[text.strip().lower()]!r}")
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f"expected five fields (minute hour day month weekday), found {len(parts)}"
        )
    minutes, hours, days, months, weekdays = (
        field.numbers(part) for field, part in zip(_FIELDS, parts, strict=True)
    )
    any_day, any_weekday = parts[2].startswith("*"), parts[4].startswith("*")
    if any_weekday and not any(min(days) <= _LONGEST[month - 1] for month in months):
        raise ValueError(f"day {min(days)} never comes in the months {parts[3]!r}")
    weekdays = frozenset(day % 7 for day in weekdays)
    return Cron(minutes, hours, days, months, weekdays, any_day, any_weekday)
