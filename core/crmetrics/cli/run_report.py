"""What `crmetrics run` shows of a job: for people, and as one JSON summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from crmetrics.cli.console import Console, redact_leaves
from crmetrics.cli.result_table import result_table, view_of
from crmetrics.cli.session import Session
from crmetrics.cli.text_table import show
from crmetrics.errors import CrmetricsError

if TYPE_CHECKING:
    from crmetrics.deliver import Outcome
    from crmetrics.engine.running import RunReport

_COLORS = {"delivered": "green", "failed": "red", "unknown": "red", "blocked": "red"}


class JobRun(Struct, frozen=True):
    """One job: what it reported, or why it could not run."""

    job: str
    report: RunReport | None = None
    error: CrmetricsError | None = None
    failed_run_id: str = ""

    @property
    def run_id(self) -> str:
        """Empty for a job that failed before its run began."""
        return self.report.run_id if self.report else self.failed_run_id

    @property
    def exit_code(self) -> int:
        if self.error is not None:
            return self.error.exit_code
        return self.report.exit_code if self.report else 0

    @property
    def has_missed_goal(self) -> bool:
        """True when a goal is off track or a guardrail is broken."""
        return self.report is not None and any(v.is_missed for v in self.report.verdicts)


def print_run(run: JobRun, session: Session) -> None:
    """The KPI table, a line per delivery (or its whole preview), the notes."""
    if run.report is None:
        return
    console = session.console
    for note in run.report.notes:
        console.warn(f"Note: {note}")
    table = result_table(run.report.results, view_of(session.project), title=run.job)
    show(table, console)
    print_deliveries(run.report.outcomes, console, period=run.report.message.period_label)


def note_end(run: JobRun, console: Console) -> None:
    """One line of standard error: which run of which period ended how."""
    report = run.report
    if report is None:
        at = f", run {run.run_id}" if run.run_id else ""
        told = f"{run.job}: failed, exit code {run.exit_code}{at}"
        console.note(told, job=run.job, exit_code=int(run.exit_code))
        return
    sent = sum(outcome.status == "delivered" for outcome in report.outcomes)
    console.note(
        f"{run.job} {report.message.period_label}: {report.results.num_rows} rows, {sent} of "
        f"{len(report.outcomes)} delivered, exit code {report.exit_code}, run {report.run_id}",
        job=run.job,
        run_id=report.run_id,
        period_start=report.period.start.isoformat(),
        period_end=report.period.end.isoformat(),
        rows=report.results.num_rows,
        delivered=sent,
        exit_code=int(report.exit_code),
    )


def print_deliveries(outcomes: Sequence[Outcome], console: Console, *, period: str = "") -> None:
    """One line per sink; of a dry run, what it would have sent. period: the label of the reported
    period; what is about another one says so."""
    for outcome in outcomes:
        state = click.style(f"{outcome.status:9}", fg=_COLORS.get(outcome.status))
        told = outcome.error or outcome.note
        about = f"  ({outcome.period})" if outcome.period not in ("", period) else ""
        line = f"{state}  {outcome.sink}  {outcome.destination}{about}"
        console.print(f"{line.rstrip()}: {told}" if told else line.rstrip())
        if outcome.preview:
            console.print(f"--- what {outcome.sink} would send\n{outcome.preview.rstrip()}\n---")


def summary(runs: Sequence[JobRun], code: int, *, dry_run: bool) -> dict[str, Any]:
    """The run as one JSON-like document; texts are masked, numbers are as computed."""
    return {"exit_code": code, "dry_run": dry_run, "jobs": [_job_summary(run) for run in runs]}


def _job_summary(run: JobRun) -> dict[str, Any]:
    from crmetrics import export

    shown: dict[str, Any] = {"job": run.job, "exit_code": run.exit_code}
    if run.error is not None:
        shown["error"] = redact_leaves(str(run.error))
    if run.report is not None:
        period = run.report.period
        shown["run_id"] = run.report.run_id
        shown["period_start"] = period.start.isoformat()
        shown["period_end"] = period.end.isoformat()
        shown["grain"] = period.grain
        shown["notes"] = redact_leaves(list(run.report.notes))
        if run.report.blocked:
            shown["blocked"] = run.report.blocked
        shown["identities"] = {
            "checked": list(run.report.identities),
            "broken": redact_leaves([breach.text for breach in run.report.breaches]),
        }
        shown["deliveries"] = [_delivery(outcome) for outcome in run.report.outcomes]
        shown["results"] = list(export.rows(run.report.results))
    return shown


def _delivery(outcome: Outcome) -> dict[str, Any]:
    facts = {
        "sink": outcome.sink,
        "period": outcome.period,
        "status": outcome.status,
        "destination": outcome.destination,
        "key": outcome.key,
        "rows": outcome.receipt.rows if outcome.receipt else None,
        "reference": outcome.receipt.reference if outcome.receipt else None,
        "note": outcome.note,
        "error": str(outcome.error) if outcome.error else None,
        "preview": outcome.preview,
    }
    shown: dict[str, Any] = redact_leaves(
        {name: fact for name, fact in facts.items() if fact not in (None, "")}
    )
    return shown
