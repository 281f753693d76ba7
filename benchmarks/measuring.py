"""CPU seconds and peak memory of a piece of work, each time in a process of its own.

Product and yardstick run in turns, because the speed of a shared machine drifts; the ratio is the
median of the pairwise ratios. CPU seconds are those of all threads of the process.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Cost:
    """cpu_s: of the work itself, without the start of the interpreter and its imports. peak_mb: the
    largest resident memory of the whole process. told: what the work reported beside."""

    cpu_s: float
    peak_mb: float
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """One line of the table of results. goal: upper limit of `ratio`, or of `product` where there
    is no yardstick; None = stated only."""

    what: str
    unit: str
    product: float
    yardstick: float | None
    goal: float | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.yardstick is None else self.product / self.yardstick

    @property
    def is_met(self) -> bool:
        return self.goal is None or (self.ratio or self.product) <= self.goal

    def __str__(self) -> str:
        yardstick = "" if self.yardstick is None else f"{self.yardstick:.3f}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = "ok" if self.is_met else "MISSED"
        goal = "" if self.goal is None else f"{self.goal:.2f}  {verdict}"
        return (
            f"{self.what:44} {self.unit:5} {self.product:9.3f} {yardstick:>9} {ratio:>6}"
            f" {goal:>{12 if goal.endswith('D') else 10 if goal else 6}}"
        )


HEAD = f"{'':44} {'':5} {'product':>9} {'yardstick':>9} {'ratio':>6} {'goal':>6}"


def told(work: Callable[[], Mapping[str, Any] | None]) -> None:
    """Run the work in this process, and print what it cost for `run` to read."""
    before = time.process_time()
    more = work() or {}
    print(json.dumps({"cpu_s": time.process_time() - before, **more}))


def rounds_in_turns(
    works: Mapping[str, Callable[[], AbstractContextManager[Callable[[], object]]]], rounds: int
) -> list[dict[str, float]]:
    """CPU seconds of each work, in this process, so many times, forwards and backwards in turns.

    For differences of works that take little: from process to process they vary by more than what
    is asked for. What a work opens before, and closes afterwards, is not counted, nor is a round
    before the first, in which a process does what it does once.
    """
    found = []
    for number in range(rounds + 1):
        names = list(works) if number % 2 else list(reversed(works))
        found.append({name: _cost_of(works[name]) for name in names})
    return found[1:]


def _cost_of(opening: Callable[[], AbstractContextManager[Callable[[], object]]]) -> float:
    with opening() as work:
        gc.collect()
        before = time.process_time()
        work()
        return time.process_time() - before


def run(module: str, *arguments: str) -> Cost:
    """Run `python -m benchmarks.MODULE ARGUMENTS` in a process that calls `told`.

    The caller must stay small: a process begins with the peak memory of the one that started it.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    # As pip installs it: with bytecode beside the sources.
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    found = json.loads(output.splitlines()[-1])
    return Cost(found.pop("cpu_s"), usage.ru_maxrss / 1024, found)


def in_turns(
    product: Callable[[], Cost], yardstick: Callable[[], Cost], pairs: int
) -> tuple[list[Cost], list[Cost]]:
    """Both, one after the other, so many times."""
    found = [(product(), yardstick()) for _ in range(pairs)]
    return [own for own, _ in found], [other for _, other in found]


def lines(
    what: str,
    product: Sequence[Cost],
    yardstick: Sequence[Cost],
    *,
    cpu: float,
    memory: float,
) -> list[Line]:
    """CPU and memory of interleaved runs. The yardstick's figure is scaled so that product over
    yardstick is the median of the pairwise ratios."""
    found = []
    for unit, goal, of in (("CPU s", cpu, _cpu), ("MB", memory, _peak)):
        ours = median(of(cost) for cost in product)
        ratio = median(of(a) / of(b) for a, b in zip(product, yardstick, strict=True))
        found.append(Line(what, unit, ours, ours / ratio, goal))
    return found


def _cpu(cost: Cost) -> float:
    return cost.cpu_s


def _peak(cost: Cost) -> float:
    return cost.peak_mb
