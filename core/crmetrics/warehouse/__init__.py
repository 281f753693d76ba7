"""The warehouse: an embedded DuckDB file. The only room of core that knows DuckDB.

Writing: `open_for_load` gives a `LoadSession`. Computing: `open_for_compute` gives a
`ComputeSession`, read-only and locked down. One process may write at a time; while it does, no
other process can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES: Mapping[str, str] = {
    name: module
    for module, names in {
        "crmetrics.warehouse.compute": (
            "ComputeSession",
            "open_for_binding",
            "open_for_compute",
        ),
        "crmetrics.warehouse.connection": (
            "Connection",
            "EngineSettings",
        ),
        "crmetrics.warehouse.derived": ("ViewSettings",),
        "crmetrics.warehouse.intake": (
            "Intake",
            "LoadReport",
        ),
        "crmetrics.warehouse.inventory": (
            "DatasetHoldings",
            "Inventory",
            "SourceHoldings",
        ),
        "crmetrics.warehouse.load": (
            "LoadSession",
            "open_for_load",
        ),
        "crmetrics.warehouse.registry": ("SyncState",),
    }.items()
    for name in names
}


def __getattr__(name: str) -> Any:
    """Each name on first use: what loads is not needed to answer a question."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
