"""What an exported schedule needs to know of a job and of the place where it will run."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from crmetrics.schedule.loop import ScheduledJob


@dataclass(frozen=True, slots=True)
class ExportedJob:
    """A scheduled job. schedule: the five fields as the project file writes them."""

    job: ScheduledJob
    schedule: str
    description: str = ""

    @property
    def name(self) -> str:
        return self.job.name


@dataclass(frozen=True, slots=True)
class Place:
    """Where the jobs will run.

    directory: the project folder. program: the words that start crmetrics there. zone: the
    reporting zone. variables: names of the environment variables that the project file needs.
    """

    project: str
    directory: str
    program: tuple[str, ...]
    zone: str
    variables: Sequence[str] = ()
    version: str = ""
    image: str = ""

    def run(self, job: str, *more: str, directory: str = "") -> tuple[str, ...]:
        """The words of the command that runs a job."""
        return (*self.program, "-C", directory or self.directory, "run", job, *more)

    def shell(self, job: str, *more: str) -> str:
        """The same, quoted for a POSIX shell."""
        return shlex.join(self.run(job, *more))

    def unit(self, job: str = "") -> str:
        """A name for files and objects: `crmetrics-acme-weekly`, lower-case, safe everywhere."""
        words = ["crmetrics", self.project, job]
        plain = (
            unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode() for word in words
        )
        safe = (re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in plain)
        return "-".join(word for word in safe if word)
