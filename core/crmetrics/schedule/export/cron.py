"""A crontab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crmetrics.schedule.export.place import ExportedJob, Place

_HEAD = """\
# Jobs of {project}. Install with: crontab {name}  (replaces your crontab; or paste it there)
# cronie, systemd-cron and macOS read CRON_TZ. Debian's cron does not: there the times below are
# those of the machine's own zone. The reported periods are right in any case.
CRON_TZ={zone}
"""


def files(jobs: Sequence[ExportedJob], place: Place) -> Mapping[str, str]:
    """One file, a line per job."""
    name = f"{place.unit()}.crontab"
    lines = [_HEAD.format(project=_comment(place.project), name=name, zone=place.zone)]
    for job in jobs:
        if job.description:
            lines.append(f"# {_comment(job.description)}\n")
        # In a crontab an unescaped % ends the command.
        command = place.shell(job.name, "--wait", "3600", "--quiet").replace("%", r"\%")
        lines.append(f"{job.schedule} {command}\n")
    return {name: "".join(lines)}


def _comment(text: str) -> str:
    return " ".join(text.split())
