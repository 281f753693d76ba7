"""What Slack shows of a report: whether its message is in the channel, and which replies are below
it. Channels are known there by their ids alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from crmetrics.plugin import Delivery, Settled, SinkError
from crmetrics_slack.api import Json, Refused, SlackApi
from crmetrics_slack.bot import EVENT, Thread

_ON_A_PAGE = "200"  # more than Slack recommends at once is answered with fewer
_PAGES_OF = {"conversations.history": 50, "conversations.replies": 100, "users.conversations": 50}
_KINDS = ("public_channel", "private_channel")
_ID = re.compile(r"[CDG][A-Z0-9]{5,}")


class UnreadableError(Exception):
    """The app may not look there, or there is more than is read."""


def find(api: SlackApi, delivery: Delivery, channel: str, destination: str) -> Settled:
    """Whether the report of this delivery is in the channel; needs the scope channels:history.

    What the attempt kept is known without asking. `absent` only after the history was read to its
    end, to the report that arrived before the attempt, or to the beginning of the period. `unknown`
    when Slack does not let us look; raises SinkError when it cannot answer now, so that a later run
    asks again.
    """
    kept = Thread.kept(delivery.previous)
    if kept.ts and not kept.is_unsure:
        return Settled("arrived", kept.receipt(destination, 0))
    try:
        thread = kept if kept.ts else _message(api, delivery, channel)
    except UnreadableError:
        return Settled("unknown")
    if thread is None:
        return Settled("absent")
    _add_parts(api, delivery.key, thread)
    return Settled("arrived", thread.receipt(destination, 0))


def id_of(api: SlackApi, channel: str) -> str:
    """The id of a channel that is given by its id or by its name.

    Only channels that the bot is in are looked through; needs channels:read, or groups:read for a
    private one. Raises UnreadableError when it is not found, SinkError when Slack cannot answer.
    """
    if is_channel_id(channel):
        return channel
    name = channel.removeprefix("#")
    for kind in _KINDS:
        try:
            for one in _entries(api, "users.conversations", "channels", {"types": kind}):
                if name in (one.get("name"), one.get("name_normalized")):
                    return str(one["id"])
        except UnreadableError:
            continue  # the app may see the other kind
    raise UnreadableError


def is_channel_id(channel: str) -> bool:
    """Whether a channel is given by its id, not by its name."""
    return bool(_ID.fullmatch(channel))


def _message(api: SlackApi, delivery: Delivery, channel: str) -> Thread | None:
    """The message of the report, if it is newer than what arrived before; its replies are not known
    yet."""
    former = Thread.kept(delivery.arrived)
    place = former.channel or id_of(api, channel)
    form = {"channel": place, "include_all_metadata": "true"}
    earliest = _no_report_before(delivery)
    for message in _entries(api, "conversations.history", "messages", form):  # the newest first
        if former.ts and Decimal(message["ts"]) <= Decimal(former.ts):
            return None
        payload = _payload(message, delivery.key)
        if payload is not None and payload.get("part") == "0":
            return Thread(place, str(message["ts"]), str(payload.get("fingerprint")))
        if Decimal(message["ts"]) < earliest:
            return None
    return None


def _no_report_before(delivery: Delivery) -> int:
    """The second, as in a `ts`, at which the period had not begun anywhere on earth."""
    begun = datetime.combine(delivery.period_start, time(), UTC) - timedelta(days=1)
    return int(begun.timestamp())


def _add_parts(api: SlackApi, key: str, thread: Thread) -> None:
    """Look which replies of the report are there; then nothing of it is unsure any more, unless
    Slack does not let us look, or the thread is too long."""
    form = {"channel": thread.channel, "ts": thread.ts, "include_all_metadata": "true"}
    try:
        for message in _entries(api, "conversations.replies", "messages", form):
            payload = _payload(message, key)
            if payload is not None and payload.get("part") != "0":
                thread.parts[str(payload["part"])] = str(message["ts"])
    except UnreadableError:
        return
    thread.parts = {part: ts for part, ts in thread.parts.items() if ts}
    thread.sending = ""


def _entries(api: SlackApi, method: str, name: str, form: Mapping[str, str]) -> Iterator[Json]:
    """The entries of all pages of a method. Raises UnreadableError, or SinkError for now."""
    cursor = ""
    for _ in range(_PAGES_OF[method]):
        try:
            answer = api.call(method, form={**form, "limit": _ON_A_PAGE, "cursor": cursor})
        except Refused as exc:
            if exc.is_passing:
                raise SinkError(f"{exc.explain()} Run again later.") from None
            raise UnreadableError from None
        yield from answer.get(name, ())
        cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return
    raise UnreadableError


def _payload(message: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """What the message says to machines about the report of this key; None = it is another one."""
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    if metadata.get("event_type") == EVENT and payload.get("key") == key:
        return dict(payload)
    return None
