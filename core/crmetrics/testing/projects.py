"""Tables as a project: files with a project file beside them, or rows in its warehouse."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmetrics.datasets import Dataset, canonical_datasets

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.warehouse.intake import LoadReport

_LOADED_AT = datetime(2000, 1, 1, tzinfo=UTC)


def write_project(
    directory: str | Path,
    tables: Mapping[str, pa.Table],
    *,
    packs: Sequence[str] = ("sales",),
    settings: Mapping[str, Any] | None = None,
    reporting: Mapping[str, Any] | None = None,
    source: str = "test",
    sections: Mapping[str, Any] | None = None,
) -> Path:
    """A project whose source `source` reads these tables (dataset -> rows); returns its folder.

    Without tables it has no source, for `load_tables` to fill its warehouse.
    reporting: beside the defaults UTC and USD. settings: `metrics.settings`. sections: further
    sections of the project file (`goals`, `sinks`, `jobs`, ...) as plain values.
    """
    import pyarrow.parquet as pq

    folder = Path(directory)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        # The engine sets `source`: a file that brings its own would be read as another's.
        names = [column for column in table.column_names if column != "source"]
        pq.write_table(table.select(names), folder / "data" / f"{name}.parquet")
    document = {
        "version": 1,
        "project": "test",
        "reporting": {"timezone": "UTC", "currency": "USD", **(reporting or {})},
        "sources": {source: {"connector": "csv", "path": "data"}} if tables else {},
        "metrics": {"packs": list(packs), "settings": dict(settings or {})},
        **(sections or {}),
    }
    # JSON is YAML; a date or a path in a section becomes its text.
    text = json.dumps(document, indent=2, default=str, ensure_ascii=False)
    (folder / "crmetrics.yaml").write_text(text + "\n", encoding="utf-8")
    return folder


def load_tables(
    project_dir: str | Path,
    tables: Mapping[str, pa.Table],
    *,
    source: str | None = "test",
    datasets: Mapping[str, Dataset] | None = None,
    covers_from: date | None = None,
    loaded_at: datetime = _LOADED_AT,
) -> list[LoadReport]:
    """Put tables (dataset -> rows) into the warehouse of a project, as a source delivered them.

    source: who delivered; None = the column `source` of each row says it. Rows that the source gave
    of these datasets before leave. Columns that a table lacks are not delivered. covers_from: first
    day from which the source is complete. The project file is not read: the warehouse is the
    default one, `.crmetrics/warehouse.duckdb`.
    Raises SourceError for an unknown column, a missing key or a value that does not fit.
    """
    from crmetrics.warehouse.connection import EngineSettings
    from crmetrics.warehouse.intake import Intake
    from crmetrics.warehouse.load import open_for_load

    known = canonical_datasets() if datasets is None else datasets
    path = Path(project_dir) / ".crmetrics" / "warehouse.duckdb"
    path.parent.mkdir(parents=True, exist_ok=True)
    reports = []
    with open_for_load(EngineSettings(path), known) as session:
        for name, table in tables.items():
            for giver, rows in _by_source(table, source):
                intake = Intake(
                    columns=_in_order(known[name], rows.column_names),
                    started=loaded_at,
                    replaces=True,
                    covers_from=covers_from,
                )
                reports.append(session.load(name, giver, iter(rows.to_batches()), intake))
    return reports


def _by_source(table: pa.Table, source: str | None) -> Iterator[tuple[str, pa.Table]]:
    """(source, its rows without the column `source`)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if source is not None:
        has_column = "source" in table.column_names
        yield source, table.drop_columns(["source"]) if has_column else table
        return
    for giver in pc.unique(table["source"]).to_pylist():
        own = table.filter(pc.equal(table["source"], pa.scalar(giver, pa.string())))
        yield str(giver), own.drop_columns(["source"])


def _in_order(dataset: Dataset, columns: Iterable[str]) -> tuple[str, ...]:
    delivered = set(columns)
    known = tuple(name for name in dataset.column_names if name in delivered)
    # Unknown ones stay in, so that the load refuses them with its own message.
    return (*known, *sorted(delivered - set(known)))
