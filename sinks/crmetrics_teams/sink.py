"""Post the report of a job to Microsoft Teams through a workflow."""

from __future__ import annotations

from typing import Any

from crmetrics.plugin import Message, chat
from crmetrics_teams.card import payload


class TeamsSink(chat.WebhookSink):
    """One Adaptive Card per job and period, through a workflow "When a Teams webhook request is
    received". Teams cannot replace a card: figures that have changed are posted as a correction.

    The workflow belongs to a person: give it co-owners, or it ends when that person leaves.
    """

    name = "teams"
    Config = chat.WebhookOptions
    service = "Teams"
    gone = (
        "the workflow is gone, switched off, or its owner has left. Make a new one and set its "
        "address as webhook_url."
    )

    def payload(self, message: Message) -> dict[str, Any]:
        return payload(message)
