"""Questions about the pack `service` over tables that stand in the test itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crmetrics.engine import Project
from crmetrics.testing.examples import read_example
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
JANUARY = "2026-01"
ANSWERS = "@survey_responses\nid,survey_type,case_id,contact_id,user_id,score,scale_min,scale_max,"


def ask(
    folder: Path,
    text: str,
    kpis: str | list[str],
    *,
    period: str = JANUARY,
    now: datetime = NOW,
    reporting: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    source: str | None = "test",
    **asked: Any,
) -> list[dict[str, Any]]:
    """The result rows of a question over the tables of an example, segments as mappings."""
    write_project(folder, {}, packs=("service",), settings=settings, reporting=reporting)
    load_tables(folder, read_example(text).tables, source=source)
    project = Project(folder, environ={}, now=lambda: now)
    names = [kpis] if isinstance(kpis, str) else kpis
    rows = project.query(names, period=period, **asked).to_pylist()
    for row in rows:
        row["segment"], row["coverage"] = dict(row["segment"]), dict(row["coverage"])
    return rows


def one(rows: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(rows) == 1, rows
    return rows[0]


def by_segment(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {next(iter(row["segment"].values())): row["value"] for row in rows}
