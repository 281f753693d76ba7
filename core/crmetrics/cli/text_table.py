"""Tables for people: aligned plain text, or rich when a person reads them on a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from crmetrics.cli.console import Console

Style = Literal["", "good", "bad", "warning", "dim"]

_RICH_STYLES: dict[str, str] = {
    "": "",
    "good": "green",
    "bad": "red",
    "warning": "yellow",
    "dim": "dim",
}


class Heading(Struct, frozen=True):
    """The head of a column."""

    text: str
    align: Literal["left", "right"] = "left"


class Cell(Struct, frozen=True):
    """One text and how it reads at a glance; the text alone must say as much."""

    text: str
    style: Style = ""


class TextTable(Struct, frozen=True):
    """Headings and rows of the same length; title stands above."""

    headings: tuple[Heading, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""


def make_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = ""
) -> TextTable:
    """A table of plain texts, aligned left."""
    return TextTable(
        tuple(Heading(text) for text in headings),
        tuple(tuple(Cell(text) for text in row) for row in rows),
        title,
    )


def show(table: TextTable, console: Console) -> None:
    """Print a table: with rich on a terminal, else as plain text that scripts can rely on."""
    if console.is_terminal:
        console.print(_rich_text(table, console))
    else:
        console.print(plain_text(table))


def plain_text(table: TextTable) -> str:
    """Columns two spaces apart, whatever the width of the terminal; one line per row."""
    lines = [tuple(_clean(heading.text) for heading in table.headings)]
    lines += [tuple(_clean(cell.text) for cell in row) for row in table.rows]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    ruler = tuple("-" * width for width in widths)
    aligns = [heading.align for heading in table.headings]
    body = [
        "  ".join(map(_pad, line, widths, aligns)).rstrip()
        for line in (lines[0], ruler, *lines[1:])
    ]
    return "\n".join([*([_clean(table.title)] if table.title else []), *body])


def _rich_text(table: TextTable, console: Console) -> str:
    """The table as text with colour codes, as wide as the terminal."""
    from io import StringIO

    from rich import box
    from rich.console import Console as RichConsole
    from rich.table import Table
    from rich.text import Text

    shown = Table(
        box=box.SIMPLE_HEAD,
        title=_clean(table.title) or None,
        title_justify="left",
        title_style="bold",
    )
    for heading in table.headings:
        shown.add_column(Text(_clean(heading.text)), justify=heading.align, overflow="fold")
    for row in table.rows:
        # Text, not markup: a team may be called "[red]".
        shown.add_row(*(Text(_clean(cell.text), style=_RICH_STYLES[cell.style]) for cell in row))
    screen = RichConsole(
        file=StringIO(),
        force_terminal=True,
        no_color=console.has_no_color,
        width=_terminal_width(),
    )
    with screen.capture() as capture:
        screen.print(shown)
    return capture.get().rstrip("\n")


def _terminal_width() -> int:
    import shutil

    return max(shutil.get_terminal_size().columns, 40)


def _clean(text: str) -> str:
    """Data may hold line breaks or terminal codes; a cell is one line of printable text."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else " " if letter.isspace() else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(_letter_width(letter) for letter in text)


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _pad(text: str, width: int, align: str) -> str:
    gap = " " * (width - _width(text))
    return gap + text if align == "right" else text + gap
