"""Deliveries over many runs, between which anything may change and any attempt may end anyhow.

A walk changes names, places, readers, filter, definition and figures between runs, lets attempts
fail, be cut and be killed, runs be kept back or asked for again, and ends with two runs of which
nothing goes wrong. Each run looks after the period before its own, too. What readers must hold
then, and what may never be sent, is judged from what reached them alone (`judge`): every reader
ends with the last figures of each sink that reaches him, hears nothing twice from it without a
cause, and of a correction only where something else may have reached him. Where reports are
replaced, the last figures of both periods stand.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from crmetrics.deliver import DeliveryLedger, Ledger, Terms, create_deliveries, deliver
from crmetrics.engine.restating import has_moved, sinks_to_tell
from crmetrics.errors import SinkError, UnknownOutcomeError
from crmetrics.message import Message
from crmetrics.plugin import Delivery, Options, Receipt, Settled, Sink, SinkContext
from crmetrics.state import create_ledger, last_recording, record_results
from crmetrics.warehouse.connection import Connection, EngineSettings, connect
from crmetrics_email.sink import EmailOptions, EmailSink
from memory_ledger import MemoryLedger
from result_rows import AS_OF, delivery, kpi, line, message, table
from simulators.smtp import MailServer

Fate = Literal["arrives", "refused", "lost", "late", "killed before", "killed after"]
FATES: tuple[Fate, ...] = ("refused", "lost", "late", "killed before", "killed after")
UNSURE = ("lost", "late", "killed before", "killed after")
CAME = ("arrives", "late", "killed after")
READERS = ("ann@acme.test", "bob@acme.test", "eve@acme.test")
CHANNELS = {"#hall": "C1", "#door": "C2"}
NAMES = ("one", "two", "three")


class KilledError(BaseException):
    """The process ends here."""


@dataclass(frozen=True)
class Event:
    """One attempt as one reader knows it. post: of a channel with messages that are updated, the
    message; new: it is another one. before: what a correction says that was told. is_noted: it says
    that another definition was told before. beside: the other sinks that reach him at that time.
    is_asked: somebody asked for it again. is_earlier: a run of a later period made it."""

    reader: str
    period: int
    definition: tuple[str, str]
    value: float
    fate: Fate
    is_correction: bool
    is_noted: bool
    before: float | None
    run: int
    sink: str
    beside: frozenset[str]
    is_asked: bool
    is_earlier: bool
    post: str = ""
    is_new: bool = True

    @property
    def is_sure(self) -> bool:
        return self.fate == "arrives"

    @property
    def came(self) -> bool:
        return self.fate in CAME


@dataclass
class World:
    """What the readers have got, and what is asked of the next attempt."""

    policy: str
    run: int = 0
    sink: str = ""
    is_asked: bool = False
    is_earlier: bool = False
    fate: Fate = "arrives"
    put_off: frozenset[str] = frozenset()
    definition: tuple[str, str] = ("", "")
    reached_by: Mapping[str, Sequence[str]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    posts: int = 0
    keys: dict[str, str] = field(default_factory=dict)
    held: dict[tuple[str, int], float] = field(default_factory=dict)
    went_back: bool = False

    def reach(self, readers: Sequence[str], given: Delivery, post: str = "") -> None:
        told = [float(one.before) for one in given.restated]
        for reader in readers:
            self.events.append(
                Event(
                    reader,
                    period_of(given),
                    self.definition,
                    value_of(given),
                    self._fate_of(reader, readers),
                    given.is_correction,
                    any("by another definition" in note for note in given.message.notes),
                    told[0] if told else None,
                    self.run,
                    self.sink,
                    frozenset(self.sinks_to(reader)) - {self.sink},
                    self.is_asked,
                    self.is_earlier,
                    post,
                    not given.previous.get("reference"),
                )
            )

    def sinks_to(self, reader: str) -> Sequence[str]:
        return [name for name, readers in self.reached_by.items() if reader in readers]

    def _fate_of(self, reader: str, readers: Sequence[str]) -> Fate:
        if self.fate == "killed before" or reader not in self.put_off:
            return self.fate
        # Who was refused is not known where the end of all is not.
        is_unsure = self.fate in UNSURE and not self.put_off.issuperset(readers)
        return "lost" if is_unsure else "refused"

    def end(self) -> None:
        """As the attempt ends for who has sent."""
        if self.fate == "refused":
            raise SinkError("refused")
        if self.fate in ("lost", "late"):
            raise UnknownOutcomeError("no answer")
        if self.fate.startswith("killed"):
            raise KilledError


FIRST = date(2026, 1, 5)


def period_of(given: Delivery) -> int:
    return (given.period_start - FIRST).days // 7


def value_of(given: Delivery) -> float:
    [value] = given.results.column("value").to_pylist()
    assert isinstance(value, float)
    return value


class Chat(Sink):
    """One that corrects by a further message. place: `#name` or id of a channel."""

    name = "chat"

    def __init__(self, world: World, place: str) -> None:
        super().__init__(Options(), SinkContext("chat", Path()))
        self.world, self.place = world, place

    @property
    def channel(self) -> str:
        return CHANNELS.get(self.place, self.place)

    @property
    def repeats_unknown(self) -> bool:
        return self.world.policy == "at_least_once"

    def destination(self, delivery: Delivery) -> str:
        return f"chat.test {self.place}"

    def destination_ids_of(self, receipt: Mapping[str, Any]) -> Sequence[str]:
        return (f"chat.test {receipt['details']['channel']}", receipt["destination"])

    def preview(self, delivery: Delivery) -> str:
        return ""

    def why_not_again(self, delivery: Delivery) -> str:
        return "" if delivery.is_correction else "nothing has changed"

    def write(self, delivery: Delivery) -> Receipt:
        self.world.reach([self.channel], delivery)
        self.world.end()
        return self.receipt(delivery)

    def receipt(self, delivery: Delivery, reference: str = "sent") -> Receipt:
        return Receipt(self.destination(delivery), 1, reference, {"channel": self.channel})


class Board(Chat):
    """One that brings its message up to date, and finds it by the receipt alone."""

    updates_in_place = True

    def why_not_again(self, delivery: Delivery) -> str:
        return ""

    def settle(self, delivery: Delivery) -> Settled:
        before = delivery.previous
        return (
            Settled("arrived", Receipt(**before)) if before.get("reference") else Settled("unknown")
        )

    def write(self, delivery: Delivery) -> Receipt:
        world = self.world
        post = delivery.previous.get("reference", "")
        if not post:
            world.posts += 1
            post = f"post {world.posts}"
        world.reach([self.channel], delivery, post)
        if world.fate in CAME:
            world.keys[post] = delivery.key
        world.end()
        return self.receipt(delivery, post)


class Bot(Board):
    """One that can be asked for the messages of a report."""

    def settle(self, delivery: Delivery) -> Settled:
        there = delivery.arrived.get("reference")
        known = self.world.keys.items()
        new = [post for post, key in known if key == delivery.key and post != there]
        if new:
            return Settled("arrived", self.receipt(delivery, new[-1]))
        if delivery.previous.get("reference"):
            return Settled("arrived", Receipt(**delivery.previous))
        return Settled("absent")


class Feed(Chat):
    """A system that takes rows; its message shows none of their figures."""

    sends_rows = True

    def shown(self, message: Message) -> Message:
        return replace(message, kpis=())


class Table(Chat):
    """One that keeps a row for each period, in the place of the former one."""

    is_idempotent = True

    def destination_ids_of(self, receipt: Mapping[str, Any]) -> Sequence[str]:
        return ()

    def write(self, delivery: Delivery) -> Receipt:
        self.world.reach([self.channel], delivery)
        if self.world.fate in CAME:
            self.hold(period_of(delivery), value_of(delivery))
        self.world.end()
        return self.receipt(delivery)

    def hold(self, period: int, value: float) -> None:
        self.world.held[self.place, period] = value


class Slate(Table):
    """One that holds one period."""

    def holds_one_period(self, delivery: Delivery) -> bool:
        return True

    def hold(self, period: int, value: float) -> None:
        for place, other in list(self.world.held):
            if place == self.place:
                self.world.went_back = self.world.went_back or other > period
                del self.world.held[place, other]
        super().hold(period, value)


class Mail(Chat):
    """One that goes to readers one by one; each may be refused it."""

    def __init__(self, world: World, to: Sequence[str]) -> None:
        super().__init__(world, "mail.test")
        self.to = tuple(to)

    @property
    def readers(self) -> tuple[str, ...]:
        return self.to

    def reached(self, receipt: Mapping[str, Any]) -> Sequence[str]:
        return receipt["details"]["accepted"]  # type: ignore[no-any-return]

    def destination_ids_of(self, receipt: Mapping[str, Any]) -> Sequence[str]:
        return ()

    def write(self, delivery: Delivery) -> Receipt:
        to = delivery.readers or self.to
        self.world.reach(to, delivery)
        took = [one for one in to if one not in self.world.put_off]
        if not took and self.world.fate != "killed before":
            raise SinkError("every recipient was refused")
        self.world.end()
        missing = "" if len(took) == len(to) else "some were put off"
        receipt = self.receipt(delivery)
        return replace(receipt, details={"accepted": took}, missing=missing)


class Post(Mail):
    """The sink `email`, and a mail server that does what befalls the attempt."""

    server: MailServer

    def __init__(self, world: World, to: Sequence[str]) -> None:
        super().__init__(world, to)
        options: dict[str, Any] = {"host": "127.0.0.1", "port": self.server.port, "to": to}
        options |= {"security": "none", "from": "reports@acme.test", "charts": False, "timeout": 5}
        self.email = EmailSink(
            EmailOptions(**options, on_unknown=world.policy), SinkContext("email", Path())
        )
        assert self.readers == self.email.readers

    def destination(self, delivery: Delivery) -> str:
        return self.email.destination(delivery)

    def destination_id(self, delivery: Delivery) -> str:
        return self.email.destination_id(delivery)

    def why_not_again(self, delivery: Delivery) -> str:
        return self.email.why_not_again(delivery)

    def reached(self, receipt: Mapping[str, Any]) -> Sequence[str]:
        return list(self.email.reached(receipt))

    def write(self, delivery: Delivery) -> Receipt:
        fate, server = self.world.fate, self.server
        if fate == "lost":  # a server that has the text and hangs up has the mail
            fate = self.world.fate = "late"
        server.replies = {f"RCPT TO:<{one}": "450 later" for one in self.world.put_off}
        server.replies |= {"MAIL": "450 later"} if fate == "refused" else {}
        server.cuts = {"DATA."} if fate == "late" else set()
        first, before = len(self.world.events), len(server.mails)
        self.world.reach(delivery.readers or self.to, delivery)
        if fate == "killed before":
            raise KilledError
        try:
            receipt = self.email.write(delivery)
        finally:
            got = [one for mail in server.mails[before:] for one in mail.recipients]
            assert got == [one.reader for one in self.world.events[first:] if one.came]
        if fate == "killed after":
            raise KilledError
        return receipt


# --- a walk --------------------------------------------------------------------------------------


@dataclass
class Walk:
    """The project over its runs. figures: (period, definition) -> value. session: of the warehouse
    where results are recorded, which matters to sinks that take rows."""

    seed: int
    kind: type[Chat]
    policy: str
    ledger: DeliveryLedger
    session: Connection
    period: int = 0
    where: str = ""
    formula: str = "v1"
    run: int = 0
    now: datetime = AS_OF + timedelta(days=90)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.kind.__name__} {self.policy} {self.seed}")
        self.world = World(self.policy)
        self.figures: dict[tuple[int, tuple[str, str]], float] = {}
        self.sinks: dict[str, Chat] = {}
        self._name_sinks()

    def figure(self, period: int) -> float:
        key = (period, (self.where, self.formula))
        if key not in self.figures:
            self.figures[key] = float(self.chance.randint(1, 2 if self.seed % 2 else 3))
        return self.figures[key]

    def _name_sinks(self) -> None:
        names = self.chance.sample(NAMES, len(NAMES))
        if issubclass(self.kind, Mail):
            readers = self.chance.sample(READERS, self.chance.randint(1, len(READERS)))
            at = {one: self.chance.sample(names, self._number(0.15)) for one in readers}
            groups = {name: [one for one in readers if name in at[one]] for name in names}
            self.sinks = {name: self.kind(self.world, to) for name, to in groups.items() if to}
            return
        places = self.chance.sample(list(CHANNELS.items()), self.chance.randint(1, 2))
        places += [places[0]] * (self._number(0.2) - 1)
        # An id is known to be that of a name once something came there by the name.
        known = {one.reader for one in self.world.events if one.is_sure}
        named = [self.chance.choice(one if one[1] in known else one[:1]) for one in places]
        self.sinks = {
            name: self.kind(self.world, one) for name, one in zip(names, named, strict=False)
        }

    def _number(self, chance_of_two: float) -> int:
        """Of sinks to one reader."""
        return 2 if self.chance.random() < chance_of_two else 1

    def change(self) -> None:
        """What people and data do between two runs."""
        # Every other walk stays with its sinks: filters come and go, attempts end anyhow.
        chance, is_calm = self.chance.random, bool(self.seed % 2)
        if chance() < (0 if is_calm else 0.35):
            self._name_sinks()
        if chance() < (0.6 if is_calm else 0.3):
            self.where = self.chance.choice(("", "team = 'East'"))
        if chance() < (0 if is_calm else 0.15):
            self.formula = self.chance.choice(("v1", "v2"))
        for key in self.figures:
            if chance() < 0.2:
                self.figures[key] = float(self.chance.randint(1, 2 if is_calm else 3))
        if chance() < (0.1 if is_calm else 0.2):
            self.period += 1

    def go_on(self) -> None:
        """The next period begins, with late data of the one before."""
        before = (self.period, (self.where, self.formula))
        self.figures[before] = 3 - self.figure(self.period) % 3
        self.period += 1

    def deliver(self, *, is_clean: bool) -> None:
        """One run."""
        self.run += 1
        self.now += timedelta(hours=13)
        world = self.world
        world.run, world.definition = self.run, (self.where, self.formula)
        world.reached_by = {n: one.readers or (one.channel,) for n, one in self.sinks.items()}
        self.log.append(
            f"run {self.run} period {self.period} {self.world.definition}: "
            + ", ".join(f"{name} -> {one.readers or one.place}" for name, one in self.sinks.items())
        )
        first = len(self.world.events)
        # What the quality gate keeps back: nothing, the earlier period, or all.
        gate = "" if is_clean else self.chance.choice((*[""] * 6, "earlier", "all"))
        # Asked to, a bot begins a further message: which is the report's then is not judged here.
        is_asked = not is_clean and self.chance.random() < 0.1
        is_resend = is_asked and not issubclass(self.kind, Board)
        try:
            for given, terms, sinks in self._letters(gate, is_resend=is_resend):
                self._deliver(given, terms, sinks, is_clean=is_clean)
        except KilledError:
            self.log.append("   killed")
        self.log += [f"   {one}" for one in self.world.events[first:]]

    def _letters(
        self, gate: str, *, is_resend: bool
    ) -> list[tuple[Delivery, Terms, Mapping[str, Sink]]]:
        """The reports of a run, the oldest first, how and to which sinks."""
        found = list[tuple[Delivery, Terms, Mapping[str, Sink]]]()
        for period in range(
            self.period if gate == "all" else max(0, self.period - 1), self.period + 1
        ):
            is_earlier = period < self.period
            given, is_kept_back = self._report(period), gate == "all" or (gate and is_earlier)
            terms = Terms(
                ledger=self.ledger,
                definitions=self.formula,
                where=self.where,
                job_sinks=dict(self.sinks),
                now=lambda: self.now,
                resend=is_resend and not is_earlier,
                blocked="old data" if is_kept_back else "",
                is_restatement=is_earlier,
                moved=partial(has_moved, self.session, lambda kpi: 0.0),
            )
            sinks: Mapping[str, Sink] = self.sinks
            if is_earlier:
                sinks = sinks_to_tell(self.session, sinks, given, terms)
            found.append((given, terms, sinks))
        if not issubclass(self.kind, (Feed, Table)):
            return found  # it does not matter what was recorded
        for given, terms, _ in found:
            if not terms.blocked:
                record_results(
                    self.session, given.results, job=given.job, run_id=given.run_id, at=self.now
                )
        number = last_recording(self.session)
        return [(given, replace(terms, recording=number), sinks) for given, terms, sinks in found]

    def _report(self, period: int) -> Delivery:
        start, value = FIRST + timedelta(days=7 * period), self.figure(period)
        end = start + timedelta(days=7)
        said = message(line(value=value, value_text=str(value)))
        rows = table(kpi(value=value, period_start=start, period_end=end, unit="percent"))
        return replace(
            delivery(rows, said, job=f"walk {self.seed}", run_id=f"run {self.run}"),
            period_start=start,
            period_end=end,
        )

    def _deliver(
        self, given: Delivery, terms: Terms, sinks: Mapping[str, Sink], *, is_clean: bool
    ) -> None:
        for name, sink in sinks.items():
            world, before = self.world, len(self.world.events)
            world.sink, world.is_asked = name, terms.resend
            world.is_earlier = terms.is_restatement
            world.fate, world.put_off = "arrives", frozenset()
            if not is_clean and self.chance.random() < (0.6 if self.seed % 2 else 0.4):
                world.fate = self.chance.choice(FATES)
            if not is_clean and sink.readers:
                world.put_off = frozenset(
                    one for one in sink.readers if self.chance.random() < 0.25
                )
            ends = deliver({name: sink}, given, terms)
            to = [one.reader for one in world.events[before:]]
            if terms.blocked:
                assert (to, [one.status for one in ends]) == ([], ["blocked"])
            elif terms.resend:
                assert (sorted(to), len(ends)) == (sorted(world.reached_by[name]), 1)
            self.log.append(
                f"   {name} {period_of(given)}={value_of(given)}: "
                f"{[(one.status, one.note) for one in ends]}"
            )


# --- the judge -----------------------------------------------------------------------------------


def judge(walk: Walk) -> Iterator[str]:
    """What is wrong with what the readers got."""
    if issubclass(walk.kind, Table):
        yield from _not_held(walk)
        return
    definition = (walk.where, walk.formula)
    posts = {(one.post, one.definition) for one in walk.world.events if one.post}
    if len({post for post, _ in posts}) < len(posts):
        yield "a message was brought up to date by another definition"
    for period in range(walk.period + 1):
        truth = walk.figure(period)
        for reader in (*READERS, *CHANNELS.values()):
            events = [
                one for one in walk.world.events if (one.reader, one.period) == (reader, period)
            ]
            yield from _said_twice(walk, events)
            reached_by = walk.world.sinks_to(reader)
            for sink in reached_by:
                heard = _heard_of(sink, frozenset(reached_by) - {sink}, events)
                of_it = [one for one in heard if one.definition == definition]
                is_due = period == walk.period or (
                    period == walk.period - 1 and _is_to_be_corrected(walk, of_it, truth)
                )
                if is_due:
                    yield from _missed(walk, heard, truth)


def _heard_of(sink: str, beside: frozenset[str], events: Sequence[Event]) -> list[Event]:
    """What a reader takes for reports of the sink: its own, and those of sinks that are gone by
    now and did not tell him beside it."""
    runs = {one.run for one in events if one.sink == sink}
    return [
        one for one in events if one.sink == sink or not (one.sink in beside or one.run in runs)
    ]


def _not_held(walk: Walk) -> Iterator[str]:
    """What a place that is replaced lacks. An earlier period is looked after where it stands."""
    for name, sink in walk.sinks.items():
        held = {period: one for (at, period), one in walk.world.held.items() if at == sink.place}
        if held.get(walk.period) != walk.figure(walk.period):
            yield f"{sink.place} does not hold {walk.figure(walk.period)} of {walk.period}: {held}"
        if isinstance(sink, Slate) and len(held) != 1:
            yield f"{sink.place} holds several periods: {held}"
        before, truth = walk.period - 1, walk.figure(walk.period - 1)
        told = [
            one.value
            for one in walk.world.events
            if (one.sink, one.period, one.is_sure) == (name, before, True)
        ]
        # Where it went elsewhere, it follows when its figures change.
        is_followed = isinstance(sink, Slate) or told[-1:] in ([], [truth])
        if held.get(before, truth if is_followed else None) != truth:
            yield f"{sink.place} does not hold {truth} of {before}: {held}"
    if walk.world.went_back:
        yield "a place that holds one period went back to an earlier one"
    if any(one.is_noted for one in walk.world.events):
        yield "a note on another definition where that is replaced"


def _is_to_be_corrected(walk: Walk, events: Sequence[Event], truth: float) -> bool:
    """Whether a run of a later period has to look after what was told by the definition: it arrived
    for sure, or may have and is wrong. What may have and is right is for a run of its own, and so
    is what did not arrive, where that can be found out."""
    perhaps = [one for one in events if one.fate in UNSURE]
    if walk.kind is Bot:
        perhaps = [one for one in perhaps if one.came]
    return any(one.is_sure for one in events) or any(one.value != truth for one in perhaps)


def _missed(walk: Walk, events: Sequence[Event], truth: float) -> Iterator[str]:
    # Each definition has a message of its own where messages are brought up to date.
    definition = (walk.where, walk.formula)
    is_in_place = issubclass(walk.kind, Board)
    of_it = [one for one in events if not is_in_place or one.definition == definition]
    came = [one for one in of_it if one.came]
    if came and came[-1].value == truth:
        return
    since = _since_the_last_sure(of_it)
    may_have_come = any(one.value == truth for one in since)
    if walk.policy == "at_most_once" and may_have_come and walk.kind is not Bot:
        return  # the run says so, and people look there
    who = f"{events[-1].reader}, period {events[-1].period}" if events else "a reader"
    yield f"missed: {who} holds {came[-1] if came else None}, not {truth}"


def _said_twice(walk: Walk, events: Sequence[Event]) -> Iterator[str]:
    for number, one in enumerate(events):
        if one.is_asked:
            continue
        before = _heard_of(one.sink, one.beside, events[:number])
        is_first = all(each.definition != one.definition for each in _perhaps(before))
        if is_first and one.is_noted != bool(_perhaps(before)):
            yield f"a note on another definition without a cause, or none with one: {one}"
        if is_first and one.is_earlier:
            yield f"a report on an earlier period that a run of its own owes: {one}"
        came = [each for each in before if each.came]
        unsure = [each for each in before if each.fate in UNSURE]
        # An update that was refused may have been made in part.
        partly = [each for each in before if walk.kind is Bot and not each.is_new]
        told = {each.value for each in (*came, *unsure, *partly)}
        if one.before is not None and one.before not in told:
            yield f"corrects what was never told: {one}"
        is_update = issubclass(walk.kind, Board) and not one.is_new
        if not came or one.fate == "refused" or is_update:
            continue
        of_it = [each for each in before if each.definition == one.definition]
        is_known = any(each.came for each in of_it)
        # The report by this definition, and what was heard last by whatever definition.
        since = [*_since_the_last_sure(before), *_since_the_last_sure(of_it)]
        last_of_it = [each for each in of_it if each.came][-1:]
        # What another report may have said is not taken to be known.
        last_sure = [each for each in before if each.is_sure][-1:]
        lately = _since_the_last_sure(before)
        is_of_others = all(each.definition != one.definition for each in lately)
        last = [came[-1], *last_of_it, *since, *(last_sure if is_of_others else ())]
        may_differ = any(each.value != one.value for each in last)
        is_repeat = walk.policy == "at_least_once" and bool(since)
        if is_known and not may_differ and not is_repeat:
            yield f"said twice: {one}"
        if is_known and may_differ and not one.is_correction and not issubclass(walk.kind, Board):
            yield f"not marked as a correction: {one}"


def _perhaps(events: Sequence[Event]) -> list[Event]:
    """Those that came, or may have."""
    return [one for one in events if one.fate != "refused"]


def _since_the_last_sure(events: Sequence[Event]) -> list[Event]:
    """Attempts that may have come, or not, since the last that surely did."""
    sure = [number for number, one in enumerate(events) if one.is_sure]
    return [one for one in events[sure[-1] + 1 if sure else 0 :] if one.fate in UNSURE]


def walked(
    seed: int, kind: type[Chat], policy: str, ledger: DeliveryLedger, session: Connection
) -> Walk:
    walk = Walk(seed, kind, policy, ledger, session)
    for _ in range(walk.chance.randint(3, 8)):
        walk.deliver(is_clean=False)
        walk.change()
    if seed % 4 > 1:
        walk.go_on()
    walk.deliver(is_clean=True)
    return walk


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Connection]:
    settings = EngineSettings(path=tmp_path / "warehouse.duckdb", timezone="UTC", threads=1)
    with connect(settings, read_only=False) as connection:
        create_ledger(connection)
        create_deliveries(connection)
        yield connection


def check(
    seeds: range,
    kind: type[Chat],
    policy: str,
    session: Connection,
    ledger: DeliveryLedger | None = None,
) -> None:
    for seed in seeds:
        walk = walked(seed, kind, policy, ledger or MemoryLedger(), session)
        wrong = list(judge(walk))
        first = len(walk.world.events)
        walk.deliver(is_clean=True)
        # What is replaced is written again for the period that is due.
        is_replaced = issubclass(kind, Table)
        again = [one for one in walk.world.events[first:] if one.is_earlier or not is_replaced]
        wrong += [f"a second run said something again: {one}" for one in again]
        assert not wrong, "\n".join([f"walk {seed}", *wrong, *walk.log])


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
@pytest.mark.parametrize("kind", [Chat, Board, Bot, Mail])
def test_every_reader_ends_with_the_last_figures_and_hears_nothing_twice(
    kind: type[Chat], policy: str, session: Connection
) -> None:
    check(range(150), kind, policy, session)


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
def test_a_system_that_takes_rows_does_too(policy: str, session: Connection) -> None:
    check(range(8), Feed, policy, session)


@pytest.mark.parametrize("kind", [Table, Slate])
def test_what_is_replaced_holds_the_last_figures(kind: type[Chat], session: Connection) -> None:
    check(range(8), kind, "at_most_once", session)


@pytest.mark.parametrize("kind", [Chat, Bot, Mail, Table])
def test_the_ledger_of_a_warehouse_leads_there_too(kind: type[Chat], session: Connection) -> None:
    check(range(100, 103), kind, "at_least_once", session, Ledger(session))


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
def test_mail_comes_as_the_walks_say(policy: str, session: Connection) -> None:
    with MailServer() as server:
        served = type("Served", (Post,), {"server": server})
        check(range(6), served, policy, session)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
@pytest.mark.parametrize(
    ("kind", "walks"),
    [(Chat, 600), (Board, 600), (Bot, 600), (Mail, 600), (Feed, 60), (Table, 60), (Slate, 60)],
)
def test_the_same_over_many_more_walks(
    kind: type[Chat], walks: int, policy: str, session: Connection
) -> None:
    check(range(200, 200 + walks), kind, policy, session)
