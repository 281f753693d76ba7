"""Two hundred scheduled days on a simulated clock: clock changes, outages, late data.

The world decides in advance what each day's figures are and what goes wrong when; what has to stand
in the channel follows from that, not from anything the product computes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from crmetrics.config.cron import parse_cron
from crmetrics.engine import Project
from crmetrics.errors import CrmetricsError
from crmetrics.schedule import ScheduledJob, Scheduler, ScheduleState
from simulators.service import Clock
from simulators.slack import everything_seen
from simulators.slack_workspace import SlackWorkspace

# One worker: all tests look at the one world.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("months_unattended")]

BERLIN = ZoneInfo("Europe/Berlin")
FIRST = date(2026, 9, 20)
DAYS = [FIRST + timedelta(days=number) for number in range(200)]
"""The reported days: both clock changes are among them."""

BROKEN_FILE = {DAYS[20], DAYS[21], DAYS[90]}
"""Mornings on which the export cannot be read."""
SLACK_DOWN = {DAYS[40]: 90, DAYS[41]: 0, DAYS[120]: 30}
"""Mornings on which Slack answers with 503, and for how many minutes from 08:00; 0 = it takes the
message and answers 500 all the same."""
MACHINE_OFF = [(DAYS[60], DAYS[64]), (DAYS[170], DAYS[171])]
"""From the first morning up to, but not on, the second no scheduler runs."""
LATE = {DAYS[10]: 7, DAYS[33]: 9, DAYS[39]: 5, DAYS[40]: 6, DAYS[100]: 11, DAYS[119]: 13}
"""Days of which a deal of that amount arrives only on the day after their report; for three of them
that is a morning on which Slack is down or its answer lost."""
SMALL_DEALS = [(DAYS[70], DAYS[84])]
"""Days with deals so small that the average of all deals falls below the guardrail."""
GUARDRAIL = 50.0

CONFIG = """
version: 1
project: acme
reporting: {timezone: Europe/Berlin}
sources:
  crm: {connector: csv, path: data}
metrics: {packs: [sales]}
goals:
  - title: Sell
    kpi: won_amount
    objective: growth
    baseline: 0
    target: 100
    start: 2026-09-01
    due: 2027-12-31
    owner: "@head"
    rationale: test
    guardrails: {average_deal_size: {min: 50}}
sinks:
  team: {sink: slack, token: "${TOKEN}", channel: C0GENERAL, base_url: "${SLACK}", charts: false,
         mentions: {"@head": U0HEAD}}
jobs:
  daily: {schedule: "0 8 * * *", grain: day, kpis: [won_amount, average_deal_size],
          sinks: [team], block_on: [partial]}
"""


def is_within(day: date, spans: list[tuple[date, date]]) -> bool:
    return any(start <= day < end for start, end in spans)


def deals(day: date) -> list[float]:
    """The amounts won on a day; always 100 or more, in small deals now and then."""
    return [20.0] * 5 if is_within(day, SMALL_DEALS) else [50.0, 50.0 + day.day]


def average_up_to(last: date) -> float:
    """Of the deals of all days up to this one, as its report knows them."""
    amounts = [
        amount
        for day in DAYS[: DAYS.index(last) + 1]
        for amount in (*deals(day), *([LATE[day]] if day in LATE and day < last else []))
    ]
    return sum(amounts) / len(amounts)


@dataclass
class World:
    """The CRM, the channel and the clock."""

    directory: Path
    slack: SlackWorkspace
    clock: Clock
    states: list[ScheduleState] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    reported: list[date] = field(default_factory=list)

    def export(self, today: date) -> str:
        """The file as the CRM writes it on a morning: yesterday's late deals come a day later."""
        lines = ["id,created_at,close_date,is_closed,is_won,amount"]
        for day in DAYS:
            amounts = deals(day)
            if day in LATE and (today - day).days >= 2:
                amounts = [*amounts, LATE[day]]
            if day < today:
                lines += [
                    f"{day}-{number},2026-09-01T00:00:00Z,{day},true,true,{amount}"
                    for number, amount in enumerate(amounts)
                ]
        if today - timedelta(days=1) in BROKEN_FILE:
            lines.append(f"x,2026-09-01T00:00:00Z,{today},true,true,a lot")
        return "\n".join(lines) + "\n"

    def launch(self, job: ScheduledJob, beat: Callable[[], None]) -> int:
        now = self.clock().astimezone(BERLIN)
        (self.directory / "data" / "opportunities.csv").write_text(self.export(now.date()))
        self.slack.faults.clear()
        minutes = SLACK_DOWN.get(now.date() - timedelta(days=1))
        if minutes == 0 and now.hour == 8:
            self.slack.faults.spoil(_as_500, on="chat.postMessage")
        elif minutes and now - now.replace(hour=8, minute=0) < timedelta(minutes=minutes):
            self.slack.faults.answer(503, times=None)
        environ = {"TOKEN": "xoxb-simulated-0-secret", "SLACK": self.slack.base_url}
        project = Project(self.directory, environ=environ, now=self.clock)
        code = 0
        try:
            for report in project.run_due(job.name):
                self.reported.append(report.period.start)
                code = max(code, report.exit_code)
        except CrmetricsError as error:
            code = error.exit_code
        self.codes.append(code)
        self.clock.advance(60)
        return code

    def write(self, state: ScheduleState) -> None:
        self.states[:] = [state]

    def sleep(self, seconds: float) -> None:
        """On to the next start: what happens in between does not depend on how often we look."""
        starts = [job.next_start for job in self.states[-1].jobs.values() if job.next_start]
        ahead = (min(starts) - self.clock()).total_seconds()
        self.clock.advance(max(seconds, ahead))

    def run(self, until: datetime) -> None:
        """A scheduler from now on; it takes up what the former one left."""
        before = self.states[-1] if self.states else None
        job = ScheduledJob("daily", parse_cron("0 8 * * *"), retries=2,
                           retry_after=timedelta(minutes=45))  # fmt: skip
        Scheduler(
            lambda: [job], lambda: BERLIN, self.launch, self, before=before, now=self.clock,
            wait=self.sleep,
        ).run(lambda: self.clock() >= until)  # fmt: skip


def _as_500(answer: Any) -> Any:
    return type(answer)(500, b"upstream")


def morning(day: date, hour: int = 7) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=BERLIN).astimezone(UTC)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("acme")
    (directory / "data").mkdir()
    (directory / "crmetrics.yaml").write_text(CONFIG)
    clock = Clock(morning(FIRST + timedelta(days=1)))
    with SlackWorkspace(clock=clock) as slack:
        slack.bot()
        here = World(directory, slack, clock)
        for off, on in MACHINE_OFF:
            here.run(morning(off))
            clock.now = morning(on, 11)
        here.run(morning(DAYS[-1] + timedelta(days=2)) - timedelta(hours=2))
        yield here


def day_of(message: dict[str, Any]) -> date:
    found = re.search(r"\d{4}-\d\d-\d\d", message["text"])
    assert found, message["text"]
    return date.fromisoformat(found[0])


def test_every_day_is_told_once_and_in_order(world: World) -> None:
    assert [day_of(message) for message in world.slack.general.parents] == DAYS


def test_every_message_ends_with_the_right_figure(world: World) -> None:
    for message in world.slack.general.parents:
        day = day_of(message)
        amount = sum(deals(day)) + LATE.get(day, 0)
        assert f"{amount:,.2f}" in everything_seen(message), day


def test_what_changed_after_its_report_is_answered_to_in_its_thread(world: World) -> None:
    general = world.slack.general
    answered = {day_of(m): general.replies(m["ts"]) for m in general.parents}
    told = {day: replies for day, replies in answered.items() if replies}
    assert set(told) == set(LATE)
    for day, replies in told.items():
        assert len(replies) == 1, day
        before, after = sum(deals(day)), sum(deals(day)) + LATE[day]
        seen = everything_seen(replies[0])
        assert f"{before:,.2f}" in seen
        assert f"{after:,.2f}" in seen


def test_the_owner_is_called_once_for_each_change_of_state(world: World) -> None:
    broken = [average_up_to(day) < GUARDRAIL for day in DAYS]
    changes = [
        day for (before, now), day in zip(itertools.pairwise(broken), DAYS[1:], strict=True)
        if before != now
    ]  # fmt: skip
    assert len(changes) == 2
    called = [day_of(m) for m in world.slack.general.parents if "U0HEAD" in everything_seen(m)]
    assert called == changes


def test_what_went_wrong_was_told_to_the_scheduler(world: World) -> None:
    failed = sum(code not in (0, 4) for code in world.codes)
    assert failed >= len(BROKEN_FILE) + len(SLACK_DOWN)
    assert world.codes[-1] == 0
    assert world.states[-1].jobs["daily"].failures == 0
