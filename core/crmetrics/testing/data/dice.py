"""Dice: random choices that are the same on every machine and Python version.

Only `random.Random.random()` is used, the one method whose sequence Python promises to keep, and
only arithmetic that IEEE 754 fixes (no log, exp or power, whose last digit depends on the libm).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

T = TypeVar("T")

_SKEW = (25, 45, 62, 80, 100, 126, 165, 240, 420)
"""Percentiles 0, 12.5, ... 100 of a right-skewed quantity whose median is 100."""


class Dice:
    """One stream of random choices; each theme has its own, so that they do not disturb others."""

    __slots__ = ("_draw",)

    def __init__(self, stream: str) -> None:
        self._draw = random.Random(stream).random

    def chance(self, percent: float) -> bool:
        """True in `percent` of 100 throws."""
        return self._draw() * 100 < percent

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both inclusive."""
        return low + int(self._draw() * (high - low + 1))

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self._draw() * len(choices))]

    def weighted(self, choices: Sequence[tuple[T, int]]) -> T:
        """One of the values, each as likely as its whole-number weight."""
        point = self._draw() * sum(weight for _, weight in choices)
        for value, weight in choices:
            point -= weight
            if point < 0:
                return value
        return choices[-1][0]

    def around(self, median: int) -> int:
        """A right-skewed whole number with this median (a quarter to four times of it)."""
        place = self._draw() * (len(_SKEW) - 1)
        step = int(place)
        low, high = _SKEW[step], _SKEW[step + 1]
        return int(median * (low + (place - step) * (high - low)) / 100)

    def sample(self, choices: Sequence[T], count: int) -> list[T]:
        """`count` different choices (all of them, if there are fewer), in random order."""
        pool = list(choices)
        count = min(count, len(pool))
        for index in range(count):
            other = self.between(index, len(pool) - 1)
            pool[index], pool[other] = pool[other], pool[index]
        return pool[:count]

    def share(self, choices: Sequence[T], percent: float, *, least: int = 1) -> list[T]:
        """About `percent` of 100 of the choices, at least `least`, each at most once."""
        return self.sample(choices, max(least, int(len(choices) * percent / 100)))

    def office_time(self, day: date) -> datetime:
        """An instant of that day between 08:00 and 17:59:59 UTC."""
        seconds = self.between(8 * 3600, 18 * 3600 - 1)
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=seconds)


def workday(day: date) -> date:
    """The day itself, or the Monday after a weekend."""
    return day + timedelta(days=max(0, 7 - day.weekday()) if day.weekday() > 4 else 0)


def money(cents: int) -> Decimal:
    """An amount of whole cents as a decimal with two places."""
    return Decimal(cents).scaleb(-2)
