"""Results in the form that was asked for, to standard output or to a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

import click

from crmetrics.cli.console import Console
from crmetrics.cli.text_table import TextTable, plain_text, show
from crmetrics.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["table", "csv", "json", "parquet"]
_BY_ENDING: dict[str, Format] = {".csv": "csv", ".json": "json", ".parquet": "parquet"}


def choose_format(form: Format | None, output: Path | None) -> Format:
    """The format asked for, else the one that the file's ending names, else a table.

    Raises click.UsageError for parquet without a file; call it before the work starts.
    """
    chosen = form or (_BY_ENDING.get(output.suffix.lower(), "table") if output else "table")
    if chosen == "parquet" and output is None:
        raise click.UsageError("parquet is binary: name a file with -o FILE.")
    return chosen


def write_table(
    table: Callable[[], pa.Table],
    form: Format,
    output: Path | None,
    console: Console,
    *,
    as_text: Callable[[], TextTable],
) -> None:
    """Write rows in one form; only the one that is needed is made: `table` for programs, `as_text`
    for people."""
    if form == "table":
        _write_text_table(as_text(), output, console)
    else:
        _write_arrow(table(), form, output, console)
    if output is not None:
        console.note(f"Wrote {output}.")


def _write_arrow(table: pa.Table, form: Format, output: Path | None, console: Console) -> None:
    from crmetrics import export

    write = export.write_csv if form == "csv" else export.write_json
    if output is None:
        with console.data_stream() as stream:
            write(table, stream)
    elif form == "parquet":
        _write_whole(output, lambda place: export.write_parquet(table, place))
    else:
        _write_whole(output, lambda place: _write_utf8(place, lambda file: write(table, file)))


def write_text(text: str, output: Path | None, console: Console) -> None:
    """A document for programs, to standard output or whole into a file."""
    content = text if text.endswith("\n") else text + "\n"
    if output is None:
        console.print_data(content)
    else:
        _write_whole(output, lambda place: _write_utf8(place, lambda file: file.write(content)))


def _write_text_table(table: TextTable, output: Path | None, console: Console) -> None:
    if output is None:
        show(table, console)
    else:
        write_text(plain_text(table), output, console)


def _write_utf8(place: Path, write: Callable[[TextIO], object]) -> None:
    # newline="": CSV brings its own line ends.
    with place.open("w", encoding="utf-8", newline="") as file:
        write(file)


def _write_whole(output: Path, write: Callable[[Path], None]) -> None:
    """Write beside the target and move it there: readers see the old file or the whole new one.

    Raises UsageError when the folder is missing or cannot be written.
    """
    # A link stays a link: what it points to is replaced. A device or a pipe is written to.
    output = Path(os.path.realpath(output))
    if output.exists() and not output.is_file():
        _write_through(output, write)
        return
    try:
        handle, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}.") from error
    os.close(handle)
    place = Path(name)
    try:
        write(place)
        place.chmod(_usual_mode())
        place.replace(output)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}.") from error
    finally:
        place.unlink(missing_ok=True)


def _write_through(output: Path, write: Callable[[Path], None]) -> None:
    """Write to something that is no regular file and so cannot be replaced."""
    try:
        write(output)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}.") from error


def _usual_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
