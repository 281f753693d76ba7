"""Where a delivery goes, what was told there before, and to whom.

A delivery is one report (job, period, definitions with filter) for one place. The rules, shortest
first; `tests/test_deliver_model.py` walks through all of what may change between two runs (name,
place by name and id, readers, filter, definition, figures) and of how an attempt may end.

| What | Is the same as before if |
| --- | --- |
| place | `Sink.destination_id` is the same, or receipts know both ids to be of one destination |
| reader | the place is the same; of a sink with `Sink.readers` also their name |
| report | job, grain, period and place are the same, whatever the sink is called |
| definition | hashes of all KPIs and the filter are the same |

What a reader has heard of a report is told by all attempts at it that could reach him: those of the
sink itself, and those of every other name, unless that is another sink of the job that still
reaches him there, or told him of the period beside this one, in the same run. So a sink may be
renamed, split, merged with another, take the name of another or come back.

| Reached him last, or may have | Now | He is told |
| --- | --- | --- |
| nothing; what surely failed or was kept back | due | the report |
| this definition, these figures | the same | nothing |
| this definition, other figures | changed | a correction, once |
| other definitions alone, surely or perhaps | another definition | the report, once, with a note |
| this definition, then another with other figures | taken back | a correction with a note |
| this definition, then another, both with these figures | taken back | nothing |
| perhaps this definition, these figures | the same | as `on_unknown` says; the run says so |
| perhaps other figures, by this definition or after it | changed | a correction |

A run of a later period tells the corrections among these. A report that is due, or that alone may
have arrived and says the same, is left to a run of its own period.

| The owner of a goal was told its state | `on_unknown` | He counts as knowing that of |
| --- | --- | --- |
| surely | either | the report |
| perhaps | `at_most_once` | the attempt; he is not called for it twice |
| perhaps | `at_least_once` | what surely arrived before; he is called again |

A correction by a run of a later period calls nobody and leaves what the owner counts as knowing.

Readers who have heard the same get one delivery together. One who was refused a mail has not heard
it. A sink that updates in place does so in the message of this definition. A sink that replaces
what it wrote is asked each time; its earlier periods follow its name where its address changes.

Not known, and said by the run: that two ids are of one place which no receipt has both of (first a
channel's id, then its name); what the server did not say of an attempt without an end, such as whom
of several recipients it refused. Two sinks that reach one reader at once both tell him.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from crmetrics.deliver.keys import definitions_of, delivery_key, report_id
from crmetrics.deliver.ledger import DeliveryLedger, DeliveryRecord, Place, channel_of
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
    for people and for keys; empty while it was not asked. identities: all by which the ledger knows
    the place.
    """

    name: str
    sink: Sink
    delivery: Delivery
    terms: Terms
    destination: str = ""
    identity: str = ""
    identities: tuple[str, ...] = ()

    def asked(self) -> Whereabouts:
        """The same with what the sink says. Raises what the sink raises."""
        identity = self.sink.destination_id(self.delivery)
        return replace(
            self,
            destination=self.sink.destination(self.delivery),
            identity=identity,
            identities=self._known_as(identity),
        )

    def _known_as(self, identity: str) -> tuple[str, ...]:
        """The ids that receipts know to be of one destination with this one."""
        ledger, known = self.terms.ledger, {identity: None}
        receipts = ledger.receipts(self.delivery.job) if ledger is not None else ()
        found = [(there, [*self.sink.destination_ids_of(it)]) for there, it in receipts]
        names = [ids for there, ids in found if there in map(channel_of, ids)]
        for _ in names:
            known |= {one: None for ids in names if not known.keys().isdisjoint(ids) for one in ids}
        return tuple(known)

    @property
    def place(self) -> Place:
        job, grain = self.delivery.job, self.delivery.grain
        shown, channel = redact(self.destination), channel_of(self.identity)
        before = channel_of(self.destination) if self.identity != self.destination else ""
        then = tuple(channel_of(one) for one in self.identities if one != self.identity)
        return Place(job, grain, self.name, shown, channel, before, then)

    @cached_property
    def beside(self) -> Mapping[str, Sink]:
        """The other sinks of the job that go to this place now, and those that do not say where
        they go."""
        here = ("", *self.place.channels)
        return {
            name: sink
            for name, sink in self.terms.job_sinks.items()
            if name != self.name and _channel_to(sink, self.delivery) in here
        }

    @property
    def key(self) -> str:
        return self._key_of(self.identity, self.name)

    @property
    def report(self) -> str:
        """Names the definitions and the filter."""
        return report_id(self._definitions, self.terms.where)

    @property
    def _definitions(self) -> str:
        known = self.terms.definitions
        return definitions_of(self.delivery.results) if known is None else known

    def _key_of(self, identity: str, sink: str, *, has_where: bool = True) -> str:
        given, definitions = self.delivery, self._definitions
        days = given.period_start, given.period_end
        if has_where and self.terms.where:
            definitions = json.dumps([definitions, self.terms.where])
        return delivery_key(given.job, given.grain, *days, sink, identity, definitions)

    # --- what was told ---------------------------------------------------------------------------

    def groups(self) -> Sequence[tuple[str, ...]]:
        """The readers, those together who have heard the same; of a sink that does not name its
        readers, and where the past does not count, one of nobody, which stands for all."""
        ledger, readers, terms = self.terms.ledger, self.sink.readers, self.terms
        if ledger is None or not readers or terms.resend or terms.blocked:
            return [()]
        found: dict[str, tuple[str, ...]] = {}
        reports = ledger.reports(self.place, *self._days)
        for reader in readers:
            there = self._of(reports, reader)
            own = [one for one in there if self._is_same(one)]
            heard = (*past_of(own).in_turn, None, *past_of_place(there).in_turn)
            key = json.dumps([_said(one) for one in heard], sort_keys=True)
            found[key] = (*found.get(key, ()), reader)
        return sorted(found.values(), key=len, reverse=True)

    def last_told(self) -> Sequence[DeliveryRecord]:
        """The last report on the period that reached each reader, and those that may have since. A
        sink that replaces what it wrote may have another address by now, where the period will
        stand as well."""
        ledger, found = self.terms.ledger, list[DeliveryRecord]()
        if ledger is None:
            return found
        reports = ledger.reports(self.place, *self._days)
        for reader in self.sink.readers or ("",):
            past = past_of_place(self._of(reports, reader))
            found += [one for one in past.in_turn if one is not None and one not in found]
        if self.sink.is_idempotent and not any(one.status == "delivered" for one in found):
            found += ledger.delivered_by(self.place, *self._days)[-1:]
        return found

    def past(self, ledger: DeliveryLedger, message: Message) -> tuple[str, Past, bool]:
        """The key of the report, its past as the readers know it, and whether a report by another
        definition is a part of that."""
        if self.terms.resend:
            return self.key, Past(), False
        reader = next(iter(self.delivery.readers), "")
        there = self._of(ledger.reports(self.place, *self._days), reader)
        key = next((one.key for one in there if self._is_same(one)), self.key)
        own = past_of(one for one in there if one.key == key)
        return key, *self._past_there(key, own, past_of_place(there), message)

    def _past_there(self, key: str, own: Past, there: Past, message: Message) -> tuple[Past, bool]:
        """`own`, where it is what the readers know last, is to be corrected itself, or where the
        sink replaces what is there."""
        if self.sink.is_idempotent:
            return own, False
        is_first = own == Past()
        if all(one is None or one.key == key for one in there.in_turn):
            return own, False
        known = own.arrived.told if own.arrived and own.pending is None else {}
        if is_first or restated(self.sink.shown(message), known, self.terms.threshold):
            return own, is_first
        if not self.sink.updates_in_place:
            return there, True
        is_open = own.pending is not None and there.pending != own.pending
        if own.arrived is None or there.arrived is None or is_open:
            return own, False  # what stands in its own message is to be found out first
        # Each report has its own message: the other's stays as it is.
        return replace(there, arrived=replace(there.arrived, receipt=own.arrived.receipt)), True

    def _of(self, reports: Sequence[DeliveryRecord], reader: str) -> list[DeliveryRecord]:
        """Those of the reports that reach the reader, those by this definition under one key: that
        of the last that is there, or may be, whatever the sink was called."""
        heard = [self._took(one, reader) for one in reports if self._is_heard(one, reports, reader)]
        own = past_of(one for one in heard if self._is_same(one))
        last = own.pending or own.arrived
        key = self.key if last is None else last.key
        return [replace(one, key=key) if self._is_same(one) else one for one in heard]

    def _is_heard(
        self, report: DeliveryRecord, reports: Sequence[DeliveryRecord], reader: str
    ) -> bool:
        """Whether the reader got the report, or may have, as one of this sink. reader: empty where
        the place stands for all."""
        if not self._is_to(report, reader):
            return False
        if report.sink == self.name:
            return True
        other = self.beside.get(report.sink)
        # Whom an older version sent it to is not noted: those of the name, then as now.
        readers = other.readers if other is not None and "to" in report.told else (reader,)
        if other is not None and (reader in readers or not (reader and readers)):
            return False
        # Told beside this one, it was a report of its own, also where its sink is gone by now.
        return not any(
            one.run_id == report.run_id and one.sink == self.name and self._is_to(one, reader)
            for one in reports
        )

    def _is_to(self, report: DeliveryRecord, reader: str) -> bool:
        return not reader or reader in report.told.get("to", (reader,))

    def _took(self, report: DeliveryRecord, reader: str) -> DeliveryRecord:
        """The report; as one that failed where the others took it and the reader was refused it."""
        if reader and report.status == "started":
            return replace(report, receipt={})  # that of who had it before, in older versions
        if (
            not reader
            or report.status != "delivered"
            or reader in self.sink.reached(report.receipt)
        ):
            return report
        return replace(report, status="failed")

    def _is_same(self, report: DeliveryRecord) -> bool:
        """Whether a report was made by this definition."""
        if "report" in report.told:
            return bool(report.told["report"] == self.report)
        # As older versions made their keys.
        if report.told.get("where", self.terms.where) != self.terms.where:
            return False
        ids = dict.fromkeys((*self.identities, self.destination))
        return not report.channel or any(
            report.key == self._key_of(one, report.sink, has_where=has_where)
            for one in ids
            for has_where in (True, False)
        )

    @property
    def _days(self) -> tuple[date, date]:
        return self.delivery.period_start, self.delivery.period_end


def last_told(sink: Sink, name: str, delivery: Delivery, terms: Terms) -> Sequence[DeliveryRecord]:
    """The reports on the period by which readers of the sink know it: of each the last that
    arrived, and those that may have since; none where it is not known to any."""
    try:
        return Whereabouts(name, sink, delivery, terms).asked().last_told()
    except PLUGIN_ERRORS:  # a broken sink is told of by its own report on the current period
        return ()


def _said(report: DeliveryRecord | None) -> object:
    if report is None:
        return None
    return [report.key, {name: said for name, said in report.told.items() if name != "to"}]


def _channel_to(sink: Sink, delivery: Delivery) -> str:
    """The channel of what the sink would deliver; empty when it does not say."""
    try:
        return channel_of(sink.destination_id(delivery))
    except PLUGIN_ERRORS:  # as above
        return ""
