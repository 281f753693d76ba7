"""`crmetrics rows`: the records behind a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crmetrics.cli.options import (
    by_option,
    command,
    dimensions,
    format_option,
    output_option,
    where_option,
)
from crmetrics.cli.output import Format, choose_format, write_table
from crmetrics.cli.session import Session, pass_session
from crmetrics.cli.text_table import TextTable, make_table

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN_ON_SCREEN = 50


@command("rows")
@click.argument("kpi", metavar="KPI[.VARIANT]")
@click.option(
    "--period",
    metavar="P",
    help="2026, 2026-Q1, 2026-01, 2026-W05, last_month, ...  [default: the last complete month]",
)
@by_option
@where_option
@click.option(
    "--as-of",
    metavar="T",
    help="See the data as of this instant or day; without a zone in the reporting zone.",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=0),
    help=f"At most so many rows; 0 = all.  [default: {_SHOWN_ON_SCREEN} on the screen, else all]",
)
@format_option
@output_option
@pass_session
def rows(
    session: Session,
    kpi: str,
    period: str | None,
    by: tuple[str, ...],
    where: str | None,
    as_of: str | None,
    limit: int | None,
    form: Format | None,
    output: Path | None,
) -> None:
    """Show the records that KPI reads in a period, with their source and id, the columns that
    count, and the side of the ratio they are on. --by adds dimensions."""
    form = choose_format(form, output)
    found = session.project.rows(kpi, period=period, by=dimensions(by), where=where, as_of=as_of)
    if limit is None:
        limit = _SHOWN_ON_SCREEN if form == "table" and output is None else 0
    shown = found.slice(0, limit) if limit else found
    write_table(lambda: shown, form, output, session.console, as_text=lambda: _as_text(shown))
    if shown.num_rows < found.num_rows:
        session.console.note(f"{shown.num_rows:,} of {found.num_rows:,} rows; --limit 0 shows all.")


def _as_text(found: pa.Table) -> TextTable:
    """Maps (segment, columns) become columns of their own; those no row fills are left out."""
    from crmetrics import export

    flat = [_flat(row) for row in export.rows(found)]
    names = dict.fromkeys(name for row in flat for name, value in row.items() if value != "")
    return make_table(list(names), [[row.get(name, "") for name in names] for row in flat])


def _flat(row: Mapping[str, Any]) -> dict[str, str]:
    pairs: Iterable[tuple[str, Any]] = (
        pair
        for name, value in row.items()
        for pair in (value.items() if isinstance(value, dict) else [(name, value)])
    )
    return {name: _cell(value) for name, value in pairs}


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
