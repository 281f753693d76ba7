"""The suite that every connector passes, over the generated CRM."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.hubspot.connecting import connector_for
from crmetrics.testing import ConnectorContract, SampleCrm
from simulators.hubspot import HubSpotSimulator, Limits
from simulators.hubspot.sample import serve_sample, source_section

TOKEN = "pat-na1-simulated-0001"


@pytest.fixture(scope="class")
def sample() -> Iterator[HubSpotSimulator]:
    limits = Limits(per_ten_s=1_000_000, searches_per_s=1_000_000, per_day=None)
    with HubSpotSimulator(limits=limits) as service:
        crm = SampleCrm(scale=0.05)
        service.clock.now = crm.exported_at
        serve_sample(service.account, crm)
        # One call each: a few tell as much as many.
        for few in (service.account.threads, service.account.campaigns):
            for name in list(few)[8:]:
                del few[name]
        yield service


class TestHubSpotConnector(ConnectorContract):
    secrets = (TOKEN,)

    @pytest.fixture
    def connector_factory(self, sample: HubSpotSimulator):
        section = source_section(sample.base_url, TOKEN)
        # Without `columns:`, which the suite does not hand on.
        del section["connector"], section["base_url"], section["datasets"]
        return lambda: connector_for(sample, **section)

    @pytest.fixture
    def broken_factory(self, sample: HubSpotSimulator):
        return lambda: connector_for(sample, auth={"token": "pat-na1-simulated-revoked"})
