"""A simulated org, and connectors to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.salesforce.orgs import Connect, Quick, connector_to
from connectors.salesforce.sites import Site
from simulators.salesforce import SalesforceSimulator


@pytest.fixture
def salesforce() -> Iterator[SalesforceSimulator]:
    with SalesforceSimulator() as simulator:
        yield simulator


@pytest.fixture
def connect(salesforce: SalesforceSimulator) -> Iterator[Connect]:
    """A function that makes connectors to the org; they are closed at the end."""
    made: list[Quick] = []

    def make(**options: Any) -> Quick:
        made.append(connector_to(salesforce, **options))
        return made[-1]

    yield make
    for connector in made:
        connector.close()


@pytest.fixture
def site(tmp_path: Path, salesforce: SalesforceSimulator) -> Site:
    """A project over the org."""
    return Site(tmp_path / "acme", salesforce)
