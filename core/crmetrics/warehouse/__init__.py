"""The warehouse: an embedded DuckDB file. The only room of core that knows DuckDB.

Writing: `open_for_load` gives a `LoadSession`. Computing: `open_for_compute` gives a
`ComputeSession`, read-only and locked down. One process may write at a time; while it does, no
other process can read.
"""

from __future__ import annotations

from crmetrics.warehouse.compute import ComputeSession, open_for_binding, open_for_compute
from crmetrics.warehouse.connection import Connection, EngineSettings
from crmetrics.warehouse.derived import ViewSettings
from crmetrics.warehouse.intake import Intake, LoadReport
from crmetrics.warehouse.inventory import DatasetHoldings, Inventory, SourceHoldings
from crmetrics.warehouse.load import LoadSession, open_for_load
from crmetrics.warehouse.registry import SyncState

__all__ = [
    "ComputeSession",
    "Connection",
    "DatasetHoldings",
    "EngineSettings",
    "Intake",
    "Inventory",
    "LoadReport",
    "LoadSession",
    "SourceHoldings",
    "SyncState",
    "ViewSettings",
    "open_for_binding",
    "open_for_compute",
    "open_for_load",
]
