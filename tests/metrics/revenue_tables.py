"""Tables made by hand, loaded and asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crmetrics.engine import Project
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project


def ask_tables(
    folder: Path,
    text: str,
    *kpis: str,
    settings: Mapping[str, Any] | None = None,
    reporting: Mapping[str, Any] | None = None,
    without: Mapping[str, str] | None = None,
    **question: Any,
) -> list[dict[str, Any]]:
    """Load an example into a project in `folder` and ask; the period is January 2026 by default.

    without: dataset -> a column that is not delivered.
    """
    write_project(folder, {}, packs=("revenue",), settings=settings, reporting=reporting)
    tables = read_tables(text)
    for dataset, column in (without or {}).items():
        tables[dataset] = tables[dataset].drop_columns([column])
    load_tables(folder, tables)
    project = Project(folder, environ={}, now=lambda: datetime(2030, 1, 1, tzinfo=UTC))
    asked = {"period": "2026-01", **question}
    rows: list[dict[str, Any]] = project.query(kpis, **asked).to_pylist()
    for row in rows:
        row["segment"], row["coverage"] = dict(row["segment"]), dict(row["coverage"])
    return rows


def values(rows: list[dict[str, Any]], dimension: str) -> dict[str, float]:
    """The value of each group."""
    return {row["segment"][dimension]: row["value"] for row in rows}
