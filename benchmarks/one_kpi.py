"""CPU seconds of one KPI on loaded data: the whole process, as a user starts it.

    python -m benchmarks.one_kpi [--size S] [--pairs 5]

The yardstick is `python -c "import duckdb, pyarrow, pydantic, sqlglot, yaml"`: what has to be
imported before a definition can be read and a query be run.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.measuring import HEAD, Line, run
from benchmarks.startup import cpu_seconds

GOAL_S = 0.5
RATIO_GOAL = 2.0
YARDSTICK = ["-c", "import duckdb, pyarrow, pydantic, sqlglot, yaml"]
CASES: Mapping[str, Sequence[str]] = {
    "win_rate of a month": ["query", "win_rate", "--period", "2025-11"],
    "sales_pipeline_value of a month": ["query", "sales_pipeline_value", "--period", "2025-11"],
    "win_rate of a month by team": ["query", "win_rate", "--period", "2025-11", "--by", "team"],
}


def measure(size: str, pairs: int) -> list[Line]:
    """Two lines per case: against the goal in seconds, and against the imports."""
    folder = Path(run("sales_pack", "--child", "project", "--size", size).told["folder"])
    found = []
    for case, query in CASES.items():
        arguments = ["-m", "crmetrics", *query, "-C", str(folder)]
        cpu_seconds(arguments, folder, {})
        times = [
            (cpu_seconds(arguments, folder, {}), cpu_seconds(YARDSTICK, folder, {}))
            for _ in range(pairs)
        ]
        ours = median(own for own, _ in times)
        ratio = median(own / other for own, other in times)
        found.append(Line(f"{case}, whole process, {size}", "CPU s", ours, None, GOAL_S))
        found.append(Line("  to the imports it needs", "CPU s", ours, ours / ratio, RATIO_GOAL))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="S")
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    print(HEAD)
    for line in measure(asked.size, asked.pairs):
        print(line)


if __name__ == "__main__":
    main()
