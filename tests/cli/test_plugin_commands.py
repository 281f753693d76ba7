"""Commands that plugins add: listed cheaply, run as our own, kept apart from each other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

Start = Callable[..., "subprocess.CompletedProcess[str]"]

GREET = """
    import pathlib
    import click
    from crmetrics.plugin import hookimpl

    with (pathlib.Path(__file__).parent / "imported.log").open("a") as log:
        log.write(__name__ + "\\n")

    @hookimpl
    def crmetrics_commands(cli):
        @cli.command("greet")
        @click.argument("name")
        @click.pass_obj
        def greet(session, name):
            "Say hello."
            click.echo(f"hello {name} from {session.directory.name}")
"""
OTHER = GREET.replace("greet", "other")
NO_COMMANDS = GREET.partition("@hookimpl")[0]
BROKEN = GREET.replace("import click", "import click, no_such_module")
THIEF = GREET.replace('"greet"', '"run"')
RAISES = GREET.replace('@cli.command("greet")', 'raise RuntimeError("no luck")')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for plugins, without a project file."""
    folder = tmp_path / "acme"
    (folder / "plugins").mkdir(parents=True)
    return folder


def put(folder: Path, **sources: str) -> None:
    for name, source in sources.items():
        (folder / "plugins" / f"{name}.py").write_text(dedent(source), encoding="utf-8")


def imports(place: Path) -> int:
    """How often a plugin of this folder was imported."""
    log = place / "imported.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_help_lists_the_command_with_its_short_help(folder: Path, start: Start) -> None:
    put(folder, greet=GREET)
    help_text = start("-C", folder, "--help").stdout
    assert "Commands of plugins:" in help_text
    assert "greet  Say hello." in help_text


def test_the_second_help_imports_no_plugin(folder: Path, start: Start) -> None:
    put(folder, greet=GREET)
    first = start("-C", folder, "--help").stdout
    before = imports(folder / "plugins")
    assert start("-C", folder, "--help").stdout == first
    assert imports(folder / "plugins") == before == 1


def test_a_changed_plugin_is_asked_again(folder: Path, start: Start) -> None:
    put(folder, greet=GREET)
    start("-C", folder, "--help")
    put(folder, greet=GREET.replace('"greet"', '"welcome"'))
    assert "welcome" in start("-C", folder, "--help").stdout


def test_a_plugin_without_commands_is_never_imported_for_help(folder: Path, start: Start) -> None:
    put(folder, quiet=NO_COMMANDS)
    assert start("-C", folder, "--help").returncode == 0
    assert imports(folder / "plugins") == 0


def test_the_command_runs_with_the_session_of_the_call(folder: Path, start: Start) -> None:
    put(folder, greet=GREET)
    done = start("-C", folder, "greet", "Ada")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello Ada from acme\n", "")


def test_completion_offers_the_command(folder: Path, start: Start) -> None:
    put(folder, greet=GREET)
    words = f"crmetrics -C {folder} gr"
    done = start(_CRMETRICS_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD="3")
    assert done.stdout == "plain,greet\n"


def test_an_installed_distribution_adds_a_command(tmp_path: Path, start: Start) -> None:
    site = tmp_path / "site"
    info = site / "crmetrics_greet-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crmetrics-greet\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[crmetrics]\ngreet = crmetrics_greet.hooks\n")
    (site / "crmetrics_greet").mkdir()
    (site / "crmetrics_greet" / "__init__.py").write_text("")
    (site / "crmetrics_greet" / "hooks.py").write_text(dedent(GREET))
    assert "greet  Say hello." in start("--help", path=site).stdout
    assert start("greet", "Ada", path=site).stdout.startswith("hello Ada")


def test_a_plugin_listed_in_the_project_file_adds_a_command(folder: Path, start: Start) -> None:
    (folder / "acme_tools.py").write_text(dedent(GREET))
    (folder / "crmetrics.yaml").write_text("version: 1\nplugins: [acme_tools]\n")
    assert "greet  Say hello." in start("-C", folder, "--help").stdout
    assert start("-C", folder, "greet", "Ada").stdout == "hello Ada from acme\n"


@pytest.mark.parametrize("source", [BROKEN, RAISES, THIEF], ids=["broken", "raises", "thief"])
def test_a_bad_plugin_leaves_the_others_alone(folder: Path, start: Start, source: str) -> None:
    put(folder, bad=source, other=OTHER)
    assert start("-C", folder, "--help").returncode == 0
    assert start("-C", folder, "other", "Ada").stdout == "hello Ada from acme\n"


def test_a_plugin_cannot_take_the_name_of_a_command(folder: Path, start: Start) -> None:
    put(folder, thief=THIEF)
    done = start("-C", folder, "nothing")
    assert "'run' is a command already" in done.stderr
    assert "Run jobs" in start("-C", folder, "--help").stdout


def test_an_unknown_command_is_compared_with_those_of_plugins(folder: Path, start: Start) -> None:
    put(folder, greet=GREET)
    done = start("-C", folder, "gret")
    assert done.returncode == 2
    assert "Did you mean 'greet'?" in done.stderr


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}'])
def test_a_broken_cache_is_made_anew(
    content: str, folder: Path, start: Start, tmp_path: Path
) -> None:
    put(folder, greet=GREET)
    file = Path(os.environ["XDG_CACHE_HOME"]) / "crmetrics" / "commands.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    assert "greet" in start("-C", folder, "--help").stdout
    assert "greet" in file.read_text()


def test_help_works_where_no_cache_can_be_written(folder: Path, start: Start) -> None:
    put(folder, greet=GREET)
    done = start("-C", folder, "--help", XDG_CACHE_HOME=sys.executable)
    assert "greet" in done.stdout
    assert done.stderr == ""
