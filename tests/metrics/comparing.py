"""Result rows held against a recount: the same keys, nulls in the same places, equal numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

Row = Mapping[str, Any]


def name_of(row: Row) -> str:
    """`kpi`, or `kpi.variant`."""
    return f"{row['kpi']}.{row['variant']}" if row["variant"] else str(row["kpi"])


def by_kpi(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[str, dict[Any, Any]]:
    """Name -> key of the row -> value."""
    found: dict[str, dict[Any, Any]] = {}
    for row in rows:
        found.setdefault(name_of(row), {})[key(row)] = row["value"]
    return found


def assert_same(
    found: Mapping[Any, Any],
    expected: Mapping[Any, Any],
    what: object = "",
    *,
    rel: float = 1e-9,
    abs_: float = 1e-6,
    may_be_empty: bool = False,
) -> None:
    """Fails as well when the recount says nothing, unless it may be empty."""
    assert found.keys() == expected.keys(), what
    empty = {key for key, value in expected.items() if value is None}
    assert {key for key, value in found.items() if value is None} == empty, what
    numbers = {key: value for key, value in expected.items() if value is not None}
    assert numbers or may_be_empty, f"the recount says nothing: {what}"
    assert {key: found[key] for key in numbers} == pytest.approx(numbers, rel=rel, abs=abs_), what
