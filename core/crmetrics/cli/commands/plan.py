"""`crmetrics plan`: what a job would read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from crmetrics.cli.console import Console
from crmetrics.cli.options import command, json_option
from crmetrics.cli.session import Session, pass_session
from crmetrics.cli.text_table import make_table, show

if TYPE_CHECKING:
    from crmetrics.engine.planning import JobPlan


@command("plan")
@click.argument("job", metavar="[JOB]", required=False)
@json_option
@pass_session
def plan(session: Session, job: str | None, as_json: bool) -> None:
    """Show which datasets and columns JOB (or every enabled KPI) needs from which source, and
    which KPIs are out of reach and why. Reads no data."""
    found = session.project.plan(job)
    if as_json:
        document = json.dumps(_document(found), indent=2, ensure_ascii=False)
        session.console.print_data(document + "\n")
    else:
        _print(found, session.console)


def _print(found: JobPlan, console: Console) -> None:
    # Only services count calls; a column of blanks would tell nothing.
    counted = ["calls"] if found.estimates else []
    rows = [
        (
            read.source,
            found.connectors[read.source],
            read.dataset,
            *(_calls(found, read.source, read.dataset) for _ in counted),
            ", ".join(read.columns),
        )
        for read in found.plan.reads
    ]
    show(make_table(["source", "connector", "dataset", *counted, "columns"], rows), console)
    if found.estimates:
        console.print(f"\nAbout {found.calls:,} calls in all.")
    missing = found.out_of_reach
    console.print(f"\n{len(found.kpis)} KPIs asked for, {len(missing)} out of reach.")
    if missing:
        console.print()
        lines = [(gap.kpi, gap.status.replace("_", " "), gap.what) for gap in missing]
        show(make_table(["out of reach", "why", "what"], lines), console)
    for cut in found.cut:
        console.warn(f"{cut}.")


def _calls(found: JobPlan, source: str, dataset: str) -> str:
    estimate = found.estimates.get((source, dataset))
    return "" if estimate is None else f"{estimate.calls:,} ({estimate.basis})"


def _document(found: JobPlan) -> dict[str, Any]:
    return {
        "kpis": list(found.kpis),
        "reads": [
            {
                "source": read.source,
                "connector": found.connectors[read.source],
                "dataset": read.dataset,
                "columns": list(read.columns),
                "estimated_calls": (
                    found.estimates[read.source, read.dataset].calls
                    if (read.source, read.dataset) in found.estimates
                    else None
                ),
            }
            for read in found.plan.reads
        ],
        "missing_datasets": list(found.plan.missing_datasets),
        "missing_columns": {name: list(c) for name, c in found.plan.missing_columns.items()},
        "out_of_reach": [
            {"kpi": gap.kpi, "status": gap.status, "what": gap.what} for gap in found.out_of_reach
        ],
        "cut_windows": [
            {
                "kpi": cut.kpi,
                "days": cut.days,
                "source": cut.source,
                "dataset": cut.dataset,
                "followed_days": cut.followed,
            }
            for cut in found.cut
        ],
    }
