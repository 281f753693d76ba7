"""Post the report of a job to a Google Chat space through an incoming webhook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from crmetrics.plugin import Delivery, Message, chat
from crmetrics_google_chat.card import payload


class GoogleChatSink(chat.WebhookSink):
    """One card per job and period. A webhook cannot replace it: figures that have changed are
    posted as a correction into its thread."""

    name = "google_chat"
    Config = chat.WebhookOptions
    service = "Google Chat"

    def payload(self, message: Message) -> dict[str, Any]:
        return payload(message)

    def body(self, delivery: Delivery) -> dict[str, Any]:
        return {**super().body(delivery), "thread": {"threadKey": delivery.key}}

    def params(self, delivery: Delivery) -> Mapping[str, str]:
        # Without it the thread is ignored in silence.
        return {"messageReplyOption": "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"}

    def accepts(self, answer: chat.Answer) -> bool:
        """The message itself comes back; anything else was a proxy's page."""
        try:
            return str(json.loads(answer.text).get("name", "")).startswith("spaces/")
        except (ValueError, AttributeError):
            return '"name": "spaces/' in answer.text or '"name":"spaces/' in answer.text
