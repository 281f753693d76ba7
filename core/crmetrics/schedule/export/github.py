"""A GitHub Actions workflow per job.

GitHub's cron knows UTC only and is often late, so the workflow is started at the UTC times of every
offset that the zone has, and `--if-due` leaves at once when the job's own time has not come.

What must be there at the next run is kept in the cache of the repository. GitHub drops what nobody
asked for in a week, so the workflow of a rare job starts in between as well, only to ask for it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from crmetrics.config.cron import Cron
from crmetrics.schedule.export.place import ExportedJob, Place
from crmetrics.schedule.firing import firings

_YEARS_AHEAD = 2
_WEEK = 7
_RARE = timedelta(days=5)
_IN_BETWEEN = "23 4 */3 * *"
"""Every third day, and not at a full hour, when GitHub is late."""


def files(jobs: Sequence[ExportedJob], place: Place) -> Mapping[str, str]:
    """`.github/workflows/UNIT.yml` per job."""
    import yaml

    found = {}
    for job in jobs:
        unit = place.unit(job.name)
        text = yaml.safe_dump(_workflow(job, place, unit), sort_keys=False, width=100)
        # "on" is a boolean to YAML 1.1, which quotes it; GitHub takes both.
        found[f".github/workflows/{unit}.yml"] = _head(job, place) + text
    return found


_HEAD = """\
# The variables below are secrets of the repository: Settings, Secrets and variables, Actions.
# What a run needs of the one before ({state}) is kept in the cache of the repository. GitHub drops
# what nobody asked for in 7 days, and the oldest beyond 10 GB; then everything is loaded anew, what
# was reported is forgotten, and the last period is sent once more. It also stops the schedules of a
# public repository in which nothing happens for 60 days. Where that matters, run the job on a
# machine with a disk of its own.
"""
_RARELY = """\
# This job runs less often than that, so the workflow starts every third day as well, without a run.
"""
_OUTSIDE = """\
# {paths} lies outside of the repository: the runner must be allowed to write there.
"""


def _head(job: ExportedJob, place: Place) -> str:
    text = _HEAD.format(state=", ".join(place.state))
    if _is_rare(job, ZoneInfo(place.zone)):
        text += _RARELY
    outside = [path for path in place.state if path.startswith(("/", "~"))]
    return text + (_OUTSIDE.format(paths=", ".join(outside)) if outside else "")


def _is_rare(job: ExportedJob, zone: ZoneInfo) -> bool:
    """Whether days pass between two starts, so many that a cache could be dropped."""
    now = datetime.now(UTC)
    end = now + timedelta(days=366 * _YEARS_AHEAD)
    before = now
    for at in firings(job.job.cron, zone, now, end):
        if at - before > _RARE:
            return True
        before = at
    return end - before > _RARE


def _workflow(job: ExportedJob, place: Place, unit: str) -> dict[str, object]:
    zone = ZoneInfo(place.zone)
    minutes = job.job.time_limit.total_seconds() // 60 if job.job.time_limit else 60
    starts = [{"cron": line} for line in utc_lines(job.job.cron, zone)]
    is_rare = _is_rare(job, zone)
    if is_rare:
        starts.append({"cron": _IN_BETWEEN})
    return {
        "name": f"crmetrics {job.name}",
        "on": {"schedule": starts, "workflow_dispatch": {}},
        "concurrency": {"group": unit, "cancel-in-progress": False},
        "jobs": {
            "run": {
                "runs-on": "ubuntu-latest",
                "timeout-minutes": int(max(minutes, 1)),
                "steps": _steps(job, place, unit, is_rare=is_rare),
            }
        },
    }


def _steps(job: ExportedJob, place: Place, unit: str, *, is_rare: bool) -> list[dict[str, object]]:
    cache = {
        "path": "\n".join(place.state),
        # A cache cannot be changed, so each attempt of a run has its own. The dot ends the name: no
        # job takes the warehouse of another whose name goes on.
        "key": f"{unit}.${{{{ github.run_id }}}}.${{{{ github.run_attempt }}}}",
        "restore-keys": f"{unit}.",
    }
    runs: dict[str, str] = {}
    if is_rare:
        runs["if"] = f"github.event.schedule != '{_IN_BETWEEN}'"
    needed = [*place.packages, *(("-r", place.requirements) if place.requirements else ())]
    folder = ("-C", place.folder) if place.folder else ()
    words = ("crmetrics", *folder, "run", job.name, "--if-due", "--wait", "600")
    run: dict[str, object] = {**runs, "run": shlex.join(words)}
    if place.variables:
        run["env"] = {name: f"${{{{ secrets.{name} }}}}" for name in place.variables}
    saved = {"path": cache["path"], "key": cache["key"]}
    steps: list[dict[str, object]] = [
        {"uses": "actions/checkout@v4"},
        {"uses": "actions/setup-python@v5", "with": {"python-version": "3.12"}},
        {"uses": "actions/cache/restore@v4", "with": cache},
        {**runs, "run": shlex.join(["pip", "install", *needed])},
        run,
        {"uses": "actions/cache/save@v4", "if": "always()", "with": saved},
    ]
    if place.written:
        kept = {"name": unit, "path": "\n".join(place.written), "if-no-files-found": "ignore"}
        steps.append({"uses": "actions/upload-artifact@v4", "if": "always()", "with": kept})
    return steps


def utc_lines(cron: Cron, zone: ZoneInfo, now: datetime | None = None) -> list[str]:
    """Cron lines in UTC that cover the schedule at every offset which the zone has in the next two
    years; they may fire at further times, never too late."""
    clocks: dict[tuple[str, str, str], dict[int, set[int]]] = {}
    for offset in _offsets(zone, now or datetime.now(UTC)):
        ahead = int(offset.total_seconds() // 60)
        for clock in (hour * 60 + minute for hour in cron.hours for minute in cron.minutes):
            shift, rest = divmod(clock - ahead, 24 * 60)
            hour, minute = divmod(rest, 60)
            clocks.setdefault(_days(cron, shift), {}).setdefault(minute, set()).add(hour)
    return [
        f"{_listed(minutes, 60)} {_listed(hours, 24)} {' '.join(days)}"
        for days, by_minute in sorted(clocks.items())
        for hours, minutes in _same_hours(by_minute).items()
    ]


def _same_hours(by_minute: Mapping[int, set[int]]) -> Mapping[frozenset[int], set[int]]:
    """Hours -> the minutes that have just these hours."""
    found: dict[frozenset[int], set[int]] = {}
    for minute, hours in sorted(by_minute.items()):
        found.setdefault(frozenset(hours), set()).add(minute)
    return found


def _offsets(zone: ZoneInfo, now: datetime) -> list[timedelta]:
    days = (now + timedelta(days=number) for number in range(366 * _YEARS_AHEAD))
    found = {moment.astimezone(zone).utcoffset() or timedelta() for moment in days}
    return sorted(found)


def _days(cron: Cron, shift: int) -> tuple[str, str, str]:
    """Day, month and weekday of times that lie `shift` days later in UTC. A day of the month cannot
    be moved in cron's language: then every day is tried."""
    if shift == 0:
        return (
            _listed(cron.days, 31),
            _listed(cron.months, 12),
            _listed(cron.weekdays, _WEEK),
        )
    if len(cron.days) == 31 and len(cron.months) == 12:
        moved = {(day + shift) % _WEEK for day in cron.weekdays}
        return "*", "*", _listed(moved, _WEEK)
    return "*", "*", "*"


def _listed(numbers: set[int] | frozenset[int], all_of_them: int) -> str:
    return "*" if len(numbers) == all_of_them else ",".join(map(str, sorted(numbers)))
