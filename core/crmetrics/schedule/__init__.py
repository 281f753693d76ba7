"""When jobs start: the times of a cron schedule, a loop that starts what is due, and files that
leave it to another scheduler."""

from __future__ import annotations

from crmetrics.schedule.firing import firings, last_firing, next_firing
from crmetrics.schedule.loop import DONE, HOPELESS, Launch, ScheduledJob, Scheduler, problems
from crmetrics.schedule.memory import HealthFile, JobMemory, ScheduleState, read_state

__all__ = [
    "DONE",
    "HOPELESS",
    "HealthFile",
    "JobMemory",
    "Launch",
    "ScheduleState",
    "ScheduledJob",
    "Scheduler",
    "firings",
    "last_firing",
    "next_firing",
    "problems",
    "read_state",
]
