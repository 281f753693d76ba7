"""Deliveries that would undo each other: two sinks, or two jobs of one, with the same file, or with
one table that each keeps in a way of its own; and sinks that write what the project needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from fnmatch import fnmatchcase
from glob import has_magic
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


def overlaps(config: ProjectConfig, datasets: Iterable[str]) -> list[Finding]:
    """A finding for each sink of a job that writes what another one, or another job, writes, or
    keeps it in another way; for each whose file is the warehouse, or is read by a source.

    datasets: the names of all that there are.
    """
    findings = list(_into_warehouse(config))
    users = [(job, number) for job in config.jobs.values() for number in range(len(job.sinks))]
    slots = {job.grain: _slots(config, job.grain) for job in config.jobs.values()}
    owners: dict[str, _User] = {}
    data = _Data(config, tuple(datasets))
    for job, number in users:
        for name in _written(config, job, number, slots):
            owner = owners.setdefault(name, (job, number))
            if owner != (job, number):
                findings.append(_written_twice(config, (job, number), owner, name))
                break
            if source := data.source_of(name):
                findings.append(_into_source(config, (job, number), source, name))
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


class _Data:
    """The files of this machine that sources read."""

    def __init__(self, config: ProjectConfig, datasets: tuple[str, ...]) -> None:
        self._files: dict[str, str] = {}
        self._globs: list[tuple[tuple[str, ...], str]] = []
        for name, source in config.sources.items():
            for pattern in source.options.local_data(datasets):
                path = normpath(Path(config.directory, Path(pattern).expanduser()))
                self._files.setdefault(path, name)  # a name may hold [brackets]
                if has_magic(path):
                    self._globs.append((Path(path).parts, name))

    def source_of(self, path: str) -> str:
        """The source that reads this file; empty when none does."""
        if path in self._files:
            return self._files[path]
        parts = Path(path).parts if self._globs else ()
        return next((name for glob, name in self._globs if _fits(parts, glob)), "")


def _fits(parts: tuple[str, ...], glob: tuple[str, ...]) -> bool:
    """Whether a path is one of a glob, part by part."""
    if not glob:
        return not parts
    if glob[0] == "**":
        return any(_fits(parts[skipped:], glob[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], glob[0]) and _fits(parts[1:], glob[1:])


def _into_source(config: ProjectConfig, user: _User, source: str, name: str) -> Finding:
    job, number = user
    shown = name.removeprefix(f"{config.directory}/")
    return _place(config, user).finding(
        f"jobs.{job.name}.sinks: {job.sinks[number]!r} writes {shown}, which the source {source!r} "
        f"({config.place('sources', source, at_key=True)}) reads as data.",
        "Write to another folder, or under another name.",
    )


def _written_twice(config: ProjectConfig, user: _User, owner: _User, name: str) -> Finding:
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
