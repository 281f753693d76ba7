"""Hand a delivery to every sink: each gets its own attempt, nothing is sent twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Literal, Protocol

from crmetrics import export, stopping
from crmetrics.errors import CrmetricsError, SinkError, UnknownOutcomeError
from crmetrics.plugin import Delivery, Receipt, Sink
from crmetrics.secrets import redact
from crmetrics.state import DeliveryRecord, DeliveryStatus

_KEY_CHARACTERS = 32


class DeliveryLedger(Protocol):
    """Where attempts are kept; `state.Ledger` is one."""

    def last(self, key: str, *, status: DeliveryStatus | None = None) -> DeliveryRecord | None: ...
    def record(self, record: DeliveryRecord) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a delivery to one sink.

    skipped: it was delivered before, or may have been, and the sink cannot replace it; `note` says
    which. unknown: this attempt may or may not have arrived.
    """

    sink: str
    status: Literal["delivered", "previewed", "skipped", "failed", "unknown"]
    destination: str = ""
    key: str = ""
    receipt: Receipt | None = None
    preview: str = ""
    error: CrmetricsError | None = None
    note: str = ""


def delivery_key(job: str, grain: str, start: date, end: date, sink: str, destination: str) -> str:
    """The same text for every repeat of one (job, period, sink, destination)."""
    parts = [job, grain, start.isoformat(), end.isoformat(), sink, destination]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_KEY_CHARACTERS]


def deliver(
    sinks: Mapping[str, Sink],
    delivery: Delivery,
    *,
    ledger: DeliveryLedger | None = None,
    dry_run: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Outcome]:
    """Deliver to each sink (by its name in the project file), in their order.

    delivery: its `key` and `previous` are filled in per sink. One failing sink never stops the
    next: errors, also unexpected ones of a plugin, stand in the outcomes. A sink that is not
    idempotent is skipped when the ledger holds a delivery under the key, or an attempt of unknown
    end: posting twice is worse than not at all. dry_run: previews only, nothing is recorded.
    """
    outcomes = []
    for name, sink in sinks.items():
        attempt = _Attempt(name, sink, delivery, ledger, now)
        outcomes.append(attempt.preview() if dry_run else attempt.run())
    return outcomes


class _Attempt:
    """One delivery to one sink."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        delivery: Delivery,
        ledger: DeliveryLedger | None,
        now: Callable[[], datetime],
    ) -> None:
        self._sink, self._delivery, self._ledger, self._now = sink, delivery, ledger, now
        self._outcome = Outcome(name, "failed")

    def preview(self) -> Outcome:
        """What would be sent; failed when the sink cannot even say that."""
        try:
            self._address()
            text = self._sink.preview(self._delivery)
        except Exception as exc:  # noqa: BLE001 - a plugin's bug must not stop the other sinks
            return self._failed(exc)
        return replace(self._outcome, status="previewed", preview=text)

    def run(self) -> Outcome:
        """Send, unless that could send twice; every step is in the ledger before the next."""
        try:
            self._address()
            note = self._why_not()
            if note:
                return replace(self._outcome, status="skipped", note=note)
        except Exception as exc:  # noqa: BLE001 - as above; nothing was sent yet
            return self._failed(exc)
        # Ended between sending and noting it, the next run would not know what arrived.
        with stopping.held():
            return self._send_and_note()

    def _send_and_note(self) -> Outcome:
        try:
            self._record("started")
        except Exception as exc:  # noqa: BLE001 - as above; nothing was sent yet
            return self._failed(exc)
        outcome = self._send()
        try:
            error = str(outcome.error) if outcome.error else ""
            self._record(_recorded_status(outcome), outcome.receipt, error)
        except CrmetricsError as exc:
            return replace(outcome, error=outcome.error or exc)
        return outcome

    def _address(self) -> None:
        """Where it goes, and under which key."""
        delivery = self._delivery
        destination = redact(self._sink.destination(delivery))
        key = delivery_key(
            delivery.job,
            delivery.grain,
            delivery.period_start,
            delivery.period_end,
            self._outcome.sink,
            destination,
        )
        self._outcome = replace(self._outcome, destination=destination, key=key)
        arrived = self._ledger.last(key, status="delivered") if self._ledger else None
        previous = dict(arrived.receipt) if arrived else {}
        self._delivery = replace(delivery, key=key, previous=previous)

    def _why_not(self) -> str:
        """Why a sink that cannot replace what it sent is not asked to send; empty = it is."""
        if self._sink.is_idempotent or self._ledger is None:
            return ""
        key = self._outcome.key
        arrived = self._ledger.last(key, status="delivered")
        if arrived is not None:
            return f"delivered before, at {export.instant(arrived.at)} by run {arrived.run_id}"
        last = self._ledger.last(key)
        if last is None or last.status == "failed":
            return ""
        at = export.instant(last.at)
        return f"an attempt at {at} by run {last.run_id} may have arrived; it is not repeated"

    def _send(self) -> Outcome:
        try:
            receipt = self._sink.write(self._delivery)
        except UnknownOutcomeError as exc:
            return replace(self._failed(exc), status="unknown")
        except SinkError as exc:
            return self._failed(exc)
        except Exception as exc:  # noqa: BLE001 - how far a plugin with a bug came is unknown
            return replace(self._failed(exc), status="unknown")
        return replace(self._outcome, status="delivered", receipt=receipt)

    def _failed(self, exc: Exception) -> Outcome:
        if isinstance(exc, CrmetricsError):
            return replace(self._outcome, status="failed", error=exc)
        error = SinkError(
            f"sink {self._outcome.sink!r} ({type(self._sink).__name__}) failed unexpectedly: "
            f"{type(exc).__name__}: {redact(str(exc))}"
        )
        error.__cause__ = exc
        return replace(self._outcome, status="failed", error=error)

    def _record(
        self, status: DeliveryStatus, receipt: Receipt | None = None, error: str = ""
    ) -> None:
        if self._ledger is None:
            return
        self._ledger.record(
            DeliveryRecord(
                key=self._outcome.key,
                run_id=self._delivery.run_id,
                job=self._delivery.job,
                sink=self._outcome.sink,
                destination=self._outcome.destination,
                status=status,
                at=self._now(),
                receipt=asdict(receipt) if receipt else {},
                error=redact(error),
            )
        )


def _recorded_status(outcome: Outcome) -> DeliveryStatus:
    if outcome.status == "delivered":
        return "delivered"
    return "unknown" if outcome.status == "unknown" else "failed"
