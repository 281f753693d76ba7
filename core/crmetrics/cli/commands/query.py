"""`crmetrics query`: KPIs on what is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from crmetrics.cli.options import (
    COMPARISONS,
    GRAINS,
    by_option,
    command,
    format_option,
    groupings,
    output_option,
    period_options,
    where_option,
)
from crmetrics.cli.output import Format, choose_format, write_table
from crmetrics.cli.session import Session, pass_session
from crmetrics.cli.text_table import TextTable

if TYPE_CHECKING:
    import pyarrow as pa


@command("query")
@click.argument("kpis", metavar="KPI[.VARIANT]...", nargs=-1, required=True)
@period_options
@click.option(
    "--grain",
    type=click.Choice(GRAINS),
    help="Cut the time into these.  [default: the period as one; months with --from]",
)
@by_option
@click.option("--totals", is_flag=True, help="With --by: also the total, under an empty segment.")
@where_option
@click.option(
    "--compare",
    type=click.Choice(COMPARISONS),
    multiple=True,
    help="Add the change on the period before or on the same period a year ago; repeatable.",
)
@click.option(
    "--as-of",
    metavar="T",
    help="See the data as of this instant or day; without a zone in the reporting zone.",
)
@format_option
@output_option
@pass_session
def query(
    session: Session,
    kpis: tuple[str, ...],
    period: str | None,
    start: str | None,
    end: str | None,
    grain: str | None,
    by: tuple[str, ...],
    totals: bool,
    where: str | None,
    compare: tuple[str, ...],
    as_of: str | None,
    form: Format | None,
    output: Path | None,
) -> None:
    """Compute KPIs on what is loaded; a project of CSV files loads what is missing first.

    Without a period it is the last complete one. --format json gives an array of result rows:
    segment is an object, dates are ISO, percent values are fractions, null means no value and
    status says why.

    \b
    crmetrics query win_rate --period 2026-Q1 --grain month --by owner.team
    crmetrics query won_amount average_deal_size.median --from 2026-01-01 --to 2026-04-01
    """
    form = choose_format(form, output)
    results = session.project.query(
        kpis,
        period=period,
        start=start,
        end=end,
        grain=grain,
        by=groupings(by),
        totals=totals,
        where=where,
        compare=compare,
        as_of=as_of,
    )
    write_table(
        lambda: results,
        form,
        output,
        session.console,
        as_text=lambda: _as_text(results, session),
    )


def _as_text(results: pa.Table, session: Session) -> TextTable:
    from crmetrics.cli.result_table import result_table, view_of

    return result_table(results, view_of(session.project))
