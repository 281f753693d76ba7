"""Refusals that depend on what a query asks for, for `Rest.checks`.

salesforce.rest.checks.append(too_wide(timedelta(days=31)))
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from simulators.salesforce.errors import Refusal
from simulators.salesforce.selecting import Selection
from simulators.salesforce.soql import Comparison, Junction

_BEGINNING = datetime(1999, 1, 1, tzinfo=UTC)
Check = Callable[[Selection], Refusal | None]


def too_wide(limit: timedelta, *, object: str = "", field: str = "SystemModstamp") -> Check:
    """QUERY_TIMEOUT for every query that reads more than this of the time of change.

    Without a lower bound a query reads from 1999 on, without an upper one up to now.
    """

    def check(selection: Selection) -> Refusal | None:
        if object and selection.source.name != object:
            return None
        if selection.query.is_aggregate or selection.query.is_count:
            return None
        low, high = _bounds(selection.query.where, field)
        if (high or selection.org.now()) - (low or _BEGINNING) <= limit:
            return None
        return Refusal("QUERY_TIMEOUT", "Your query request was running for too long.")

    return check


def too_complicated(fields: int) -> Check:
    """QUERY_TOO_COMPLICATED for more formula fields than this."""

    def check(selection: Selection) -> Refusal | None:
        formulas = [column for column in selection.columns if column.field.is_calculated]
        if len(formulas) <= fields:
            return None
        return Refusal("QUERY_TOO_COMPLICATED", "Query is either selecting too many fields or the "
                       "filter conditions are too complicated.")  # fmt: skip

    return check


def _bounds(tree: Any, field: str) -> tuple[datetime | None, datetime | None]:
    """The narrowest window of the field in a chain of `and`."""
    parts = tree.parts if isinstance(tree, Junction) and tree.kind == "and" else (tree,)
    low: datetime | None = None
    high: datetime | None = None
    for part in parts:
        if isinstance(part, Junction):
            inner_low, inner_high = _bounds(part, field)
            low, high = inner_low or low, inner_high or high
        if not isinstance(part, Comparison) or part.path != field:
            continue
        value = part.literals[0].value
        if part.sign in (">", ">="):
            low = value if low is None else max(low, value)
        if part.sign in ("<", "<="):
            high = value if high is None else min(high, value)
    return low, high
