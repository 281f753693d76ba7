"""The scheduler's loop on a simulated clock: what starts when, and what is remembered."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from crmetrics.config.cron import parse_cron
from crmetrics.errors import ConfigError
from crmetrics.schedule import (
    HealthFile,
    ScheduledJob,
    Scheduler,
    ScheduleState,
    problems,
    read_state,
)

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def job(name: str = "daily", schedule: str = "0 8 * * *", **settings: object) -> ScheduledJob:
    return ScheduledJob(name, parse_cron(schedule), **settings)  # type: ignore[arg-type]


@dataclass
class World:
    """A clock that moves only when somebody sleeps or a job runs."""

    now: datetime
    takes: timedelta = MINUTE
    codes: list[int] = field(default_factory=list)
    starts: list[tuple[str, datetime]] = field(default_factory=list)
    states: list[ScheduleState] = field(default_factory=list)
    jobs: tuple[ScheduledJob, ...] = ()
    dice: float = 0.0
    full: tuple[int, ...] = ()
    """Writes at which the disk is full, counted from 0."""
    writes: int = 0

    def wait(self, seconds: float) -> None:
        assert 0 < seconds <= 30
        self.now += timedelta(seconds=seconds)

    def launch(self, started: ScheduledJob, beat: Callable[[], None]) -> int:
        self.starts.append((started.name, self.now))
        beat()
        self.now += self.takes
        return self.codes.pop(0) if self.codes else 0

    def write(self, state: ScheduleState) -> None:
        self.writes += 1
        if self.writes - 1 in self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.states.append(state)

    def scheduler(self, before: ScheduleState | None = None) -> Scheduler:
        return Scheduler(
            lambda: self.jobs, lambda: BERLIN, self.launch, self, before=before,
            now=lambda: self.now, wait=self.wait, chance=lambda: self.dice,
        )  # fmt: skip

    def run(self, until: datetime, before: ScheduleState | None = None) -> ScheduleState:
        self.scheduler(before).run(lambda: self.now >= until)
        return self.states[-1]

    @property
    def shown(self) -> list[str]:
        return [f"{name} {at.astimezone(BERLIN):%m-%dT%H:%M}" for name, at in self.starts]


def world(at: str, *jobs: ScheduledJob, **settings: object) -> World:
    now = datetime.fromisoformat(at).replace(tzinfo=BERLIN).astimezone(UTC)
    return World(now, jobs=jobs or (job(),), **settings)  # type: ignore[arg-type]


def test_a_job_starts_at_each_of_its_times_over_a_clock_change() -> None:
    here = world("2026-03-28T07:00")
    here.run(here.now + 3 * DAY)
    assert here.shown == ["daily 03-28T08:00", "daily 03-29T08:00", "daily 03-30T08:00"]


def test_jobs_that_are_due_together_run_one_after_the_other() -> None:
    here = world("2026-01-05T07:59", job("b"), job("a"), takes=10 * MINUTE)
    here.run(here.now + HOUR)
    assert here.shown == ["a 01-05T08:00", "b 01-05T08:10"]


def test_starts_that_pass_while_a_job_runs_are_served_once() -> None:
    here = world("2026-01-05T07:59", job("often", "*/10 * * * *"), takes=35 * MINUTE)
    here.run(here.now + 90 * MINUTE)
    assert here.shown == ["often 01-05T08:00", "often 01-05T08:35", "often 01-05T09:10"]


def test_a_start_missed_while_no_scheduler_ran_is_made_up_for_once() -> None:
    here = world("2026-01-05T07:00")
    stopped = here.run(here.now + 2 * HOUR)
    here.now += 4 * DAY
    here.run(here.now + HOUR, before=stopped)
    assert here.shown == ["daily 01-05T08:00", "daily 01-09T09:00"]


def test_a_start_missed_before_the_first_one_is_made_up_for_too() -> None:
    here = world("2026-01-05T07:00")
    stopped = here.run(here.now + MINUTE)
    here.now += 2 * HOUR
    here.run(here.now + MINUTE, before=stopped)
    assert here.shown == ["daily 01-05T09:01"]


def test_a_new_job_owes_nothing_from_before() -> None:
    here = world("2026-01-05T09:00")
    here.run(here.now + HOUR)
    assert here.shown == []


def test_a_start_that_is_later_than_its_grace_is_left_out() -> None:
    here = world("2026-01-05T07:00", job(misfire_grace=HOUR))
    stopped = here.run(here.now + 2 * HOUR)
    here.now += DAY + HOUR
    here.run(here.now + DAY, before=stopped)
    assert here.shown == ["daily 01-05T08:00", "daily 01-07T08:00"]


def test_a_killed_scheduler_owes_the_run_that_it_had_begun() -> None:
    here = world("2026-01-05T07:00")
    here.run(here.now + 2 * HOUR)
    running = next(state for state in here.states if state.phase == "running")
    here.starts.clear()
    here.run(here.now + MINUTE, before=running)
    assert here.shown == ["daily 01-05T09:00"]


@pytest.mark.parametrize("code", [130, 143])
def test_a_run_that_was_ended_with_its_scheduler_is_owed(code: int) -> None:
    here = world("2026-01-05T07:00", codes=[code])
    stopped = here.run(here.now + HOUR + MINUTE)
    here.now += MINUTE
    here.run(here.now + HOUR, before=stopped)
    assert here.shown == ["daily 01-05T08:00", "daily 01-05T08:02"]


def test_a_failed_run_whose_repeat_is_still_to_come_is_owed_after_a_restart() -> None:
    here = world("2026-01-05T07:00", job(retries=1, retry_after=HOUR), codes=[3])
    stopped = here.run(here.now + HOUR + 2 * MINUTE)
    here.run(here.now + 2 * HOUR, before=stopped)
    assert here.shown == ["daily 01-05T08:00", "daily 01-05T08:02"]


def test_a_run_that_failed_as_often_as_it_may_is_not_owed_after_a_restart() -> None:
    here = world("2026-01-05T07:00", job(retries=1, retry_after=HOUR), codes=[3, 3])
    stopped = here.run(here.now + 3 * HOUR)
    here.run(here.now + 2 * HOUR, before=stopped)
    assert here.shown == ["daily 01-05T08:00", "daily 01-05T09:01"]


def test_jitter_delays_a_start_by_its_share() -> None:
    here = world("2026-01-05T07:00", job(jitter=20 * MINUTE), dice=0.5)
    here.run(here.now + 2 * HOUR)
    assert here.shown == ["daily 01-05T08:10"]


def test_a_failed_run_is_repeated_with_growing_pauses() -> None:
    here = world("2026-01-05T07:00", job(retries=2, retry_after=10 * MINUTE), codes=[3, 5, 1])
    state = here.run(here.now + 3 * HOUR)
    assert here.shown == ["daily 01-05T08:00", "daily 01-05T08:11", "daily 01-05T08:32"]
    assert state.jobs["daily"].failures == 3
    assert state.jobs["daily"].exit_code == 1


def test_a_repeat_that_succeeds_ends_the_failures() -> None:
    here = world("2026-01-05T07:00", job(retries=2), codes=[8, 0])
    state = here.run(here.now + 3 * HOUR)
    assert len(here.starts) == 2
    assert state.jobs["daily"].failures == 0


@pytest.mark.parametrize("code", [0, 2, 4, 6])
def test_what_a_repeat_would_not_change_is_not_repeated(code: int) -> None:
    here = world("2026-01-05T07:00", job(retries=2), codes=[code])
    here.run(here.now + 3 * HOUR)
    assert len(here.starts) == 1


def test_the_next_time_of_the_schedule_replaces_a_later_repeat() -> None:
    here = world("2026-01-05T07:59", job("often", "*/10 * * * *", retries=1, retry_after=HOUR),
                 codes=[3])  # fmt: skip
    here.run(here.now + 15 * MINUTE)
    assert here.shown == ["often 01-05T08:00", "often 01-05T08:10"]


def test_changed_new_and_removed_jobs_count_from_the_next_look() -> None:
    here = world("2026-01-05T07:00", job("a"), job("b"))

    def change(started: ScheduledJob, beat: Callable[[], None]) -> int:
        here.jobs = (job("a", "30 8 * * *"), job("c", "45 8 * * *"))
        return World.launch(here, started, beat)

    scheduler = Scheduler(lambda: here.jobs, lambda: BERLIN, change, here, now=lambda: here.now,
                          wait=here.wait, chance=lambda: 0.0)  # fmt: skip
    scheduler.run(lambda: here.now.astimezone(BERLIN).hour >= 10)
    assert here.shown == ["a 01-05T08:00", "a 01-05T08:30", "c 01-05T08:45"]


def test_a_clock_that_is_set_back_does_not_silence_a_job() -> None:
    here = world("2026-06-05T07:00")
    stopped = here.run(here.now + 2 * HOUR)
    here.now -= 100 * DAY
    here.run(here.now + DAY + HOUR, before=stopped)
    assert len(here.starts) == 2


def test_the_state_shows_what_runs_and_when_it_was_seen() -> None:
    here = world("2026-01-05T07:59:30")
    here.run(here.now + 5 * MINUTE)
    running = [state for state in here.states if state.phase == "running"]
    assert {state.running for state in running} == {"daily"}
    waits = [state.seen_at for state in here.states if state.seen_at is not None]
    assert waits == sorted(waits)
    assert here.states[-1].phase == "stopped"


def test_a_state_that_cannot_be_kept_for_a_while_stops_no_job(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = world("2026-01-05T07:59:30", full=tuple(range(1, 4)))
    stopped = here.run(here.now + DAY + 5 * MINUTE)
    assert here.shown == ["daily 01-05T08:00", "daily 01-06T08:00"]
    assert stopped.phase == "stopped" and "No space left on device" in caplog.text


def test_a_state_that_never_could_be_kept_is_an_error() -> None:
    here = world("2026-01-05T07:59:30", full=(0, 1))
    with pytest.raises(ConfigError, match=r"state cannot be kept.*No space left on device"):
        here.run(here.now + 5 * MINUTE)
    assert not here.starts


# --- the file --------------------------------------------------------------------------------


def test_a_state_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    here = world("2026-01-05T07:59")
    state = here.run(here.now + HOUR)
    file = HealthFile(tmp_path / "deep" / "schedule.json")
    file.write(state)
    found = read_state(file.path)
    assert found is not None
    assert found.jobs == state.jobs
    assert (found.phase, found.seen_at) == ("stopped", state.seen_at)
    assert [path.name for path in file.path.parent.iterdir()] == ["schedule.json"]


def test_no_file_is_no_state_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    assert read_state(tmp_path / "none.json") is None
    for text in ("", "[]", '{"phase": "waiting"}'):
        (tmp_path / "broken.json").write_text(text)
        with pytest.raises(ConfigError, match="Delete it"):
            read_state(tmp_path / "broken.json")


def told(states: Iterable[ScheduleState | None], now: datetime) -> list[str]:
    found = [problems(state, now, 2 * MINUTE) or {} for state in states]
    return [f"{name}: {text}".lstrip(": ") for each in found for name, text in each.items()]


def test_health_names_what_is_wrong() -> None:
    here = world("2026-01-05T07:00", codes=[3, 3])
    here.run(here.now + 25 * HOUR + 30 * MINUTE)
    stopped, waiting = here.states[-1], here.states[-2]
    assert told([waiting], here.now) == [
        "daily: failed 2 times in a row, last with exit code 3. Look at the log, or run it by "
        "hand: crmetrics run daily"
    ]
    assert told([stopped], here.now) == [
        "the scheduler was stopped. Start it again: crmetrics schedule"
    ]
    assert told([None], here.now) == [
        "no scheduler has run in this project. Start one: crmetrics schedule"
    ]
    assert told([waiting], here.now + HOUR) == [
        f"the scheduler was last seen {here.now + HOUR - (waiting.seen_at or here.now)} ago. "
        "If its process is gone or hangs, start it again: crmetrics schedule"
    ]


def test_a_job_that_is_gone_is_no_problem_any_more() -> None:
    here = world("2026-01-05T07:00", codes=[3])
    failing = here.run(here.now + 2 * HOUR)
    here.jobs = (job("other"),)
    here.run(here.now + MINUTE, before=failing)
    assert problems(here.states[-2], here.now, 2 * MINUTE) is None


def test_a_scheduler_that_does_well_has_no_problems() -> None:
    here = world("2026-01-05T07:00")
    here.run(here.now + 2 * HOUR)
    assert problems(here.states[-2], here.now, 2 * MINUTE) is None
