"""`crmetrics correlate`: whether one KPI goes with another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from crmetrics.cli.options import GRAINS, command, format_option, output_option, where_option
from crmetrics.cli.output import Format, choose_format, write_table
from crmetrics.cli.session import Session, pass_session
from crmetrics.cli.text_table import Cell, Heading, TextTable

if TYPE_CHECKING:
    import pyarrow as pa


@command("correlate")
@click.argument("first", metavar="KPI[.VARIANT]")
@click.argument("second", metavar="KPI[.VARIANT]")
@click.option(
    "--grain", type=click.Choice(GRAINS), default="month", show_default=True,
    help="Periods of this length are compared.",
)  # fmt: skip
@click.option(
    "--periods", metavar="N", type=click.IntRange(min=1), default=24, show_default=True,
    help="How many complete periods to look at; twelve or more.",
)  # fmt: skip
@where_option
@format_option
@output_option
@pass_session
def correlate(
    session: Session,
    first: str,
    second: str,
    grain: str,
    periods: int,
    where: str | None,
    form: Format | None,
    output: Path | None,
) -> None:
    """Show whether the second KPI goes with the first one, in the same period and up to three
    periods later: Spearman's rank correlation over the last complete periods.

    An association is no cause: both may follow from a third thing, or from time alone.

    \b
    crmetrics correlate lead_response_time lead_to_customer_rate --grain week --periods 52
    """
    form = choose_format(form, output)
    found = session.project.correlate(
        first, second, grain=grain, periods=periods, where=where or ""
    )
    write_table(
        lambda: found, form, output, session.console,
        as_text=lambda: _as_text(found, first, second, grain),
    )  # fmt: skip


def _as_text(found: pa.Table, first: str, second: str, grain: str) -> TextTable:
    rows = []
    for row in found.to_pylist():
        texts = (
            _when(row["lag"], grain),
            str(row["pairs"]),
            "" if row["rho"] is None else f"{row['rho']:+.2f}",
            _words(row["rho"], row["chance"]),
        )
        rows.append(tuple(Cell(text) for text in texts))
    headings = (
        Heading(second),
        Heading("Pairs", "right"),
        Heading("rho", "right"),
        Heading(f"With {first}"),
    )
    return TextTable(headings, tuple(rows))


def _when(lag: int, grain: str) -> str:
    return f"{lag} {grain}{'s' if lag > 1 else ''} later" if lag else f"same {grain}"


def _words(rho: float | None, chance: float | None) -> str:
    if rho is None or chance is None:
        return "cannot be told: fewer than 12 pairs, or no change"
    if abs(rho) <= chance:
        return f"no more than chance gives (up to {chance:.2f})"
    return "rise and fall together" if rho > 0 else "one rises where the other falls"
