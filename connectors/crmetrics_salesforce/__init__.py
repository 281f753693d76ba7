"""The Salesforce connector: a Sales or Service Cloud org as CRM datasets."""

from __future__ import annotations

from crmetrics.plugin import Connector, hookimpl

crmetrics_api_version = 1


@hookimpl
def crmetrics_connectors() -> list[type[Connector]]:
    """The connector `salesforce`."""
    from crmetrics_salesforce.connector import SalesforceConnector

    return [SalesforceConnector]
