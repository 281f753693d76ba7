"""`crmetrics list` and `crmetrics plugins`: what there is to use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crmetrics.cli.inventory import INVENTORIES, Entry, Inventory
from crmetrics.cli.options import command, format_option, output_option
from crmetrics.cli.output import Format, choose_format, write_table
from crmetrics.cli.session import Session, pass_session
from crmetrics.cli.text_table import TextTable, make_table

if TYPE_CHECKING:
    import pyarrow as pa

search_option = click.option(
    "--search", metavar="S", default="", help="Only entries that hold every word of S."
)


@command("list")
@click.argument("what", metavar="WHAT", type=click.Choice(list(INVENTORIES)))
@search_option
@format_option
@output_option
@pass_session
def listing(
    session: Session, what: str, search: str, form: Format | None, output: Path | None
) -> None:
    """List WHAT: kpis, datasets, connectors, sinks, plugins, jobs or dimensions.

    KPIs and dimensions are those of the project's packs, or of every pack when there is no
    project. --search looks at every text of an entry, the question that a KPI answers included.
    """
    _list(session, what, search, form, output)


@command("plugins")
@search_option
@format_option
@output_option
@pass_session
def plugins(session: Session, search: str, form: Format | None, output: Path | None) -> None:
    """List the plugins that were found, and why those in quarantine do not work."""
    _list(session, "plugins", search, form, output)


def _list(
    session: Session, what: str, search: str, form: Format | None, output: Path | None
) -> None:
    form = choose_format(form, output)
    inventory = INVENTORIES[what]
    entries = [entry for entry in inventory.entries(session) if _matches(entry, search)]
    if not entries:
        session.console.note(f"No {what}" + (f" match {search!r}." if search else "."))
    if what in ("connectors", "sinks"):
        _tell_of_quarantine(session)
    write_table(
        lambda: _as_arrow(entries, inventory),
        form,
        output,
        session.console,
        as_text=lambda: _as_text(entries, inventory),
    )


def _tell_of_quarantine(session: Session) -> None:
    names = [plugin.name for plugin in session.registry.quarantined]
    if names:
        session.console.warn(
            f"In quarantine: {', '.join(names)}. `crmetrics plugins` shows the errors."
        )


def _matches(entry: Entry, search: str) -> bool:
    text = " ".join(_text(value) for value in entry.values()).casefold()
    return all(word in text for word in search.casefold().split())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _as_text(entries: list[Entry], inventory: Inventory) -> TextTable:
    headings = [name.replace("_", " ") for name in inventory.shown]
    return make_table(
        headings, [[_text(entry[name]) for name in inventory.shown] for entry in entries]
    )


def _as_arrow(entries: list[Entry], inventory: Inventory) -> pa.Table:
    import pyarrow as pa

    texts = [(name, pa.string()) for name in inventory.texts]
    lists = [(name, pa.list_(pa.string())) for name in inventory.lists]
    return pa.Table.from_pylist(entries, schema=pa.schema([*texts, *lists]))
