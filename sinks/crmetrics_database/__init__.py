"""The sink `database`: results as rows of a table, one per key, restated in place.

sinks:
  history: {sink: database, url: duckdb:///results.duckdb, table: kpis}
"""

from __future__ import annotations

from collections.abc import Sequence

from crmetrics.plugin import Sink, hookimpl

crmetrics_api_version = 1


@hookimpl
def crmetrics_sinks() -> Sequence[type[Sink]]:
    """The sink `database`."""
    from crmetrics_database.sink import DatabaseSink

    return [DatabaseSink]
