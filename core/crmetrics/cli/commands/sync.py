"""`crmetrics sync`: from the sources into the warehouse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crmetrics.cli.console import Console, redact_leaves
from crmetrics.cli.options import command, json_option
from crmetrics.cli.session import Session, pass_session
from crmetrics.cli.tape import tape, tape_options
from crmetrics.errors import ExitCode

if TYPE_CHECKING:
    from crmetrics.engine.loading import SyncReport

_COUNTS = (
    "fetched",
    "inserted",
    "updated",
    "outdated",
    "duplicates",
    "rejected",
    "deleted",
    "replaced",
    "rows",
)

_ALWAYS_SHOWN = ("fetched", "rejected", "rows")


@command("sync")
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@click.option(
    "--full", is_flag=True, help="Read everything again, not only what changed since last time."
)
@tape_options
@json_option
@pass_session
def sync(
    session: Session,
    sources: tuple[str, ...],
    full: bool,
    record: Path | None,
    replay: Path | None,
    as_json: bool,
) -> None:
    """Load each SOURCE of the project file, or all of them, into the warehouse.

    A dataset is loaded whole or not at all; one that fails does not stop the others, and keeps
    what was loaded before. Exits with 3 when one fails.

    \b
    fetched    = inserted + updated + outdated + duplicates + rejected (zeros are not shown)
    rejected   records without a key, kept with their reason in rejected_rows
    rows       records in the warehouse afterwards
    """
    from crmetrics.cli.progress import reading_progress

    with tape(record, replay), reading_progress(session.console) as progress:
        report = session.project.sync(sources, full=full, progress=progress)
    if as_json:
        document = json.dumps(sync_summary(report), indent=2, ensure_ascii=False)
        session.console.print_data(document + "\n")
    else:
        print_sync(report, session.console)
    if report.failures:
        click.get_current_context().exit(ExitCode.SOURCE)


def print_sync(report: SyncReport, console: Console) -> None:
    """The table of what was loaded; what to know about it goes to standard error.

    A count that is zero everywhere has no column.
    """
    from crmetrics.cli.text_table import Cell, Heading, TextTable, show

    counts = [
        name
        for name in _COUNTS
        if name in _ALWAYS_SHOWN or any(getattr(loaded, name) for loaded in report.reports)
    ]
    names = ("source", "dataset", *counts, "status")
    headings = tuple(Heading(name, "right" if name in counts else "left") for name in names)
    rows = tuple(
        (
            Cell(loaded.source),
            Cell(loaded.dataset),
            *(Cell(f"{getattr(loaded, name):,}") for name in counts),
            Cell(loaded.status, "bad" if loaded.failed else ""),
        )
        for loaded in report.reports
    )
    show(TextTable(headings, rows), console)
    for loaded in report.failures:
        console.error(f"{loaded.place} was not read: {loaded.error}")
    for note in sync_notes(report):
        console.warn(note)


def sync_notes(report: SyncReport) -> list[str]:
    """What connectors and the warehouse noticed, failures excepted."""
    failed = {f"{loaded.place} was not read" for loaded in report.failures}
    notices = [
        f"{loaded.place}: {notice}" for loaded in report.reports for notice in loaded.notices
    ]
    notes = [note for note in report.notes() if note.partition(":")[0] not in failed]
    return list(dict.fromkeys([*notices, *notes]))


def sync_summary(report: SyncReport) -> dict[str, Any]:
    """What was loaded, as a JSON-like document."""
    shown = [
        {
            "source": loaded.source,
            "dataset": loaded.dataset,
            "status": loaded.status,
            **{name: getattr(loaded, name) for name in _COUNTS},
            "error": None if loaded.error is None else str(loaded.error),
        }
        for loaded in report.reports
    ]
    document: dict[str, Any] = redact_leaves({"datasets": shown, "notes": sync_notes(report)})
    return document
