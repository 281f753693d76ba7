"""Hello CRM as a source of crmetrics."""

from __future__ import annotations

from crmetrics.plugin import Connector, hookimpl
from crmetrics_hello.connector import HelloConnector

__all__ = ["HelloConnector", "crmetrics_connectors"]

# The version of the plugin API that this was written for; crmetrics refuses any other.
crmetrics_api_version = 1


@hookimpl
def crmetrics_connectors() -> list[type[Connector]]:
    return [HelloConnector]
