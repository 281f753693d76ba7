"""What a series of values says by itself: its trend (rule A1), and what is unusual in it (rule A2).

Pure functions over numbers, oldest first. A trend is told by the Mann-Kendall test, its size by the
Theil-Sen slope; a value is unusual by its robust distance from those it is compared with. Neither
follows a single outlier, as means and least squares would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise
from math import sqrt
from statistics import median
from typing import Literal

from msgspec import Struct

FEWEST_COMPARED = 8
"""Values that a test of the unusual and one of a trend need."""

Heading = Literal["rising", "falling", "none"]
Side = Literal["low", "high"]

_FEWEST_FOR_SLOPE = 3
_CERTAIN = 1.959964  # two-sided, 95 %
_UNUSUAL = 3.0
_USUAL_AGAIN = 2.0  # hysteresis: a sign goes on until the value is well back
_MAD_TO_SIGMA = 1.4826
_NOISE = 1e-9  # share of the median below which values count as equal


class Trend(Struct, frozen=True):
    """Where a series is heading.

    slope: change per period, in the unit of the values. run: how many periods in a row moved the
    same way up to the last one, down as a negative number. periods: values looked at; below
    `FEWEST_COMPARED` the heading is the sign of the slope and no test stands behind it.
    """

    heading: Heading
    slope: float
    run: int
    periods: int

    @property
    def is_tested(self) -> bool:
        return self.periods >= FEWEST_COMPARED


class Rules(Struct, frozen=True):
    """When a value of a KPI is unusual. below, above: limits that were set. change: smallest
    relative distance from the median that counts where most values are equal."""

    below: float | None = None
    above: float | None = None
    change: float = 0.5


class Alert(Struct, frozen=True):
    """A value that is unusual, to the good or to the bad.

    typical: the median of the `periods` values that it was compared with; None when it passed a
    `limit` that was set. is_new: the period before had no such sign.
    """

    side: Side
    typical: float | None = None
    periods: int = 0
    limit: float | None = None
    is_new: bool = True


def trend(values: Sequence[float | None]) -> Trend | None:
    """The trend of equally spaced values, None = not known; fewer than three tell nothing."""
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if len(known) < _FEWEST_FOR_SLOPE:
        return None
    slope = float(median((b - a) / (j - i) for (i, a), (j, b) in combinations(known, 2)))
    numbers = [value for _, value in known]
    heading = _tested(numbers) if len(numbers) >= FEWEST_COMPARED else _sign_words(slope)
    return Trend(heading, slope, _run(numbers), len(numbers))


def unusual(
    value: float, past: Sequence[float], rules: Rules, before: Side | None = None
) -> Alert | None:
    """Whether a value is unusual among those of `past`.

    before: the side on which the period before was one; the sign then goes on until the value is
    back within two robust standard deviations, not three.
    """
    found = _past_limit(value, rules) or _unlike(value, past, rules, before)
    if found is None:
        return None
    side, typical, limit = found
    compared = 0 if typical is None else len(past)
    return Alert(side, typical, compared, limit, is_new=side != before)


def _past_limit(value: float, rules: Rules) -> tuple[Side, None, float] | None:
    if rules.below is not None and value < rules.below:
        return ("low", None, rules.below)
    if rules.above is not None and value > rules.above:
        return ("high", None, rules.above)
    return None


def _unlike(
    value: float, past: Sequence[float], rules: Rules, before: Side | None
) -> tuple[Side, float, None] | None:
    if len(past) < FEWEST_COMPARED:
        return None
    typical = float(median(past))
    side: Side = "low" if value < typical else "high"
    goes_on = side == before
    spread = _MAD_TO_SIGMA * float(median(abs(each - typical) for each in past))
    if spread > _NOISE * abs(typical):
        limit = (_USUAL_AGAIN if goes_on else _UNUSUAL) * spread
    elif typical:
        limit = rules.change * abs(typical) * (_USUAL_AGAIN / _UNUSUAL if goes_on else 1.0)
    else:
        return None  # mostly zeros: there is nothing to measure a distance by
    return (side, typical, None) if abs(value - typical) >= limit else None


def _tested(values: Sequence[float]) -> Heading:
    """The heading by the test of Mann and Kendall, with its correction for ties."""
    count = len(values)
    score = sum((b > a) - (b < a) for a, b in combinations(values, 2))
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(values).values())
    variance = (count * (count - 1) * (2 * count + 5) - ties) / 18
    if abs(score) < 2 or variance <= 0:
        return "none"
    z = (abs(score) - 1) / sqrt(variance)
    return _sign_words(score) if z >= _CERTAIN else "none"


def _sign_words(number: float) -> Heading:
    return "rising" if number > 0 else "falling" if number < 0 else "none"


def _run(values: Sequence[float]) -> int:
    length = 0
    for before, after in reversed(list(pairwise(values))):
        step = (after > before) - (after < before)
        if not step or length * step < 0:
            break
        length += step
    return length
