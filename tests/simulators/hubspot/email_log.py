"""The log of marketing e-mail events, an old API (v1) that has no dated path.

Known from HubSpot's documentation of the e-mail events API (v1): the path, its scope (`content`),
parameters and their bounds, both of them inclusive; newest first; `offset` as an opaque token, good
for a short while and for the same query; `hasMore`; that an event has an id, `created` in
milliseconds, a type, the recipient, the e-mail campaign, `sentBy`, `causedBy` and `obsoletedBy`.
Known from a report of its answers: the types, and the words that refuse another one. Known from
recorded events: `filteredEvent`, `category` and `status` of bounces, and a status change that says
`portalSubscriptionStatus: UNSUBSCRIBED`, `source: SOURCE_RECIPIENT` and no subscriptions.
Known from HubSpot's reference and from published extracts: what it tells of one e-mail, whose
`type` has the words of the list of marketing e-mails (`AUTOMATED_EMAIL`) and is missing for some.
Assumed: that it tells of an e-mail that was deleted, that an unknown parameter is refused, how long
a token is good, that the log keeps all of its events, and the answer of the list of e-mail
campaigns beside the ids.
"""

from __future__ import annotations

import base64
import json
import uuid
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from simulators.hubspot.errors import Refusal, correlation_id, invalid, not_found
from simulators.hubspot.records import milliseconds
from simulators.messages import Answer, Call

KINDS = ("DROPPED", "UNBOUNCE", "STATUSCHANGE", "DELIVERED", "FORWARD", "BOUNCE", "REPLY", "PRINT",
         "PROCESSED", "UNSUBSCRIBED", "SUPPRESSED", "CLICK_ON_IDENTIFIED_LINK", "SENT", "SELECTED",
         "SPAMREPORT", "OPT_IN_CHANGE", "DEFERRED", "ERROR", "OPEN", "MTA_DROPPED",
         "CLICK")  # fmt: skip
LARGEST_PAGE, DEFAULT_PAGE = 1_000, 10
TOKEN_LIFE = timedelta(minutes=10)
_PARAMETERS = frozenset({"appId", "campaignId", "recipient", "eventType", "startTimestamp",
                         "endTimestamp", "offset", "limit", "excludeFilteredEvents"})  # fmt: skip

Event = dict[str, Any]


class EmailLog:
    """The events of one account. portal: its number. is_ended: HubSpot has switched it off.
    page_cap: pages of events are no longer than this, whatever is asked for. campaigns: e-mails
    that the list of them names. types: of e-mails; None = HubSpot does not tell it."""

    def __init__(self, portal: int, clock: Callable[[], datetime]) -> None:
        self.portal, self._clock = portal, clock
        self.is_ended = False
        self.page_cap = LARGEST_PAGE
        self.campaigns: list[str] = []
        self.types: dict[str, str | None] = {}
        self._events: dict[str, list[tuple[int, str, Event]]] = {}

    def add(
        self, kind: str, recipient: str, campaign: str, at: datetime, *,
        of: Event | None = None, **more: Any,
    ) -> Event:  # fmt: skip
        """A further event. of: the send that it belongs to."""
        event: Event = {
            "id": str(uuid.UUID(int=uuid.uuid5(uuid.NAMESPACE_OID, f"{len(self)}").int)),
            "created": milliseconds(at),
            "type": kind,
            "recipient": recipient,
            "portalId": self.portal,
            "appId": 113,
            "appName": "Batch",
            "emailCampaignId": int(campaign),
            "userAgent": "a browser",
            "location": {"city": "a city"},
            **more,
        }
        if of is not None:
            event["sentBy"] = {"id": of["id"], "created": of["created"]}
        insort(self._events.setdefault(kind, []), (event["created"], event["id"], event))
        if campaign not in self.campaigns:
            self.campaigns.append(campaign)
        return event

    def __len__(self) -> int:
        return sum(map(len, self._events.values()))

    def of_kind(self, kind: str) -> list[Event]:
        return [event for _, _, event in self._events.get(kind, [])]

    # --- answers -------------------------------------------------------------------------------

    def events(self, call: Call) -> Answer:
        """Events of a query, newest first."""
        asked = call.query
        unknown = sorted(set(asked) - _PARAMETERS)
        if unknown:
            raise invalid(f"unknown parameter {unknown[0]}")
        kind = asked.get("eventType")
        if kind is not None and kind not in KINDS:
            raise _no_kind(kind)
        limit = _number(asked, "limit", DEFAULT_PAGE)
        if not 1 <= limit <= LARGEST_PAGE:
            raise invalid(f"limit must be between 1 and {LARGEST_PAGE}")
        limit = min(limit, self.page_cap)
        first = _number(asked, "startTimestamp", 0)
        last = _number(asked, "endTimestamp", milliseconds(self._clock()))
        query = {name: text for name, text in asked.items() if name not in ("offset", "limit")}
        start = self._opened(asked["offset"], query) if asked.get("offset") else 0
        found = self._found(kind, first, last, asked)
        page = found[start : start + limit]
        has_more = start + limit < len(found)
        offset = self._sealed(start + limit, query)
        return Answer.json({"hasMore": has_more, "offset": offset, "events": page})

    def _found(self, kind: str | None, first: int, last: int, asked: dict[str, str]) -> list[Event]:
        kinds = KINDS if kind is None else (kind,)
        rows = [
            row
            for name in kinds
            for row in self._between(self._events.get(name, []), first, last)
        ]  # fmt: skip
        if len(kinds) > 1:
            rows.sort(key=lambda row: row[:2])
        found = [event for _, _, event in reversed(rows)]
        if asked.get("excludeFilteredEvents") == "true":
            found = [event for event in found if not event.get("filteredEvent")]
        for name, member in (("recipient", "recipient"), ("campaignId", "emailCampaignId")):
            if name in asked:
                found = [event for event in found if str(event[member]) == asked[name]]
        return found

    @staticmethod
    def _between(
        rows: list[tuple[int, str, Event]], first: int, last: int
    ) -> list[tuple[int, str, Event]]:
        start = bisect_left(rows, first, key=lambda row: row[0])
        return rows[start : bisect_right(rows, last, key=lambda row: row[0])]

    def by_id(self, call: Call) -> Answer:
        """The ids of all e-mail campaigns, in no particular order."""
        limit = _number(call.query, "limit", DEFAULT_PAGE)
        if not 1 <= limit <= LARGEST_PAGE:
            raise invalid(f"limit must be between 1 and {LARGEST_PAGE}")
        query = {name: text for name, text in call.query.items() if name == "portal"}
        start = self._opened(call.query["offset"], query) if call.query.get("offset") else 0
        rows = [
            {"id": int(name), "lastUpdatedTime": 1_700_000_000_000, "appId": 113, "appName": "x"}
            for name in reversed(self.campaigns)
        ]
        return Answer.json(
            {
                "hasMore": start + limit < len(rows),
                "offset": self._sealed(start + limit, query),
                "campaigns": rows[start : start + limit],
            }
        )

    def answer(self, call: Call, name: str) -> Answer:
        """The list of e-mail campaigns, or one of them."""
        return self.by_id(call) if name == "by-id" else self._one(name)

    def _one(self, name: str) -> Answer:
        """What is told of one e-mail that something was sent of."""
        if not any(str(event["emailCampaignId"]) == name for event in self.of_kind("SENT")):
            raise not_found()
        told: Event = {
            "appId": 113,
            "appName": "Batch",
            "contentId": 1_000 + int(name),
            "counters": {"sent": 1},
            "id": int(name),
            "name": "A name",
            "numIncluded": 1,
            "numQueued": 1,
            "subject": "A text",
        }
        kind = self.types.get(name, "BATCH_EMAIL")
        return Answer.json(told if kind is None else {**told, "type": kind})

    # --- tokens --------------------------------------------------------------------------------

    def _sealed(self, position: int, query: dict[str, str]) -> str:
        told = [position * 7, sorted(query.items()), self._clock().isoformat()]
        return base64.urlsafe_b64encode(json.dumps(told).encode()).decode()

    def _opened(self, token: str, query: dict[str, str]) -> int:
        try:
            position, of, made = json.loads(base64.urlsafe_b64decode(token))
        except ValueError:
            raise invalid("invalid offset") from None
        if of != [list(pair) for pair in sorted(query.items())]:
            raise invalid("the offset is of another query")
        if self._clock() - datetime.fromisoformat(made) > TOKEN_LIFE:
            raise invalid("the offset has expired")
        return int(position) // 7


def _number(asked: dict[str, str], name: str, otherwise: int) -> int:
    text = asked.get(name, str(otherwise))
    if not text.isdigit():
        raise invalid(f"{name} must be a number")
    return int(text)


def _no_kind(kind: str) -> Refusal:
    message = (
        "Invalid input JSON on line -1, column -1: Cannot deserialize value of type "
        f'`com.hubspot.email.events.EventType` from String "{kind}": not one of the values '
        f"accepted for Enum class: [{', '.join(KINDS)}]"
    )
    body = {"status": "error", "message": message, "correlationId": correlation_id()}
    return Refusal(Answer.json(body, 400))
