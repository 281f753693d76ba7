"""Where a delivery goes, under which key, and what went there before."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from crmetrics.deliver.keys import definitions_of, delivery_key
from crmetrics.deliver.ledger import (
    DeliveryLedger,
    Place,
    channel_of,
)
from crmetrics.deliver.past import Past, past_of, past_of_place
from crmetrics.deliver.terms import Terms
from crmetrics.deliver.told import restated
from crmetrics.errors import PLUGIN_ERRORS
from crmetrics.message import Message
from crmetrics.secrets import redact
from crmetrics.sink import Delivery, Sink


@dataclass(frozen=True)
class Whereabouts:
    """Those of one delivery to one sink.

    name: of the sink in the project file. destination, identity: what the sink says of its place
    for people and for keys; empty while it was not asked. identities_then: for keys, when the
    project file named the place otherwise.
    """

    name: str
    sink: Sink
    delivery: Delivery
    terms: Terms
    destination: str = ""
    identity: str = ""
    identities_then: tuple[str, ...] = ()

    def asked(self) -> Whereabouts:
        """The same with what the sink says. Raises what the sink raises."""
        ledger = self.terms.ledger
        receipts = ledger.receipts(self.delivery.job) if ledger is not None else ()
        then = (one for receipt in receipts for one in self.sink.destination_ids_of(receipt))
        return replace(
            self,
            destination=self.sink.destination(self.delivery),
            identity=self.sink.destination_id(self.delivery),
            identities_then=tuple(dict.fromkeys(then)),
        )

    @property
    def place(self) -> Place:
        job, grain = self.delivery.job, self.delivery.grain
        shown, channel = redact(self.destination), channel_of(self.identity)
        before = channel_of(self.destination) if self.identity != self.destination else ""
        then = tuple(channel_of(one) for one in self.identities_then)
        return Place(job, grain, self.name, shown, channel, before, then)

    @cached_property
    def others(self) -> Collection[str]:
        """Names of the other sinks of the job that go to this place now: their readers are their
        own. So are those of one that does not say where it goes."""
        here = ("", *self.place.channels)
        sinks = self.terms.job_sinks.items()
        return [
            name
            for name, sink in sinks
            if name != self.name and channel_to(sink, self.delivery) in here
        ]

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
        identities = (self.identity, *self.identities_then)
        # As older versions made them.
        for one in dict.fromkeys((*identities, self.destination)):
            yield self._key_of(one)
            yield self._key_of(one, has_where=False)
        for name in ledger.sinks_at(self.place, *days):
            if name != self.name and name not in self.others:
                yield from (self._key_of(one, name) for one in identities)

    def _keys_under_other_names(self, ledger: DeliveryLedger, key: str) -> Collection[str]:
        """The keys but `key` of this same report by other sinks that went to the place: what they
        told is no report by another definition, and their readers may be others."""
        days = self.delivery.period_start, self.delivery.period_end
        names = [one for one in ledger.sinks_at(self.place, *days) if one != self.name]
        identities = (self.identity, *self.identities_then)
        return {self._key_of(one, name) for name in names for one in identities} - {key}

    def past_there(
        self, ledger: DeliveryLedger, key: str, past: Past, message: Message
    ) -> tuple[Past, bool]:
        """The past as the readers of the place know it, and whether a report on the period by
        another definition is a part of it. `past`, that of the report itself, where this one
        replaces what is there, is to be corrected itself or was the last that was attempted."""
        if self.sink.is_idempotent or self.terms.resend:
            return past, False
        days = self.delivery.period_start, self.delivery.period_end
        same = self._keys_under_other_names(ledger, key)
        reports = ledger.reports(self.place, *days, others=self.others)
        there = past_of_place([one for one in reports if one.key not in same])
        is_first = past == Past()
        since = () if is_first else (*there.between, there.pending)
        last = (there.arrived, *since)
        if all(one is None or one.key == key for one in last):
            return past, False
        known = past.arrived.told if past.arrived and past.pending is None else {}
        shown = self.sink.shown(message)
        if is_first or restated(shown, known, self.terms.threshold):
            return past, is_first
        if not self.sink.updates_in_place:
            return there, True
        is_open = past.pending is not None and there.pending != past.pending
        if past.arrived is None or there.arrived is None or is_open:
            return past, False  # what stands in its own message is to be found out first
        # Each report has its own message: the other's stays as it is.
        return replace(there, arrived=replace(there.arrived, receipt=past.arrived.receipt)), True


def channel_to(sink: Sink, delivery: Delivery) -> str:
    """The channel of what the sink would deliver; empty when it does not say."""
    try:
        return channel_of(sink.destination_id(delivery))
    except PLUGIN_ERRORS:  # a broken sink is told of by its own report on the current period
        return ""
