"""What the attempts at a report come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from crmetrics.deliver.ledger import DeliveryRecord


@dataclass(frozen=True, slots=True)
class Past:
    """What the attempts under one key come to.

    arrived: the last that was delivered. pending: the last since then whose end is not known;
    between: those before that, the oldest first.
    """

    arrived: DeliveryRecord | None = None
    pending: DeliveryRecord | None = None
    between: tuple[DeliveryRecord, ...] = ()

    @property
    def in_turn(self) -> tuple[DeliveryRecord | None, ...]:
        """What arrived, then what may have."""
        return (self.arrived, *self.between, self.pending)

    def without(self, key: str) -> Past:
        """The same when no attempt under that key arrived that may have."""
        pending = [*self.between, *([self.pending] if self.pending else [])]
        left = [one for one in pending if one.key != key]
        return Past(self.arrived, left[-1] if left else None, tuple(left[:-1]))


def past_of(attempts: Iterable[DeliveryRecord]) -> Past:
    """attempts: of one key, in their order. A later failure does not settle an earlier attempt, nor
    what the failed one had sent before it failed: a message stands whose thread was refused."""
    arrived: DeliveryRecord | None = None
    pending: dict[tuple[str, str], DeliveryRecord] = {}
    for attempt in attempts:
        # Two sinks to one place make an attempt each in one run.
        which = attempt.run_id, attempt.sink
        if attempt.status == "delivered":
            arrived, pending = attempt, {}
        elif attempt.status in ("started", "unknown"):
            kept = pending.pop(which, None)
            if kept is not None and not attempt.receipt and kept.receipt:
                attempt = replace(attempt, receipt=kept.receipt)
            pending[which] = attempt
        elif attempt.status == "failed":
            kept = pending.pop(which, None)
            known = arrived.receipt if arrived is not None else {}
            if kept is not None and kept.receipt and kept.receipt != known:
                pending[which] = kept
    *between, last = pending.values() or (None,)
    return Past(arrived, last, tuple(one for one in between if one is not None))


def past_of_place(attempts: Sequence[DeliveryRecord]) -> Past:
    """The same for all reports on a period that a place got, under whatever keys: what arrived
    last, and the last whose end is not known of those that were attempted after that."""
    turn = {(one.key, one.run_id, one.sink): number for number, one in enumerate(attempts)}

    def turn_of(one: DeliveryRecord) -> int:
        return turn[one.key, one.run_id, one.sink]

    def in_turn(found: Iterable[DeliveryRecord | None]) -> list[DeliveryRecord]:
        return sorted((one for one in found if one is not None), key=turn_of)

    keys = dict.fromkeys(one.key for one in attempts)
    pasts = [past_of(one for one in attempts if one.key == key) for key in keys]
    arrived = next(reversed(in_turn(past.arrived for past in pasts)), None)
    pending = in_turn(one for past in pasts for one in (*past.between, past.pending))
    since = [one for one in pending if arrived is None or turn_of(one) > turn_of(arrived)]
    return Past(arrived, since[-1] if since else None, tuple(since[:-1]))
