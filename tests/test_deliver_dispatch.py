"""Handing a delivery to the sinks: nobody is left out, nothing is sent twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from crmetrics.deliver import (
    DeliveryRecord,
    Outcome,
    Terms,
    deliver,
    delivery_key,
    last_told,
    restates,
)
from crmetrics.errors import SinkError, UnknownOutcomeError, WarehouseError
from crmetrics.message import Breakdown, Message, SegmentLine, as_restatement
from crmetrics.plugin import (
    Delivery,
    Options,
    Receipt,
    Restated,
    Secret,
    Settled,
    Sink,
    SinkContext,
)
from memory_ledger import MemoryLedger
from result_rows import AS_OF, delivery, kpi, line, message, table


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


class Hook(Chat):
    """A chat whose name shows the first letter alone of where it is."""

    def __init__(self, address: str) -> None:
        super().__init__(place=f"{address[0]}...")
        self._address = address

    def destination_id(self, delivery: Delivery) -> str:
        return self._address


def fail(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def send(
    sinks: Mapping[str, Sink],
    ledger: MemoryLedger | None = None,
    given: Delivery | None = None,
    **options: Any,
) -> list[Outcome]:
    terms = Terms(**{"ledger": ledger, "now": lambda: AS_OF, **options})
    return deliver(sinks, given or delivery(), terms)


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
        (SystemExit("the driver gave up"), "unknown"),
    ],
)
def test_a_failing_sink_does_not_stop_the_next(error: BaseException, status: str) -> None:
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
    assert ledger.statuses == ["failed", "started", "delivered"]
    lost = ledger.records[0]
    assert (lost.sink, lost.key, lost.error) == ("lost", outcomes[0].key, "no place")


class Mute(Board):
    def shown(self, message: Message) -> Any:
        return None


class Careless(Board):
    def write(self, delivery: Delivery) -> Any:
        return {"destination": "wall"}


@pytest.mark.parametrize(
    ("sink", "statuses", "told"),
    [
        (Mute(), ["failed"], "failed unexpectedly: AttributeError"),
        (Careless(), ["started", "unknown"], "expected a Receipt"),
    ],
)
def test_a_sink_that_answers_nonsense_fails_alone(
    sink: Sink, statuses: list[str], told: str
) -> None:
    ledger = MemoryLedger()
    outcomes = send({"odd": sink, "board": Board()}, ledger)
    assert [outcome.status for outcome in outcomes] == [statuses[-1], "delivered"]
    assert told in str(outcomes[0].error)
    assert ledger.statuses == [*statuses, "started", "delivered"]


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


def test_another_address_is_another_place_also_when_it_looks_the_same() -> None:
    ledger, test, real, renamed = MemoryLedger(), Hook("hall"), Hook("house"), Hook("hall")
    assert [one.status for one in send({"hub": test}, ledger)] == ["delivered"]
    assert [one.status for one in send({"hub": real}, ledger)] == ["delivered"]
    assert [one.status for one in send({"other": Hook("hotel")}, ledger)] == ["delivered"]
    assert [one.status for one in send({"hub": test}, ledger)] == ["skipped"]
    assert [one.status for one in send({"new": renamed}, ledger)] == ["skipped"]


def test_what_a_version_that_knew_the_shown_address_alone_delivered_is_not_sent_again() -> None:
    ledger, sink = MemoryLedger(), Hook("hall")
    [before] = send({"hub": Chat(place="h...")}, ledger, replace(report_of(0.4), **WEEK_BEFORE))
    [outcome] = send({"hub": sink}, ledger, replace(report_of(0.4), **WEEK_BEFORE))
    assert (outcome.status, outcome.key) == ("skipped", before.key)
    [outcome] = send({"hub": sink}, ledger, replace(report_of(0.5), **WEEK_BEFORE))
    assert outcome.note.endswith("this sink cannot replace what it sent")
    assert [one.status for one in send({"other": Hook("hotel")}, ledger)] == ["delivered"]


OTHERWISE = "by another definition or with another filter"


def test_another_filter_makes_another_report_and_no_correction() -> None:
    ledger, sink = MemoryLedger(), Feed()
    for value, where in ((0.4, ""), (0.5, "team = 'East'"), (0.5, "team = 'East'"), (0.6, "")):
        send({"team": sink}, ledger, report_of(value), where=where)
    assert [one.restated for one in sink.given] == [
        (), (), (Restated("Win rate", "40.0%", "60.0%"),)
    ]  # fmt: skip
    notes = [" ".join(one.message.notes) for one in sink.given]
    assert [OTHERWISE in note for note in notes] == [False, True, False]
    assert len({one.key for one in sink.given}) == 2


def test_a_filter_that_is_taken_back_corrects_what_was_told_with_the_other() -> None:
    ledger, sink = MemoryLedger(), Feed()
    east, all_of_it = (0.5, "team = 'East'"), (0.4, "")
    told = (all_of_it, all_of_it, east, east, all_of_it, all_of_it, east, all_of_it)
    outcomes = [
        send({"team": sink}, ledger, replace(report_of(value), run_id=f"run-{n}"), where=where)[0]
        for n, (value, where) in enumerate(told)
    ]
    assert [one.status == "delivered" for one in outcomes] == [
        True, False, True, False, True, False, True, True
    ]  # fmt: skip
    down, up = Restated("Win rate", "50.0%", "40.0%"), Restated("Win rate", "40.0%", "50.0%")
    assert [one.restated for one in sink.given] == [(), (), (down,), (up,), (down,)]
    assert [one.told_by for one in sink.given] == ["", "", "run-2", "run-4", "run-6"]
    notes = [" ".join(one.message.notes) for one in sink.given]
    assert [OTHERWISE in note for note in notes] == [False, True, True, True, True]
    assert len({one.key for one in sink.given}) == 2


def test_a_filter_that_is_taken_back_says_nothing_where_no_figure_differs() -> None:
    ledger, sink = MemoryLedger(), Feed()
    for where in ("", "team = 'East'", ""):
        [outcome] = send({"team": sink}, ledger, report_of(0.4), where=where)
    assert (outcome.status, len(sink.given)) == ("skipped", 2)


def test_another_definition_is_said() -> None:
    ledger, sink = MemoryLedger(), Feed()
    noted = replace(report_of(0.5).message, chat_notes=("old data",))
    send({"team": sink}, ledger, report_of(0.4), definitions="one")
    send({"team": sink}, ledger, replace(report_of(0.5), message=noted), definitions="other")
    assert OTHERWISE in sink.given[1].message.notes[-1]
    assert OTHERWISE in (sink.given[1].message.chat_notes or ("",))[-1]
    send({"team": sink}, ledger, report_of(0.5), definitions="other", resend=True)
    assert sink.given[2].message.notes == ()


def test_what_an_older_version_sent_with_a_filter_is_not_sent_again() -> None:
    ledger, sink = MemoryLedger(), Feed()
    send({"team": sink}, ledger, report_of(0.4))
    ledger.records = [
        replace(one, told={name: said for name, said in one.told.items() if name != "report"})
        for one in ledger.records
    ]
    [same] = send({"team": sink}, ledger, report_of(0.4), where="team = 'East'")
    assert (same.status, same.key) == ("skipped", ledger.records[0].key)


def test_what_a_sink_of_another_name_delivered_there_is_not_sent_again() -> None:
    ledger, sink = MemoryLedger(), Chat()
    send({"team": sink}, ledger)
    [outcome] = send({"sales": sink}, ledger, job_sinks={"sales": sink})
    assert (outcome.status, outcome.key) == ("skipped", ledger.records[0].key)
    [elsewhere] = send({"sales": Chat(place="door")}, ledger, job_sinks={"sales": sink})
    assert elsewhere.status == "delivered"
    [also] = send({"sales": sink}, ledger, job_sinks={"sales": sink}, definitions="others")
    assert also.status == "delivered"


def test_a_name_that_another_place_has_now_does_not_hide_what_it_told() -> None:
    ledger, hall, door = MemoryLedger(), Feed(), Chat(place="door")
    send({"team": hall}, ledger, report_of(0.4), job_sinks={"team": hall})
    for value, statuses in ((0.4, ["skipped", "delivered"]), (0.5, ["delivered", "skipped"])):
        sinks = {"sales": hall, "team": door}
        given = replace(report_of(value), run_id=f"run of {value}")
        outcomes = send(sinks, ledger, given, job_sinks=sinks)
        assert [one.status for one in outcomes] == statuses
    assert hall.given[-1].restated == (Restated("Win rate", "40.0%", "50.0%"),)


def test_sinks_that_swap_their_names_tell_nothing_twice() -> None:
    ledger, hall, door = MemoryLedger(), Chat(), Chat(place="door")
    for sinks in ({"one": hall, "two": door}, {"one": door, "two": hall}) * 2:
        send(sinks, ledger, job_sinks=sinks)
    assert (len(hall.given), len(door.given)) == (1, 1)


def test_what_was_told_last_is_that_of_the_place_whatever_the_sinks_are_called() -> None:
    ledger, hall, door = MemoryLedger(), Board(), Board(place="door")
    send({"one": hall, "two": door}, ledger, recording=1)
    behind = Board(fail(SinkError("locked")), place="door")
    again = replace(delivery(), run_id="run-2")
    send({"one": hall, "two": behind}, ledger, again, recording=2)
    swapped: dict[str, Sink] = {"one": door, "two": hall, "three": Board(place="yard")}
    terms = Terms(ledger=ledger, job_sinks=swapped)
    found = {name: last_told(sink, name, delivery(), terms) for name, sink in swapped.items()}
    assert {name: [one.recording for one in told] for name, told in found.items()} == {
        "one": [1], "two": [2], "three": []
    }  # fmt: skip


def test_the_first_report_to_another_place_of_a_sink_says_where_it_went_before() -> None:
    ledger, notes = MemoryLedger(), []
    for name, place in (("team", "hall"), ("team", "door"), ("team", "hall"), ("top", "yard")):
        [outcome] = send({name: Chat(place=place)}, ledger, resend=True)
        notes.append(outcome.note.partition(".")[0])
    moved = "the first report of job weekly_sales there; the sink told hall before"
    assert notes == ["", moved, "", ""]
    [outcome] = send({"team": Board(place="file")}, ledger)
    assert outcome.note == ""


def test_a_place_with_another_address_is_known_by_its_sink_where_it_is_replaced() -> None:
    ledger, moved = MemoryLedger(), {"files": Board(place="new"), "team": Chat(place="new")}
    send({"files": Board(), "team": Chat()}, ledger, recording=3)
    terms = Terms(ledger=ledger, job_sinks=moved)
    found = [last_told(sink, name, delivery(), terms) for name, sink in moved.items()]
    assert [[one.recording for one in told] for told in found] == [[3], []]


def test_nothing_is_known_of_what_a_broken_sink_was_told() -> None:
    class Lost(Board):
        def destination(self, delivery: Delivery) -> str:
            raise SinkError("no place")

    ledger = MemoryLedger()
    send({"files": Board()}, ledger)
    assert not last_told(Lost(), "files", delivery(), Terms(ledger=ledger))


def test_a_sink_that_does_not_say_where_it_goes_keeps_its_name_for_itself() -> None:
    class Silent(Chat):
        def destination_id(self, delivery: Delivery) -> str:
            raise SinkError("not now")

    ledger, sink = MemoryLedger(), Chat()
    send({"team": sink}, ledger)
    [outcome] = send({"sales": sink}, ledger, job_sinks={"sales": sink, "team": Silent()})
    assert outcome.status == "delivered"


def test_two_sinks_of_a_job_that_share_a_channel_both_tell() -> None:
    ledger, one, other = MemoryLedger(), Chat(), Chat()
    outcomes = send({"one": one, "other": other}, ledger, job_sinks={"one": one, "other": other})
    assert [outcome.status for outcome in outcomes] == ["delivered", "delivered"]


def test_what_a_sink_told_that_was_taken_from_the_job_is_no_other_definition() -> None:
    ledger, one, other = MemoryLedger(), Feed(), Feed()
    both: dict[str, Sink] = {"one": one, "other": other}
    send(both, ledger, report_of(0.4), job_sinks=both)
    send({"other": other}, ledger, report_of(0.5), job_sinks=both)
    [outcome] = send({"one": one}, ledger, report_of(0.4), job_sinks={"one": one})
    assert (outcome.status, len(one.given)) == ("skipped", 1)


LATER = AS_OF + timedelta(hours=12)


def test_an_attempt_of_unknown_end_is_not_repeated_and_still_unknown() -> None:
    ledger = MemoryLedger()
    send({"team": Chat(fail(UnknownOutcomeError("no answer")))}, ledger)
    sink = Chat()
    [outcome] = send({"team": sink}, ledger)
    assert outcome.status == "unknown"
    assert "may have arrived" in outcome.note
    assert sink.given == []


def test_an_attempt_that_a_kill_cut_short_is_not_repeated() -> None:
    ledger = MemoryLedger()
    with pytest.raises(KeyboardInterrupt):
        send({"team": Chat(fail(KeyboardInterrupt()))}, ledger)
    [outcome] = send({"team": Chat()}, ledger)
    assert outcome.status == "unknown"


def test_an_old_attempt_of_unknown_end_is_left_to_the_policy_and_still_told() -> None:
    ledger = MemoryLedger()
    send({"team": Chat(fail(UnknownOutcomeError("no answer")))}, ledger)
    sink = Chat()
    [outcome] = send({"team": sink}, ledger, now=lambda: LATER)
    assert (outcome.status, sink.given) == ("skipped", [])
    assert "may have arrived" in outcome.note


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
    secret, ledger = Secret("hooks-very-secret-path"), MemoryLedger()
    [outcome] = send({"team": Board(place=f"at {secret.reveal()}")}, ledger)
    assert secret.reveal() not in outcome.destination
    assert secret.reveal() not in repr(ledger.records)


def test_another_secret_of_the_project_makes_no_other_channel() -> None:
    ledger, sink = MemoryLedger(), Chat(place="the hall of mirrors")
    send({"team": sink}, ledger)
    Secret("mirrors")  # a password that happens to be a word of the destination
    [outcome] = send({"team": sink}, ledger)
    assert outcome.destination == "the hall of ********"
    assert (outcome.status, len(sink.given)) == ("skipped", 1)


def of_an_older_version(ledger: MemoryLedger) -> None:
    """The same records under keys of their own, without the columns that are new."""
    ledger.records[:] = [
        replace(
            record,
            key=f"old-{record.key}",
            channel="",
            recording=None,
            told={name: said for name, said in record.told.items() if name != "report"},
        )
        for record in ledger.records
    ]


def test_what_an_older_version_delivered_is_not_sent_again() -> None:
    ledger, sink = MemoryLedger(), Feed()
    send({"team": sink}, ledger, report_of(0.4))
    of_an_older_version(ledger)
    key = ledger.records[-1].key
    renamed = table(kpi(unit="percent", definition_hash="fedcba9876543210"))
    again = replace(report_of(0.4), results=renamed)
    [outcome] = send({"team": sink}, ledger, again)
    assert (outcome.status, outcome.key) == ("skipped", key)
    changed = replace(report_of(0.5), results=renamed)
    [outcome] = send({"team": sink}, ledger, changed)
    assert (outcome.status, outcome.key) == ("delivered", key)
    assert sink.given[-1].restated == (Restated("Win rate", "40.0%", "50.0%"),)
    [outcome] = send({"team": sink}, ledger, changed)
    assert outcome.status == "skipped"


# --- a place that holds one period ------------------------------------------------------------


class Wall(Board):
    """A sink whose last delivery is all that it shows."""

    def holds_one_period(self, delivery: Delivery) -> bool:
        return True


BEFORE = replace(
    delivery(), period_start=date(2026, 1, 19), period_end=date(2026, 1, 26), run_id="run-2"
)


def test_a_place_that_holds_one_period_does_not_go_back() -> None:
    ledger, sink = MemoryLedger(), Wall()
    send({"wall": sink}, ledger)
    [outcome] = send({"wall": sink}, ledger, BEFORE)
    assert outcome.status == "skipped"
    assert outcome.note.startswith("it holds a later period (from 2026-01-26)")
    assert len(sink.given) == 1
    [outcome] = send({"wall": sink}, ledger, BEFORE, dry_run=True)
    assert outcome.note.startswith("would not be sent: it holds a later period")


def test_a_place_that_holds_one_period_does_not_go_back_under_another_name() -> None:
    ledger, sink = MemoryLedger(), Wall()
    send({"wall": sink}, ledger)
    [outcome] = send({"screen": sink}, ledger, BEFORE)
    assert outcome.note.startswith("it holds a later period (from 2026-01-26)")
    [outcome] = send({"screen": Wall(place="door")}, ledger, BEFORE)
    assert outcome.status == "delivered"


def test_a_place_that_holds_one_period_goes_back_when_asked_and_forward_again() -> None:
    ledger, sink = MemoryLedger(), Wall()
    send({"wall": sink}, ledger)
    [back] = send({"wall": sink}, ledger, BEFORE, resend=True)
    [forth] = send({"wall": sink}, ledger)
    assert [back.status, forth.status] == ["delivered", "delivered"]


def test_a_period_that_only_a_wrong_clock_can_have_reported_does_not_hold_a_place() -> None:
    ledger, sink = MemoryLedger(), Wall()
    send(
        {"wall": sink},
        ledger,
        replace(delivery(), period_start=date(2030, 1, 7), period_end=date(2030, 1, 14)),
    )
    [outcome] = send({"wall": sink}, ledger)
    assert outcome.status == "delivered"


def test_a_place_for_every_period_takes_an_earlier_one_too() -> None:
    ledger, sink = MemoryLedger(), Board()
    send({"reports": sink}, ledger)
    [outcome] = send({"reports": sink}, ledger, BEFORE)
    assert outcome.status == "delivered"


# --- again ------------------------------------------------------------------------------------


class Feed(Chat):
    """A chat that can correct what it sent, and be asked what it holds."""

    def __init__(self, answer: Settled | None = None, *, repeats: bool = False) -> None:
        super().__init__()
        self._answer, self._repeats = answer, repeats

    @property
    def repeats_unknown(self) -> bool:
        return self._repeats

    def why_not_again(self, delivery: Delivery) -> str:
        return "" if delivery.restated else "no figure has changed"

    def settle(self, delivery: Delivery) -> Settled:
        return self._answer or super().settle(delivery)


def report_of(value: float, **parts: Any) -> Delivery:
    return delivery(report=message(line(value=value, value_text=f"{value:.1%}", **parts)))


def test_a_report_that_says_the_same_is_not_sent_again() -> None:
    ledger, sink = MemoryLedger(), Feed()
    send({"team": sink}, ledger, report_of(0.4))
    later = delivery(report=replace(report_of(0.4).message, notes=("read again",), footer=("x",)))
    [outcome] = send({"team": sink}, ledger, later)
    assert (outcome.status, outcome.note) == (
        "skipped",
        "delivered before, at 2026-02-02T07:00:00Z by run run-1",
    )


def test_a_changed_figure_is_sent_again_with_what_it_was() -> None:
    ledger, sink = MemoryLedger(), Feed()
    send({"team": sink}, ledger, report_of(0.4))
    [outcome] = send({"team": sink}, ledger, report_of(0.43))
    assert outcome.status == "delivered"
    assert sink.given[-1].restated == (Restated("Win rate", "40.0%", "43.0%"),)
    assert sink.given[-1].previous["reference"] == "ts-1"


def test_other_words_about_the_same_figures_are_for_the_sink_to_judge() -> None:
    ledger, sink = MemoryLedger(), Feed()
    send({"team": sink}, ledger, report_of(0.4))
    [outcome] = send({"team": sink}, ledger, report_of(0.4, goal_text="90 % of the way"))
    assert outcome.status == "skipped"
    assert outcome.note.endswith("; no figure has changed")


@pytest.mark.parametrize(
    ("unit", "before", "after", "is_told"),
    [
        ("percent", 0.40, 0.409, False),
        ("percent", 0.40, 0.41, True),
        ("currency", 1000.0, 1009.0, False),
        ("currency", 1000.0, 1010.0, True),
        ("currency", 0.0, 1.0, True),
    ],
)
def test_a_change_below_the_threshold_is_not_told(
    unit: str, before: float, after: float, is_told: bool
) -> None:
    ledger, sink = MemoryLedger(), Feed()
    send({"team": sink}, ledger, report_of(before, unit=unit))
    send({"team": sink}, ledger, report_of(after, unit=unit), threshold=lambda kpi: 0.01)
    assert (len(sink.given) == 2) is is_told


def test_other_definitions_make_another_report() -> None:
    ledger, sink = MemoryLedger(), Chat()
    send({"team": sink}, ledger)
    changed = delivery(table(kpi(unit="percent", definition_hash="fedcba9876543210")))
    [outcome] = send({"team": sink}, ledger, changed)
    assert outcome.status == "delivered"


def test_a_resend_is_as_if_nothing_had_been_sent() -> None:
    ledger, sink = MemoryLedger(), Feed()
    send({"team": sink}, ledger, report_of(0.4))
    [outcome] = send({"team": sink}, ledger, report_of(0.4), resend=True)
    assert outcome.status == "delivered"
    assert (sink.given[-1].previous, sink.given[-1].restated) == ({}, ())


def test_a_dry_run_says_what_would_be_skipped() -> None:
    ledger, sink = MemoryLedger(), Feed()
    send({"team": sink}, ledger, report_of(0.4))
    [outcome] = send({"team": sink}, ledger, report_of(0.4), dry_run=True)
    assert outcome.status == "previewed"
    assert outcome.note.startswith("would not be sent: delivered before")


# --- groups that come and go ------------------------------------------------------------------


def split(dimension: str = "lead_source", /, **groups: float | None) -> Breakdown:
    segments = tuple(
        SegmentLine({dimension: name}, value, "n/a" if value is None else f"{value:.0%}")
        for name, value in groups.items()
    )
    return Breakdown((dimension,), segments)


WEB_AND_PARTNER = split(Web=0.1, Partner=0.3)
WEB_AND_EVENT = split(Web=0.1, Event=0.3)
IS_NEW = Restated("Win rate, Event", "none", "30%")
IS_GONE = Restated("Win rate, Partner", "30%", "none")
CUT_OFF: dict[str, Any] = {"further": 1, "note": "and 1 more"}
FEW: dict[str, Any] = {"note": "not shown: 1 with fewer than 5 people"}


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (WEB_AND_PARTNER, WEB_AND_EVENT, (IS_NEW, IS_GONE)),
        (WEB_AND_PARTNER, replace(WEB_AND_EVENT, **CUT_OFF), (IS_NEW,)),
        (replace(WEB_AND_PARTNER, **CUT_OFF), WEB_AND_EVENT, (IS_GONE,)),
        (replace(WEB_AND_PARTNER, **CUT_OFF), replace(WEB_AND_EVENT, **CUT_OFF), ()),
        (replace(WEB_AND_PARTNER, **FEW), replace(WEB_AND_EVENT, **FEW), ()),
        (WEB_AND_PARTNER, split("owner.team", Web=0.1, Event=0.3), ()),
        (split(Web=0.1, Partner=None), split(Web=0.1, Event=None), ()),
    ],
)
def test_a_group_that_comes_or_goes_is_told_where_all_groups_are_shown(
    before: Breakdown, after: Breakdown, changes: tuple[Restated, ...]
) -> None:
    ledger, sink = MemoryLedger(), Feed()
    send({"team": sink}, ledger, report_of(0.4, breakdowns=(before,)))
    send({"team": sink}, ledger, report_of(0.4, breakdowns=(after,)))
    assert (sink.given[-1].restated if len(sink.given) == 2 else ()) == changes
    again = replace(report_of(0.4, breakdowns=(after,)), run_id="run-3")
    assert send({"team": sink}, ledger, again)[0].status == "skipped"


def test_a_kpi_that_is_new_brings_no_new_groups() -> None:
    ledger, sink = MemoryLedger(), Feed()
    send({"team": sink}, ledger, report_of(0.4, breakdowns=(WEB_AND_PARTNER,)))
    lines = report_of(0.4, breakdowns=(WEB_AND_PARTNER,)).message.kpis
    more = replace(lines[0], kpi="loss_rate", title="Loss rate")
    [outcome] = send({"team": sink}, ledger, delivery(report=message(*lines, more)))
    assert (outcome.status, len(sink.given)) == ("skipped", 1)


def test_what_an_older_version_told_of_groups_is_not_taken_for_all_of_them() -> None:
    ledger, sink = MemoryLedger(), Feed()
    send({"team": sink}, ledger, report_of(0.4, breakdowns=(WEB_AND_PARTNER,)))
    figures = {"figures": ledger.records[-1].told["figures"], "goals": {}}
    ledger.records[:] = [replace(record, told=figures) for record in ledger.records]
    send({"team": sink}, ledger, report_of(0.4, breakdowns=(WEB_AND_EVENT,)))
    assert sink.given[-1].restated == (IS_GONE,)


def test_an_earlier_report_that_shows_other_groups_is_brought_up_to_date_in_place() -> None:
    before = report_of(0.4, breakdowns=(replace(WEB_AND_PARTNER, **CUT_OFF),))
    after = report_of(0.4, breakdowns=(replace(WEB_AND_EVENT, **CUT_OFF),))
    for sink, is_news in ((Post(), True), (Feed(), False)):
        ledger = MemoryLedger()
        send({"team": sink}, ledger, before)
        terms = Terms(ledger=ledger, now=lambda: AS_OF)
        assert restates(sink, "team", before, terms) is False
        assert restates(sink, "team", after, terms) is is_news


# --- attempts without an end ------------------------------------------------------------------


def cut_short(ledger: MemoryLedger) -> None:
    send({"team": Chat(fail(UnknownOutcomeError("no answer")))}, ledger)


def test_at_least_once_repeats_what_may_have_arrived() -> None:
    ledger, sink = MemoryLedger(), Feed(repeats=True)
    cut_short(ledger)
    [outcome] = send({"team": sink}, ledger)
    assert (outcome.status, len(sink.given)) == ("delivered", 1)


def test_what_the_destination_does_not_know_is_sent() -> None:
    ledger, sink = MemoryLedger(), Feed(Settled("absent"))
    cut_short(ledger)
    [outcome] = send({"team": sink}, ledger)
    assert outcome.status == "delivered"
    assert not sink.given[0].is_resumed


def test_what_the_destination_has_is_finished_not_repeated() -> None:
    ledger = MemoryLedger()
    sink = Feed(Settled("arrived", Receipt("wall", reference="ts-9")))
    cut_short(ledger)
    [outcome] = send({"team": sink}, ledger)
    assert outcome.status == "delivered"
    assert sink.given[0].is_resumed
    assert sink.given[0].previous["reference"] == "ts-9"
    [again] = send({"team": sink}, ledger)
    assert again.status == "skipped"


def test_a_failure_after_it_does_not_settle_an_attempt_without_end() -> None:
    ledger = MemoryLedger()
    cut_short(ledger)
    ledger.record(replace(ledger.records[0], run_id="run-2"))
    ledger.record(replace(ledger.records[0], run_id="run-2", status="failed"))
    [outcome] = send({"team": Chat()}, ledger, replace(delivery(), run_id="run-3"))
    assert outcome.status == "unknown"
    assert "may have arrived" in outcome.note


def test_what_a_sink_keeps_on_the_way_survives_a_kill() -> None:
    class TwoSteps(Feed):
        def write(self, delivery: Delivery) -> Receipt:
            delivery.keep(Receipt("wall", reference="ts-1", details={"parts": 1}))
            raise KeyboardInterrupt

        def settle(self, delivery: Delivery) -> Settled:
            assert delivery.previous["details"] == {"parts": 1}
            return Settled("arrived", Receipt(**delivery.previous))

    class Finishes(TwoSteps):
        def write(self, delivery: Delivery) -> Receipt:
            assert delivery.is_resumed
            return Receipt(**delivery.previous)

    ledger = MemoryLedger()
    for run_id in ("run-1", "run-2"):  # a second kill must not lose it
        with pytest.raises(KeyboardInterrupt):
            send({"team": TwoSteps()}, ledger, replace(delivery(), run_id=run_id))
    [outcome] = send({"team": Finishes()}, ledger, replace(delivery(), run_id="run-3"))
    assert outcome.status == "delivered"


def cut_at(ledger: MemoryLedger, value: float, run_id: str) -> None:
    """An attempt with this figure that ended without an answer."""

    class Silent(Feed):
        def write(self, delivery: Delivery) -> Receipt:
            raise UnknownOutcomeError("no answer")

    given = replace(report_of(value), run_id=run_id)
    [outcome] = send({"team": Silent()}, ledger, given)
    assert outcome.status == "unknown"


def test_an_attempt_that_may_have_arrived_keeps_back_only_what_it_said() -> None:
    ledger, sink = MemoryLedger(), Feed()
    send({"team": sink}, ledger, report_of(0.4))
    cut_at(ledger, 0.5, "run-2")
    [same] = send({"team": sink}, ledger, replace(report_of(0.5), run_id="run-3"))
    words = replace(report_of(0.5, goal_text="nearly there"), run_id="run-3")
    [other_words] = send({"team": sink}, ledger, words)
    assert (same.status, other_words.status, len(sink.given)) == ("unknown", "unknown", 1)
    [outcome] = send({"team": sink}, ledger, replace(report_of(0.6), run_id="run-4"))
    assert outcome.status == "delivered"
    assert sink.given[-1].restated == (Restated("Win rate", "40.0%", "60.0%"),)
    [outcome] = send({"team": sink}, ledger, replace(report_of(0.6), run_id="run-5"))
    assert outcome.status == "skipped"


@pytest.mark.parametrize("repeats", [False, True])
def test_a_figure_that_goes_back_corrects_an_attempt_that_may_have_arrived(repeats: bool) -> None:
    ledger, sink = MemoryLedger(), Feed(repeats=repeats)
    send({"team": sink}, ledger, report_of(0.4))
    cut_at(ledger, 0.5, "run-2")
    [outcome] = send({"team": sink}, ledger, replace(report_of(0.4), run_id="run-3"))
    assert outcome.status == "delivered"
    assert sink.given[-1].restated == (Restated("Win rate", "50.0%", "40.0%"),)


def test_a_first_report_that_may_have_arrived_is_corrected_when_its_figures_change() -> None:
    ledger, sink = MemoryLedger(), Feed()
    cut_at(ledger, 0.4, "run-1")
    [outcome] = send({"team": sink}, ledger, replace(report_of(0.5), run_id="run-2"))
    assert outcome.status == "delivered"
    assert sink.given[-1].restated == (Restated("Win rate", "40.0%", "50.0%"),)
    assert (sink.given[-1].previous, sink.given[-1].told_by) == ({}, "run-1")


def test_a_sink_that_leaves_what_it_sent_is_not_asked_to_correct_it() -> None:
    ledger, sink = MemoryLedger(), Chat()
    send({"team": sink}, ledger, report_of(0.4))
    cut_at(ledger, 0.5, "run-2")
    [outcome] = send({"team": sink}, ledger, replace(report_of(0.6), run_id="run-3"))
    assert (outcome.status, len(sink.given)) == ("unknown", 1)


def test_what_did_not_arrive_is_not_corrected() -> None:
    ledger, sink = MemoryLedger(), Feed(Settled("absent"))
    cut_at(ledger, 0.4, "run-1")
    [outcome] = send({"team": sink}, ledger, replace(report_of(0.5), run_id="run-2"))
    assert outcome.status == "delivered"
    assert (sink.given[-1].restated, sink.given[-1].told_by) == ((), "")


class Export(Feed):
    """A chat that sends the rows too."""

    sends_rows = True

    def why_not_again(self, delivery: Delivery) -> str:
        return "" if delivery.restated or delivery.has_new_rows else "no figure has changed"


def owned(ann: float, bob: float, **columns: Any) -> Delivery:
    """A report whose message shows the total alone."""
    rows = (
        kpi(value=value, segment={"owner": name}, **columns)
        for name, value in {"ann": ann, "bob": bob}.items()
    )
    return replace(report_of(0.4), results=table(kpi(), *rows))


def test_rows_that_have_changed_are_sent_again_where_rows_go() -> None:
    ledger, rows, words = MemoryLedger(), Export(), Feed()
    sinks = {"hub": rows, "team": words}
    for given in (owned(100, 900), owned(900, 100), owned(900, 100), owned(100, 900)):
        again = replace(given, run_id=f"run-{len(ledger.records)}")
        send(sinks, ledger, again, job_sinks=sinks)
    assert (len(rows.given), len(words.given)) == (3, 1)
    assert [one.has_new_rows for one in rows.given] == [False, True, True]
    assert [one.restated for one in rows.given] == [(), (), ()]
    assert len({one.rows_id for one in rows.given}) == 2
    assert words.given[0].rows_id == ""


@pytest.mark.parametrize(
    "columns",
    [
        {"run_id": "run-2", "computed_at": LATER, "as_of": LATER},
        {"goal": "Win more", "goal_attainment": 0.5, "goal_status": "at_risk"},
    ],
)
def test_rows_of_another_run_or_day_are_no_news(columns: dict[str, Any]) -> None:
    ledger, sink = MemoryLedger(), Export()
    send({"hub": sink}, ledger, owned(0.1 + 0.2, 900))
    again = owned(0.3, 900, **columns)
    shuffled = replace(again, results=again.results.take([2, 0, 1]))
    [outcome] = send({"hub": sink}, ledger, shuffled)
    assert outcome.status == "skipped"


def test_rows_that_may_have_arrived_are_corrected() -> None:
    class Lost(Export):
        def write(self, delivery: Delivery) -> Receipt:
            raise UnknownOutcomeError("no answer")

    ledger, sink = MemoryLedger(), Export()
    send({"hub": Lost()}, ledger, owned(100, 900))
    [same] = send({"hub": sink}, ledger, owned(100, 900))
    [other] = send({"hub": sink}, ledger, replace(owned(900, 100), run_id="run-2"))
    assert (same.status, other.status) == ("unknown", "delivered")


class Post(Feed):
    """A chat that brings its one message up to date, and finds it by the receipt alone."""

    updates_in_place = True

    def why_not_again(self, delivery: Delivery) -> str:
        return ""

    def settle(self, delivery: Delivery) -> Settled:
        before = delivery.previous
        return Settled("arrived", Receipt(**before)) if before else Settled("unknown")


class CutPost(Post):
    def write(self, delivery: Delivery) -> Receipt:
        raise KeyboardInterrupt


def test_an_update_that_was_cut_short_is_finished_where_the_message_stands() -> None:
    ledger, sink = MemoryLedger(), Post()
    send({"team": sink}, ledger, report_of(0.4))
    for run_id in ("run-2", "run-3"):
        with pytest.raises(KeyboardInterrupt):
            send({"team": CutPost()}, ledger, replace(report_of(0.5), run_id=run_id))
    [outcome] = send({"team": sink}, ledger, replace(report_of(0.5), run_id="run-4"))
    assert outcome.status == "delivered"
    assert sink.given[-1].is_resumed
    assert sink.given[-1].previous["reference"] == "ts-1"
    assert sink.given[-1].restated == (Restated("Win rate", "40.0%", "50.0%"),)


def test_an_update_that_failed_before_anything_was_sent_needs_no_correction() -> None:
    class Refusing(Post):
        def write(self, delivery: Delivery) -> Receipt:
            raise SinkError("archived")

    ledger, sink = MemoryLedger(), Post()
    send({"team": sink}, ledger, report_of(0.4))
    send({"team": Refusing()}, ledger, replace(report_of(0.5), run_id="run-2"))
    [outcome] = send({"team": sink}, ledger, replace(report_of(0.4), run_id="run-3"))
    assert (outcome.status, len(sink.given)) == ("skipped", 1)


# --- a place that was made anew -----------------------------------------------------------------


class Shelf(Board):
    """One that keeps every period, and is made where it is not there."""

    is_there = False

    def write(self, delivery: Delivery) -> Receipt:
        made = "" if self.is_there else "the shelf"
        self.is_there = True
        return replace(super().write(delivery), made=made)


class Slate(Shelf):
    def holds_one_period(self, delivery: Delivery) -> bool:
        return True


def test_a_place_that_comes_back_without_its_earlier_reports_is_told() -> None:
    ledger, shelf, slate = MemoryLedger(), Shelf(), Slate(place="slate")
    notes = []
    for is_there in (False, True, False, True):
        shelf.is_there = slate.is_there = is_there
        notes.append([one.note for one in send({"shelf": shelf, "slate": slate}, ledger)])
    told = (
        "the shelf was gone, with what earlier reports brought there, and is made anew with this "
        "period alone; `crmetrics run weekly_sales --date D` brings another one back"
    )
    assert notes == [["", ""], ["", ""], [told, ""], ["", ""]]


def test_a_place_that_was_made_anew_for_an_attempt_that_failed_is_told_with_the_next() -> None:
    class Half(Shelf):
        def write(self, delivery: Delivery) -> Receipt:
            delivery.keep(Receipt("wall", made="the shelf"))
            raise SinkError("no rows")

    ledger, shelf, half = MemoryLedger(), Shelf(), Half()
    notes = [
        send({"shelf": sink}, ledger, replace(delivery(), run_id=f"run-{number}"))[0].note
        for number, sink in enumerate((half, shelf, half, half, shelf, shelf))
    ]
    assert [note.partition(",")[0] for note in notes] == ["", "", "", "", "the shelf was gone", ""]


def test_a_place_that_several_jobs_share_is_told_as_gone_by_each_that_had_reports_there() -> None:
    ledger, shelf = MemoryLedger(), Shelf()
    notes = []
    for job in ("weekly", "monthly", "gone", "weekly", "monthly", "daily", "weekly", "monthly"):
        if job == "gone":
            shelf.is_there = False
            continue
        [outcome] = send({"shelf": shelf}, ledger, replace(delivery(), job=job))
        notes.append(bool(outcome.note))
    assert notes == [False, False, True, True, False, False, False]


def test_a_place_that_was_never_surely_reached_is_not_gone() -> None:
    ledger = MemoryLedger()
    send({"shelf": Board(fail(UnknownOutcomeError("no answer")))}, ledger)
    [outcome] = send({"shelf": Shelf()}, ledger)
    assert (outcome.status, outcome.note) == ("delivered", "")


# --- another filter, and back ------------------------------------------------------------------

EAST, ALL = (0.5, "team = 'East'"), (0.4, "")


def in_turn(ledger: MemoryLedger, *turns: tuple[str, Sink, tuple[float, str]]) -> list[str]:
    """Deliver with these filters, each in a run of its own; what became of it."""
    first = len(ledger.records)
    return [
        send(
            {name: sink},
            ledger,
            replace(report_of(value), run_id=f"run-{first + number}"),
            where=where,
            job_sinks={name: sink},
        )[0].status
        for number, (name, sink, (value, where)) in enumerate(turns)
    ]


class Lost(Feed):
    def write(self, delivery: Delivery) -> Receipt:
        raise UnknownOutcomeError("no answer")


class Numbered(Post):
    """One that names its messages in their order."""

    def write(self, delivery: Delivery) -> Receipt:
        self.given.append(delivery)
        new = f"ts-{sum(not one.previous for one in self.given)}"
        return Receipt("wall", reference=delivery.previous.get("reference") or new)


def test_a_filter_that_is_taken_back_corrects_what_may_have_arrived_with_the_other() -> None:
    ledger, sink = MemoryLedger(), Feed()
    turns = (("team", sink, ALL), ("team", Lost(), EAST), ("team", sink, ALL))
    assert in_turn(ledger, *turns) == ["delivered", "unknown", "delivered"]
    assert sink.given[-1].restated == (Restated("Win rate", "50.0%", "40.0%"),)
    assert OTHERWISE in sink.given[-1].message.notes[-1]
    assert in_turn(ledger, ("team", sink, ALL)) == ["skipped"]


def test_another_filter_that_may_have_said_the_same_does_not_matter() -> None:
    ledger, sink, same = MemoryLedger(), Feed(), (0.4, "team = 'East'")
    turns = (("team", sink, ALL), ("team", Lost(), same), ("team", sink, ALL))
    assert in_turn(ledger, *turns) == ["delivered", "unknown", "skipped"]


@pytest.mark.parametrize(
    ("sink", "ends"),
    [
        (Feed(repeats=True), ["delivered", "skipped"]),
        (Feed(Settled("absent")), ["delivered", "skipped"]),
        (Feed(), ["unknown", "unknown"]),
    ],
)
def test_a_filter_taken_back_whose_end_is_not_known_is_told_as_the_policy_says(
    sink: Feed, ends: list[str]
) -> None:
    ledger = MemoryLedger()
    turns = (("team", sink, ALL), ("team", sink, EAST), ("team", Lost(), ALL))
    assert in_turn(ledger, *turns) == ["delivered", "delivered", "unknown"]
    assert in_turn(ledger, ("team", sink, ALL), ("team", sink, ALL)) == ends


def test_a_report_that_may_have_arrived_before_the_other_is_told_after_it() -> None:
    ledger, sink = MemoryLedger(), Feed()
    turns = (("team", Lost(), ALL), ("team", sink, EAST), ("team", sink, ALL))
    assert in_turn(ledger, *turns) == ["unknown", "delivered", "delivered"]
    assert sink.given[-1].restated == (Restated("Win rate", "50.0%", "40.0%"),)


def test_a_correction_that_may_have_arrived_before_the_other_is_told_after_it() -> None:
    ledger, sink, corrected = MemoryLedger(), Feed(), (0.6, "")
    turns = (("team", sink, ALL), ("team", Lost(), corrected), ("team", sink, EAST))
    assert in_turn(ledger, *turns) == ["delivered", "unknown", "delivered"]
    assert in_turn(ledger, ("team", sink, corrected)) == ["delivered"]
    assert sink.given[-1].restated == (Restated("Win rate", "50.0%", "60.0%"),)


@pytest.mark.parametrize("other", [(0.5, ""), EAST])
@pytest.mark.parametrize(
    ("sink", "ends"),
    [(Feed(repeats=True), ["delivered", "skipped"]), (Feed(), ["unknown", "unknown"])],
)
def test_what_repeats_undoes_all_that_may_have_arrived(
    sink: Feed, ends: list[str], other: tuple[float, str]
) -> None:
    ledger = MemoryLedger()
    turns = (("team", sink, ALL), ("team", Lost(), other), ("team", Lost(), ALL))
    assert in_turn(ledger, *turns) == ["delivered", "unknown", "unknown"]
    assert in_turn(ledger, ("team", sink, ALL), ("team", sink, ALL)) == ends


def test_what_repeats_undoes_what_may_have_arrived_before_the_last_with_another_filter() -> None:
    ledger, sink, lost = MemoryLedger(), Feed(repeats=True), Lost(repeats=True)
    filtered = (("team", lost, (value, "team = 'East'")) for value in (0.6, 0.4))
    turns = (("team", sink, ALL), *filtered, ("team", sink, ALL), ("team", sink, ALL))
    assert in_turn(ledger, *turns) == ["delivered", "unknown", "unknown", "delivered", "skipped"]
    assert sink.given[-1].restated == (Restated("Win rate", "60.0%", "40.0%"),)


@pytest.mark.parametrize("names", [("hub", "hub2", "hub2"), ("hub", "hub", "hub2")])
def test_a_filter_is_taken_back_also_where_the_sink_gets_another_name(
    names: tuple[str, str, str],
) -> None:
    ledger, sink = MemoryLedger(), Feed()
    turns = zip(names, (sink,) * 3, (ALL, EAST, ALL), strict=True)
    assert in_turn(ledger, *turns) == ["delivered"] * 3
    assert [OTHERWISE in " ".join(one.message.notes) for one in sink.given] == [False, True, True]
    assert sink.given[-1].restated == (Restated("Win rate", "50.0%", "40.0%"),)


def test_each_filter_has_a_message_of_its_own_where_messages_are_brought_up_to_date() -> None:
    ledger, sink = MemoryLedger(), Numbered()
    turns = (("team", sink, ALL), ("team", sink, EAST), ("team", sink, ALL))
    assert in_turn(ledger, *turns) == ["delivered"] * 3
    assert in_turn(ledger, ("team", sink, (0.6, "")), ("team", sink, EAST)) == ["delivered"] * 2
    found = [one.previous.get("reference", "") for one in sink.given]
    assert found == ["", "", "ts-1", "ts-1", "ts-2"]
    assert [one.restated for one in sink.given[2:]] == [
        (Restated("Win rate", "50.0%", "40.0%"),),
        (Restated("Win rate", "40.0%", "60.0%"),),
        (Restated("Win rate", "60.0%", "50.0%"),),
    ]


# --- the quality gate -------------------------------------------------------------------------


def test_what_is_kept_back_reaches_no_sink_and_is_recorded() -> None:
    ledger, sinks = MemoryLedger(), {"team": Chat(), "reports": Board()}
    outcomes = send(sinks, ledger, blocked="kept back: old data")
    assert [outcome.status for outcome in outcomes] == ["blocked", "blocked"]
    assert ledger.statuses == ["blocked", "blocked"]
    assert all(not sink.given for sink in sinks.values())
    [outcome, _] = send(sinks, ledger)
    assert outcome.status == "delivered"


def test_the_preview_of_what_is_kept_back_knows_what_was_told() -> None:
    ledger, sink = MemoryLedger(), Feed()
    [told] = send({"team": sink}, ledger, report_of(0.4))
    [shown] = send({"team": sink}, ledger, report_of(0.5), dry_run=True, blocked="old data")
    assert (shown.key, shown.destination) == (told.key, "wall")
    assert shown.note == "would not be sent: old data"


# --- goals ------------------------------------------------------------------------------------


WEEK_BEFORE: dict[str, Any] = {
    "period_start": date(2026, 1, 19),
    "period_end": date(2026, 1, 26),
}


def test_a_report_knows_how_its_goals_stood_in_the_one_before() -> None:
    ledger, sink = MemoryLedger(), Chat()
    before = replace(report_of(0.4, goal_status="on_track"), **WEEK_BEFORE)
    send({"team": sink}, ledger, before)
    send({"team": sink}, ledger, report_of(0.3, goal_status="off_track"))
    first, second = (given.message.kpis[0] for given in sink.given)
    assert (first.goal_before, first.calls_owner) == (None, False)
    assert (second.goal_before, second.calls_owner) == ("on_track", True)


def test_what_is_sent_anew_calls_the_owner_whom_a_lost_report_called() -> None:
    ledger, sink = MemoryLedger(), Chat()
    before = replace(report_of(0.4, goal_status="on_track"), **WEEK_BEFORE)
    send({"team": sink}, ledger, before)
    now = report_of(0.3, goal_status="off_track")
    send({"team": Chat(fail(UnknownOutcomeError("no answer")))}, ledger, now)
    [kept_back] = send({"team": sink}, ledger, now)
    assert (kept_back.status, len(sink.given)) == ("unknown", 1)
    send({"team": sink}, ledger, now, resend=True)
    assert sink.given[-1].message.kpis[0].calls_owner


def test_a_sink_that_is_new_beside_one_of_the_same_place_tells_the_state_of_its_goals() -> None:
    ledger, board, team = MemoryLedger(), Chat(), Chat()
    before = replace(report_of(0.4, goal_status="off_track"), **WEEK_BEFORE)
    send({"board": board}, ledger, before, job_sinks={"board": board})
    now = report_of(0.3, goal_status="off_track")
    send({"board": board, "team": team}, ledger, now, job_sinks={"board": board, "team": team})
    told = [sink.given[-1].message.kpis[0] for sink in (board, team)]
    assert [one.goal_before for one in told] == ["off_track", None]
    assert [one.calls_owner for one in told] == [False, True]


@pytest.mark.parametrize(("repeats", "is_called"), [(False, False), (True, True)])
def test_an_owner_who_may_have_been_called_is_not_called_again_unless_reports_repeat(
    repeats: bool, is_called: bool
) -> None:
    class Maybe(Chat):
        repeats_unknown = repeats

    ledger, sink = MemoryLedger(), Maybe()
    lost = Maybe(fail(UnknownOutcomeError("no answer")))
    before = replace(report_of(0.4, goal_status="off_track"), **WEEK_BEFORE)
    send({"team": lost}, ledger, before)
    send({"team": sink}, ledger, report_of(0.3, goal_status="off_track"))
    assert sink.given[0].message.kpis[0].calls_owner is is_called


@pytest.mark.parametrize(
    ("before", "now", "is_called"),
    [
        (None, "off_track", True),
        (None, "on_track", False),
        ("on_track", "achieved", False),
        ("off_track", "off_track", False),
        ("at_risk", "off_track", True),
        ("off_track", "on_track", True),
        ("off_track", "", False),
    ],
)
def test_the_owner_is_called_when_trouble_comes_or_goes(
    before: str | None, now: str, is_called: bool
) -> None:
    assert line(goal_status=now, goal_before=before).calls_owner is is_called


@pytest.mark.parametrize(
    ("now", "is_restatement", "is_called"),
    [("off_track", False, False), ("on_track", False, True), ("on_track", True, False)],
)
def test_a_correction_calls_the_owner_only_of_another_state(
    now: str, is_restatement: bool, is_called: bool
) -> None:
    ledger, sink = MemoryLedger(), Feed()
    told = {"team": sink}
    send(told, ledger, replace(report_of(0.4, goal_status="on_track"), **WEEK_BEFORE))
    send(told, ledger, report_of(0.3, goal_status="off_track"))
    options = {"is_restatement": is_restatement}
    send(told, ledger, report_of(0.2, goal_status=now), **options)
    given = sink.given[-1]
    assert given.restated
    [corrected] = as_restatement(given.message, given.restated, given.goals_told).kpis
    assert corrected.calls_owner is is_called
