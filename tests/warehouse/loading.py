"""Loads for tests: what a connector would yield and report, as one line per step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from crmetrics.datasets import Dataset, canonical_datasets
from crmetrics.warehouse import EngineSettings, Intake, LoadReport, LoadSession, open_for_load

DATASETS = canonical_datasets()
COLUMNS = ("id", "updated_at", "stage", "amount", "is_deleted")

Step = pa.RecordBatch | Callable[[Intake], object]
"""A batch that the connector yields, or a call that it makes between batches."""


def on(day: int, hour: int = 0) -> datetime:
    """An instant in January 2026."""
    return datetime(2026, 1, day, hour, tzinfo=UTC)


def rows(**columns: Any) -> pa.RecordBatch:
    """One batch from its columns."""
    return pa.record_batch(columns)


def part(name: str) -> Callable[[Intake], object]:
    """The step that begins a part."""
    return lambda intake: intake.begin_part(name)


def gone(name: str) -> Callable[[Intake], object]:
    """The step that drops a part."""
    return lambda intake: intake.drop_part(name)


def open_warehouse(folder: Path, datasets: dict[str, Dataset] | None = None) -> LoadSession:
    settings = EngineSettings(folder / "warehouse.duckdb", threads=1, lock_timeout_s=0)
    return open_for_load(settings, datasets or DATASETS)


def load(
    session: LoadSession,
    *steps: Step,
    columns: tuple[str, ...] = COLUMNS,
    source: str = "crm",
    dataset: str = "opportunities",
    started: datetime | None = None,
    **intake: Any,
) -> LoadReport:
    """Load one read that consists of these steps."""
    read = Intake(columns=columns, started=started or on(10), **intake)

    def batches() -> Iterator[pa.RecordBatch]:
        for step in steps:
            if isinstance(step, pa.RecordBatch):
                yield step
            else:
                step(read)

    return session.load(dataset, source, batches(), read)


def stored(
    session: LoadSession, *columns: str, dataset: str = "opportunities", source: str | None = None
) -> list[tuple[Any, ...]]:
    """These columns of all rows, sorted; instants as text in UTC."""
    shown = ", ".join(
        f"strftime({name} at time zone 'UTC', '%Y-%m-%d %H:%M')" if name.endswith("_at") else name
        for name in columns
    )
    where = "" if source is None else f"where source = '{source}'"
    return session.rows(f"select {shown} from crm.{dataset} {where} order by all")
