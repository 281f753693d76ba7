"""The sink `files`: results and reports as files that are always whole.

sinks:
  reports: {sink: files, path: reports, formats: [csv, html]}
"""

from __future__ import annotations

from collections.abc import Sequence

from crmetrics.plugin import Sink, hookimpl

crmetrics_api_version = 1


@hookimpl
def crmetrics_sinks() -> Sequence[type[Sink]]:
    """The sink `files`."""
    from crmetrics_files.sink import FilesSink

    return [FilesSink]
