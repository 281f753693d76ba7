"""Help texts: every command and option has one, and people have read them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import click
import pytest
from click.testing import Result

from crmetrics.cli.app import COMMANDS, app


def command(name: str) -> click.Command:
    found: click.Command = getattr(import_module(COMMANDS[name].module), COMMANDS[name].attribute)
    return found


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_is_as_it_was_read(
    name: str, call: Callable[..., Result], golden: Callable[[str, str], None]
) -> None:
    result = call(*([name] if name else []), "--help")
    assert result.exit_code == 0
    golden(f"cli/{name or 'crmetrics'}.txt", result.stdout)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    found = command(name)
    assert found.help
    for parameter in found.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]}"


def test_every_global_option_has_help() -> None:
    assert all(option.help for option in app.params if isinstance(option, click.Option))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_goes_by_the_name_it_is_listed_under(name: str) -> None:
    assert command(name).name == name


@pytest.mark.parametrize("name", COMMANDS)
def test_arguments_are_explained_in_the_text(name: str) -> None:
    found = command(name)
    for parameter in found.params:
        if isinstance(parameter, click.Argument):
            word = parameter.make_metavar(click.Context(found)).strip("[]. ").split("[")[0]
            assert word.split("]")[0] in (found.help or ""), word


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_list_is_one_sentence(name: str) -> None:
    assert COMMANDS[name].help.endswith(".")
    assert len(COMMANDS[name].help) <= 66


@pytest.mark.parametrize("name", COMMANDS)
def test_the_lines_of_commands_below_a_command_are_whole(name: str) -> None:
    found = command(name)
    for below in found.commands.values() if isinstance(found, click.Group) else ():
        line = below.get_short_help_str(66)
        assert line == below.get_short_help_str(1_000)
        assert line.endswith((".", ", ..."))
