"""The HubSpot connector: an account's records as CRM datasets."""

from __future__ import annotations

from crmetrics.plugin import Connector, hookimpl

crmetrics_api_version = 1


@hookimpl
def crmetrics_connectors() -> list[type[Connector]]:
    """The connector `hubspot`."""
    from crmetrics_hubspot.connector import HubSpotConnector

    return [HubSpotConnector]
