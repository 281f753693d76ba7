"""Events of the log folded into one row per send, span after span, the newest first.

An event comes before the send that it belongs to: it waits for that as Arrow, a number and a text
each, because a month of a large account is millions of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from crmetrics_hubspot.email_log import (
    MATTERS,
    SENT,
    STATUS_CHANGE,
    TYPES,
    EmailLog,
    Event,
    cause_of,
    created,
    send_of,
)
from crmetrics_hubspot.recipients import Recipients
from crmetrics_hubspot.values import compute

DAY_MS = 86_400_000
_MOST_PAGES = 5
"""Pages of sends in one span; a page costs the rest of its span to be read with it."""

_SKEW_MS = 60_000
"""How much earlier than its send an event may be dated: other machines write it."""

Happened = tuple[str, int, int]
"""A send, when it was sent, and when something became of it."""

OptOut = tuple[str, int, int]
"""A contact, when e-mails were turned off, and when what caused that happened."""

Former = Mapping[str, tuple[str, int | None]]
"""A send -> its contact as it is known from earlier reads, and when that turned e-mails off."""


@dataclass(slots=True)
class Send:
    """One e-mail to one person. log_id: what the log calls the e-mail; firsts: column -> the first
    occurrence, in milliseconds."""

    id: str
    at: int
    log_id: str
    contact: str | None
    firsts: dict[str, int] = field(default_factory=dict)

    def note(self, column: str, at: int) -> None:
        at = max(at, self.at)
        self.firsts[column] = min(at, self.firsts.get(column, at))

    def first(self, column: str) -> int | None:
        """The first occurrence; what was taken in and sent back after all was not delivered."""
        if column == "delivered_at" and "bounced_at" in self.firsts:
            return None
        return self.firsts.get(column)

    @property
    def changed(self) -> int:
        return max([self.at, *self.firsts.values()])


@dataclass(slots=True)
class Span:
    """What one span gave. after: the sends are all those later than this instant. waiting: column
    -> what belongs to earlier sends; opt_outs: all that still look for theirs."""

    sends: list[Send]
    after: int
    waiting: dict[str, list[Happened]]
    opt_outs: list[OptOut]


class Waiting:
    """What happened to sends that are still to come, by column."""

    _TYPES = (pa.string(), pa.int64(), pa.int64())
    _NAMES = ("send", "sent", "at")

    def __init__(self) -> None:
        self._held: dict[str, Any] = {}

    def add(self, column: str, rows: Iterable[Happened]) -> None:
        rows = list(rows)
        if not rows:
            return
        values = zip(*rows, strict=True)
        arrays: list[Any] = [
            pa.array(each, kind) for each, kind in zip(values, self._TYPES, strict=True)
        ]
        table = pa.Table.from_arrays(arrays, names=list(self._NAMES))
        held = self._held.get(column)
        self._held[column] = table if held is None else pa.concat_tables([held, table])

    def take(self, column: str, after: int) -> list[Happened]:
        """What belongs to sends later than this instant; it waits no longer."""
        held = self._held.get(column)
        if held is None:
            return []
        is_due = compute.greater(held["sent"], after)
        due = held.filter(is_due)
        self._held[column] = held.filter(compute.invert(is_due)).combine_chunks()
        return list(zip(*(due[name].to_pylist() for name in due.column_names), strict=True))


class Fold:
    """Walks the log of an account from `last` back to `first`, and gives the sends of each span.

    columns: those that are wanted of what became of sends. window: for how many days after a send
    its events count. system: what the log calls e-mails that are no campaign's; nobody turns
    e-mails off because of those. former: what is known of sends whose address no contact has.
    unlinked: events that name no send.
    """

    def __init__(
        self,
        log: EmailLog,
        recipients: Recipients,
        columns: Sequence[str],
        window: int,
        is_left_out: Callable[[str], bool] = lambda log_id: False,
        former: Callable[[Sequence[str]], Former] = lambda ids: {},
    ) -> None:
        self._log, self._recipients, self._former = log, recipients, former
        self._columns = tuple(name for name in TYPES if name in columns)
        self._window_ms, self._is_left_out = window * DAY_MS, is_left_out
        self._waiting = Waiting()
        self._opt_outs: list[OptOut] = []
        self.unlinked = 0

    def spans(self, first: int, last: int, oldest: int | None = None) -> Iterator[Span]:
        """The spans of [first, last], the newest first, each as large as a few pages of sends.

        oldest: the earliest send that spans to come may hold; by default `first`.
        """
        oldest = first if oldest is None else oldest
        while last >= first:
            raw, after = self._raw_sends(first, last)
            yield self._folded(self._sends(raw), oldest, after, last)
            last = after

    def again(self, kept: Iterable[Span], before: int) -> Iterator[Span]:
        """Spans that were kept of another walk, with what has happened since; of them the sends
        before this instant. The walk can be gone on with behind them."""
        opt_outs: list[OptOut] = []
        for span in kept:
            sends = [send for send in span.sends if send.at < before]
            by_id = {send.id: send for send in sends}
            for column in self._columns:
                self._hand_out(by_id, column, span.after)
                self._waiting.add(column, span.waiting.get(column, ()))
            self._opt_outs = self._settled(sends, span.after)
            opt_outs = span.opt_outs
            yield Span(sends, span.after, span.waiting, opt_outs)
        self._opt_outs += opt_outs

    def _hand_out(self, by_id: Mapping[str, Send], column: str, after: int) -> None:
        """Give what waits to the sends of a span."""
        for name, _, at in self._waiting.take(column, after):
            if name in by_id:
                by_id[name].note(column, at)

    def _raw_sends(self, first: int, last: int) -> tuple[list[Event], int]:
        """The newest sends of [first, last], and the instant that they are all later than.

        A span ends between two instants: thousands may be sent in one millisecond.
        """
        found: list[Event] = []
        for number, (page, has_more) in enumerate(self._log.pages(SENT, first, last), start=1):
            found += page
            if not has_more:
                break
            oldest = min((_at(event) for event in page), default=last)
            if number >= _MOST_PAGES and oldest < last:
                return [event for event in found if _at(event) > oldest], oldest
        return found, first - 1

    def _sends(self, raw: Sequence[Event]) -> list[Send]:
        events = {str(event["id"]): event for event in raw}
        contacts = self._recipients.of([event.get("recipient") for event in events.values()])
        sends = [
            Send(name, _at(event), str(event.get("emailCampaignId") or ""), contact)
            for (name, event), contact in zip(events.items(), contacts, strict=True)
        ]
        self._remember([send for send in sends if send.contact is None])
        return sends

    def _remember(self, sends: Sequence[Send]) -> None:
        """A contact that has another address since is who it was; what it said under the former
        one cannot be found by it any more."""
        former = self._former([send.id for send in sends]) if sends else {}
        for send in sends:
            send.contact, left_at = former.get(send.id, (None, None))
            if left_at is not None and "unsubscribed_at" in self._columns:
                send.note("unsubscribed_at", left_at)

    def _folded(self, sends: list[Send], oldest: int, after: int, last: int) -> Span:
        by_id = {send.id: send for send in sends}
        left: dict[str, list[Happened]] = {}
        for column in self._columns:
            rows, left[column] = self._happened(column, oldest, after, last)
            self._waiting.add(column, rows)
            self._hand_out(by_id, column, after)
            self._waiting.add(column, left[column])
        if "unsubscribed_at" in self._columns:
            self._opt_outs = self._settled(by_id.values(), after)
        return Span(sends, after, left, self._opt_outs)

    def _happened(
        self, column: str, oldest: int, after: int, last: int
    ) -> tuple[list[Happened], list[Happened]]:
        """What happened in a span to its own sends, and to those before it."""
        kind = TYPES[column]
        matters = MATTERS.get(kind)
        rows: list[Happened] = []
        later: list[Happened] = []
        for page in self._log.events(kind, after + 1 - _SKEW_MS, last):
            found = [event for event in page if matters is None or matters(event)]
            for event in found:
                send, at = send_of(event), _at(event)
                if send is None or not -_SKEW_MS <= at - send[1] <= self._window_ms:
                    continue
                if send[1] > after:
                    rows.append((*send, at))
                elif send[1] >= oldest and at > after:
                    later.append((*send, at))
            self._note_unlinked(kind, [e for e in found if send_of(e) is None and _at(e) > after])
        return rows, later

    def _note_unlinked(self, kind: str, events: Sequence[Event]) -> None:
        """Opt-outs that name no send look for the last one to the contact; others count nowhere."""
        if kind != STATUS_CHANGE:
            self.unlinked += len(events)
            return
        contacts = self._recipients.of([event.get("recipient") for event in events])
        for event, contact in zip(events, contacts, strict=True):
            if contact is not None:
                at = _at(event)
                self._opt_outs.append((contact, at, min(at, cause_of(event) or at)))

    def _settled(self, sends: Iterable[Send], after: int) -> list[OptOut]:
        """Give opt-outs to the last send of a campaign before them; those that still look for
        theirs."""
        if not self._opt_outs:
            return []
        own: dict[str, list[Send]] = {}
        for send in sends:
            if send.contact is not None and not self._is_left_out(send.log_id):
                own.setdefault(send.contact, []).append(send)
        rest = []
        for contact, at, cause in self._opt_outs:
            before = [send for send in own.get(contact, ()) if send.at <= cause]
            if before:
                send = max(before, key=_place)
                if at - send.at <= self._window_ms:
                    send.note("unsubscribed_at", at)
            elif at - after <= self._window_ms:
                rest.append((contact, at, cause))
        return rest


def _place(send: Send) -> tuple[int, str]:
    return send.at, send.id


def _at(event: Event) -> int:
    """When it happened: pages hold only events that say it."""
    return created(event) or 0


def as_json(span: Span) -> dict[str, Any]:
    """A span without a word of who the people are but the ids of contacts."""
    sends = [[s.id, s.at, s.log_id, s.contact, s.firsts] for s in span.sends]
    return {"sends": sends, "after": span.after, "waiting": span.waiting,
            "opt_outs": span.opt_outs}  # fmt: skip


def from_json(told: Mapping[str, Any]) -> Span:
    return Span(
        [Send(*values) for values in told["sends"]],
        told["after"],
        {column: [tuple(row) for row in rows] for column, rows in told["waiting"].items()},
        [tuple(row) for row in told["opt_outs"]],
    )
