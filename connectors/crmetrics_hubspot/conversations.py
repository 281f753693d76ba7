"""Messages of conversations about tickets: when, by whom, and nothing of what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from crmetrics.plugin import ReadRequest
from crmetrics_hubspot.account import Account
from crmetrics_hubspot.tables import batches_of

_AUTHORS = {"A": "agent", "V": "customer", "E": "customer", "S": "system", "I": "bot", "B": "bot",
            "L": "bot"}  # fmt: skip
"""The first letter of an actor's id: agent, visitor, e-mail address, HubSpot, integration, bot."""

_KINDS = frozenset({"MESSAGE", "COMMENT", "WELCOME_MESSAGE"})


def read_messages(account: Account, request: ReadRequest, since: datetime | None) -> Iterator[Any]:
    """The messages of the threads that belong to tickets; comments are for colleagues only.

    since: threads without a message since then are left out; None = all.

    HubSpot gives no message without its text; the texts are dropped as they arrive.
    """
    yield from batches_of(request, _rows(account, since))


def _rows(account: Account, since: datetime | None) -> Iterator[dict[str, Any]]:
    params = {"limit": "500", "association": "TICKET"}
    if since is not None:
        params |= {
            "sort": "latestMessageTimestamp",
            "latestMessageTimestampAfter": since.isoformat(),
        }
    for thread in account.api.items("conversations", "threads", params=params):
        ticket = (thread.get("threadAssociations") or {}).get("associatedTicketId")
        if ticket is None:
            continue
        name = str(thread["id"])
        found = account.api.items(
            "conversations", "threads", name, "messages", params={"limit": "100"}
        )
        for message in found:
            if message.get("type") in _KINDS:
                yield _message(message, str(ticket), account)


def _message(message: Mapping[str, Any], ticket: str, account: Account) -> dict[str, Any]:
    kind, _, person = str(message.get("createdBy") or "").partition("-")
    author = _AUTHORS.get(kind, "system")
    if message.get("direction") == "INCOMING" and author not in ("agent", "bot"):
        author = "customer"
    return {
        "id": str(message["id"]),
        "updated_at": message.get("createdAt"),
        "case_id": ticket,
        "sent_at": message.get("createdAt"),
        "author_type": author,
        "user_id": _owner(account, person) if author == "agent" else None,
        "is_public": message.get("type") != "COMMENT",
    }


def _owner(account: Account, user: str) -> str | None:
    """The owner who is this user; unknown without the scope for owners."""
    return account.owner_of_user.get(user) if account.reaches_owners else None
