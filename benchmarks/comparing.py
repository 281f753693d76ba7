"""Questions to the engine against hand-written SQL over the same file: equal values, then cost.

The yardstick is what an expert would write for exactly these questions: one set of statements, as
few scans as possible, only the values. It knows what the engine has to find out: which months,
which currency, UTC, no late events, no merged records. Every value is compared before anything is
timed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.measuring import HEAD, Line, in_turns, lines, run, told
from benchmarks.workload import EXPORTED_AT, Workload

YARDSTICK = Path(__file__).parent / "yardstick"
START, END = date(2024, 1, 1), date(2026, 1, 1)
CPU_GOAL, MEMORY_GOAL = 1.3, 1.5
_TOLERANCE = 1e-9
_ALWAYS_BY = ("stage", "movement")

Values = Mapping[tuple[str, date, str, str, str], float]
"""(KPI, first day of the month, dimension, entry, stage or movement) -> value; nulls are left
out."""


@dataclass(frozen=True)
class Case:
    """module: of the benchmark. questions: KPIs, and the dimensions by which they are asked for
    beside the total. statements: files of `yardstick/`, in order."""

    module: str
    title: str
    packs: Sequence[str]
    questions: Sequence[tuple[Sequence[str], Sequence[str]]]
    statements: Sequence[str]

    @property
    def kpis(self) -> set[str]:
        return {kpi for kpis, _ in self.questions for kpi in kpis}


# --- the product ---------------------------------------------------------------------------------


@contextmanager
def answering(workload: Workload, packs: Sequence[str]) -> Iterator[tuple[Any, Any]]:
    """An answerer over the warehouse of a workload, and the months asked for."""
    from crmetrics.engine import Project

    project = Project(_project_folder(workload, packs), now=lambda: EXPORTED_AT)
    periods = tuple(project.calendar.periods(START, END, "month"))
    with project.answerer(periods) as answerer:
        yield answerer, periods


def ask_engine(workload: Workload, case: Case) -> Iterator[Any]:
    """The result table of each question, by the engine, in one session."""
    from crmetrics.engine.answer import Question

    with answering(workload, case.packs) as (answerer, periods):
        for kpis, dimensions in case.questions:
            groupings = ((), *((name,) for name in dimensions))
            yield answerer.answer(Question(tuple(kpis), periods, groupings))


def _project_folder(workload: Workload, packs: Sequence[str]) -> Path:
    folder = workload.folder / "project"
    folder.mkdir(exist_ok=True)
    (folder / "crmetrics.yaml").write_text(
        "version: 1\nproject: benchmark\nreporting: {timezone: UTC, currency: USD}\n"
        f"warehouse: {workload.warehouse}\n"
        "sources: {crm: {connector: csv, path: ../parquet}}\n"
        f"metrics: {{packs: [{', '.join(packs)}]}}\n"
    )
    return folder


def engine_values(workload: Workload, case: Case) -> Values:
    found = {}
    for table in ask_engine(workload, case):
        for row in table.to_pylist():
            segment = dict(row["segment"])
            part = next(filter(None, (segment.pop(name, "") for name in _ALWAYS_BY)), "")
            ((dimension, entry),) = segment.items() or [("", "")]
            if row["value"] is not None and (part or row["kpi"] != "stage_duration"):
                found[row["kpi"], row["period_start"], dimension, entry, part] = row["value"]
    return found


# --- the yardstick -------------------------------------------------------------------------------


def ask_yardstick(workload: Workload, case: Case) -> Any:
    """The values of the hand-written statements, as an Arrow table."""
    import duckdb

    with duckdb.connect(str(workload.warehouse), read_only=True) as con:
        con.execute("set enable_progress_bar = false; set timezone = 'UTC'")
        for name in case.statements:
            con.execute((YARDSTICK / f"{name}.sql").read_text())
        return con.sql("from answer where value is not null").to_arrow_table()


def yardstick_values(workload: Workload, case: Case) -> Values:
    return {
        (row["kpi"], row["month"], row["dimension"], row["entry"], row["stage"] or ""): row["value"]
        for row in ask_yardstick(workload, case).to_pylist()
        if row["kpi"] in case.kpis
    }


# --- comparing and timing ------------------------------------------------------------------------


def differences(ours: Values, theirs: Values) -> list[str]:
    """Every value that one side does not have, or has otherwise. A zero may be left out."""
    found = []
    for key in sorted({*ours, *theirs}):
        a, b = ours.get(key), theirs.get(key)
        if (a or 0) == (b or 0) == 0 and (a is None or b is None):
            continue
        if a is None or b is None or abs(a - b) > _TOLERANCE * max(1, abs(a), abs(b)):
            found.append(f"{' '.join(map(str, key))}: engine {a}, yardstick {b}")
    return found


def compare(workload: Workload, case: Case) -> int:
    """The number of equal values. Ends the program when any differs."""
    ours, theirs = engine_values(workload, case), yardstick_values(workload, case)
    wrong = differences(ours, theirs)
    if wrong:
        print("\n".join(wrong[:40]), file=sys.stderr)
        raise SystemExit(f"{len(wrong)} of {len(ours)} values differ; nothing was timed.")
    return len(ours)


def measure(case: Case, size: str, pairs: int, *, one_currency: bool = False) -> list[Line]:
    arguments = ["--size", size, *(["--one-currency"] if one_currency else [])]
    run(case.module, "--child", "make", *arguments)
    equal = run(case.module, "--child", "compare", *arguments).told["values"]
    own, other = in_turns(
        lambda: run(case.module, "--child", "engine", *arguments),
        lambda: run(case.module, "--child", "yardstick", *arguments),
        pairs,
    )
    name = f"{case.title} {size}{', one currency' if one_currency else ''}, {equal:,} values"
    return lines(name, own, other, cpu=CPU_GOAL, memory=MEMORY_GOAL)


def _child(which: str, workload: Workload, case: Case) -> None:
    # Imported before the clock starts.
    importlib.import_module("duckdb")
    importlib.import_module("pyarrow")
    if which == "engine":
        importlib.import_module("crmetrics.engine.answer")
    works: Mapping[str, Callable[[], Mapping[str, Any]]] = {
        "make": lambda: {"folder": str(workload.make().folder)},
        "project": lambda: {"folder": str(_project_folder(workload.make(), case.packs))},
        "compare": lambda: {"values": compare(workload, case)},
        "engine": lambda: {"rows": sum(table.num_rows for table in ask_engine(workload, case))},
        "yardstick": lambda: {"rows": ask_yardstick(workload, case).num_rows},
    }
    told(works[which])


def main(case: Case) -> None:
    parser = argparse.ArgumentParser(description=f"The benchmark {case.title}.")
    parser.add_argument("--size", default="M")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--one-currency", action="store_true", help="US dollars only, no rates")
    parser.add_argument(
        "--child",
        choices=["make", "project", "compare", "engine", "yardstick"],
        help=argparse.SUPPRESS,
    )
    asked = parser.parse_args()
    if asked.child:
        _child(asked.child, Workload(asked.size, asked.one_currency), case)
        return
    print(HEAD)
    for line in measure(case, asked.size, asked.pairs, one_currency=asked.one_currency):
        print(line)
