"""The sink `slack`: the report of a job as one message in a channel.

sinks:
  team: {sink: slack, webhook_url: ${SLACK_WEBHOOK_URL}}
  bot: {sink: slack, token: ${SLACK_BOT_TOKEN}, channel: C0123456789}
"""

from __future__ import annotations

from collections.abc import Sequence

from crmetrics.plugin import Sink, hookimpl

crmetrics_api_version = 1


@hookimpl
def crmetrics_sinks() -> Sequence[type[Sink]]:
    """The sink `slack`."""
    from crmetrics_slack.sink import SlackSink

    return [SlackSink]
