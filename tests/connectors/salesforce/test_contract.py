"""The connector keeps the contract of connectors, over a simulated org with every object."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from connectors.salesforce.orgs import connector_to, fill
from crmetrics.plugin import Connector
from crmetrics.testing import ConnectorContract
from simulators.salesforce import SalesforceSimulator


@pytest.fixture(scope="module")
def org() -> Iterator[SalesforceSimulator]:
    with SalesforceSimulator(is_multi_currency=True) as simulator:
        fill(simulator.org)
        yield simulator


class TestContract(ConnectorContract):
    secrets = ("simulatedConsumerSecret0001", "a-wrong-secret-value")

    @pytest.fixture
    def connector_factory(self, org: SalesforceSimulator) -> Callable[[], Connector]:
        return lambda: connector_to(org, lead_statuses={"qualified": "mql"})

    @pytest.fixture
    def broken_factory(self, org: SalesforceSimulator) -> Callable[[], Connector]:
        auth = {
            "flow": "client_credentials",
            "client_id": org.login.app.client_id,
            "client_secret": "a-wrong-secret-value",
        }
        return lambda: connector_to(org, auth=auth)
