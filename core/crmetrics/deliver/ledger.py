"""What was sent when and where: the table `meta.deliveries` of the warehouse.

Every attempt is two rows: its start, written before anything is sent, and its end. A start without
an end is a process that was killed; how far it came is not known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from crmetrics.state import Reader, Session, columns_of

if TYPE_CHECKING:
    import pyarrow as pa

DeliveryStatus = Literal["started", "delivered", "failed", "unknown", "blocked"]
"""started: sending has begun. unknown: it ended without an answer. blocked: the quality gate kept
it back, nothing was sent."""

_COLUMNS: Mapping[str, str] = {
    "key": "varchar",
    "run_id": "varchar",
    "job": "varchar",
    "sink": "varchar",
    "destination": "varchar",
    "status": "varchar",
    "receipt": "varchar",
    "attempted_at": "timestamptz",
    "error": "varchar",
    "attempt": "bigint",
    "period_start": "date",
    "period_end": "date",
    "grain": "varchar",
    "fingerprint": "varchar",
    "told": "varchar",
    "channel": "varchar",
    "recording": "bigint",
}
_NAMES = ", ".join(name for name in _COLUMNS if name != "attempt")
_SHOWN = ("attempted_at", "job", "period_start", "period_end", "grain", "sink", "destination",
          "status", "reference", "rows", "run_id", "error")  # fmt: skip


_SURELY = "status = 'delivered'"
_HERE = "list_contains(cast(? as varchar[]), channel)"
_MAYBE = (
    "(status in ('delivered', 'unknown') or status = 'started' and not exists (from "
    "meta.deliveries as later where later.key = one.key and later.run_id = one.run_id "
    "and later.attempt > one.attempt and later.status = 'failed'))"
)


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One attempt of a sink, or its start.

    receipt: JSON-like, without secrets; of a start: what the sink kept on the way. error: redacted.
    fingerprint: of what was said. told: the figures and goal states that were said (`told`).
    channel: tells destinations apart (`channel_of`); empty in records of older versions. recording:
    the last recording of results that it rests on (`state.last_recording`); None = not known.
    """

    key: str
    run_id: str
    job: str
    sink: str
    destination: str
    status: DeliveryStatus
    at: datetime
    receipt: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    period_start: date | None = None
    period_end: date | None = None
    grain: str = ""
    fingerprint: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)
    channel: str = ""
    recording: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the reports of a job go: to one destination, by one sink.

    sink: as it is called now; what the place holds does not depend on that. destination: as it is
    shown, without secrets; which of its parts are masked depends on the secrets that are known.
    channel: the same for as long as the destination is the same. channel_before: that of an older
    version, which may have been the same for several destinations; empty when it is no other.
    channels_then: those of the same destination when the project file named it otherwise.
    """

    job: str
    grain: str
    sink: str
    destination: str
    channel: str
    channel_before: str = ""
    channels_then: tuple[str, ...] = ()

    @property
    def channels(self) -> list[str]:
        return [self.channel, *self.channels_then]


def channel_of(destination_id: str) -> str:
    """What tells a destination (`Sink.destination_id`) from others and does not show it."""
    return hashlib.sha256(destination_id.encode("utf-8")).hexdigest()[:32]


class DeliveryLedger(Protocol):
    """Where attempts are kept; `Ledger` is one."""

    def receipts(self, job: str) -> Sequence[tuple[str, Mapping[str, Any]]]: ...
    def reports(self, place: Place, start: date, end: date) -> Sequence[DeliveryRecord]: ...
    def delivered_by(self, place: Place, start: date, end: date) -> Sequence[DeliveryRecord]: ...
    def told_before(
        self, place: Place, before: date, *, or_maybe: bool = False, others: Collection[str] = ()
    ) -> Mapping[str, Any]: ...
    def held(self, place: Place) -> tuple[date, date] | None: ...
    def made_since(self, place: Place) -> str | None: ...
    def moved_from(self, place: Place) -> str: ...
    def record(self, record: DeliveryRecord) -> None: ...


class Ledger:
    """The deliveries of a warehouse session; reading also works where there is no ledger yet."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._table = ""
        # Asked for each sink and period; a delivery makes them others.
        self._receipts: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}

    def attempts(self, key: str) -> list[DeliveryRecord]:
        """Everything recorded under a key, the oldest first."""
        return [_record(row) for row in self._rows(_NAMES, "key = ? order by attempt", key)]

    def receipts(self, job: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Of the last delivery of the job to each destination that it had, with its channel."""
        if job not in self._receipts:
            rows = self._rows(
                "channel, arg_max(receipt, attempt)",
                f"{_SURELY} and job = ? and channel is not null group by channel, destination",
                job,
            )
            self._receipts[job] = [(one, json.loads(receipt or "{}")) for one, receipt in rows]
        return self._receipts[job]

    def reports(self, place: Place, start: date, end: date) -> list[DeliveryRecord]:
        """All attempts at a report on the period there, under whatever key and by a sink of
        whatever name, the oldest first."""
        condition = "period_start = ? and period_end = ? and grain = ? order by attempt"
        rows = self._at(_NAMES, place, condition, start, end, place.grain)
        return [_record(row) for row in rows]

    def delivered_by(self, place: Place, start: date, end: date) -> list[DeliveryRecord]:
        """What a sink of this name delivered of a period, wherever it went, the oldest first."""
        rows = self._rows(
            _NAMES,
            f"{_SURELY} and job = ? and sink = ? and grain = ? and period_start = ? "
            "and period_end = ? order by attempt",
            *(place.job, place.sink, place.grain, start, end),
        )
        return [_record(row) for row in rows]

    def told_before(
        self, place: Place, before: date, *, or_maybe: bool = False, others: Collection[str] = ()
    ) -> Mapping[str, Any]:
        """What the last delivered report on an earlier period said there; empty if none was. That
        of a sink of another name counts where this one has told nothing yet, but for `others`,
        whose readers are their own. or_maybe: one that may have arrived counts, too."""
        rows = self._at(
            "told",
            place,
            f"{_MAYBE if or_maybe else _SURELY} and period_start < ? "
            "and not list_contains(cast(? as varchar[]), sink) "
            "order by (sink = ?) desc, period_start desc, attempt desc limit 1",
            *(before, list(others), place.sink),
        )
        return json.loads(rows[0][0] or "{}") if rows else {}

    def held(self, place: Place) -> tuple[date, date] | None:
        """First day and end of the period that was written there last, by a sink of whatever name,
        or may have been: by an attempt that was killed, or whose end is not known."""
        rows = self._at(
            "period_start, period_end",
            place,
            f"{_MAYBE} and grain = ? order by attempt desc limit 1",
            place.grain,
        )
        return (rows[0][0], rows[0][1]) if rows else None

    def made_since(self, place: Place) -> str | None:
        """What was made anew there, by whatever job, since the last delivery of this one; None
        where it has delivered nothing there."""
        last = self._at("max(attempt)", place, f"{_SURELY} and grain = ?", place.grain)[:1]
        if not last or last[0][0] is None:
            return None
        made = "json_extract_string(receipt, '$.made')"
        rows = self._rows(
            made,
            f"{_HERE} and attempt > ? and coalesce({made}, '') <> '' limit 1",
            *(place.channels, last[0][0]),
        )
        return str(rows[0][0]) if rows else ""

    def moved_from(self, place: Place) -> str:
        """Where the sink of this name delivered the last report of the job; empty where this place
        has got one, by a sink of whatever name."""
        here = self._at("1", place, f"{_SURELY} and grain = ? limit 1", place.grain)
        rows = (
            []
            if here
            else self._rows(
                "destination",
                f"{_SURELY} and job = ? and sink = ? and grain = ? order by attempt desc limit 1",
                *(place.job, place.sink, place.grain),
            )
        )
        return str(rows[0][0]) if rows else ""

    def _at(self, names: str, place: Place, further: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._rows(
            names,
            f"job = ? and ({_HERE} or sink = ? and "
            f"(channel = ? or channel is null and destination = ?)) and {further}",
            *(place.job, place.channels, place.sink, place.channel_before or None),
            *(place.destination, *values),
        )

    def _rows(self, names: str, condition: str, *values: Any) -> list[tuple[Any, ...]]:
        self._table = self._table or _relation(self._session)
        if not self._table:
            return []
        return self._session.rows(
            f"select {names} from {self._table} as one where {condition}", list(values)
        )

    def record(self, record: DeliveryRecord) -> None:
        """Keep one attempt (or its start); earlier ones of the same key stay."""
        self._receipts.clear()
        marks = ", ".join("?" for _ in range(len(_COLUMNS) - 1))
        self._session.execute(
            f"insert into meta.deliveries ({_NAMES}, attempt) select {marks}, "
            "1 + (select coalesce(max(attempt), 0) from meta.deliveries)",
            [
                record.key,
                record.run_id,
                record.job,
                record.sink,
                record.destination,
                record.status,
                _json(record.receipt),
                record.at,
                record.error,
                record.period_start,
                record.period_end,
                record.grain,
                record.fingerprint,
                _json(record.told),
                record.channel or None,
                record.recording,
            ],
        )


def create_deliveries(session: Session) -> None:
    """Make the table, or the columns that an older version did not have."""
    described = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    with session.transaction():
        session.execute("create schema if not exists meta")
        session.execute(f"create table if not exists meta.deliveries ({described})")
        for name, kind in _COLUMNS.items():
            session.execute(f"alter table meta.deliveries add column if not exists {name} {kind}")


def deliveries(
    session: Session, *, job: str = "", sink: str = "", limit: int = 50
) -> pa.Table | None:
    """The last deliveries, newest first, one row per attempt; None when there is no ledger yet.

    Columns: attempted_at, job, period_start, period_end, grain, sink, destination, status,
    reference, rows, run_id, error. An attempt that has begun and never ended is `started`.
    """
    source = _relation(session)
    if not source:
        return None
    derived = {
        "reference": "json_extract_string(receipt, '$.reference') as reference",
        "rows": "cast(json_extract_string(receipt, '$.rows') as bigint) as rows",
    }
    chosen = ", ".join(derived.get(name, name) for name in _SHOWN)
    return session.arrow(
        f"select {chosen} from {source} as one where ? in ('', job) and ? in ('', sink) "
        "and not (status = 'started' and exists (select 1 from meta.deliveries as later "
        "where later.key = one.key and later.run_id = one.run_id and later.attempt > one.attempt)) "
        "order by attempt desc limit ?",
        [job, sink, limit],
    )


def _relation(session: Reader) -> str:
    """The table with all of its columns, also those that an older version did not have; empty when
    there is no ledger yet."""
    known = columns_of(session, "deliveries")
    if not known:
        return ""
    missing = [f"null::{kind} as {name}" for name, kind in _COLUMNS.items() if name not in known]
    return f"(select *{''.join(', ' + part for part in missing)} from meta.deliveries)"


def _record(row: Sequence[Any]) -> DeliveryRecord:
    (key, run_id, job, sink, destination, status, receipt, at, error, start, end, grain,
     fingerprint, told, channel, recording) = row  # fmt: skip
    return DeliveryRecord(
        key=key,
        run_id=run_id,
        job=job,
        sink=sink,
        destination=destination,
        status=status,
        at=at.astimezone(UTC),
        receipt=json.loads(receipt or "{}"),
        error=error or "",
        period_start=start,
        period_end=end,
        grain=grain or "",
        fingerprint=fingerprint or "",
        told=json.loads(told or "{}"),
        channel=channel or "",
        recording=recording,
    )


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
