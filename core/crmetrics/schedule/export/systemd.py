"""systemd units: a service and a timer per job."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from crmetrics.config.cron import Cron
from crmetrics.schedule.export.place import ExportedJob, Place
from crmetrics.schedule.loop import HOPELESS

_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")

_SERVICE = """\
# Install: copy to /etc/systemd/system, put the variables of the project file into
# {environment} (NAME=value per line, readable by root alone), then
# systemctl enable --now {unit}.timer
[Unit]
Description=crmetrics job {job} of {project}
After=network-online.target
Wants=network-online.target

[Service]
Type=oneshot
WorkingDirectory={directory}
EnvironmentFile=-{environment}
ExecStart={command}
TimeoutStartSec={limit}
TimeoutStopSec=120
# 4: delivered on partial data, and said so. 143: ended by `systemctl stop`.
SuccessExitStatus=4 143
# What failed is made up for by the next start. Should you add Restart=on-failure: a wrong project
# file is not tried again.
RestartPreventExitStatus={hopeless}
"""

_TIMER = """\
[Unit]
Description=Starts the crmetrics job {job} of {project}

[Timer]
{calendar}
Persistent=true
RandomizedDelaySec={jitter}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def files(jobs: Sequence[ExportedJob], place: Place) -> Mapping[str, str]:
    """`UNIT.service` and `UNIT.timer` per job."""
    found = {}
    for job in jobs:
        unit = place.unit(job.name)
        limit = job.job.time_limit
        words = {
            "unit": unit,
            "job": job.name,
            "project": _specifiers(" ".join(place.project.split())),
            "directory": _specifiers(place.directory),
            "environment": f"/etc/crmetrics/{unit}.env",
            "command": " ".join(_quoted(word) for word in place.run(job.name, "--wait", "3600")),
            "limit": "infinity" if limit is None else f"{limit.total_seconds():g}s",
            "hopeless": " ".join(str(code) for code in HOPELESS),
            "jitter": f"{job.job.jitter.total_seconds():g}s",
            "calendar": "\n".join(
                f"OnCalendar={line} {place.zone}" for line in calendar(job.job.cron)
            ),
        }
        found[f"{unit}.service"] = _SERVICE.format(**words)
        found[f"{unit}.timer"] = _TIMER.format(**words)
    return found


def calendar(cron: Cron) -> list[str]:
    """The schedule as OnCalendar expressions; two when either day or weekday is enough."""
    weekdays = ",".join(_WEEKDAYS[day] for day in sorted(cron.weekdays))
    months = _listed(cron.months, 12)
    days, any_day = _listed(cron.days, 31), f"*-{months}-*"
    clock = f"{_listed(cron.hours, 24)}:{_listed(cron.minutes, 60)}:00"
    is_any_weekday = len(cron.weekdays) == len(_WEEKDAYS)
    if cron.any_day or cron.any_weekday:
        prefix = "" if is_any_weekday else f"{weekdays} "
        return [f"{prefix}*-{months}-{days} {clock}"]
    return [f"*-{months}-{days} {clock}", f"{weekdays} {any_day} {clock}"]


def _listed(numbers: Collection[int], all_of_them: int) -> str:
    if len(numbers) == all_of_them:
        return "*"
    return ",".join(f"{number:02d}" for number in sorted(numbers))


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """A word of a command line as systemd reads it."""
    escaped = _specifiers(word).replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    plain = escaped.replace("-", "").replace("/", "").replace(".", "").replace("_", "")
    return escaped if plain.isalnum() else f'"{escaped}"'
