"""How two series go together (rule A3): rank correlation, with one following the other or not.

Association, never cause: what goes together may follow from a third thing, or from time alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from msgspec import Struct

FEWEST_PAIRS = 12
MOST_LAG = 3

_CERTAIN = 1.959964  # two-sided, 95 %


class Association(Struct, frozen=True):
    """Two series, the second read `lag` periods after the first.

    rho: Spearman's rank correlation, -1 to 1; None with fewer than twelve pairs, or where a series
    does not change. chance: |rho| up to which chance alone goes in 19 of 20 cases.
    """

    lag: int
    pairs: int
    rho: float | None
    chance: float | None


def associations(
    first: Sequence[float | None], second: Sequence[float | None]
) -> tuple[Association, ...]:
    """Both series are of the same periods, oldest first; None = not known."""
    return tuple(_association(first, second, lag) for lag in range(MOST_LAG + 1))


def _association(
    first: Sequence[float | None], second: Sequence[float | None], lag: int
) -> Association:
    pairs = [
        (one, other)
        for one, other in zip(first, second[lag:], strict=False)
        if one is not None and other is not None
    ]
    if len(pairs) < FEWEST_PAIRS:
        return Association(lag, len(pairs), None, None)
    rho = _pearson(_ranks([one for one, _ in pairs]), _ranks([other for _, other in pairs]))
    return Association(lag, len(pairs), rho, _CERTAIN / sqrt(len(pairs) - 1))


def _ranks(values: Sequence[float]) -> list[float]:
    """1 for the smallest; equal values share the mean of their ranks."""
    order = sorted(values)
    first: dict[float, int] = {}
    count: dict[float, int] = {}
    for place, value in enumerate(order, start=1):
        first.setdefault(value, place)
        count[value] = count.get(value, 0) + 1
    return [first[value] + (count[value] - 1) / 2 for value in values]


def _pearson(one: Sequence[float], other: Sequence[float]) -> float | None:
    middle = (len(one) + 1) / 2  # of ranks, ties or not
    both = sum((a - middle) * (b - middle) for a, b in zip(one, other, strict=True))
    spread = sum((a - middle) ** 2 for a in one) * sum((b - middle) ** 2 for b in other)
    return both / sqrt(spread) if spread else None
