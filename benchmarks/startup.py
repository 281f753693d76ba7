"""CPU seconds of `--help`, `--version` and shell completion with twenty plugins installed.

    python benchmarks/startup.py [--rounds 15]

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

PLUGINS = 20
GOAL_S = 0.15
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
    environment = {
        **os.environ,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install_plugins(folder)
        print(f"{'':14}{'CPU s':>8}{'yardstick':>11}{'ratio':>7}   goal {GOAL_S} s")
        for case, (arguments, variables) in CASES.items():
            cpu_seconds(arguments, folder, variables)
            pairs = [
                (cpu_seconds(arguments, folder, variables), cpu_seconds(YARDSTICK, folder, {}))
                for _ in range(rounds)
            ]
            ours, yardstick = (median(times) for times in zip(*pairs, strict=True))
            ratio = median(own / other for own, other in pairs)
            verdict = "ok" if ours <= GOAL_S else "too slow"
            print(f"{case:14}{ours:8.3f}{yardstick:11.3f}{ratio:7.2f}   {verdict}")


if __name__ == "__main__":
    main()
