"""A simulated account, and a connector whose clock is that of the account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.hubspot.connecting import connector_for
from crmetrics_hubspot.connector import HubSpotConnector
from simulators.hubspot import HubSpotSimulator, Limits


@pytest.fixture
def service() -> Iterator[HubSpotSimulator]:
    with HubSpotSimulator() as started:
        yield started


@pytest.fixture
def unlimited() -> Iterator[HubSpotSimulator]:
    """Without rate limits: for what takes many calls."""
    limits = Limits(per_ten_s=None, searches_per_s=None, per_day=None)
    with HubSpotSimulator(limits=limits) as started:
        yield started


Connect = Callable[..., HubSpotConnector]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes connectors that are closed at the end."""
    made: list[HubSpotConnector] = []

    def make(service: HubSpotSimulator, **options: Any) -> HubSpotConnector:
        made.append(connector_for(service, **options))
        return made[-1]

    yield make
    for connector in made:
        connector.close()
