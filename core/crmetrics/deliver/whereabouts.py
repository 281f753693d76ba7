"""Where a delivery goes, under which key, and what went there before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

from crmetrics.deliver.keys import definitions_of, delivery_key
from crmetrics.deliver.ledger import (
    DeliveryLedger,
    DeliveryRecord,
    Past,
    Place,
    channel_of,
    past_of,
)
from crmetrics.deliver.terms import Terms
from crmetrics.deliver.told import restated
from crmetrics.message import Message
from crmetrics.secrets import redact
from crmetrics.sink import Delivery, Sink


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Those of one delivery to one sink.

    name: of the sink in the project file. destination, identity: what the sink says of its place
    for people and for keys; empty while it was not asked.
    """

    name: str
    sink: Sink
    delivery: Delivery
    terms: Terms
    destination: str = ""
    identity: str = ""

    def asked(self) -> Whereabouts:
        """The same with what the sink says. Raises what the sink raises."""
        destination = self.sink.destination(self.delivery)
        identity = self.sink.destination_id(self.delivery)
        return replace(self, destination=destination, identity=identity)

    @property
    def place(self) -> Place:
        job, grain = self.delivery.job, self.delivery.grain
        shown, channel = redact(self.destination), channel_of(self.identity)
        before = channel_of(self.destination) if self.identity != self.destination else ""
        return Place(job, grain, self.name, shown, channel, before)

    @property
    def key(self) -> str:
        return self._key_of(self.identity)

    def _key_of(self, identity: str, sink: str = "", *, has_where: bool = True) -> str:
        given, definitions = self.delivery, self.terms.definitions
        if definitions is None:
            definitions = definitions_of(given.results)
        days = given.period_start, given.period_end
        name = sink or self.name
        if has_where and self.terms.where:
            definitions = json.dumps([definitions, self.terms.where])
        return delivery_key(given.job, given.grain, *days, name, identity, definitions)

    def past(self, ledger: DeliveryLedger) -> tuple[str, Past]:
        """What was sent under the key, or under that of an older version or of a sink that had
        another name then; that key stays. What was told with another filter is no past of this."""
        own, where = self.key, self.terms.where
        if self.terms.resend:
            return own, Past()
        found = (
            (one, [each for each in ledger.attempts(one) if each.told.get("where", where) == where])
            for one in chain((own,), self._keys_before(ledger))
        )
        key, attempts = next((one for one in found if one[1]), (own, ()))
        return key, past_of(attempts)

    def _keys_before(self, ledger: DeliveryLedger) -> Iterator[str]:
        days = self.delivery.period_start, self.delivery.period_end
        old = ledger.key_before(self.place, *days)
        if old:
            yield old
        # As older versions made them.
        for one in dict.fromkeys((self.identity, self.destination)):
            yield self._key_of(one)
            yield self._key_of(one, has_where=False)
        for name in ledger.sinks_at(self.place, *days):
            if name not in (self.name, *self.terms.job_sinks):
                yield self._key_of(self.identity, name)

    def other_since(
        self, ledger: DeliveryLedger, key: str, past: Past, message: Message
    ) -> DeliveryRecord | None:
        """Another report on the period that the place got last, by another definition. None where
        this one replaces it, may have arrived since, or is to be corrected itself."""
        if self.sink.is_idempotent or self.terms.resend or past.pending is not None:
            return None
        days = self.delivery.period_start, self.delivery.period_end
        last = ledger.last_told(self.place, *days)
        if last is None or last.key == key:
            return None
        known = past.arrived.told if past.arrived else {}
        shown = self.sink.shown(message)
        return None if restated(shown, known, self.terms.threshold) else last
