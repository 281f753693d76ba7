"""Connectors for tests: their clock is that of the simulated account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from crmetrics.datasets import canonical_datasets
from crmetrics.plugin import ConnectorContext
from crmetrics.testing import CollectingRequest
from crmetrics_hubspot.api import Timing
from crmetrics_hubspot.connector import HubSpotConnector
from crmetrics_hubspot.options import HubSpotOptions
from simulators.hubspot import HubSpotSimulator
from simulators.service import Clock


def timing(clock: Clock) -> Timing:
    """Waits take no time: they move the clock of the simulated world on."""
    return Timing(
        now=clock, sleep=clock.sleep, clock=lambda: clock().timestamp(), chance=lambda: 0.5
    )


def connector_for(
    service: HubSpotSimulator, *, timezone: str = "UTC", currency: str = "USD", **options: Any
) -> HubSpotConnector:
    options.setdefault("auth", {"token": service.token})
    config = HubSpotOptions(base_url=service.base_url, **options)
    context = ConnectorContext(
        "hs", Path(), timezone=timezone, currency=currency, datasets=canonical_datasets()
    )
    return HubSpotConnector(config, context, timing=timing(service.clock))


def collect(request: CollectingRequest, connector: HubSpotConnector) -> pa.Table:
    return request.collect(connector.read(request))


def rows(connector: HubSpotConnector, dataset: str, **options: Any) -> list[dict[str, Any]]:
    """The records of a dataset, as they come."""
    with CollectingRequest(dataset, **options) as request:
        return collect(request, connector).to_pylist()
