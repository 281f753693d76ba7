"""Messages of conversations about tickets: when, by whom, and nothing of what they say.

Each thread is a call of its own, so a thread is read again only when it has a new message or
belongs to another ticket. The rows of what a killed run had read are kept beside the warehouse.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crmetrics.plugin import ReadRequest, SourceStorage
from crmetrics_hubspot.account import Account
from crmetrics_hubspot.tables import batches_of

_AUTHORS = {"A": "agent", "V": "customer", "E": "customer", "S": "system", "I": "bot", "B": "bot",
            "L": "bot"}  # fmt: skip
"""The first letter of an actor's id: agent, visitor, e-mail address, HubSpot, integration, bot."""

_KINDS = frozenset({"MESSAGE", "COMMENT", "WELCOME_MESSAGE"})
_OVERLAP = timedelta(minutes=15)
_FEW = 10
"""Threads that are read again rather than kept."""

_LONGEST_LIFE = timedelta(days=3)
Row = dict[str, Any]


@dataclass
class Progress:
    """What is known of the threads from the last read.

    threads: thread -> what it looked like (`_mark`). listed: when all were last gone through;
    until: when the last read began.
    """

    threads: dict[str, str] = field(default_factory=dict)
    listed: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, request: ReadRequest) -> Progress:
        told: Any = {} if request.is_full else request.state.get("conversations") or {}
        listed, until = told.get("listed"), told.get("until")
        return cls(
            dict(told.get("threads") or {}),
            datetime.fromisoformat(listed) if listed else None,
            datetime.fromisoformat(until) if until else None,
        )

    def state(self) -> dict[str, Any]:
        return {
            "threads": self.threads,
            "listed": self.listed.isoformat() if self.listed else None,
            "until": self.until.isoformat() if self.until else None,
        }


class Conversations:
    """The messages of the threads that belong to tickets; comments are for colleagues only.

    HubSpot gives no message without its text; the texts are dropped as they arrive.
    """

    def __init__(self, account: Account, request: ReadRequest, storage: SourceStorage) -> None:
        self._account, self._request = account, request
        self._log = storage.pages("case_messages-threads")
        self._progress = Progress.of(request)

    def batches(self) -> Iterator[Any]:
        """A batch per thread that is new or has changed; a part of the dataset each."""
        before, started = self._progress, self._request.started
        is_all = self._account.config.is_walk_due(before.listed, started)
        marks = {} if is_all else dict(before.threads)
        tickets: dict[str, str] = {}
        for thread in self._listed(None if is_all else before.until):
            name, ticket = str(thread["id"]), _ticket_of(thread)
            if ticket is None:
                marks.pop(name, None)
                continue
            marks[name] = _mark(thread, ticket)
            if before.threads.get(name) != marks[name]:
                tickets[name] = ticket
        yield from self._read(tickets, marks)
        for name in before.threads.keys() - marks.keys():
            self._request.drop_part(_part(name))
        self._progress = Progress(marks, started if is_all else before.listed, started)

    def state(self) -> dict[str, Any]:
        """To be saved once all is read."""
        return {"conversations": self._progress.state()}

    def done(self) -> None:
        """The dataset is loaded: what was kept of it is no longer needed."""
        self._log.delete()

    def _listed(self, since: datetime | None) -> Iterator[dict[str, Any]]:
        """All threads, or those with a message since then."""
        params = {"limit": "500", "association": "TICKET"}
        if since is not None:
            after = (since - _OVERLAP).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            params |= {"sort": "latestMessageTimestamp", "latestMessageTimestampAfter": after}
        return self._account.api.items("conversations", "threads", params=params)

    # --- messages ------------------------------------------------------------------------------

    def _read(self, tickets: dict[str, str], marks: Mapping[str, str]) -> Iterator[Any]:
        left = dict(tickets)
        for name, rows in self._kept(marks):
            if left.pop(name, None) is not None:
                yield from self._batch(name, rows)
        is_kept = len(left) > _FEW or len(left) < len(tickets)
        if is_kept and len(left) == len(tickets):
            self._log.begin({"of": self._of, "began": self._request.started.isoformat()})
        for name, ticket in left.items():
            rows = self._messages(name, ticket)
            if is_kept:
                self._log.append(json.dumps(rows).encode(), f"{name} {marks[name]}")
            yield from self._batch(name, rows)

    def _batch(self, name: str, rows: list[Row]) -> Iterator[Any]:
        self._request.begin_part(_part(name))
        yield from batches_of(self._request, rows)

    def _kept(self, marks: Mapping[str, str]) -> Iterator[tuple[str, list[Row]]]:
        """The rows of threads that a killed run had read, as far as they look the same now."""
        note = self._log.note
        if note.get("of") != self._of:
            return
        if self._request.started - datetime.fromisoformat(note["began"]) > _LONGEST_LIFE:
            return
        for body, position in self._log.kept():
            name, _, mark = position.partition(" ")
            if marks.get(name) == mark:
                yield name, json.loads(body)

    @property
    def _of(self) -> str:
        return f"{self._account.api.version} 1 {self._account.portal}"

    def _messages(self, name: str, ticket: str) -> list[Row]:
        found = self._account.api.items(
            "conversations", "threads", name, "messages", params={"limit": "100"}
        )
        return [
            _message(item, ticket, self._account) for item in found if item.get("type") in _KINDS
        ]


def _part(thread: str) -> str:
    return f"thread-{thread}"


def _ticket_of(thread: Mapping[str, Any]) -> str | None:
    ticket = (thread.get("threadAssociations") or {}).get("associatedTicketId")
    return None if ticket is None else str(ticket)


def _mark(thread: Mapping[str, Any], ticket: str) -> str:
    """Changes with each message, and with the ticket."""
    told = f"{thread.get('latestMessageTimestamp')} {ticket}"
    return f"{zlib.crc32(told.encode()):08x}"


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
