"""The facts that the known answers are counted from: live deals, rates, days and instants.

Beside them stand the few rules of arithmetic that all answers share (N2, N7).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo

from crmetrics.testing.data.company import Row
from crmetrics.testing.data.live import LiveRecords

Grain = Literal["month", "quarter", "year"]
Group = Literal["team", "segment", "owner_id", "opportunity_type"]
NONE = "(none)"
"""The name of the group whose value is null."""

_MONTHS = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, slots=True)
class Span:
    """The local days from `start` to `end` (exclusive)."""

    start: date
    end: date

    def __contains__(self, day: date | None) -> bool:
        return day is not None and self.start <= day < self.end

    @property
    def months(self) -> int:
        return (self.end.year - self.start.year) * 12 + self.end.month - self.start.month

    def back(self, months: int) -> Span:
        """The span as many months earlier."""
        return Span(months_later(self.start, -months), months_later(self.end, -months))


@dataclass(frozen=True, slots=True)
class Deal:
    """A live opportunity with what its groups and durations need.

    usd: the amount at the rate of close_date; None without an amount or without a rate.
    """

    row: Row
    created_day: date
    team: str
    segment: str
    usd: Decimal | None

    def group(self, by: Group) -> str:
        if by == "team":
            return self.team
        if by == "segment":
            return self.segment
        return self.row[by] or NONE


class Facts:
    """The sample's records, seen from one reporting zone."""

    def __init__(
        self, records: Mapping[str, Sequence[Row]], start: date, end: date, *, timezone: str = "UTC"
    ) -> None:
        self.live = LiveRecords(records)
        self.start, self.end = start, end
        self.zone = ZoneInfo(timezone)
        self._rates: dict[str, list[tuple[date, Decimal]]] = {}
        for row in sorted(records["exchange_rates"], key=lambda row: row["valid_from"]):
            self._rates.setdefault(row["currency"], []).append((row["valid_from"], row["rate"]))

    @cached_property
    def deals(self) -> list[Deal]:
        """The live opportunities; owner and account that are absent or not live have no group."""
        users, accounts = self.live.by_id("users"), self.live.by_id("accounts")
        found = []
        for row in self.live.rows("opportunities"):
            owner = users.get(row["owner_id"] or "", {})
            account = accounts.get(row["account_id"] or "", {})
            usd = self.usd(row["amount"], row["currency"], row["close_date"])
            team, segment = owner.get("team") or NONE, account.get("segment") or NONE
            found.append(Deal(row, self.local_day(row["created_at"]), team, segment, usd))
        return found

    def spans(self, grain: Grain = "month") -> list[Span]:
        """The whole periods between start and end."""
        spans, start = [], self.start
        while (end := months_later(start, _MONTHS[grain])) <= self.end:
            spans.append(Span(start, end))
            start = end
        return spans

    def usd(self, amount: Decimal | None, currency: str | None, day: date) -> Decimal | None:
        """The amount at the rate of the day; None without amount or rate; null currency is USD."""
        if amount is None or currency in (None, "USD"):
            return amount
        rates = self._rates.get(str(currency), [])
        place = bisect_right(rates, day, key=lambda rate: rate[0])
        return amount * rates[place - 1][1] if place else None

    def local_day(self, instant: datetime) -> date:
        return instant.astimezone(self.zone).date()

    def instant(self, day: date) -> datetime:
        """The first moment of a local day."""
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)


def months_later(day: date, months: int) -> date:
    """The first of the month that many months later."""
    years, month = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month + 1, 1)


def last_days(span: Span, days: int) -> Span:
    """The days before the end of the span (a trailing window, P9)."""
    return Span(span.end - timedelta(days=days), span.end)


def won(deals: Iterable[Deal], span: Span) -> list[Deal]:
    """The deals won with a close date in the span."""
    return [deal for deal in deals if deal.row["is_won"] and deal.row["close_date"] in span]


def lost(deals: Iterable[Deal], span: Span) -> list[Deal]:
    """The deals closed, but not won, with a close date in the span."""
    closed = [deal for deal in deals if deal.row["is_closed"] and deal.row["close_date"] in span]
    return [deal for deal in closed if not deal.row["is_won"]]


def total_usd(deals: Iterable[Deal]) -> Decimal:
    """The sum of the amounts that are known and convertible."""
    return sum((deal.usd for deal in deals if deal.usd is not None), start=Decimal(0))


def share(part: float | Decimal, whole: float | Decimal) -> float | None:
    """part / whole; None when the whole is zero or below (N2)."""
    return float(part) / float(whole) if whole > 0 else None


def quantile(values: Iterable[float], percent: int) -> float | None:
    """The percentile, linear between ranks (N7); None of no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None
