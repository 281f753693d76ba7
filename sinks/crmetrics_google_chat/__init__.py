"""The sink `google_chat`: the report of a job as a card in a Google Chat space.

sinks:
  space: {sink: google_chat, webhook_url: ${GOOGLE_CHAT_WEBHOOK_URL}}
"""

from __future__ import annotations

from collections.abc import Sequence

from crmetrics.plugin import Sink, hookimpl

crmetrics_api_version = 1


@hookimpl
def crmetrics_sinks() -> Sequence[type[Sink]]:
    """The sink `google_chat`."""
    from crmetrics_google_chat.sink import GoogleChatSink

    return [GoogleChatSink]
