"""CPU seconds of `--help`, `--version` and shell completion with twenty plugins installed.

    python -m benchmarks.startup [--pairs 15]

The yardstick is `python -c "import click, pluggy"`. Product and yardstick run in turns, because the
speed of a shared machine drifts; the ratio is the median of the pairwise ratios. Half of the
plugins add a command; the first call, which has to ask them, is not counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.measuring import HEAD, Line

PLUGINS = 20
GOAL_S = 0.15
RATIO_GOAL = 2.0
YARDSTICK = ["-c", "import click, pluggy"]
CASES: Mapping[str, tuple[Sequence[str], Mapping[str, str]]] = {
    "--version": (["-m", "crmetrics", "--version"], {}),
    "--help": (["-m", "crmetrics", "--help"], {}),
    "query --help": (["-m", "crmetrics", "query", "--help"], {}),
    "completion": (
        ["-m", "crmetrics"],
        {"_CRMETRICS_COMPLETE": "bash_complete", "COMP_WORDS": "crmetrics q", "COMP_CWORD": "1"},
    ),
}

CONNECTOR = """
import pyarrow, requests
from crmetrics.plugin import hookimpl

@hookimpl
def crmetrics_connectors():
    return []
"""
COMMAND = """
import click, pyarrow, requests
from crmetrics.plugin import hookimpl

@hookimpl
def crmetrics_commands(cli):
    @cli.command("extra{number}")
    def extra():
        "An extra command."
"""


def install_plugins(site: Path) -> None:
    """Twenty distributions as pip leaves them: metadata, entry point, one module each."""
    for number in range(PLUGINS):
        name = f"crmetrics_extra{number}"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[crmetrics]\nextra{number} = {name}\n")
        source = COMMAND.format(number=number) if number % 2 else CONNECTOR
        (site / f"{name}.py").write_text(source)


def cpu_seconds(arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> float:
    """User and system time of one interpreter, its start included."""
    # As pip installs it: with bytecode beside the sources. The first call writes it.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment = {
        **inherited,
        "PYTHONPATH": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        **variables,
    }
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def measure(pairs: int) -> list[Line]:
    """Two lines per case: against the goal in seconds, and against the yardstick."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install_plugins(folder)
        for case, (arguments, variables) in CASES.items():
            cpu_seconds(arguments, folder, variables)
            times = [
                (cpu_seconds(arguments, folder, variables), cpu_seconds(YARDSTICK, folder, {}))
                for _ in range(pairs)
            ]
            ours = median(own for own, _ in times)
            ratio = median(own / other for own, other in times)
            found.append(Line(f"crmetrics {case}", "CPU s", ours, None, GOAL_S))
            found.append(Line("  to import click, pluggy", "CPU s", ours, ours / ratio, RATIO_GOAL))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=15)
    print(HEAD)
    for line in measure(parser.parse_args().pairs):
        print(line)


if __name__ == "__main__":
    main()
