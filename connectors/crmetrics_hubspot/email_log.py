"""The log of marketing e-mail events: who was sent what, and what became of it.

It is an old API (v1) in both generations of paths, without a successor so far, and names people by
their addresses. It gives one type of event at a time, the newest first, and pages by an opaque
token that lives shortly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crmetrics.plugin import SourceError, http
from crmetrics_hubspot.api import HubSpotApi

PAGE = 1_000
SENT, STATUS_CHANGE = "SENT", "STATUSCHANGE"
TYPES: Mapping[str, str] = {
    "delivered_at": "DELIVERED",
    "bounced_at": "BOUNCE",
    "opened_at": "OPEN",
    "clicked_at": "CLICK",
    "unsubscribed_at": STATUS_CHANGE,
    "complained_at": "SPAMREPORT",
}
"""Column -> the type of event whose first occurrence fills it."""

_BY_PEOPLE = frozenset({"OPEN", "CLICK"})
"""Types in which HubSpot marks what bots and colleagues did."""

_USED = ("id", "created", "recipient", "emailCampaignId", "sentBy", "causedBy", "status",
         "category", "bounced", "source", "subscriptions", "portalSubscriptionStatus",
         "requestedBy")  # fmt: skip
"""Members that are looked at; browsers, places and subjects are dropped as they arrive."""

_END_MS = 253_370_764_800_000
"""The year 9999: what is later stands for never."""

Event = Mapping[str, Any]


class EmailLog:
    """Pages of the log. Instants are milliseconds since 1970; both ends of a span belong to it."""

    def __init__(self, api: HubSpotApi) -> None:
        self._api = api

    def pages(self, kind: str, first: int, last: int) -> Iterator[tuple[list[Event], bool]]:
        """The events of a type in [first, last], newest first, and whether there are more."""
        params = {"eventType": kind, "endTimestamp": str(last)}
        if first > 0:
            params["startTimestamp"] = str(first)
        if kind in _BY_PEOPLE:
            params["excludeFilteredEvents"] = "true"
        for page, has_more in legacy_pages(self._api, "email_events", of="events", params=params):
            yield [_trimmed(event) for event in page if counts(event)], has_more

    def events(self, kind: str, first: int, last: int) -> Iterator[list[Event]]:
        """All pages of a type."""
        return (page for page, _ in self.pages(kind, first, last))


def legacy_pages(
    api: HubSpotApi, area: str, *rest: str, of: str, params: Mapping[str, str]
) -> Iterator[tuple[list[Event], bool]]:
    """The pages of an old list, whose records are the member `of`, and whether there are more."""
    offset, trail = "", http.Trail(f"{area} {params.get('eventType', '')}".strip())
    while True:
        trail.enter(http.Step("", {"offset": offset}))
        asked = {**params, "limit": str(PAGE), **({"offset": offset} if offset else {})}
        answer = api.json(area, *rest, params=asked)
        found, has_more = answer.get(of), bool(answer.get("hasMore"))
        offset = str(answer.get("offset") or "")
        if not isinstance(found, list) or (has_more and not offset):
            raise SourceError(
                f"HubSpot's answer about {area} has no list {of!r}, or says that there is more and "
                "not where. Run again later."
            )
        yield found, has_more
        if not has_more:
            return


def counts(event: Any) -> bool:
    """Whether it happened at some time, and not by a bot, which HubSpot marks."""
    if not isinstance(event, dict):
        return False
    return bool(event.get("id")) and created(event) is not None and not event.get("filteredEvent")


def created(event: Event) -> int | None:
    """When it happened; None when the event does not say it."""
    return _milliseconds(event.get("created"))


def send_of(event: Event) -> tuple[str, int] | None:
    """The send that an event belongs to, and when that was; None when the event does not say it."""
    told = event.get("sentBy")
    at = _milliseconds(told.get("created")) if isinstance(told, dict) else None
    return (str(told["id"]), at) if isinstance(told, dict) and told.get("id") and at else None


def cause_of(event: Event) -> int | None:
    """When the event happened that caused this one, which may be a send; else when this did."""
    told = event.get("causedBy")
    at = _milliseconds(told.get("created")) if isinstance(told, dict) else None
    return created(event) if at is None else at


def _milliseconds(value: Any) -> int | None:
    try:
        found = int(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return found if 0 < found < _END_MS else None


def _trimmed(event: Event) -> Event:
    return {name: event[name] for name in _USED if name in event}


def is_hard_bounce(event: Event) -> bool:
    """Whether the address or the sender is refused for good; 4xx says that it was so for now."""
    is_for_now = str(event.get("status") or "").startswith("4")
    return not is_for_now or event.get("category") == "UNKNOWN_USER"


def is_opt_out(event: Event) -> bool:
    """Whether the recipient turned e-mails off: all of them, or those of a kind.

    An address that bounces is turned off by HubSpot; a colleague may do it on one's behalf.
    """
    if not is_by_the_person(event):
        return False
    if event.get("bounced") or event.get("source") == "SOURCE_NON_DELIVERY_REPORT":
        return False
    kinds = event.get("subscriptions")
    changes = [event.get("portalSubscriptionStatus")]
    changes += [kind.get("status") for kind in kinds or () if isinstance(kind, dict)]
    return "UNSUBSCRIBED" in changes


def is_by_the_person(event: Event) -> bool:
    """Whether the recipient did it, rather than a colleague on the recipient's behalf."""
    by = plain_address(event.get("requestedBy"))
    return not by or by == plain_address(event.get("recipient"))


def plain_address(address: Any) -> str:
    """An e-mail address as it is compared with others; empty for none."""
    return str(address or "").strip().lower()


MATTERS = {"BOUNCE": is_hard_bounce, STATUS_CHANGE: is_opt_out}
"""Type -> which of its events count; of other types all do."""
