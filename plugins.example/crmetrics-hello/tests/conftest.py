"""The simulated Hello CRM as a fixture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hello_crm import HelloCrm


@pytest.fixture
def crm() -> Iterator[HelloCrm]:
    server = HelloCrm()
    yield server
    server.close()
