"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from crmetrics.cli.session import Session

Function = TypeVar("Function", bound=Callable[..., Any])
GRAINS = ("day", "week", "month", "quarter", "year")
COMPARISONS = ("previous", "year_ago")
FORMATS = ("table", "csv", "json", "parquet")

GLOBAL_EPILOG = "The options of `crmetrics --help` (-C, -q, -v, ...) may also stand here."


def _session(context: click.Context) -> Session:
    return context.find_root().ensure_object(Session)


def _set_directory(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        _session(context).directory = value


def _set_console(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def apply(context: click.Context, _: click.Parameter, value: Any) -> None:
        # Absent here must not undo what the same option said before the command.
        if value:
            setattr(_session(context).console, name, value)

    return apply


def global_options(*, hidden: bool = False) -> list[click.Option]:
    """The options of the whole program; hidden behind a command, where they work as well.

    They are eager, so that `-C DIR --help` lists the commands of the plugins of that project.
    """
    shared: dict[str, Any] = {"expose_value": False, "is_eager": True, "hidden": hidden}
    return [
        click.Option(
            ["-C", "--project", "project_directory"],
            metavar="DIR",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            callback=_set_directory,
            help="Project folder, the one with crmetrics.yaml.  [default: the current folder]",
            **shared,
        ),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            callback=_set_console("quiet"),
            help="No progress and no notes; warnings and errors stay.",
            **shared,
        ),
        click.Option(
            ["-v", "--verbose"],
            count=True,
            callback=_set_console("verbosity"),
            help="Log what is done, show tracebacks; -vv logs every detail.",
            **shared,
        ),
        click.Option(
            ["--log-format"],
            type=click.Choice(["text", "json"]),
            callback=_set_console("log_format"),
            help="Standard error as text or as one JSON object per line.  [default: text]",
            **shared,
        ),
        click.Option(
            ["--no-color"],
            is_flag=True,
            callback=_set_console("no_color"),
            help="No colour; the variable NO_COLOR does the same.",
            **shared,
        ),
    ]


def json_logs_option() -> click.Option:
    """Before a command `--json` is about the logs; behind one, about its result."""
    return click.Option(
        ["--json", "json_logs"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_set_json_logs,
        help="The same as --log-format json.",
    )


def _set_json_logs(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        _session(context).console.log_format = "json"


class ProjectCommand(click.Command):
    """A command that takes the global options behind its name as well."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *global_options(hidden=True)]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(GLOBAL_EPILOG)


class ProjectGroup(click.Group):
    """A command with subcommands that takes the global options behind its name as well."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *global_options(hidden=True)]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(GLOBAL_EPILOG)


def group(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Group]:
    """Like `click.group`, with the global options; it also does something by itself."""
    return click.group(name, cls=ProjectGroup, invoke_without_command=True, **settings)


def command(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Like `click.command`, with the global options."""
    return click.command(name, cls=ProjectCommand, **settings)


def together(*options: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Several option decorators as one, in the order given."""

    def apply(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


period_options = together(
    click.option(
        "--period",
        metavar="P",
        help="2026, 2026-Q1, 2026-01, 2026-W05, 2026-01-15, last_month, this_week, yesterday, ...",
    ),
    click.option("--from", "start", metavar="DATE", help="First day, inclusive (2026-01-01)."),
    click.option(
        "--to",
        "end",
        metavar="DATE",
        help="End, exclusive (2026-04-01).  [default: today and all of it]",
    ),
)
"""Which time: a named period, or two days."""

by_option = click.option(
    "--by",
    multiple=True,
    metavar="DIM,...",
    help="Dimensions. `--by a,b` groups by both; `--by a --by b` gives two groupings.",
)
where_option = click.option(
    "--where",
    metavar="EXPR",
    help="SQL condition over the records and their dimensions: \"owner.team = 'EMEA'\".",
)
format_option = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="How to write the rows; parquet needs -o.  [default: by the ending of FILE, else table]",
)
output_option = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to FILE, whole or not at all, instead of standard output.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output."
)


def groupings(by: Sequence[str]) -> list[tuple[str, ...]]:
    """The groupings that repeated `--by` options ask for: `("a,b", "c")` -> `[(a, b), (c,)]`."""
    found = [tuple(dict.fromkeys(name.strip() for name in text.split(","))) for text in by]
    if any("" in grouping for grouping in found):
        raise click.BadParameter("expects names with a comma between: --by owner.team,lead_source")
    return list(dict.fromkeys(found))


def dimensions(by: Sequence[str]) -> list[str]:
    """All dimensions that repeated `--by` options name, each once."""
    return list(dict.fromkeys(name for grouping in groupings(by) for name in grouping))
