"""The file connector: CSV, TSV, Parquet, NDJSON and JSON files as CRM datasets."""

from __future__ import annotations

from crmetrics.plugin import Connector, hookimpl

crmetrics_api_version = 1


@hookimpl
def crmetrics_connectors() -> list[type[Connector]]:
    """The connector `csv`."""
    from crmetrics_csv.connector import CsvConnector

    return [CsvConnector]
