"""What may have arrived of an earlier period: who is told what by a run of a later one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from crmetrics.deliver import Outcome, Terms, deliver, last_told, restates
from crmetrics.errors import SinkError, UnknownOutcomeError
from crmetrics.message import as_restatement
from crmetrics.plugin import Delivery, Options, Receipt, Settled, Sink, SinkContext
from memory_ledger import MemoryLedger
from result_rows import AS_OF, delivery, line, message

FIRST = date(2026, 1, 5)


class Chat(Sink):
    """One that corrects by a further message.

    posted: week, value, changes and whether the owner of the goal is called. fate: what befalls the
    next attempt; `settled`: what the destination says of one without an end.
    """

    name = "chat"

    def __init__(self, *, repeats: bool, to: Sequence[str] = ()) -> None:
        super().__init__(Options(), SinkContext("chat", Path()))
        self._repeats, self._to = repeats, tuple(to)
        self.posted: list[tuple[int, float | None, list[str], bool]] = []
        self.fate, self.refuses = "", ""
        self.settled = Settled("unknown")

    @property
    def repeats_unknown(self) -> bool:
        return self._repeats

    @property
    def readers(self) -> tuple[str, ...]:
        return self._to

    def reached(self, receipt: Any) -> Sequence[str]:
        return [one for one in self._to if one not in receipt["details"]["refused"]]

    def destination(self, delivery: Delivery) -> str:
        return "chat.test"

    def preview(self, delivery: Delivery) -> str:
        return ""

    def why_not_again(self, delivery: Delivery) -> str:
        return "" if delivery.is_correction else "nothing has changed"

    def settle(self, delivery: Delivery) -> Settled:
        return self.settled

    def write(self, delivery: Delivery) -> Receipt:
        if self.fate == "refused":
            raise SinkError("refused")
        said = as_restatement(delivery.message, delivery.restated, delivery.goals_told)
        changes = [f"{one.before} -> {one.after}" for one in delivery.restated]
        [shown] = said.kpis
        week = (delivery.period_start - FIRST).days // 7
        self.posted.append((week, shown.value, changes, shown.calls_owner))
        if self.fate == "lost":
            raise UnknownOutcomeError("no answer")
        return Receipt("chat.test", details={"refused": self.refuses})


@dataclass
class Job:
    """Its runs, each with a number, an hour after the other."""

    sink: Chat
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    number: int = 0

    def run(
        self,
        week: int,
        value: float,
        goal: str = "",
        *,
        fate: str = "",
        is_earlier: bool = False,
        **terms: Any,
    ) -> Outcome | None:
        """Deliver the report of the week; of an `is_earlier` one as a run of a later week does, if
        there is news; None where that has none."""
        self.number += 1
        self.sink.fate = fate
        at = AS_OF + timedelta(hours=self.number)
        start = FIRST + timedelta(days=7 * week)
        said = message(line(value=value, value_text=f"{value:g}", goal_status=goal))
        given = replace(
            delivery(report=said, run_id=f"run {self.number}"),
            period_start=start,
            period_end=start + timedelta(days=7),
        )
        how = Terms(
            ledger=self.ledger, now=lambda: at, is_restatement=is_earlier, definitions="v1", **terms
        )
        if is_earlier and not (
            last_told(self.sink, "chat", given, how) and restates(self.sink, "chat", given, how)
        ):
            return None
        return deliver({"chat": self.sink}, given, how)[0]


BOTH = pytest.mark.parametrize("repeats", [False, True])


# --- figures ------------------------------------------------------------------------------------


@BOTH
def test_other_figures_correct_what_may_have_arrived_once(repeats: bool) -> None:
    job = Job(Chat(repeats=repeats))
    job.run(0, 1, fate="lost")
    assert job.run(0, 1, is_earlier=True) is None
    first, again = (job.run(0, 2, is_earlier=True) for _ in range(2))
    assert (first and first.status, again) == ("delivered", None)
    assert [one[:3] for one in job.sink.posted] == [(0, 1, []), (0, 2, ["1 -> 2"])]


@BOTH
def test_a_period_that_surely_reached_nobody_is_left_to_its_own_run(repeats: bool) -> None:
    job = Job(Chat(repeats=repeats))
    job.run(0, 1, fate="refused")
    assert job.run(0, 2, is_earlier=True) is None
    job.run(0, 1, fate="lost")
    job.sink.settled = Settled("absent")
    outcome = job.run(0, 2, is_earlier=True)
    assert outcome is not None
    assert (outcome.status, outcome.note) == (
        "skipped", "the period was never surely reported there; `--date D` reports it"
    )  # fmt: skip
    assert len(job.sink.posted) == 1


@BOTH
def test_a_sure_failure_does_not_settle_what_may_have_arrived_before(repeats: bool) -> None:
    job = Job(Chat(repeats=repeats))
    job.run(0, 1, fate="lost")
    job.run(0, 2, fate="refused", is_earlier=True)
    job.run(0, 3, is_earlier=True)
    assert [one[:3] for one in job.sink.posted] == [(0, 1, []), (0, 3, ["1 -> 3"])]


def test_a_correction_without_an_end_is_told_for_half_a_day_and_not_repeated() -> None:
    job = Job(Chat(repeats=False))
    job.run(0, 1, fate="lost")
    job.run(0, 2, fate="lost", is_earlier=True)
    soon = job.run(0, 2, is_earlier=True)
    assert soon is not None
    assert soon.status == "unknown"
    assert "it is not repeated (on_unknown: at_most_once)" in soon.note
    job.number += 12
    later = job.run(0, 2, is_earlier=True)
    assert (later and later.status, len(job.sink.posted)) == ("skipped", 2)


def test_a_correction_without_an_end_is_repeated_where_the_policy_says_so() -> None:
    job = Job(Chat(repeats=True))
    job.run(0, 1, fate="lost")
    for fate in ("lost", "lost", "", ""):
        job.run(0, 2, fate=fate, is_earlier=True)
    assert [one[:3] for one in job.sink.posted] == [(0, 1, []), *[(0, 2, ["1 -> 2"])] * 3]


def test_what_the_gate_keeps_back_from_who_is_behind_is_said() -> None:
    job = Job(Chat(repeats=False, to=("ann", "bob")))
    job.run(0, 1)
    job.sink.refuses = "ann"
    job.run(0, 2, is_earlier=True)
    outcome = job.run(0, 2, is_earlier=True, blocked="old data")
    assert (outcome and outcome.status) == "blocked"


def in_one_run(ledger: MemoryLedger, number: int, sinks: dict[str, Chat], **how: Any) -> list[str]:
    terms = Terms(ledger=ledger, now=lambda: AS_OF, job_sinks=dict(sinks), definitions="v1", **how)
    given = delivery(run_id=f"run {number}")
    return [one.status for one in deliver(sinks, given, terms)]


def test_what_failed_beside_an_attempt_without_an_end_does_not_settle_it() -> None:
    ledger, one, two, both = MemoryLedger(), *(Chat(repeats=False) for _ in range(3))
    one.fate, two.fate = "lost", "refused"
    assert in_one_run(ledger, 1, {"one": one, "two": two}) == ["unknown", "failed"]
    assert in_one_run(ledger, 2, {"both": both}) == ["unknown"]
    assert both.posted == []


def test_what_was_kept_back_or_failed_since_does_not_hide_where_it_may_stand() -> None:
    class Asked(Chat):
        asked = ""

        def settle(self, delivery: Delivery) -> Settled:
            self.asked = delivery.key
            return Settled("unknown")

    ledger, sink = MemoryLedger(), Asked(repeats=False)
    sink.fate = "lost"
    in_one_run(ledger, 1, {"one": sink})
    [*_, sent] = ledger.records
    in_one_run(ledger, 2, {"two": sink}, resend=True, blocked="old data")
    sink.fate = "refused"
    in_one_run(ledger, 3, {"two": sink}, resend=True)
    assert len({record.key for record in ledger.records}) == 2
    assert in_one_run(ledger, 4, {"two": sink}) == ["unknown"]
    assert sink.asked == sent.key


# --- the owners of goals ------------------------------------------------------------------------


def called(job: Job) -> list[bool]:
    return [one[3] for one in job.sink.posted]


@pytest.mark.parametrize(("repeats", "is_called"), [(False, False), (True, True)])
def test_a_correction_calls_who_may_have_been_called_as_the_policy_says(
    repeats: bool, is_called: bool
) -> None:
    job = Job(Chat(repeats=repeats))
    job.run(0, 1, "on_track")
    job.run(1, 1, "off_track", fate="lost")
    job.run(1, 2, "off_track")
    assert called(job) == [False, True, is_called]


@pytest.mark.parametrize(
    ("repeats", "then", "is_called"),
    [
        (False, "off_track", False),
        (False, "on_track", True),
        (True, "off_track", True),
        (True, "on_track", False),
    ],
)
def test_a_correction_of_an_earlier_period_leaves_what_the_owner_knows(
    repeats: bool, then: str, is_called: bool
) -> None:
    job = Job(Chat(repeats=repeats))
    job.run(0, 1, "on_track")
    job.run(1, 1, "off_track", fate="lost")
    job.run(1, 2, "at_risk", is_earlier=True)
    job.run(2, 1, then)
    job.run(3, 1, then)
    assert called(job) == [False, True, False, is_called, False]


def test_an_owner_who_was_surely_not_called_is_called_by_the_correction() -> None:
    job = Job(Chat(repeats=False))
    job.run(0, 1, "on_track")
    job.run(1, 1, "on_track")
    job.run(1, 2, "off_track", fate="lost")
    job.sink.settled = Settled("absent")
    job.run(1, 3, "off_track")
    assert called(job) == [False, False, True, True]
