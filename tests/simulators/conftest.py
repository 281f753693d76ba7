"""A simulated Salesforce and a client of plain requests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulators.salesforce import SalesforceSimulator
from simulators.salesforce_client import Client


@pytest.fixture
def salesforce() -> Iterator[SalesforceSimulator]:
    with SalesforceSimulator() as simulator:
        yield simulator


@pytest.fixture
def client(salesforce: SalesforceSimulator) -> Iterator[Client]:
    client = Client(salesforce)
    yield client
    client.session.close()
