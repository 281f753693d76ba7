"""A click group that imports a command's module only when the command is used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from crmetrics.cli.session import Session
from crmetrics.errors import did_you_mean

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


_LOADED = "crmetrics.cli.plugin_commands"


class Target(Struct, frozen=True):
    """Where a command is defined, and the line that lists it without importing it."""

    module: str
    attribute: str
    help: str

    def load(self) -> click.Command:
        command: click.Command = getattr(import_module(self.module), self.attribute)
        return command


class LazyGroup(click.Group):
    """Lists its own commands from a table and those of plugins from metadata and a cache."""

    def __init__(self, *args: Any, targets: Mapping[str, Target], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.targets = targets

    # --- names -------------------------------------------------------------------------------

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Our own commands in the order of the work, then those of plugins by name."""
        return [*self.targets, *self.commands, *self.plugin_helps(ctx)]

    def plugin_helps(self, ctx: click.Context) -> dict[str, str]:
        """Name and short help of each command that plugins add."""
        from crmetrics.cli.plugin_commands import list_plugin_commands

        session = ctx.ensure_object(Session)
        return list_plugin_commands(
            session.directory, session.console, reserved=tuple(self.targets)
        )

    # --- commands ----------------------------------------------------------------------------

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = self.targets.get(cmd_name)
        if target is not None:
            return target.load()
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        if ctx.resilient_parsing and cmd_name not in self.plugin_helps(ctx):
            # Completion of a half-typed word must not load every plugin.
            return None
        return self._load_plugin_commands(ctx).get(cmd_name)

    def _load_plugin_commands(self, ctx: click.Context) -> dict[str, click.Command]:
        from crmetrics.cli.plugin_commands import load_plugin_commands

        if _LOADED not in ctx.meta:
            session = ctx.ensure_object(Session)
            ctx.meta[_LOADED] = load_plugin_commands(
                session.directory, session.console, reserved=tuple(self.targets)
            )
        loaded: dict[str, click.Command] = ctx.meta[_LOADED]
        return loaded

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if ctx.resilient_parsing or name.startswith("-") or self.get_command(ctx, name):
            return super().resolve_command(ctx, args)
        known = [*self.targets, *self._load_plugin_commands(ctx)]
        hint = did_you_mean(name, known)
        raise click.UsageError(f"There is no command {name!r}. {hint}".rstrip(), ctx)

    # --- listing without loading -------------------------------------------------------------

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = [(name, target.help) for name, target in self.targets.items()]
        for title, rows in (
            ("Commands", own),
            ("Commands of plugins", list(self.plugin_helps(ctx).items())),
        ):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        helps = {name: target.help for name, target in self.targets.items()}
        helps |= self.plugin_helps(ctx)
        found = [
            CompletionItem(name, help=text)
            for name, text in helps.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]
