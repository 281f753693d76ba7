"""What help, version and completion load; a fact about modules, not about time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "pyarrow",
    "duckdb",
    "requests",
    "yaml",
    "pydantic",
    "rich",
    "sqlglot",
    "jinja2",
    "importlib.metadata",
    "crmetrics.plugin",
    "crmetrics.engine",
    "crmetrics.config",
    "crmetrics.loader",
}
PLUGINS = 20


def loaded_by(code: str, cwd: Path, **variables: str) -> set[str]:
    """The modules in a fresh interpreter after `code`."""
    program = f"""
import json, sys
try:
    {code}
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=cwd,
        env={**os.environ, **variables},
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def heavy(modules: set[str]) -> set[str]:
    return {name for name in modules if name in HEAVY or name.startswith("crmetrics_")}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with twenty installed plugins; importing one of them would be seen."""
    for number in range(PLUGINS):
        name = f"crmetrics_extra{number}"
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[crmetrics]\nextra{number} = {name}\n")
        (tmp_path / f"{name}.py").write_text("import pyarrow\n")
    return tmp_path


def test_importing_the_command_line_loads_nothing_heavy(tmp_path: Path) -> None:
    assert heavy(loaded_by("import crmetrics.cli", tmp_path)) == set()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["completion", "bash"], ["query", "--help"], ["run", "--help"]],
    ids=" ".join,
)
def test_help_and_version_load_neither_plugins_nor_anything_heavy(
    arguments: list[str], site: Path
) -> None:
    code = f"from crmetrics.cli import main; main({arguments!r})"
    assert heavy(loaded_by(code, site, PYTHONPATH=str(site))) == set()


@pytest.mark.parametrize("words", ["crmetrics ", "crmetrics qu", "crmetrics query --p"])
def test_shell_completion_loads_neither_plugins_nor_anything_heavy(words: str, site: Path) -> None:
    modules = loaded_by(
        "from crmetrics.cli import main; main()",
        site,
        PYTHONPATH=str(site),
        _CRMETRICS_COMPLETE="bash_complete",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split(" ")) - 1),
    )
    assert heavy(modules) == set()


def test_help_imports_no_command_module(tmp_path: Path) -> None:
    modules = loaded_by("from crmetrics.cli import main; main(['--help'])", tmp_path)
    assert not {name for name in modules if name.startswith("crmetrics.cli.commands.")}


# --- the end -------------------------------------------------------------------------------------

PLUGIN = """
import atexit
import click
from crmetrics.plugin import hookimpl

@hookimpl
def crmetrics_commands(cli):
    @cli.command("leave")
    @click.argument("code", type=int)
    @click.pass_context
    def leave(context, code):
        atexit.register(lambda: print("after", flush=False))
        click.echo("x" * 100_000)
        context.exit(code)
"""


def leave(directory: Path, code: int) -> subprocess.CompletedProcess[str]:
    """Run a plugin's command that ends with this code."""
    (directory / "plugins").mkdir(exist_ok=True)
    (directory / "plugins" / "leaving.py").write_text(PLUGIN)
    (directory / "crmetrics.yaml").write_text("version: 1\n")
    command = [sys.executable, "-m", "crmetrics", "leave", str(code)]
    return subprocess.run(command, capture_output=True, text=True, cwd=directory, check=False)


@pytest.mark.parametrize("code", [0, 4])
def test_the_end_keeps_the_exit_code_the_output_and_the_exit_handlers(
    code: int, tmp_path: Path
) -> None:
    done = leave(tmp_path, code)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout == "x" * 100_000 + "\nafter\n"


def test_a_program_that_calls_the_command_line_keeps_its_own_end(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from crmetrics.cli import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 3
