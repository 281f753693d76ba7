"""Handing a delivery to the sinks: nobody is left out, nothing is sent twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from crmetrics.deliver import Outcome, deliver, delivery_key
from crmetrics.errors import SinkError, UnknownOutcomeError, WarehouseError
from crmetrics.plugin import Delivery, Options, Receipt, Secret, Sink, SinkContext
from crmetrics.state import DeliveryRecord, DeliveryStatus
from result_rows import AS_OF, delivery


class MemoryLedger:
    """A ledger in a list."""

    def __init__(self) -> None:
        self.records: list[DeliveryRecord] = []

    def last(self, key: str, *, status: DeliveryStatus | None = None) -> DeliveryRecord | None:
        fitting = [
            record
            for record in self.records
            if record.key == key and status in (None, record.status)
        ]
        return fitting[-1] if fitting else None

    def record(self, record: DeliveryRecord) -> None:
        self.records.append(record)

    @property
    def statuses(self) -> list[str]:
        return [record.status for record in self.records]


class Board(Sink):
    """A sink that keeps what it is given; `act` may fail in its place."""

    name = "board"
    is_idempotent = True

    def __init__(self, act: Callable[[], None] | None = None, place: str = "wall") -> None:
        super().__init__(Options(), SinkContext("board", Path()))
        self.given: list[Delivery] = []
        self._act, self._place = act, place

    def destination(self, delivery: Delivery) -> str:
        return self._place

    def preview(self, delivery: Delivery) -> str:
        return f"{delivery.job} on the {self._place}"

    def write(self, delivery: Delivery) -> Receipt:
        self.given.append(delivery)
        if self._act:
            self._act()
        return Receipt(self._place, rows=1, reference="ts-1", details={"bytes": 10})


class Chat(Board):
    """A sink that cannot replace what it sent."""

    is_idempotent = False


def fail(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def send(
    sinks: dict[str, Sink], ledger: MemoryLedger | None = None, **options: Any
) -> list[Outcome]:
    return deliver(sinks, delivery(), ledger=ledger, now=lambda: AS_OF, **options)


# --- each on its own -------------------------------------------------------------------------


def test_every_sink_gets_the_delivery_with_its_own_key() -> None:
    one, other = Board(), Board(place="door")
    outcomes = send({"one": one, "other": other})
    assert [outcome.status for outcome in outcomes] == ["delivered", "delivered"]
    assert outcomes[0].receipt == Receipt("wall", 1, "ts-1", {"bytes": 10})
    assert one.given[0].key == outcomes[0].key != other.given[0].key
    assert one.given[0].results.num_rows == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SinkError("the wall fell"), "failed"),
        (UnknownOutcomeError("no answer"), "unknown"),
        (ZeroDivisionError("a bug"), "unknown"),
    ],
)
def test_a_failing_sink_does_not_stop_the_next(error: Exception, status: str) -> None:
    last = Board()
    outcomes = send({"first": Board(fail(error)), "last": last})
    assert [outcome.status for outcome in outcomes] == [status, "delivered"]
    assert isinstance(outcomes[0].error, SinkError)
    assert len(last.given) == 1


def test_an_unexpected_error_is_told_with_its_kind_and_without_secrets() -> None:
    secret = Secret("xoxb-very-secret-token")
    [outcome] = send({"team": Board(fail(ValueError(f"bad token {secret.reveal()}")))})
    assert "sink 'team' (Board) failed unexpectedly: ValueError: bad token" in str(outcome.error)
    assert secret.reveal() not in str(outcome.error)


def test_a_sink_that_cannot_name_its_destination_fails_alone() -> None:
    class Lost(Board):
        def destination(self, delivery: Delivery) -> str:
            raise SinkError("no place")

    ledger = MemoryLedger()
    outcomes = send({"lost": Lost(), "board": Board()}, ledger)
    assert [outcome.status for outcome in outcomes] == ["failed", "delivered"]
    assert ledger.statuses == ["started", "delivered"]


def test_an_interrupt_stops_everything_and_leaves_the_attempt_open() -> None:
    ledger = MemoryLedger()
    with pytest.raises(KeyboardInterrupt):
        send({"team": Chat(fail(KeyboardInterrupt()))}, ledger)
    assert ledger.statuses == ["started"]


# --- dry run ---------------------------------------------------------------------------------


def test_a_dry_run_previews_and_leaves_no_trace() -> None:
    ledger, sink = MemoryLedger(), Chat()
    [outcome] = send({"team": sink}, ledger, dry_run=True)
    assert (outcome.status, outcome.preview) == ("previewed", "weekly_sales on the wall")
    assert outcome.destination == "wall"
    assert (sink.given, ledger.records) == ([], [])


def test_a_preview_that_fails_does_not_stop_the_next() -> None:
    class Blank(Board):
        def preview(self, delivery: Delivery) -> str:
            raise RuntimeError("no paper")

    outcomes = send({"blank": Blank(), "board": Board()}, dry_run=True)
    assert [outcome.status for outcome in outcomes] == ["failed", "previewed"]


# --- twice -----------------------------------------------------------------------------------


def test_every_step_is_in_the_ledger() -> None:
    ledger = MemoryLedger()
    [outcome] = send({"team": Chat()}, ledger)
    assert ledger.statuses == ["started", "delivered"]
    done = ledger.records[-1]
    assert (done.key, done.job, done.sink, done.destination, done.at) == (
        outcome.key, "weekly_sales", "team", "wall", AS_OF,
    )  # fmt: skip
    assert done.receipt == {
        "destination": "wall",
        "rows": 1,
        "reference": "ts-1",
        "details": {"bytes": 10},
    }


def test_what_was_delivered_is_not_sent_again() -> None:
    ledger, sink = MemoryLedger(), Chat()
    send({"team": sink}, ledger)
    [outcome] = send({"team": sink}, ledger)
    assert outcome.status == "skipped"
    assert outcome.note == "delivered before, at 2026-02-02T07:00:00Z by run run-1"
    assert len(sink.given) == 1


def test_an_attempt_of_unknown_end_is_not_repeated() -> None:
    ledger = MemoryLedger()
    send({"team": Chat(fail(UnknownOutcomeError("no answer")))}, ledger)
    sink = Chat()
    [outcome] = send({"team": sink}, ledger)
    assert outcome.status == "skipped"
    assert "may have arrived" in outcome.note
    assert sink.given == []


def test_an_attempt_that_a_kill_cut_short_is_not_repeated() -> None:
    ledger = MemoryLedger()
    with pytest.raises(KeyboardInterrupt):
        send({"team": Chat(fail(KeyboardInterrupt()))}, ledger)
    [outcome] = send({"team": Chat()}, ledger)
    assert outcome.status == "skipped"


def test_a_failed_attempt_is_repeated() -> None:
    ledger, sink = MemoryLedger(), Chat()
    send({"team": Chat(fail(SinkError("channel is archived")))}, ledger)
    assert ledger.records[-1].error == "channel is archived"
    [outcome] = send({"team": sink}, ledger)
    assert outcome.status == "delivered"


def test_a_sink_that_replaces_is_asked_every_time_and_told_of_the_last() -> None:
    ledger, sink = MemoryLedger(), Board()
    send({"reports": sink}, ledger)
    send({"reports": sink}, ledger)
    assert [dict(given.previous) for given in sink.given] == [{}, dict(ledger.records[1].receipt)]


def test_a_failure_in_between_does_not_hide_what_was_delivered() -> None:
    ledger, sink = MemoryLedger(), Board()
    send({"reports": sink}, ledger)
    send({"reports": Board(fail(SinkError("disk full")))}, ledger)
    send({"reports": sink}, ledger)
    assert sink.given[-1].previous["reference"] == "ts-1"


def test_nothing_is_sent_when_the_ledger_cannot_be_written() -> None:
    class Broken(MemoryLedger):
        def record(self, record: DeliveryRecord) -> None:
            raise WarehouseError("disk full")

    sink = Chat()
    [outcome] = send({"team": sink}, Broken())
    assert (outcome.status, str(outcome.error)) == ("failed", "disk full")
    assert sink.given == []


def test_a_delivery_that_could_not_be_recorded_is_delivered_with_an_error() -> None:
    class BreaksLater(MemoryLedger):
        def record(self, record: DeliveryRecord) -> None:
            if record.status != "started":
                raise WarehouseError("disk full")
            super().record(record)

    [outcome] = send({"team": Chat()}, BreaksLater())
    assert (outcome.status, str(outcome.error)) == ("delivered", "disk full")


# --- keys ------------------------------------------------------------------------------------

WEEK_5 = ("week", date(2026, 1, 26), date(2026, 2, 2))


def test_the_key_is_the_same_for_every_repeat_and_differs_in_every_part() -> None:
    key = delivery_key("weekly", *WEEK_5, "team", "wall")
    assert key == delivery_key("weekly", *WEEK_5, "team", "wall")
    others = [
        delivery_key("daily", *WEEK_5, "team", "wall"),
        delivery_key("weekly", "month", *WEEK_5[1:], "team", "wall"),
        delivery_key("weekly", "week", date(2026, 1, 19), date(2026, 1, 26), "team", "wall"),
        delivery_key("weekly", *WEEK_5, "teams", "wall"),
        delivery_key("weekly", *WEEK_5, "team", "door"),
        delivery_key("weekly", *WEEK_5, "team wall", ""),
    ]
    assert len({key, *others}) == 7


def test_a_secret_in_a_destination_is_masked() -> None:
    secret = Secret("hooks-very-secret-path")
    [outcome] = send({"team": Board(place=f"at {secret.reveal()}")})
    assert secret.reveal() not in outcome.destination
