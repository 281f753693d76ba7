"""Dates and times in text: ISO, a configured format, or an order that the whole column proves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from itertools import combinations
from typing import Literal, get_args

from crmetrics_csv.options import FileRules

Order = Literal["dmy", "mdy", "ymd"]
ORDERS: tuple[Order, ...] = get_args(Order)
READS_AS: dict[Order, str] = {"dmy": "day first", "mdy": "month first", "ymd": "year first"}

_ZONE = r"(?:[ ]?(?P<zone>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?))?"
_TIME = (
    r"(?:(?:[ ]+|[tT]|,[ ]*)(?P<hour>\d{1,2}):(?P<minute>\d\d)"
    r"(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?(?:[ ]?(?P<half>[AaPp])\.?[Mm]\.?)?"
    + _ZONE
    + r")?"
)
_NUMERIC = re.compile(
    r"(?P<a>\d{4}|\d{1,2})(?P<mark>[-/.])(?P<b>\d{1,2})(?P=mark)(?P<c>\d{4}|\d{1,2})" + _TIME
)
_COMPACT = re.compile(
    r"(?P<a>(?:19|20|21)\d\d)(?P<b>\d\d)(?P<c>\d\d)"
    r"(?:[tT](?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)?" + _ZONE + r")?"
)
_SERIAL = re.compile(r"\d{5}(?:[.,]\d+)?")
_EPOCH = re.compile(r"\d{10}(?:\d{3})?(?:\.\d+)?")
_EXCEL_DAY_ZERO = date(1899, 12, 30)


class UnreadableError(ValueError):
    """A text that is no value of the column's type; says why, and `hint` what to do."""

    def __init__(self, reason: str = "", hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class OrderUnknownError(Exception):
    """A numeric date whose order of day and month has to be proven by the whole column."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What a text says: a day, and a time of day and offset where it holds them."""

    day: date
    clock: time | None = None
    offset: timedelta | None = None

    @property
    def naive(self) -> datetime:
        """Wall-clock date and time; 00:00 when only a day is known."""
        return datetime.combine(self.day, self.clock or time())

    @property
    def instant(self) -> datetime | None:
        """The instant in UTC when the text names an offset."""
        if self.offset is None:
            return None
        try:
            return self.naive.replace(tzinfo=timezone(self.offset)).astimezone(UTC)
        except OverflowError:
            raise UnreadableError("out of the range of dates") from None


def read_moment(text: str, rules: FileRules, order: Order | None, *, is_day: bool) -> Moment:
    """The moment that `text` (stripped, not empty) names.

    The configured formats come first. ISO is always understood, unless a format begins with the
    year and so contradicts it. Without a format, other numeric dates are read in `order`.
    is_day: the column holds dates, not timestamps.
    Raises UnreadableError, and OrderUnknownError when an order is needed and not known.
    """
    formats = [f for f in (rules.timestamp_format, rules.date_format) if f]
    if is_day:
        formats.reverse()
    for pattern in formats:
        moment = _by_format(text, pattern)
        if moment is not None:
            return moment
    match = _NUMERIC.fullmatch(text) or _COMPACT.fullmatch(text)
    if match is None or contradicts_iso(rules):
        raise _unreadable(text, formats)
    if len(match["a"]) == 4:
        return _moment(match, "ymd")
    if is_day and rules.date_format:
        raise _unreadable(text, formats)
    order = _order_of(formats) or order
    if order is None:
        if not readings(text):
            raise UnreadableError("no such day in any order of day, month and year")
        raise OrderUnknownError(text)
    return _moment(match, order)


def contradicts_iso(rules: FileRules) -> bool:
    """True when a configured format begins with the year and goes on otherwise than ISO."""
    return any(
        pattern.startswith("%Y") and _order_of_format(pattern) != "ymd"
        for pattern in (rules.timestamp_format, rules.date_format)
        if pattern
    )


def _by_format(text: str, pattern: str) -> Moment | None:
    try:
        value = datetime.strptime(text, pattern)
    except ValueError:
        return None
    has_time = any(part in pattern for part in ("%H", "%I", "%T", "%X", "%c"))
    return Moment(value.date(), value.time() if has_time else None, value.utcoffset())


@lru_cache(maxsize=64)
def _order_of_format(pattern: str) -> Order | None:
    letters = "".join(re.findall(r"%-?([dmyY])", pattern)).lower()
    return next((order for order in ORDERS if order == letters), None)


def _order_of(formats: Iterable[str]) -> Order | None:
    """The order of day and month that the configured formats imply."""
    return next((order for f in formats if (order := _order_of_format(f))), None)


def _moment(match: re.Match[str], order: Order) -> Moment:
    day = _day(match, order)
    if day is None:
        raise UnreadableError(f"no such day when read {READS_AS[order]}")
    parts = match.groupdict()
    if parts["hour"] is None:
        return Moment(day)
    return Moment(day, _clock(parts), _offset(parts["zone"]))


def _day(match: re.Match[str], order: Order) -> date | None:
    """The day in this order, or None when there is no such day."""
    a, b, c = match["a"], match["b"], match["c"]
    year, month, day = {"ymd": (a, b, c), "dmy": (c, b, a), "mdy": (c, a, b)}[order]
    if len(year) not in (2, 4) or len(day) > 2:
        return None
    number = int(year)
    if len(year) == 2:
        number += 1900 if number >= 69 else 2000  # as strptime does
    try:
        return date(number, int(month), int(day))
    except ValueError:
        return None


def _clock(parts: dict[str, str | None]) -> time:
    hour = int(parts["hour"] or 0)
    half = parts.get("half")
    if half:
        if not 1 <= hour <= 12:
            raise UnreadableError("no such time of day")
        hour = hour % 12 + (12 if half in "pP" else 0)
    micros = int((parts.get("fraction") or "")[:6].ljust(6, "0"))
    try:
        return time(hour, int(parts["minute"] or 0), int(parts["second"] or 0), micros)
    except ValueError:
        raise UnreadableError("no such time of day") from None


def _offset(zone: str | None) -> timedelta | None:
    if zone is None:
        return None
    if zone[0] not in "+-":
        return timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    if minutes >= 24 * 60:
        raise UnreadableError("no such offset from UTC")
    return timedelta(minutes=-minutes if zone[0] == "-" else minutes)


def _unreadable(text: str, formats: list[str]) -> UnreadableError:
    if _SERIAL.fullmatch(text) and 20000 <= float(text.replace(",", ".")) < 80000:
        serial = re.split("[.,]", text)[0]
        day = _EXCEL_DAY_ZERO + timedelta(days=int(serial))
        return UnreadableError(
            f"looks like an Excel serial number (then {day})",
            "Format the column as a date before exporting, or map it: "
            "`date '1899-12-30' + field::int`.",
        )
    if _EPOCH.fullmatch(text):
        divisor = "" if len(re.split("[.,]", text)[0]) == 10 else " / 1000"
        return UnreadableError(
            "looks like seconds or milliseconds since 1970",
            f"Map the column: `to_timestamp(field::double{divisor})`.",
        )
    if formats:
        names = " and ".join(repr(pattern) for pattern in formats)
        return UnreadableError(f"does not fit {names}")
    return UnreadableError("", "Set `date_format:` or `timestamp_format:` if it has another form.")


# --- proving the order of day and month -------------------------------------------------------


def readings(text: str) -> dict[Order, date]:
    """The days that a numeric date can mean, by order; empty for ISO and for other texts."""
    match = _NUMERIC.fullmatch(text)
    if match is None or len(match["a"]) == 4:
        return {}
    found: dict[Order, date] = {}
    for order in ORDERS:
        day = _day(match, order)
        if day is not None:
            found[order] = day
    return found


@dataclass
class OrderEvidence:
    """Which orders of day and month a column's values leave open.

    refuted: per order, the first value that is no day in it. undecided: per pair of orders, the
    first value that is a day in both, but not the same one.
    """

    refuted: dict[Order, str] = field(default_factory=dict)
    undecided: dict[frozenset[Order], str] = field(default_factory=dict)

    def add(self, texts: Iterable[str]) -> None:
        """Take these values (stripped) into account."""
        for text in texts:
            found = readings(text)
            if not found:
                continue  # ISO, or a value that parsing will report
            for order in ORDERS:
                if order not in found:
                    self.refuted.setdefault(order, text)
            for pair in combinations(found, 2):
                if found[pair[0]] != found[pair[1]]:
                    self.undecided.setdefault(frozenset(pair), text)

    @property
    def open_orders(self) -> tuple[Order, ...]:
        """The orders that no value refutes."""
        return tuple(order for order in ORDERS if order not in self.refuted)

    @property
    def ambiguous(self) -> str | None:
        """A value that the open orders read differently; None when the order is settled."""
        pairs = combinations(self.open_orders, 2)
        return next((t for pair in pairs if (t := self.undecided.get(frozenset(pair)))), None)
