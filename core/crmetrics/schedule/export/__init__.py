"""Files that leave the schedule to another scheduler.

Each format is a module with `files(jobs, place)`: file name -> text. A run that is started too
often does no harm: `crmetrics run` delivers a period once and makes up for those that were missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

from crmetrics.schedule.export.place import ExportedJob, Place

FORMATS = ("cron", "systemd", "github", "airflow", "kubernetes")


def export(form: str, jobs: Sequence[ExportedJob], place: Place) -> Mapping[str, str]:
    """The files of a format (one of FORMATS) for these jobs, by name."""
    module = import_module(f"crmetrics.schedule.export.{form}")
    found: Mapping[str, str] = module.files(jobs, place)
    return found


__all__ = ["FORMATS", "ExportedJob", "Place", "export"]
