"""The hooks of crmetrics: what a plugin may offer and watch. Each `crmetrics_*` hook that offers
something returns a list. Built-in plugins use the same hooks as everyone else's.

    from crmetrics.plugin import hookimpl

    @hookimpl
    def crmetrics_connectors():
        return [MyConnector]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from crmetrics.plugin import Connector, Dataset, MetricPack, Receipt, Sink

if TYPE_CHECKING:
    import pyarrow as pa

hookspec = pluggy.HookspecMarker("crmetrics")


@hookspec
def crmetrics_connectors() -> Sequence[type[Connector]]:  # type: ignore[empty-body]
    """Connector classes: where data comes from."""


@hookspec
def crmetrics_metric_packs() -> Sequence[MetricPack]:  # type: ignore[empty-body]
    """Metric packs: what is computed."""


@hookspec
def crmetrics_sinks() -> Sequence[type[Sink]]:  # type: ignore[empty-body]
    """Sink classes: where results go."""


@hookspec
def crmetrics_datasets() -> Sequence[Dataset]:  # type: ignore[empty-body]
    """Further datasets, or further columns of the canonical ones."""


@hookspec
def crmetrics_commands(cli: Any) -> None:
    """Add click commands to the group `cli`."""


@hookspec
def crmetrics_run_started(run_id: str, job: str) -> None:
    """A run begins."""


@hookspec
def crmetrics_dataset_loaded(run_id: str, source: str, dataset: str, report: Any) -> None:
    """One dataset of one source was committed; `report` has fetched, landed and rejected."""


@hookspec
def crmetrics_kpis_computed(run_id: str, job: str, results: pa.Table) -> None:
    """The results of a job are known; long form, one row per KPI, period and segment."""


@hookspec
def crmetrics_delivered(run_id: str, job: str, sink: str, receipt: Receipt) -> None:
    """A sink delivered."""


@hookspec
def crmetrics_run_finished(
    run_id: str, job: str, exit_code: int, summary: Mapping[str, Any]
) -> None:
    """A run ended, well or not."""
