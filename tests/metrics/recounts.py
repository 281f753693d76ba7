"""How a test says which KPIs it recounts by month, and by which dimensions.

`test_every_kpi_is_recounted.py` reads it off the tests themselves: what a test is run with is what
it compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import pytest

from crmetrics.engine import Project
from metrics.comparing import by_kpi

Values = dict[tuple[Any, ...], float | None]
"""(first day of the month, group of each dimension) -> value."""

Table = Mapping[str, Iterable[str]]
"""Dimensions ("" = in total, "stage, pipeline" = crossed) -> KPIs and variants."""


def recounted(table: Table) -> pytest.MarkDecorator:
    """Runs a test for each `kpi` and `by` of the table; it compares every month of the sample."""
    pairs = [(kpi, by) for by, kpis in table.items() for kpi in kpis]
    return pytest.mark.parametrize(
        ("kpi", "by"), pairs, ids=[f"{kpi} by {by}" if by else kpi for kpi, by in pairs]
    )


def recounts_of(test: Any) -> list[tuple[str, str]]:
    """The (kpi, by) that a test function is run with."""
    found: list[tuple[str, str]] = []
    for mark in getattr(test, "pytestmark", ()):
        if mark.name == "parametrize" and mark.args[0] == ("kpi", "by"):
            found += mark.args[1]
    return found


def together(*tables: Table) -> dict[str, list[str]]:
    """The KPIs of all tables by their dimensions."""
    found: dict[str, list[str]] = {}
    for table in tables:
        for by, kpis in table.items():
            found.setdefault(by, []).extend(kpis)
    return found


def dimensions(by: str) -> list[str]:
    return [name.strip() for name in by.split(",") if name.strip()]


class Answers:
    """What a project answers for each month, asked once for all KPIs of a set of dimensions."""

    def __init__(self, project: Project, start: date, end: date, table: Table, **question: Any):
        self._project, self._table = project, table
        self._question = {"start": start, "end": end, "grain": "month", **question}
        self._known: dict[str, dict[str, dict[Any, Any]]] = {}

    def of(self, kpi: str, by: str = "") -> Values:
        if by not in self._known:
            self._known[by] = self._ask(by)
        return self._known[by].get(kpi, {})

    def _ask(self, by: str) -> dict[str, dict[Any, Any]]:
        names = dimensions(by)
        rows = self._project.query(list(self._table[by]), by=names, **self._question).to_pylist()
        for row in rows:
            row["segment"] = dict(row["segment"])
        # A month without any group of its own has a row without one.
        kept = [row for row in rows if all(name in row["segment"] for name in names)]
        return by_kpi(kept, lambda r: (r["period_start"], *(r["segment"][n] for n in names)))


def known(values: Mapping[Any, Any]) -> dict[Any, Any]:
    """Without nulls: what is not to be had in a group may also be a row that is absent."""
    return {key: value for key, value in values.items() if value is not None}
