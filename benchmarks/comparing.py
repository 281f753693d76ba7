"""Questions to the engine against hand-written SQL over the same file: equal figures, then cost.

Two yardsticks, each what an expert would write for exactly these questions: one set of statements,
as few scans as possible. They know what the engine has to find out: which months, which currency,
UTC, no late events, no merged records. One gives the same answer: with each value its numerator and
denominator, what it was computed from, interval, status, flags and all counts of coverage, counted
anew from the KPI catalogue. The other gives the values alone. Every figure is compared before
anything is timed.
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

from benchmarks.measuring import HEAD, Line, lines, run, told
from benchmarks.workload import EXPORTED_AT, Workload

YARDSTICK = Path(__file__).parent / "yardstick"
START, END = date(2024, 1, 1), date(2026, 1, 1)
CPU_GOAL, MEMORY_GOAL = 1.3, 1.5
_TOLERANCE = 1e-9
_ALWAYS_BY = ("stage", "movement")

Key = tuple[str, date, str, str, str]
"""KPI, first day of the month, dimension, entry, stage or movement."""

Values = Mapping[Key, float]
"""Nulls are left out."""

Rows = Mapping[Key, Mapping[str, Any]]
"""What a result row says, by name: figures, status and flags, and the counts of coverage."""

_STATED = (
    "value",
    "numerator",
    "denominator",
    "n",
    "interval_low",
    "interval_high",
    "status",
    "flags",
)


@dataclass(frozen=True)
class Case:
    """module: of the benchmark. questions: KPIs, and the dimensions by which they are asked for
    beside the total. values, answer: files of `yardstick/` that give the values alone, and the same
    answer, in order."""

    module: str
    title: str
    packs: Sequence[str]
    questions: Sequence[tuple[Sequence[str], Sequence[str]]]
    values: Sequence[str]
    answer: Sequence[str] = ()

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


def engine_rows(workload: Workload, case: Case) -> Rows:
    found = {}
    for table in ask_engine(workload, case):
        for row in table.to_pylist():
            segment = dict(row["segment"])
            part = next(filter(None, (segment.pop(name, "") for name in _ALWAYS_BY)), "")
            ((dimension, entry),) = segment.items() or [("", "")]
            stated = {name: row[name] for name in _STATED}
            key = row["kpi"], row["period_start"], dimension, entry, part
            found[key] = stated | dict(row["coverage"])
    return found


# --- the yardsticks ------------------------------------------------------------------------------


def ask_yardstick(workload: Workload, statements: Sequence[str]) -> Any:
    """What the hand-written statements give, as an Arrow table."""
    import duckdb

    with duckdb.connect(str(workload.warehouse), read_only=True) as con:
        con.execute("set enable_progress_bar = false; set timezone = 'UTC'")
        for name in statements:
            con.execute((YARDSTICK / f"{name}.sql").read_text())
        return con.sql("from answer").to_arrow_table()


def yardstick_rows(workload: Workload, case: Case, statements: Sequence[str]) -> Rows:
    rows = ask_yardstick(workload, statements).to_pylist()
    return {_key(row): row for row in rows if row["kpi"] in case.kpis}


def _key(row: dict[str, Any]) -> Key:
    """What names a row; afterwards its figures are left."""
    kpi, month, *parts = (row.pop(name) for name in ("kpi", "month", "dimension", "entry", "part"))
    dimension, entry, part = (each or "" for each in parts)
    return kpi, month, dimension, entry, part


def values(rows: Rows) -> Values:
    """The values of all rows, without the stages that no total is asked for."""
    return {
        key: row["value"]
        for key, row in rows.items()
        if row["value"] is not None and (key[-1] or key[0] != "stage_duration")
    }


# --- comparing and timing ------------------------------------------------------------------------


def differences(ours: Values, theirs: Values) -> list[str]:
    """Every value that one side does not have, or has otherwise. A zero may be left out."""
    return [
        f"{' '.join(map(str, key))}: engine {ours.get(key)}, yardstick {theirs.get(key)}"
        for key in sorted({*ours, *theirs})
        if not _is_same(ours.get(key, 0), theirs.get(key, 0))
    ]


def row_differences(ours: Rows, theirs: Rows) -> list[str]:
    """Every row that one side does not have, and every figure that it has otherwise. A count of
    coverage may be left out when it is zero; a figure of the row itself may not."""
    found = []
    for key in sorted({*ours, *theirs}):
        a, b = ours.get(key, {}), theirs.get(key, {})
        for name in sorted({*a, *b}):
            absent = None if name in _STATED else 0
            x, y = (absent if row.get(name) is None else row[name] for row in (a, b))
            if not a or not b or not _is_same(x, y):
                found.append(f"{' '.join(map(str, key))} {name}: engine {x}, yardstick {y}")
    return found


def _is_same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return sorted(a) == sorted(b)
    if isinstance(a, int | float) and isinstance(b, int | float):
        return abs(a - b) <= _TOLERANCE * max(1, abs(a), abs(b))
    return bool(a == b)


def compare(workload: Workload, case: Case) -> Mapping[str, int]:
    """The numbers of equal figures and of values. Ends the program when any differs."""
    ours = engine_rows(workload, case)
    wrong = differences(values(ours), values(yardstick_rows(workload, case, case.values)))
    if case.answer:
        wrong += row_differences(ours, yardstick_rows(workload, case, case.answer))
    if wrong:
        print("\n".join(wrong[:40]), file=sys.stderr)
        raise SystemExit(f"{len(wrong)} figures of {len(ours)} rows differ; nothing was timed.")
    figures = sum(figure is not None for row in ours.values() for figure in row.values())
    return {"values": len(values(ours)), "figures": figures}


def measure(case: Case, size: str, pairs: int, *, one_currency: bool = False) -> list[Line]:
    arguments = ["--size", size, *(["--one-currency"] if one_currency else [])]
    run(case.module, "--child", "make", *arguments)
    equal = run(case.module, "--child", "compare", *arguments).told
    children = ("engine", "answer" if case.answer else "values", "values")
    turns = [
        [run(case.module, "--child", child, *arguments) for child in children] for _ in range(pairs)
    ]
    own, answer, plain = zip(*turns, strict=True)
    name = f"{case.title} {size}{', one currency' if one_currency else ''}"
    goals = {"cpu": CPU_GOAL, "memory": MEMORY_GOAL}
    if not case.answer:
        return lines(f"{name}, {equal['values']:,} values", own, plain, **goals)
    return [
        *lines(f"{name}, {equal['figures']:,} figures", own, answer, **goals),
        *lines(f"  to {equal['values']:,} values alone", own, plain, **goals),
    ]


def _child(which: str, workload: Workload, case: Case) -> None:
    own = ("crmetrics.engine.answer", "crmetrics_csv.connector", "yaml")
    # Imported before the clock starts.
    for name in ("duckdb", "pyarrow", *(own if which == "engine" else ())):
        importlib.import_module(name)
    works: Mapping[str, Callable[[], Mapping[str, Any]]] = {
        "make": lambda: {"folder": str(workload.make().folder)},
        "project": lambda: {"folder": str(_project_folder(workload.make(), case.packs))},
        "compare": lambda: compare(workload, case),
        "engine": lambda: {"rows": sum(table.num_rows for table in ask_engine(workload, case))},
        "answer": lambda: {"rows": ask_yardstick(workload, case.answer).num_rows},
        "values": lambda: {"rows": ask_yardstick(workload, case.values).num_rows},
    }
    told(works[which])


def main(case: Case) -> None:
    parser = argparse.ArgumentParser(description=f"The benchmark {case.title}.")
    parser.add_argument("--size", default="M")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--one-currency", action="store_true", help="US dollars only, no rates")
    parser.add_argument(
        "--child",
        choices=["make", "project", "compare", "engine", "answer", "values"],
        help=argparse.SUPPRESS,
    )
    asked = parser.parse_args()
    if asked.child:
        _child(asked.child, Workload(asked.size, asked.one_currency), case)
        return
    print(HEAD)
    for line in measure(case, asked.size, asked.pairs, one_currency=asked.one_currency):
        print(line)
