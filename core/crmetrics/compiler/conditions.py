"""Conditions put together, as SQL."""

from __future__ import annotations

from collections.abc import Iterable


def conjunction(terms: Iterable[str]) -> str:
    """That all of the terms hold; an empty one says nothing. Empty where none says anything."""
    parts = [term for term in terms if term]
    if len(parts) == 1:
        return parts[0]
    return " and ".join(f"({part})" for part in parts)


def disjunction(terms: Iterable[str]) -> str:
    """That at least one of the terms holds, each of which is told once; empty without any."""
    return " or ".join(f"({term})" for term in dict.fromkeys(terms))


def filtered(condition: str) -> str:
    """The filter of an aggregate, to stand behind it; empty without a condition."""
    return f" filter (where {condition})" if condition else ""
