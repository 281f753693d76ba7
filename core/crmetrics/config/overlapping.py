"""Deliveries that would replace each other: two sinks, or two jobs of one, with the same file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from os.path import normpath
from pathlib import Path

from crmetrics.config.project import JobConfig, ProjectConfig
from crmetrics.errors import Finding
from crmetrics.options import Slot
from crmetrics.periods import Grain

_HINT = "Let their names or folders differ, for instance by {job} in the name."


def overlaps(config: ProjectConfig) -> list[Finding]:
    """A finding for each sink of a job that writes what another one, or another job, writes."""
    users = [(job, number) for job in config.jobs.values() for number in range(len(job.sinks))]
    if len(users) < 2:
        return []
    slots = {job.grain: _slots(config, job.grain) for job in config.jobs.values()}
    owners: dict[str, tuple[JobConfig, int]] = {}
    findings: list[Finding] = []
    for job, number in users:
        for name in _written(config, job, number, slots):
            owner = owners.setdefault(name, (job, number))
            if owner != (job, number):
                findings.append(_finding(config, (job, number), owner, name))
                break
    return findings


def _slots(config: ProjectConfig, grain: Grain) -> list[Slot]:
    """Periods in which those of other grains begin and end as well: around each first of a month
    in two years, with months that begin on a Sunday and on a Monday."""
    calendar = config.reporting.calendar
    firsts = [date(2023 + month // 12, month % 12 + 1, 1) for month in range(24)]
    days = {day for first in firsts for day in (first - timedelta(days=1), first)}
    periods = dict.fromkeys(calendar.period_of(day, grain) for day in sorted(days))
    return [
        Slot("", grain, config.project, one.start, one.end, calendar.label(one)) for one in periods
    ]


def _written(
    config: ProjectConfig, job: JobConfig, number: int, slots: Mapping[Grain, list[Slot]]
) -> Iterator[str]:
    sink = config.sinks.get(job.sinks[number])
    if sink is None:  # told elsewhere
        return
    for slot in slots[job.grain]:
        for name in sink.options.overwrites(slot.of(job.name)):
            yield name if "://" in name else normpath(Path(config.directory, name))


def _finding(
    config: ProjectConfig, user: tuple[JobConfig, int], owner: tuple[JobConfig, int], name: str
) -> Finding:
    (job, number), (other, other_number) = user, owner
    place = config.place("jobs", job.name, "sinks", number)
    there = config.place("jobs", other.name, "sinks", other_number)
    shown = name.removeprefix(f"{config.directory}/")
    return place.finding(
        f"jobs.{job.name}.sinks: {job.sinks[number]!r} writes {shown}, and so does "
        f"{other.sinks[other_number]!r} of the job {other.name!r} ({there}): one would replace the "
        "other.",
        _HINT,
    )
