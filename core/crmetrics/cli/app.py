"""The program: its commands, its global options, and what happens when one fails."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from crmetrics._version import __version__
from crmetrics.cli.failures import report
from crmetrics.cli.lazy import LazyGroup, Target
from crmetrics.cli.options import global_options, json_logs_option
from crmetrics.cli.session import Session
from crmetrics.errors import ExitCode

COMMANDS: Mapping[str, Target] = {
    name: Target(f"crmetrics.cli.commands.{module}", attribute, help)
    for name, module, attribute, help in (
        ("init", "init", "init", "Make a starter project."),
        ("demo", "demo", "demo", "Show it all on a sample CRM: KPIs, report, chat message."),
        ("check", "check", "check", "Check config, plugins, definitions, sources and sinks."),
        ("plan", "plan", "plan", "Show what a job would read, and which KPIs are out of reach."),
        ("sync", "sync", "sync", "Load data from the sources into the warehouse."),
        ("run", "run", "run", "Run jobs: load, compute, judge, deliver, record."),
        ("query", "query", "query", "Compute KPIs on what is loaded."),
        ("explain", "explain", "explain", "Show how a KPI is defined and computed."),
        ("rows", "rows", "rows", "Show the records behind a number."),
        ("correlate", "correlate", "correlate", "Show whether one KPI goes with another."),
        ("list", "listing", "listing", "List KPIs, datasets, connectors, sinks, plugins, ..."),
        ("history", "history", "history", "Show what runs reported for a KPI."),
        ("deliveries", "deliveries", "deliveries", "Show what was sent when and where."),
        ("schedule", "schedule", "schedule", "Start jobs when they are due, or let others do it."),
        ("schema", "schema", "schema", "Print the JSON Schema of crmetrics.yaml for editors."),
        ("plugins", "listing", "plugins", "List plugins and their errors."),
        ("completion", "completion", "completion", "Print the completion script of a shell."),
    )
}


class App(LazyGroup):
    """The root group: one place that turns errors into messages and exit codes."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        session = extra.setdefault("obj", Session())
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except Exception as error:
            # The border: whatever happened becomes a message and an exit code.
            if not standalone_mode:
                raise
            code = report(error, session.console)
        if not standalone_mode:
            return code
        sys.exit(code or 0)

    def invoke(self, ctx: click.Context) -> None:
        # What a command returns is no exit code; only `Exit` carries one.
        super().invoke(ctx)


app = App(
    "crmetrics",
    targets=COMMANDS,
    params=[
        *global_options(),
        json_logs_option(),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=lambda context, _, value: _show_version(context) if value else None,
            help="Show the version.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    help="""CRM data in, KPIs out: extract, check, compute, judge against goals, tell people.

    Start with `crmetrics demo`, or `crmetrics init` for a project of your own.

    Results go to standard output, progress and notes to standard error.
    """,
    epilog="""Exit codes: 0 ok, 1 internal error, 2 usage or configuration, 3 a source failed,
    4 delivered on partial data, 5 a sink failed, 6 goal missed or guardrail broken (with
    --fail-on goals), 7 quality gate, 8 already running, 130 interrupted, 143 terminated.""",
)
"""The click group of the whole program."""


def _show_version(context: click.Context) -> NoReturn:
    click.echo(f"crmetrics {__version__}")
    context.exit()


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the program and exit with its code.

    args: by default those of the process, which then belongs to the program alone.
    """
    # Starting makes many objects and hardly any garbage; looking for it so often is a tenth of a
    # small answer. Looking for pydantic's plugins reads the metadata of everything installed.
    gc.set_threshold(50_000, 20, 20)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    ended: list[int] = []
    if args is None:
        # Registered first, so that it runs last: what others registered is done before.
        atexit.register(_end_at_once, ended)
    try:
        app.main(args, prog_name="crmetrics")
    except SystemExit as exc:
        if isinstance(exc.code, int):
            ended.append(exc.code)
        if args is None and exc.code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            # The interpreter would first wait for threads, each until its request is answered.
            atexit._run_exitfuncs()
        raise
    raise SystemExit(0)


def _end_at_once(ended: Sequence[int]) -> None:
    """End the process without taking its modules apart: that is a sixth of a small answer, and the
    system takes everything back anyway.

    ended: the exit code; empty when the program did not come to its end.
    """
    if not ended:
        return
    try:
        logging = sys.modules.get("logging")
        if logging is not None:
            logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # the interpreter says what there is to say of it
    os._exit(ended[0])
