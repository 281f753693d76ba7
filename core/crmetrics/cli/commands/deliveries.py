"""`crmetrics deliveries`: what was sent when and where, and what became of it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crmetrics.cli.options import command, format_option, output_option
from crmetrics.cli.output import Format, choose_format, write_table
from crmetrics.cli.recorded import recorded
from crmetrics.cli.session import Session, pass_session
from crmetrics.cli.text_table import Cell, Heading, TextTable
from crmetrics.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS = ("attempted_at", "job", "period_start", "period_end", "grain", "sink", "destination",
            "status", "reference", "rows", "run_id", "error")  # fmt: skip


@command("deliveries")
@click.option("--job", metavar="JOB", default="", help="Only those of this job.")
@click.option("--sink", metavar="SINK", default="", help="Only those of this sink.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), default=50, show_default=True,
    help="At most so many.",
)  # fmt: skip
@format_option
@output_option
@pass_session
def deliveries(
    session: Session, job: str, sink: str, limit: int, form: Format | None, output: Path | None
) -> None:
    """Show every attempt of a sink, the newest first: when, which report, where to, what became of
    it and what finds it again. `started` is an attempt that was cut short: how far it came is not
    known."""
    from crmetrics.deliver import deliveries as sent

    config = session.project.config
    _require_known(session, "job", job, config.jobs)
    _require_known(session, "sink", sink, config.sinks)
    form = choose_format(form, output)
    found = recorded(
        session,
        lambda warehouse: sent(warehouse, job=job, sink=sink, limit=limit),
        _COLUMNS,
    )
    if not found.num_rows:
        of = f" by job {job}" if job else ""
        to = f" to sink {sink}" if sink else ""
        session.console.note(f"Nothing was sent yet{of}{to}; `crmetrics run` does.")
    write_table(
        lambda: found, form, output, session.console, as_text=lambda: _as_text(found, session)
    )


def _require_known(session: Session, kind: str, name: str, known: Collection[str]) -> None:
    """Raise UsageError for a job or sink that neither the project nor the ledger has; what was
    removed or renamed since it sent something stays to be seen."""
    from crmetrics.deliver import deliveries as sent

    if not name or name in known:
        return
    former = recorded(session, lambda warehouse: sent(warehouse, **{kind: name}, limit=1), _COLUMNS)
    if not former.num_rows:
        file = session.project.config.file.name
        hint = did_you_mean(name, known) or f"{kind.title()}s: {', '.join(known) or 'none'}."
        told = f"there is no {kind} {name!r} in {file}, and none of that name sent anything."
        raise UsageError(f"{told} {hint}")


def _as_text(found: pa.Table, session: Session) -> TextTable:
    from crmetrics.export import instant
    from crmetrics.periods import Period

    calendar = session.project.calendar
    rows = []
    for row in found.to_pylist():
        start, end, grain = row["period_start"], row["period_end"], row["grain"]
        # An older version did not keep the period.
        label = calendar.label(Period(start, end, grain)) if start and end and grain else ""
        told = row["error"] or row["reference"] or ""
        texts = (
            instant(row["attempted_at"]),
            row["job"],
            label,
            row["sink"],
            row["destination"],
            row["status"],
            told,
            row["run_id"],
        )
        rows.append(tuple(Cell(text) for text in texts))
    names = ("At", "Job", "Period", "Sink", "Destination", "State", "Reference or error", "Run")
    return TextTable(tuple(Heading(name) for name in names), tuple(rows))
