"""Dimensions that cut a number into bands."""

from __future__ import annotations

from itertools import pairwise


def band_sql(value: str, bounds: list[float]) -> str:
    """Bands `<a`, `a-b`, `>=b` with inclusive lower bounds; null stays null."""
    numbers = [f"{bound:g}" if bound != int(bound) else str(int(bound)) for bound in bounds]
    if not numbers:
        return f"case when {value} is not null then 'all' end"
    parts = [f"when {value} < {numbers[0]} then '<{numbers[0]}'"]
    for low, high in pairwise(numbers):
        parts.append(f"when {value} < {high} then '{low}-{high}'")
    parts.append(f"when {value} >= {numbers[-1]} then '>={numbers[-1]}'")
    return "case " + " ".join(parts) + " end"
