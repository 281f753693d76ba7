"""`crmetrics history`: what runs reported for a KPI, and when it changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from crmetrics.cli.options import command, format_option, output_option
from crmetrics.cli.output import Format, choose_format, write_table
from crmetrics.cli.recorded import recorded
from crmetrics.cli.session import Session, pass_session
from crmetrics.cli.text_table import Cell, Heading, TextTable

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS = ("job", "period_start", "period_end", "grain", "value", "unit", "status", "run_id",
            "definition_hash", "version", "valid_from", "valid_to")  # fmt: skip


@command("history")
@click.argument("kpi", metavar="KPI[.VARIANT]")
@click.option("--job", metavar="JOB", default="", help="Only what this job reported.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), default=500, show_default=True,
    help="At most so many versions.",
)  # fmt: skip
@format_option
@output_option
@pass_session
def history(
    session: Session, kpi: str, job: str, limit: int, form: Format | None, output: Path | None
) -> None:
    """Show the totals that runs reported for KPI, the last period first: every version of a
    value that a later run changed, with the run and until when it was valid."""
    form = choose_format(form, output)
    found = _versions(session, kpi, job, limit)
    if not found.num_rows:
        session.console.note(f"No run has reported {kpi!r} yet; `crmetrics run` does.")
    write_table(
        lambda: found, form, output, session.console, as_text=lambda: _as_text(found, session)
    )


def _versions(session: Session, name: str, job: str, limit: int) -> pa.Table:
    from crmetrics import state

    kpi, variant = session.project.catalog.resolve(name)
    return recorded(
        session,
        lambda warehouse: state.versions(warehouse, kpi.id, job=job, variant=variant, limit=limit),
        _COLUMNS,
    )


def _as_text(found: pa.Table, session: Session) -> TextTable:
    from crmetrics.cli.values import format_value
    from crmetrics.export import instant
    from crmetrics.periods import Period

    calendar = session.project.calendar
    currency = session.project.config.reporting.currency
    rows = []
    for row in found.to_pylist():
        period = Period(row["period_start"], row["period_end"], row["grain"])
        until = "" if row["valid_to"] is None else instant(row["valid_to"])
        texts = (
            row["job"],
            calendar.label(period),
            format_value(row["value"], row["unit"], currency),
            row["status"].replace("_", " "),
            str(row["version"]),
            until,
            row["run_id"],
            row["definition_hash"],
        )
        rows.append(tuple(Cell(text) for text in texts))
    headings = [Heading(name) for name in ("Job", "Period", "Value", "Status", "Version")]
    headings[2] = Heading("Value", "right")
    more = [Heading(name) for name in ("Replaced", "Run", "Definition")]
    return TextTable((*headings, *more), tuple(rows))
