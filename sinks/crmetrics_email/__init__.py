"""The sink `email`: the report of a job by e-mail, with its chart.

sinks:
  board:
    {sink: email, host: smtp.acme.com, username: reports, password: ${SMTP_PASSWORD},
     from: reports@acme.com, to: [board@acme.com]}
"""

from __future__ import annotations

from collections.abc import Sequence

from crmetrics.plugin import Sink, hookimpl

crmetrics_api_version = 1


@hookimpl
def crmetrics_sinks() -> Sequence[type[Sink]]:
    """The sink `email`."""
    from crmetrics_email.sink import EmailSink

    return [EmailSink]
