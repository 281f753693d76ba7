"""`crmetrics demo`: the whole way on a sample CRM, without a network."""

from __future__ import annotations

import shlex
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crmetrics.cli.options import command
from crmetrics.cli.session import Session, pass_session

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.running import RunReport

_END = date(2026, 1, 1)
_REPORT_JOB = "monthly_sales"
_MESSAGE_JOB = "team_message"


@command("demo")
@click.argument(
    "directory",
    metavar="[DIR]",
    default=Path("crmetrics-demo"),
    type=click.Path(file_okay=False, path_type=Path),
)
@pass_session
def demo(session: Session, directory: Path) -> None:
    """Make a project with three years of an invented company's CRM in DIR (default:
    crmetrics-demo), load it, compute its sales KPIs, write the report, and show the chat message
    that would be sent. Nothing leaves this machine."""
    from crmetrics.cli.message_text import message_text
    from crmetrics.cli.progress import reading_progress
    from crmetrics.cli.result_table import result_table, view_of
    from crmetrics.cli.text_table import show
    from crmetrics.testing.demo import write_demo

    console = session.console
    folder = write_demo(directory, end=_END)
    console.note(f"Made the demo project in {folder}.")
    project = session.open(folder)
    with reading_progress(console) as progress:
        report = project.run(_REPORT_JOB, date=_END, progress=progress)
    message = project.run(_MESSAGE_JOB, date=_END, dry_run=True)
    show(result_table(_totals(report), view_of(project), title=report.message.title), console)
    console.print(f"\nBy team, with goals and trends: {_report_file(report, folder)}")
    console.print("\nThe chat message, not sent:\n")
    console.print(_indented(message_text(message.message)))
    console.print(_next_steps(folder))
    click.get_current_context().exit(report.exit_code)


def _totals(report: RunReport) -> pa.Table:
    """The rows of the whole company."""
    return report.results.filter([not segment for segment in report.results["segment"].to_pylist()])


def _report_file(report: RunReport, folder: Path) -> Path:
    """The page to open: the HTML file among those of the report."""
    files = [
        file["path"]
        for outcome in report.outcomes
        if outcome.receipt is not None
        for file in outcome.receipt.details.get("files", ())
    ]
    return folder / next((path for path in files if path.endswith(".html")), "reports")


def _indented(text: str) -> str:
    return "\n".join(f"  | {line}".rstrip() for line in text.splitlines())


def _next_steps(folder: Path) -> str:
    place = shlex.quote(str(folder))
    return (
        "\nNext:\n"
        f"  crmetrics -C {place} query win_rate --period 2025-Q4 --grain month --by team\n"
        f"  crmetrics -C {place} explain win_rate --period 2025-12\n"
        f"  {folder / 'README.md'} has more to try; `crmetrics init` begins a project of your own."
    )
