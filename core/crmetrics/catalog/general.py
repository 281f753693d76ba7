"""Dimensions that every fact dated by an instant has (rule S9), whatever its pack."""

from __future__ import annotations

from collections.abc import Mapping

from crmetrics.catalog.definition import DerivedDimension


def _general(name: str, expression: str) -> tuple[DerivedDimension, ...]:
    return (DerivedDimension(name, "core", (), expression=expression),)


GENERAL_DIMENSIONS: Mapping[str, tuple[DerivedDimension, ...]] = {
    "hour": _general("hour", "hour(event_at)"),
    "weekday": _general("weekday", "lower(dayname(event_day))"),
}
"""Hour (0 to 23) and weekday (monday, ...) of the dating instant in the reporting zone. A column of
that name, or a dimension that a pack defines for the fact, goes first."""
