"""Members of campaigns: one row per marketing e-mail and person, from the log of e-mail events.

What happens to an e-mail within `email_event_days` changes its row; a read goes back by so many
days, and gives the rows of these days anew. What a killed run had read is kept beside the
warehouse, with contacts in place of addresses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from crmetrics.plugin import ReadRequest, SourceStorage
from crmetrics_hubspot.account import Account
from crmetrics_hubspot.email_log import TYPES, EmailLog
from crmetrics_hubspot.folding import DAY_MS, Fold, Former, Send, Span, as_json, from_json
from crmetrics_hubspot.mailings import Mailing, as_before, own_mailing
from crmetrics_hubspot.privacy import Asked
from crmetrics_hubspot.recipients import Recipients
from crmetrics_hubspot.streams import SPECIAL
from crmetrics_hubspot.values import INSTANT, instant_of, nulls

COLUMNS = SPECIAL["campaign_members"].columns
_LAG_MS = 600_000
"""How far a read that goes on with a killed one reaches back behind that one's end."""

_LONGEST_LIFE = timedelta(days=3)
_ROWS = 5_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SendRead:
    """Reads the sends of an account: all of them, or those of the days before `since`."""

    def __init__(self, account: Account, request: ReadRequest, storage: SourceStorage) -> None:
        self._account, self._request = account, request
        self._asked = Asked(request, "e-mail events", lambda _: False)
        self._recipients = Recipients(account)
        self._log = storage.pages(f"{request.dataset.name}-log")
        # Also when all is read anew: of e-mails that are gone HubSpot does not tell it again.
        told = request.state
        is_ours = told["portal"] == account.portal if "portal" in told else not request.is_full
        self._before: Mapping[str, Any] = told if is_ours else {}
        self._places: Mapping[str, str | None] = self._before.get("campaigns") or {}
        self._mailings: dict[str, Mailing] = {}
        self._began = request.started
        self._strangers = self._system = self._unknown = self._unlinked = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of each span of the log, the newest first."""
        self._place_mailings()
        first, last = self._first(), _ms(self._request.until or self._request.started)
        last -= 1  # the end of the log's spans belongs to them
        kept, fold = self._kept_note(first), self._fold()
        spans = self._logged(fold, first, last) if kept is None else self._more(fold, kept, last)
        for span in spans:
            yield from self._rows(span)
        self._unlinked = fold.unlinked
        self._account.log_types.save()
        self._tell()

    def _place_mailings(self) -> None:
        """Find the e-mail behind each name that the log gives one."""
        for mailing in self._account.mailings:
            self._mailings |= as_before(mailing, self._places)
        for name in self._places.keys() - self._mailings.keys():  # HubSpot lists it nowhere
            kind = self._account.log_types.of(name) if self._places[name] is None else ""
            self._mailings |= as_before(own_mailing(name, kind), self._places)

    def state(self) -> dict[str, Any]:
        """To be saved once all is read: the campaigns of all e-mails that were ever met."""
        return {
            "portal": self._account.portal,
            "began": self._began.isoformat(),
            "campaigns": {name: mailing.place for name, mailing in self._mailings.items()},
        }

    def done(self) -> None:
        """The dataset is loaded: what was kept of it is no longer needed."""
        self._log.delete()

    @property
    def _window(self) -> int:
        return self._account.config.email_event_days

    @property
    def _wanted(self) -> list[str]:
        """What became of sends, as far as the columns that are asked for are made of it."""
        fields = set(self._request.fields_of({c: c for c in COLUMNS}, self._asked.columns))
        wanted = [name for name in TYPES if name in fields]
        for column, other in (("responded_at", "clicked_at"), ("delivered_at", "bounced_at")):
            if column in fields and other not in wanted:
                wanted.append(other)
        return wanted

    def _fold(self) -> Fold:
        log = EmailLog(self._account.api)
        return Fold(
            log,
            self._recipients,
            self._wanted,
            self._window,
            lambda name: not self._mailing(name).place,
            self._former,
        )

    def _former(self, ids: Sequence[str]) -> Former:
        """What earlier reads found of these sends; nothing of what the project file maps."""
        found: dict[str, tuple[str, int | None]] = {}
        if "contact_id" in self._request.mapping:
            return found
        columns = ("id", "contact_id", "unsubscribed_at")
        is_mapped = "unsubscribed_at" in self._request.mapping
        for batch in self._request.stored(columns, ids=ids):
            for name, contact, left_at in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                if contact is not None:
                    known = None if is_mapped or left_at is None else _ms(left_at)
                    found[name] = (contact, known)
        return found

    def _first(self) -> int:
        """How far back to read: to the first day of an e-mail that is of another campaign now, or
        of none, and to what opt-outs may belong to in its place."""
        if self._request.since is None:
            return 0
        first = max(0, _ms(self._request.since) - self._window * DAY_MS)
        moved = {
            mailing.log_ids: mailing
            for name, mailing in self._mailings.items()
            if name in self._places and self._places[name] != mailing.place
        }
        if not moved:
            return first
        self._request.notice(
            f"{len(moved)} marketing e-mails belong to another campaign than at the last read, or "
            "to none; what was sent since the first of them was made is read again."
        )
        began = [instant_of(mailing.began) for mailing in moved.values()]
        return max(0, min(first, *(_ms(at) - self._window * DAY_MS if at else 0 for at in began)))

    # --- what a killed run had read ------------------------------------------------------------

    def _logged(self, fold: Fold, first: int, last: int) -> Iterator[Span]:
        """A walk whose spans are kept, when there is more than one."""
        is_kept = False
        for span in fold.spans(first, last):
            if span.after >= first and not is_kept:
                began, is_full = self._request.started.isoformat(), self._request.is_full
                note = {"of": self._of, "began": began, "first": first, "last": last}
                self._log.begin({**note, "is_full": is_full})
                is_kept = True
            if is_kept:
                self._keep(span)
            yield span

    def _more(self, fold: Fold, kept: Mapping[str, Any], last: int) -> Iterator[Span]:
        """What happened since a walk that was killed, what is kept of it, and the rest of it."""
        self._began = datetime.fromisoformat(kept["began"])
        self._request.notice(
            f"campaign_members: the read that was interrupted on {self._began:%Y-%m-%d at %H:%M} "
            "UTC went on where it stopped."
        )
        since, after = kept["last"] - _LAG_MS, kept["last"]
        yield from fold.spans(since, last, oldest=kept["first"])
        bodies = (body for body, _ in self._log.kept())
        for span in fold.again((from_json(json.loads(body)) for body in bodies), since):
            after = span.after
            yield span
        for span in fold.spans(kept["first"], after):
            self._keep(span)
            yield span

    def _keep(self, span: Span) -> None:
        self._log.append(json.dumps(as_json(span)).encode(), str(span.after))

    def _kept_note(self, first: int) -> Mapping[str, Any] | None:
        """What is known of a walk that can be gone on with: one that reaches back to `first`."""
        note = self._log.note
        if note.get("of") != self._of or note["began"] == self._before.get("began"):
            return None
        if self._request.is_full and not note.get("is_full"):
            return None  # who asks for everything again gets nothing that was read before
        if first < note["first"]:
            return None  # an e-mail moved to another campaign meanwhile
        age = self._request.started - datetime.fromisoformat(note["began"])
        return note if age <= _LONGEST_LIFE else None

    @property
    def _of(self) -> str:
        """Changes when the rows of a span would be others."""
        asked = [self._asked.columns, self._wanted, self._window]
        asked += [self._account.portal, str(self._request.since)]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]

    # --- rows ----------------------------------------------------------------------------------

    def _rows(self, span: Span) -> Iterator[pa.RecordBatch]:
        sends, gone = list[Send](), list[str]()
        for send in span.sends:
            mailing = self._mailing(send.log_id)
            if mailing.place:
                sends.append(send)
                continue
            self._unknown += mailing.is_unknown
            self._system += mailing.is_system
            if self._places.get(send.log_id):  # it was a campaign's
                gone.append(send.id)
        self._request.delete(gone)
        self._strangers += sum(send.contact is None for send in sends)
        own = {name: name for name in COLUMNS}
        for start in range(0, len(sends), _ROWS):  # thousands may be sent in one instant
            batch = self._batch(sends[start : start + _ROWS])
            yield self._request.derive(batch, own, self._asked.columns)

    def _mailing(self, name: str) -> Mailing:
        """The e-mail of this name; one that the log of events alone knows is remembered, too."""
        known = self._mailings.get(name)
        if known is None:
            known = self._mailings[name] = own_mailing(name, self._account.log_types.of(name))
        return known

    def _batch(self, sends: Sequence[Send]) -> pa.RecordBatch:
        def instants(values: Sequence[int | None]) -> Any:
            return pa.array(values, pa.timestamp("ms", tz="UTC")).cast(INSTANT)

        columns: dict[str, Any] = {
            "id": pa.array([send.id for send in sends], pa.string()),
            "is_deleted": pa.repeat(pa.scalar(False), len(sends)),
            "updated_at": instants([send.changed for send in sends]),
            "campaign_id": pa.array([self._mailing(s.log_id).campaign for s in sends], pa.string()),
            "lead_id": nulls(len(sends), pa.string()),
            "contact_id": pa.array([send.contact for send in sends], pa.string()),
            "sent_at": instants([send.at for send in sends]),
        }
        for name in TYPES:
            columns[name] = instants([send.first(name) for send in sends])
        columns["responded_at"] = columns["clicked_at"]
        columns["email_campaign_id"] = pa.array([send.log_id for send in sends], pa.string())
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))

    def _tell(self) -> None:
        self._asked.tell()
        notices = (
            (self._strangers, "sends went to addresses that no contact has: they are sends to "
             "nobody known."),
            (self._system, "sends answer what a person did (receipts, passwords, tickets): they "
             "are no campaign's and left out."),
            (self._unknown, "sends are of e-mails that HubSpot lists nowhere and does not tell the "
             "type of: nobody says whether they are marketing, and they are left out."),
            (self._unlinked, "events of the e-mail log name no send, and count for none."),
        )  # fmt: skip
        for count, text in notices:
            if count:
                self._request.notice(f"campaign_members: {count} {text}")
        for way in sorted(self._recipients.refused):
            self._request.notice(
                f"campaign_members: HubSpot does not let contacts be looked for {way}; sends to "
                "those are taken for sends to nobody known."
            )


def _ms(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)
