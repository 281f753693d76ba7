"""Deliveries that would undo each other: two sinks, or two jobs of one, with the same file, or with
one table that each keeps in a way of its own; and sinks that write into the warehouse itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from os.path import normpath, realpath
from pathlib import Path

from crmetrics.config.project import JobConfig, ProjectConfig
from crmetrics.config.tree import Place
from crmetrics.errors import Finding
from crmetrics.options import Slot
from crmetrics.periods import Grain

_HINT = "Let their names or folders differ, for instance by {job} in the name."
_TABLE_HINT = "Give one of them a place of its own (`table`), or both the same way."

_User = tuple[JobConfig, int]
"""A job and the number of one of its sinks."""


def overlaps(config: ProjectConfig) -> list[Finding]:
    """A finding for each sink of a job that writes what another one, or another job, writes, or
    keeps it in another way; and for each sink whose file is the warehouse."""
    findings = list(_into_warehouse(config))
    users = [(job, number) for job in config.jobs.values() for number in range(len(job.sinks))]
    slots = {job.grain: _slots(config, job.grain) for job in config.jobs.values()}
    owners: dict[str, tuple[JobConfig, int]] = {}
    for job, number in users:
        for name in _written(config, job, number, slots):
            owner = owners.setdefault(name, (job, number))
            if owner != (job, number):
                findings.append(_finding(config, (job, number), owner, name))
                break
    return findings + _differing(config, users)


def _into_warehouse(config: ProjectConfig) -> Iterator[Finding]:
    """A finding for each sink that would write into the file that a run holds while it sends."""
    warehouse = realpath(config.warehouse.path)
    for name, sink in config.sinks.items():
        for path in sink.options.local_paths():
            if realpath(Path(config.directory, path)) == warehouse:
                yield config.place("sinks", name, at_key=True).finding(
                    f"sinks.{name}: {path} is the project's own warehouse, which no other "
                    "connection can write to while a run sends.",
                    "Write to a file of its own; what runs recorded stands in the schema `meta`.",
                )


def _differing(config: ProjectConfig, users: Iterable[_User]) -> list[Finding]:
    """A finding for each sink of a job that keeps a place in another way than one before it."""
    keepers: dict[str, tuple[_User, str]] = {}
    findings: list[Finding] = []
    for job, number in users:
        sink = config.sinks.get(job.sinks[number])
        kept = sink.options.keeps(job.name) if sink is not None else {}
        for name, way in kept.items():
            owner, other_way = keepers.setdefault(_absolute(config, name), ((job, number), way))
            if way == other_way:
                continue
            message = (
                f"jobs.{job.name}.sinks: {job.sinks[number]!r} keeps {name} with {way}, and "
                f"{_named(config, owner)} with {other_way}: one would undo or refuse what the "
                "other wrote."
            )
            findings.append(_place(config, (job, number)).finding(message, _TABLE_HINT))
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
            yield _absolute(config, name)


def _absolute(config: ProjectConfig, name: str) -> str:
    return name if "://" in name else normpath(Path(config.directory, name))


def _finding(config: ProjectConfig, user: _User, owner: _User, name: str) -> Finding:
    job, number = user
    shown = name.removeprefix(f"{config.directory}/")
    return _place(config, user).finding(
        f"jobs.{job.name}.sinks: {job.sinks[number]!r} writes {shown}, and so does "
        f"{_named(config, owner)}: one would replace the other.",
        _HINT,
    )


def _named(config: ProjectConfig, user: _User) -> str:
    job, number = user
    return f"{job.sinks[number]!r} of the job {job.name!r} ({_place(config, user)})"


def _place(config: ProjectConfig, user: _User) -> Place:
    job, number = user
    return config.place("jobs", job.name, "sinks", number)
