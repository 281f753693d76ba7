"""The testing kit: a sample CRM with known answers, worked examples, contracts for plugins.

For tests of connectors, sinks and packs:

    ConnectorContract, SinkContract, PackContract   base classes of a plugin's tests (need pytest)
    CollectingRequest                               a read request in memory
    sample_delivery, empty_delivery                 what a sink is given
    read_tables, read_example_file                  worked examples as tables and expected values
    write_project, load_tables                      tables as a project, or in its warehouse

For tests of everything, demos and benchmarks:

    SampleCrm                                       a believable CRM and the figures it must give
    write_demo                                      the demo project in a folder

Everything is imported on first use; only the contracts need pytest.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crmetrics.testing.contracts.connector import ConnectorContract
    from crmetrics.testing.contracts.pack import PackContract
    from crmetrics.testing.contracts.sink import SinkContract
    from crmetrics.testing.data import SampleCrm
    from crmetrics.testing.deliveries import (
        empty_delivery,
        results_table,
        sample_delivery,
        sample_message,
    )
    from crmetrics.testing.demo import write_demo
    from crmetrics.testing.examples import Example, Expectation, read_example_file, read_tables
    from crmetrics.testing.projects import load_tables, write_project
    from crmetrics.testing.request import CollectingRequest

__all__ = [
    "CollectingRequest",
    "ConnectorContract",
    "Example",
    "Expectation",
    "PackContract",
    "SampleCrm",
    "SinkContract",
    "empty_delivery",
    "load_tables",
    "read_example_file",
    "read_tables",
    "results_table",
    "sample_delivery",
    "sample_message",
    "write_demo",
    "write_project",
]

_HOMES: Mapping[str, str] = {
    "CollectingRequest": "request",
    "ConnectorContract": "contracts.connector",
    "PackContract": "contracts.pack",
    "SinkContract": "contracts.sink",
    "SampleCrm": "data",
    "write_demo": "demo",
    **dict.fromkeys(("Example", "Expectation", "read_example_file", "read_tables"), "examples"),
    **dict.fromkeys(("load_tables", "write_project"), "projects"),
    **dict.fromkeys(
        ("empty_delivery", "results_table", "sample_delivery", "sample_message"), "deliveries"
    ),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"crmetrics.testing.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'crmetrics.testing' has no attribute {name!r}")
