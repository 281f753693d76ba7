"""The sink `webhook`: the report of a job as signed JSON to an address of yours.

sinks:
  hub: {sink: webhook, url: ${HUB_URL}, secret: ${HUB_SECRET}}
"""

from __future__ import annotations

from collections.abc import Sequence

from crmetrics.plugin import Sink, hookimpl

crmetrics_api_version = 1


@hookimpl
def crmetrics_sinks() -> Sequence[type[Sink]]:
    """The sink `webhook`."""
    from crmetrics_webhook.sink import WebhookSink

    return [WebhookSink]
