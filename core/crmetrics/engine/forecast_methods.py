"""Projections of a series (rule F1): the best of three methods, proved on the series itself.

Seasonal naive is the baseline. A Theil-Sen trend or Holt-Winters takes its place only where it was
closer in a rolling-origin test: from every recent origin the series is projected with what was
known then, and compared with what came. The same errors give the 80 % interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, product
from math import sqrt
from statistics import median

from msgspec import Struct

Method = Callable[[Sequence[float], int, int], float | None]

MIN_ORIGINS = 3
_MAX_ORIGINS = 12
_MIN_TRAINING = 3
_Z80 = 1.2815515655446004
"""Half the width of an 80 % interval in standard deviations."""

_LEVELS = (0.1, 0.3, 0.6)
_TRENDS = (0.05, 0.2)
_SEASONS = (0.1, 0.3)


class Projection(Struct, frozen=True):
    """One projected value with its 80 % interval and the method that gave it."""

    value: float
    low: float
    high: float
    method: str


def project(series: Sequence[float], season: int, ahead: int) -> Projection | None:
    """The value `ahead` periods after the last of the series; None when it is too short to test.

    series: equally spaced, oldest first, without gaps. season: periods of a cycle (12 for months);
    1 = none. ahead: 1 = the next period.
    """
    best: tuple[float, str, float] | None = None
    for name, method in METHODS.items():
        value = method(series, season, ahead)
        errors = _errors(method, series, season, ahead)
        if value is None or len(errors) < MIN_ORIGINS:
            continue
        spread = sqrt(sum(error * error for error in errors) / len(errors))
        if best is None or spread < best[0]:
            best = spread, name, value
    if best is None:
        return None
    spread, name, value = best
    return Projection(value, value - _Z80 * spread, value + _Z80 * spread, name)


def _errors(method: Method, series: Sequence[float], season: int, ahead: int) -> list[float]:
    """What came less what was projected, from each of the last origins.

    All methods are tested from the same origins: those from which Holt-Winters, which needs two
    seasons, can start, or all of them where the series has no more.
    """
    first = _MIN_TRAINING
    last = len(series) - ahead
    if last - 2 * season >= MIN_ORIGINS - 1:
        first = max(first, 2 * season)
    errors = []
    for size in range(max(first, last - _MAX_ORIGINS + 1), last + 1):
        value = method(series[:size], season, ahead)
        if value is None:
            return []
        errors.append(series[size + ahead - 1] - value)
    return errors


def seasonal_naive(series: Sequence[float], season: int, ahead: int) -> float | None:
    """The value of the same period one season before; the last value where there is none."""
    if len(series) < season:
        return series[-1] if series else None
    return series[len(series) - season + (ahead - 1) % season]


def theil_sen(series: Sequence[float], season: int, ahead: int) -> float | None:
    """The line through the median of all slopes."""
    if len(series) < _MIN_TRAINING:
        return None
    numbered = list(enumerate(series))
    slope = median((b - a) / (j - i) for (i, a), (j, b) in combinations(numbered, 2))
    level = median(value - slope * place for place, value in numbered)
    return level + slope * (len(series) - 1 + ahead)


def holt_winters(series: Sequence[float], season: int, ahead: int) -> float | None:
    """Additive level, trend and season; the weights with the smallest error one period ahead."""
    if season < 2 or len(series) < 2 * season:
        return None
    runs = (_smoothed(series, season, ahead, *w) for w in product(_LEVELS, _TRENDS, _SEASONS))
    return min(runs)[1]


def _smoothed(
    series: Sequence[float], season: int, ahead: int, alpha: float, beta: float, gamma: float
) -> tuple[float, float]:
    """(squared error one period ahead, projected value) for one set of weights."""
    middle = sum(series[:season]) / season
    trend = (sum(series[season : 2 * season]) / season - middle) / season
    # The mean of the first season is the level in its middle.
    levels = [middle + trend * (place - (season - 1) / 2) for place in range(season)]
    seasons = [value - known for value, known in zip(series, levels, strict=False)]
    level = levels[-1]
    error = 0.0
    for place in range(season, len(series)):
        value, known = series[place], seasons[place % season]
        error += (value - level - trend - known) ** 2
        before = level
        level = alpha * (value - known) + (1 - alpha) * (level + trend)
        trend = beta * (level - before) + (1 - beta) * trend
        seasons[place % season] = gamma * (value - level) + (1 - gamma) * known
    return error, level + ahead * trend + seasons[(len(series) + ahead - 1) % season]


METHODS: dict[str, Method] = {
    "seasonal_naive": seasonal_naive,
    "theil_sen": theil_sen,
    "holt_winters": holt_winters,
}
"""In order of preference: a later one must be better to be taken."""
