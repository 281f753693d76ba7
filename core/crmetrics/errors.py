"""The error tree. A class exists only where someone reacts to it differently.

    CrmetricsError                exit 1
    ├── UsageError                exit 2   the call is wrong: KPI, dimension, period, option
    ├── ConfigError               exit 2   crmetrics.yaml, a definition, a variable
    ├── PluginError               exit 2   a plugin that is needed cannot be used
    ├── SourceError               exit 3   a source failed: file, credentials, network, data
    │   ├── http.HttpError        exit 3   no usable answer; sinks make a SinkError of it
    │   └── UnavailableError      exit 3   a source has no such dataset for this user
    ├── WarehouseError            exit 1   the warehouse file cannot be used
    │   └── WarehouseLockedError  exit 8   another process holds it
    ├── JobBusyError              exit 8   another process runs this job, or the scheduler
    ├── QueryError                exit 1   a statement failed
    │   └── QueryTimeoutError     exit 1   a statement ran into its time limit
    ├── SinkError                 exit 5   a sink failed
    │   └── UnknownOutcomeError   exit 5   it may have delivered all the same
    └── QualityError              exit 7   the quality gate refused the numbers

Bad input is reported whole: `findings` holds one entry per problem, each with its place.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class ExitCode:
    """The exit codes of every command; part of the contract with schedulers."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    SOURCE = 3
    PARTIAL = 4
    SINK = 5
    GOALS = 6
    QUALITY = 7
    BUSY = 8
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem in what the user wrote, with the place and the way out.

    file, line, column: where (1-based; line 0 = the whole file or no place).
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}:{self.column}" if self.column else f":{self.line}"
        text = f"{place}: {self.message}" if place else self.message
        return f"{text} {self.hint}".rstrip() if self.hint else text


class CrmetricsError(Exception):
    """Base of every deliberate error."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str = "", *, findings: Iterable[Finding] = ()) -> None:
        self.findings: tuple[Finding, ...] = tuple(findings)
        super().__init__(message or "\n".join(str(finding) for finding in self.findings))


class UsageError(CrmetricsError):
    """The call asks for something that does not exist or does not fit."""

    exit_code = ExitCode.USAGE


class ConfigError(CrmetricsError):
    """The project file, a definition or a variable is wrong."""

    exit_code = ExitCode.USAGE


class PluginError(CrmetricsError):
    """A plugin that the run needs cannot be used."""

    exit_code = ExitCode.USAGE


class SourceError(CrmetricsError):
    """A source could not be read whole; nothing of the failed dataset was kept."""

    exit_code = ExitCode.SOURCE


class UnavailableError(SourceError):
    """The source has no such dataset for this user: a feature that is off, a right that is missing.

    Raised by `Connector.read` before any row. When the source never gave the dataset, that is no
    failure: it counts as not there, which puts KPIs out of reach and nothing else. When it did, it
    is one, until `sync --full` gives up what was read of it, after a sync that failed likewise.
    """


class WarehouseError(CrmetricsError):
    """The warehouse file cannot be opened, read or written."""


class WarehouseLockedError(WarehouseError):
    """Another process holds the warehouse file."""

    exit_code = ExitCode.BUSY


class JobBusyError(CrmetricsError):
    """Another process does the same work; a repeat later may find it done."""

    exit_code = ExitCode.BUSY


class QueryError(CrmetricsError):
    """A statement failed in DuckDB."""


class QueryTimeoutError(QueryError):
    """A statement ran longer than the limit."""


class SinkError(CrmetricsError):
    """A sink could not deliver."""

    exit_code = ExitCode.SINK


class UnknownOutcomeError(SinkError):
    """A sink may or may not have delivered: a repeat could deliver twice."""


class QualityError(CrmetricsError):
    """The quality gate refused to deliver the numbers."""

    exit_code = ExitCode.QUALITY


PLUGIN_ERRORS = (Exception, SystemExit)
"""What a plugin may end with: one whose driver calls sys.exit must not end the whole run."""


def defect_of_connector(exc: BaseException) -> str:
    """What is told of a connector that ended with one of these."""
    return (
        f"the connector failed with {type(exc).__name__}: {exc}. "
        "This is a defect of the connector or of what it read."
    )


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """A sentence with the close matches of `name`, or an empty text when nothing is close."""
    matches: Sequence[str] = difflib.get_close_matches(name, list(known), n=limit, cutoff=0.6)
    if not matches:
        return ""
    return "Did you mean " + " or ".join(repr(match) for match in matches) + "?"
