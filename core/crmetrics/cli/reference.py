"""The page docs/cli.md, written from the commands themselves.

python -m crmetrics.cli.reference > docs/cli.md
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from crmetrics.cli.app import COMMANDS, App, app

_WIDTH = 80
_INTRODUCTION = """\
# Command line

Written from the commands by `python -m crmetrics.cli.reference`; `crmetrics COMMAND --help` says
the same. Plugins can add commands: `crmetrics --help` lists those of the plugins you have.
"""


class _OwnCommands(App):
    """The program without the plugins of the machine that writes the page."""

    def plugin_helps(self, ctx: click.Context) -> dict[str, str]:
        return {}


def reference() -> str:
    """The help of the program and of each of its commands as one Markdown page."""
    return "\n".join([_INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    program = _OwnCommands(
        "crmetrics",
        targets=COMMANDS,
        params=app.params,
        help=app.help,
        epilog=app.epilog,
        context_settings=app.context_settings,
    )
    root = click.Context(
        program, info_name="crmetrics", terminal_width=_WIDTH, **program.context_settings
    )
    yield _section("crmetrics", program.get_help(root))
    for name, target in COMMANDS.items():
        command = target.load()
        context = click.Context(command, parent=root, info_name=name)
        yield _section(f"crmetrics {name}", command.get_help(context))
        if isinstance(command, click.Group):
            for word, inner in command.commands.items():
                below = click.Context(inner, parent=context, info_name=word)
                yield _section(f"crmetrics {name} {word}", inner.get_help(below))


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text.rstrip()}\n```\n"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
