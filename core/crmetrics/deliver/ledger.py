"""What was sent when and where: the table `meta.deliveries` of the warehouse.

Every attempt is two rows: its start, written before anything is sent, and its end. A start without
an end is a process that was killed; how far it came is not known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from crmetrics.state import Session, has_table

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
}
_SHOWN = ("attempted_at", "job", "period_start", "period_end", "grain", "sink", "destination",
          "status", "reference", "rows", "run_id", "error")  # fmt: skip


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One attempt of a sink, or its start.

    receipt: JSON-like, without secrets; of a start: what the sink kept on the way. error: redacted.
    fingerprint: of what was said. told: the figures and goal states that were said (`Told`).
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


class DeliveryLedger(Protocol):
    """Where attempts are kept; `Ledger` is one."""

    def attempts(self, key: str) -> Sequence[DeliveryRecord]: ...
    def told_before(
        self, job: str, sink: str, destination: str, before: date
    ) -> Mapping[str, Any]: ...
    def record(self, record: DeliveryRecord) -> None: ...


@dataclass(frozen=True, slots=True)
class Past:
    """What the attempts under one key come to.

    arrived: the last that was delivered. pending: the last since then whose end is not known.
    """

    arrived: DeliveryRecord | None = None
    pending: DeliveryRecord | None = None


def past_of(attempts: Iterable[DeliveryRecord]) -> Past:
    """attempts: of one key, in their order. A later failure does not settle an earlier attempt, nor
    what the failed one had sent before it failed: a message stands whose thread was refused."""
    arrived: DeliveryRecord | None = None
    pending: dict[str, DeliveryRecord] = {}
    for attempt in attempts:
        if attempt.status == "delivered":
            arrived, pending = attempt, {}
        elif attempt.status in ("started", "unknown"):
            kept = pending.pop(attempt.run_id, None)
            if kept is not None and not attempt.receipt and kept.receipt:
                attempt = replace(attempt, receipt=kept.receipt)
            pending[attempt.run_id] = attempt
        elif attempt.status == "failed":
            kept = pending.pop(attempt.run_id, None)
            if kept is not None and kept.receipt:
                pending[attempt.run_id] = kept
    return Past(arrived, next(reversed(pending.values()), None))


class Ledger:
    """The deliveries of a warehouse session; reading also works where there is no ledger yet."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def attempts(self, key: str) -> list[DeliveryRecord]:
        """Everything recorded under a key, the oldest first."""
        if not has_table(self._session, "deliveries"):
            return []
        names = ", ".join(name for name in _COLUMNS if name != "attempt")
        rows = self._session.rows(
            f"select {names} from meta.deliveries where key = ? order by attempt", [key]
        )
        return [_record(row) for row in rows]

    def told_before(self, job: str, sink: str, destination: str, before: date) -> Mapping[str, Any]:
        """What the last delivered report on an earlier period said there; empty if none was."""
        if not has_table(self._session, "deliveries"):
            return {}
        rows = self._session.rows(
            "select told from meta.deliveries where status = 'delivered' and job = ? and sink = ? "
            "and destination = ? and period_start < ? "
            "order by period_start desc, attempt desc limit 1",
            [job, sink, destination, before],
        )
        return json.loads(rows[0][0] or "{}") if rows else {}

    def record(self, record: DeliveryRecord) -> None:
        """Keep one attempt (or its start); earlier ones of the same key stay."""
        marks = ", ".join("?" for _ in range(len(_COLUMNS) - 1))
        names = ", ".join(name for name in _COLUMNS if name != "attempt")
        self._session.execute(
            f"insert into meta.deliveries ({names}, attempt) select {marks}, "
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
    if not has_table(session, "deliveries"):
        return None
    columns = {row[0] for row in session.rows(
        "select column_name from information_schema.columns "
        "where table_schema = 'meta' and table_name = 'deliveries'"
    )}  # fmt: skip
    missing = [f"null::{kind} as {name}" for name, kind in _COLUMNS.items() if name not in columns]
    source = f"(select *{''.join(', ' + part for part in missing)} from meta.deliveries)"
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


def _record(row: Sequence[Any]) -> DeliveryRecord:
    (key, run_id, job, sink, destination, status, receipt, at, error, start, end, grain,
     fingerprint, told) = row  # fmt: skip
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
    )


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
