"""What an exported schedule needs to know of a job and of the place where it will run."""

from __future__ import annotations

import hashlib
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
    jobs: names of all jobs of the project, exported or not. folder: the project's below the root of
    its repository; empty = the root. packages: what pip installs, crmetrics among it. state: files
    and folders that must be there again at the next run; written: those that a run leaves for
    people. Both relative to the root, or absolute.
    """

    project: str
    directory: str
    program: tuple[str, ...]
    zone: str
    variables: Sequence[str] = ()
    version: str = ""
    image: str = ""
    jobs: Sequence[str] = ()
    folder: str = ""
    packages: Sequence[str] = ("crmetrics",)
    requirements: str = ""
    state: Sequence[str] = (".crmetrics",)
    written: Sequence[str] = ()

    def run(self, job: str, *more: str, directory: str = "") -> tuple[str, ...]:
        """The words of the command that runs a job."""
        return (*self.program, "-C", directory or self.directory, "run", job, *more)

    def shell(self, job: str, *more: str) -> str:
        """The same, quoted for a POSIX shell."""
        return shlex.join(self.run(job, *more))

    def unit(self, job: str = "") -> str:
        """A name for files and objects: `crmetrics-acme-weekly`, lower-case, safe everywhere.

        No two jobs have the same, be they of one project (of `a_b` and `a-b` the first gets a mark)
        or of two: a project whose name is more than one plain word always gets a mark.
        """
        words = ["crmetrics", *_marked(self.project, self._is_joined)]
        if job:
            words += _marked(job, self._is_ambiguous(job))
        return "-".join(words)

    @property
    def _is_joined(self) -> bool:
        """Whether others could come to the same: `acme` with a job `eu-weekly` to `acme-eu`'s."""
        plain = _plain(self.project)
        return plain != self.project or "-" in plain

    def _is_ambiguous(self, job: str) -> bool:
        plain = _plain(job)
        return job != plain and any(_plain(one) == plain for one in self.jobs if one != job)


_LIKE_A_MARK = re.compile(r"(^|-)[0-9a-f]{8}(-|$)")


def _marked(text: str, is_ambiguous: bool) -> list[str]:
    """The plain form, and a mark where that is not enough: also where nothing is left of the text,
    or where it holds what could be the mark of another."""
    plain = _plain(text)
    if is_ambiguous or not plain or _LIKE_A_MARK.search(plain):
        return [word for word in (plain, mark(text)) if word]
    return [plain]


def mark(text: str) -> str:
    """Eight characters that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def shortened(name: str, longest: int) -> str:
    """The name, or its beginning with a mark of the rest: two must not become one."""
    return name if len(name) <= longest else f"{name[: longest - 9].strip('-')}-{mark(name)}"


def _plain(word: str) -> str:
    letters = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", letters.lower()).strip("-")
