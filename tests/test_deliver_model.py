"""Deliveries over many runs, between which anything may change and any attempt may end anyhow.

A walk changes names, places, readers, filter, definition and figures between runs, lets attempts
fail, be cut and be killed, and ends with two runs of which nothing goes wrong. What readers must
hold then, and what may never be sent, is judged from what reached them alone (`judge`): every
reader ends with the last figures, hears nothing twice without a cause, and of a correction only
where something else may have reached him.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from crmetrics.deliver import (
    DeliveryLedger,
    Ledger,
    Terms,
    create_deliveries,
    deliver,
    last_told,
    restates,
)
from crmetrics.errors import SinkError, UnknownOutcomeError
from crmetrics.plugin import Delivery, Options, Receipt, Settled, Sink, SinkContext
from crmetrics.warehouse.connection import EngineSettings, connect
from crmetrics_email.sink import EmailOptions, EmailSink
from memory_ledger import MemoryLedger
from result_rows import AS_OF, delivery, line, message
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
    message; new: it is another one. before: what a correction says that was told."""

    reader: str
    period: int
    definition: tuple[str, str]
    value: float
    fate: Fate
    before: float | None
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
    fate: Fate = "arrives"
    put_off: frozenset[str] = frozenset()
    definition: tuple[str, str] = ("", "")
    events: list[Event] = field(default_factory=list)
    posts: int = 0

    def reach(self, readers: Sequence[str], given: Delivery, post: str = "") -> None:
        [shown] = given.message.kpis
        assert shown.value is not None
        before = [float(one.before) for one in given.restated]
        for reader in readers:
            period = (given.period_start - FIRST).days // 7
            fate = self._fate_of(reader, readers)
            told = before[0] if before else None
            is_new = not given.previous.get("reference")
            self.events.append(
                Event(reader, period, self.definition, shown.value, fate, told, post, is_new)
            )

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
        world.end()
        return self.receipt(delivery, post)


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
    """The project over its runs. figures: (period, definition) -> value."""

    seed: int
    kind: type[Chat]
    policy: str
    ledger: DeliveryLedger
    period: int = 0
    where: str = ""
    formula: str = "v1"
    run: int = 0
    now: datetime = AS_OF
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
            self.figures[key] = float(self.chance.randint(1, 3))
        return self.figures[key]

    def _name_sinks(self) -> None:
        names = self.chance.sample(NAMES, len(NAMES))
        if issubclass(self.kind, Mail):
            readers = self.chance.sample(READERS, self.chance.randint(1, len(READERS)))
            at = {one: self.chance.choice(names) for one in readers}
            groups = {name: [one for one in readers if at[one] == name] for name in names}
            self.sinks = {name: self.kind(self.world, to) for name, to in groups.items() if to}
            return
        places = self.chance.sample(list(CHANNELS.items()), self.chance.randint(1, 2))
        # An id is known to be that of a name once something came there by the name.
        known = {one.reader for one in self.world.events if one.is_sure}
        named = [self.chance.choice(one if one[1] in known else one[:1]) for one in places]
        self.sinks = {
            name: self.kind(self.world, one) for name, one in zip(names, named, strict=False)
        }

    def change(self) -> None:
        """What people and data do between two runs."""
        chance = self.chance.random
        if chance() < 0.35:
            self._name_sinks()
        if chance() < 0.3:
            self.where = self.chance.choice(("", "team = 'East'"))
        if chance() < 0.15:
            self.formula = self.chance.choice(("v1", "v2"))
        for key in self.figures:
            if chance() < 0.2:
                self.figures[key] = float(self.chance.randint(1, 3))
        if chance() < 0.2:
            self.period += 1

    def deliver(self, *, is_clean: bool) -> int:
        """One run; how many attempts it made."""
        self.run += 1
        self.now += timedelta(hours=13)
        self.world.definition = (self.where, self.formula)
        names = list(self.sinks)
        self.log.append(
            f"run {self.run} period {self.period} {self.world.definition}: "
            + ", ".join(f"{name} -> {one.readers or one.place}" for name, one in self.sinks.items())
        )
        first = len(self.world.events)
        try:
            for period in range(max(0, self.period - 1), self.period + 1):
                self._report(period, names, is_clean=is_clean)
        except KilledError:
            self.log.append("   killed")
        self.log += [f"   {one}" for one in self.world.events[first:]]
        return len(self.world.events) - first

    def _report(self, period: int, names: Sequence[str], *, is_clean: bool) -> None:
        start, value = FIRST + timedelta(days=7 * period), self.figure(period)
        said = message(line(value=value, value_text=str(value)))
        given = replace(
            delivery(report=said, job=f"walk {self.seed}", run_id=f"run {self.run}"),
            period_start=start,
            period_end=start + timedelta(days=7),
        )
        terms = Terms(
            ledger=self.ledger,
            definitions=self.formula,
            where=self.where,
            job_sinks=dict(self.sinks),
            now=lambda: self.now,
            is_restatement=period < self.period,
        )
        for name in names:
            sink = self.sinks[name]
            if terms.is_restatement and not (
                last_told(sink, name, given, terms) and restates(sink, name, given, terms)
            ):
                continue
            self.world.fate, self.world.put_off = "arrives", frozenset()
            if not is_clean and self.chance.random() < 0.4:
                self.world.fate = self.chance.choice(FATES)
            if not is_clean and sink.readers:
                self.world.put_off = frozenset(
                    one for one in sink.readers if self.chance.random() < 0.25
                )
            ends = deliver({name: sink}, given, terms)
            self.log.append(
                f"   {name} {period}={value}: {[(one.status, one.note) for one in ends]}"
            )


# --- the judge -----------------------------------------------------------------------------------


def judge(walk: Walk) -> Iterator[str]:
    """What is wrong with what the readers got."""
    reached = [one for sink in walk.sinks.values() for one in (sink.readers or (sink.channel,))]
    definition = (walk.where, walk.formula)
    posts = {(one.post, one.definition) for one in walk.world.events if one.post}
    if len({post for post, _ in posts}) < len(posts):
        yield "a message was brought up to date by another definition"
    for period in range(walk.period + 1):
        for reader in (*READERS, *CHANNELS.values()):
            events = [
                one for one in walk.world.events if (one.reader, one.period) == (reader, period)
            ]
            yield from _said_twice(walk, events)
            truth = walk.figure(period)
            is_due = period == walk.period or (
                period == walk.period - 1
                and _is_to_be_corrected(
                    [one for one in events if one.definition == definition], truth
                )
            )
            if reader in reached and is_due:
                yield from _missed(walk, events, truth)


def _is_to_be_corrected(events: Sequence[Event], truth: float) -> bool:
    """Whether a run of a later period has to look after what was told by the definition: it arrived
    for sure, or may have and is wrong. What may have and is right is for a run of its own."""
    unsure = [one for one in events if one.fate in UNSURE]
    return any(one.is_sure for one in events) or any(one.value != truth for one in unsure)


def _missed(walk: Walk, events: Sequence[Event], truth: float) -> Iterator[str]:
    came = [one for one in events if one.came]
    if came and came[-1].value == truth:
        return
    # Each definition has a message of its own where messages are brought up to date.
    definition = (walk.where, walk.formula)
    of_it = [one for one in events if walk.kind is not Board or one.definition == definition]
    since = _since_the_last_sure(of_it)
    may_have_come = any(one.value == truth for one in since)
    if walk.policy == "at_most_once" and may_have_come:
        return  # the run says so, and people look there
    who = f"{events[-1].reader}, period {events[-1].period}" if events else "a reader"
    yield f"missed: {who} holds {came[-1] if came else None}, not {truth}"


def _said_twice(walk: Walk, events: Sequence[Event]) -> Iterator[str]:
    for number, one in enumerate(events):
        before = events[:number]
        came = [each for each in before if each.came]
        unsure = [each for each in before if each.fate in UNSURE]
        if one.before is not None and one.before not in {each.value for each in (*came, *unsure)}:
            yield f"corrects what was never told: {one}"
        if not came or one.fate == "refused" or not (one.is_new or walk.kind is not Board):
            continue
        of_it = [each for each in before if each.definition == one.definition]
        is_known = any(each.came for each in of_it)
        # The report by this definition, and what was heard last by whatever definition.
        since = [*_since_the_last_sure(before), *_since_the_last_sure(of_it)]
        last_of_it = [each for each in of_it if each.came][-1:]
        # What another report may have said is not taken to be known.
        last_sure = [each for each in before if each.is_sure][-1:]
        is_of_others = all(each.definition != one.definition for each in since)
        last = [came[-1], *last_of_it, *since, *(last_sure if is_of_others else ())]
        may_differ = any(each.value != one.value for each in last)
        is_repeat = walk.policy == "at_least_once" and bool(since)
        if is_known and not may_differ and not is_repeat:
            yield f"said twice: {one}"
        if is_known and may_differ and one.before is None and walk.kind is not Board:
            yield f"not marked as a correction: {one}"


def _since_the_last_sure(events: Sequence[Event]) -> list[Event]:
    """Attempts that may have come, or not, since the last that surely did."""
    sure = [number for number, one in enumerate(events) if one.is_sure]
    return [one for one in events[sure[-1] + 1 if sure else 0 :] if one.fate in UNSURE]


def walked(seed: int, kind: type[Chat], policy: str, ledger: DeliveryLedger) -> Walk:
    walk = Walk(seed, kind, policy, ledger)
    for _ in range(walk.chance.randint(3, 8)):
        walk.deliver(is_clean=False)
        walk.change()
    walk.deliver(is_clean=True)
    return walk


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    settings = EngineSettings(path=tmp_path / "warehouse.duckdb", timezone="UTC")
    with connect(settings, read_only=False) as session:
        create_deliveries(session)
        yield Ledger(session)


def check(seeds: range, kind: type[Chat], policy: str, ledger: DeliveryLedger) -> None:
    for seed in seeds:
        if isinstance(ledger, MemoryLedger):
            ledger.records.clear()
        walk = walked(seed, kind, policy, ledger)
        wrong = list(judge(walk))
        if walk.deliver(is_clean=True):
            wrong.append("a second run said something again")
        assert not wrong, "\n".join([f"walk {seed}", *wrong, *walk.log])


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
@pytest.mark.parametrize("kind", [Chat, Board, Mail])
def test_every_reader_ends_with_the_last_figures_and_hears_nothing_twice(
    kind: type[Chat], policy: str
) -> None:
    check(range(100), kind, policy, MemoryLedger())


@pytest.mark.parametrize("kind", [Chat, Board, Mail])
def test_the_ledger_of_a_warehouse_leads_there_too(kind: type[Chat], ledger: Ledger) -> None:
    check(range(100, 103), kind, "at_least_once", ledger)


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
def test_mail_comes_as_the_walks_say(policy: str) -> None:
    with MailServer() as server:
        served = type("Served", (Post,), {"server": server})
        check(range(6), served, policy, MemoryLedger())


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
@pytest.mark.parametrize("kind", [Chat, Board, Mail])
def test_the_same_over_many_more_walks(kind: type[Chat], policy: str) -> None:
    check(range(200, 800), kind, policy, MemoryLedger())
