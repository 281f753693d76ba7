"""`crmetrics init`: a project that runs as it is."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from crmetrics.cli.options import command
from crmetrics.cli.session import Session, pass_session
from crmetrics.errors import UsageError


@command("init")
@click.argument(
    "directory", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path)
)
@click.option("--name", metavar="NAME", help="Name of the project.  [default: that of the folder]")
@click.option(
    "--timezone", metavar="ZONE", default="UTC", show_default=True,
    help="Reporting zone, such as Europe/Berlin: where days begin.",
)  # fmt: skip
@click.option(
    "--currency", metavar="CODE", default="USD", show_default=True,
    help="Reporting currency, such as EUR.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@pass_session
def init(
    session: Session,
    directory: Path | None,
    name: str | None,
    timezone: str,
    currency: str,
    force: bool,
) -> None:
    """Make a starter project in DIR (default: the project folder): a project file, example data
    and what to keep out of version control. It runs as it is. Nothing is overwritten."""
    from crmetrics.config import starter_files

    folder = directory or session.directory
    name = name or _ask_name(folder)
    files = starter_files(name, timezone=_known_zone(timezone), currency=_code(currency))
    there = [path for path in files if (folder / path).exists()]
    if there and not force:
        raise UsageError(
            f"{folder} already has {', '.join(there)}. Nothing was written; choose another folder, "
            "or overwrite these files with --force."
        )
    _write(folder, files)
    session.console.note(f"Made {name!r}: {', '.join(files)}")
    place = "" if folder.resolve() == Path.cwd() else f" -C {shlex.quote(str(folder))}"
    session.console.print(f"Next:\n  crmetrics{place} check\n  crmetrics{place} run")


def _ask_name(folder: Path) -> str:
    name = folder.resolve().name or "crm"
    if sys.stdin.isatty() and sys.stderr.isatty():
        return str(click.prompt("Name of the project", default=name, err=True))
    return name


def _known_zone(name: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise click.BadParameter(
            f"{name!r} is no time zone; expected a name such as Europe/Berlin or UTC.",
            param_hint="--timezone",
        ) from None
    return name


def _code(currency: str) -> str:
    code = currency.upper()
    if len(code) != 3 or not (code.isascii() and code.isalpha()):
        raise click.BadParameter(
            f"{currency!r} is no currency; expected three letters such as EUR.",
            param_hint="--currency",
        )
    return code


def _write(folder: Path, files: Mapping[str, str]) -> None:
    try:
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}.") from error
