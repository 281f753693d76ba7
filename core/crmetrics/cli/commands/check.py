"""`crmetrics check`: everything that could stop a run, found before it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crmetrics.cli.console import Console, redact_leaves
from crmetrics.cli.options import command, json_option
from crmetrics.cli.session import Session, pass_session
from crmetrics.cli.tape import tape, tape_options
from crmetrics.errors import ExitCode

if TYPE_CHECKING:
    from crmetrics.plugin import CheckResult

_COLORS = {"ok": "green", "warning": "yellow", "error": "red"}


@command("check")
@tape_options
@json_option
@pass_session
def check(session: Session, record: Path | None, replay: Path | None, as_json: bool) -> None:
    """Check the project file, plugins, definitions, sources (credentials, permissions, files) and
    sinks. Reports everything at once, each with its fix; changes and sends nothing.

    Exits with 2 when the configuration is wrong, with 3 when only sources have errors.
    """
    with tape(record, replay):
        results = session.project.check()
    if as_json:
        rows = [redact_leaves(asdict(result)) for result in results]
        session.console.print_data(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    else:
        _print(results, session.console)
    click.get_current_context().exit(exit_code(results))


def exit_code(results: Sequence[CheckResult]) -> int:
    """2 when anything but a source has an error, 3 when only sources have, else 0.

    The subject of a check of a source begins with the word `source`.
    """
    failed = [result.subject for result in results if result.state == "error"]
    if not failed:
        return ExitCode.OK
    are_sources = all(subject.partition(" ")[0] == "source" for subject in failed)
    return ExitCode.SOURCE if are_sources else ExitCode.USAGE


def _print(results: Sequence[CheckResult], console: Console) -> None:
    for subject, group in groupby(results, key=lambda result: result.subject.partition(": ")[0]):
        console.print(subject)
        for result in group:
            _print_result(result, console)
    counts = {state: sum(result.state == state for result in results) for state in _COLORS}
    console.print(f"{len(results)} checks: {counts['error']} errors, {counts['warning']} warnings.")


def _print_result(result: CheckResult, console: Console) -> None:
    state = click.style(f"{result.state:7}", fg=_COLORS[result.state])
    head, _, part = result.subject.partition(": ")
    # Plugins like to say once more whose check it is.
    part = part.removeprefix(head).removeprefix(f"{head.rpartition(' ')[2]}: ").strip(": ")
    console.print(f"  {state}  {part + ': ' if part else ''}{_one_line(result.message)}")
    if result.fix:
        console.print(f"  {'':7}  fix: {_one_line(result.fix)}")


def _one_line(text: str) -> str:
    return " ".join(text.split())
