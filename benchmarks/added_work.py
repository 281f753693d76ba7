"""What one more KPI or dimension costs, and all KPIs of the catalogue in one question.

    python -m benchmarks.added_work [--size M] [--rounds 20]

The cost of an answer without opening the project and the warehouse. An added KPI: (both - the
first) / the second alone. An added dimension: (with it - the total alone) / the total alone. They
are medians over many rounds in one process, each of which asks every question once, in a session of
its own. "By hand" is the same of statements that an expert would write for each question; their
values are compared with the answers before anything is timed.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from statistics import median
from typing import Any

from benchmarks import added_by_hand
from benchmarks.comparing import Values, answering, differences
from benchmarks.measuring import HEAD, Line, rounds_in_turns, run, told
from benchmarks.workload import Workload

PACKS = ("sales", "leads", "retention", "revenue", "marketing", "service", "adoption", "roi")
KPI_GOAL, DIMENSION_GOAL = 0.25, 0.2
_BY_DEAL = ("team", "segment", "lead_source")


@dataclass(frozen=True)
class Asked:
    """KPIs (`all` = every one of the catalogue), total and by each of these dimensions."""

    kpis: Sequence[str]
    by: Sequence[str] = ()


_DEALS = ("win_rate", "average_deal_size")
_WON = ("won_amount", "average_deal_size")
_BY_HAND = {
    "more columns": Asked(_DEALS, _BY_DEAL),
    "rate": Asked(_DEALS[:1], _BY_DEAL),
    "size": Asked(_DEALS[1:], _BY_DEAL),
    "total": Asked(_DEALS),
    "by team": Asked(_DEALS, ("team",)),
}
_QUESTIONS = {"same rows": Asked(_WON, _BY_DEAL), "won": Asked(_WON[:1], _BY_DEAL), **_BY_HAND}


def measure(size: str, rounds: int) -> list[Line]:
    """The lines of the table."""
    run("added_work", "--size", size, "--child", "make")
    found = run("added_work", "--size", size, "--rounds", str(rounds), "--child", "rounds").told
    every = run("added_work", "--size", size, "--child", "all")

    def line(what: str, by: str, names: tuple[str, str, str], goal: float | None = None) -> Line:
        both, first, alone = (f"{name}, {by}" for name in names)
        ratios = [(one[both] - one[first]) / one[alone] for one in found["rounds"]]
        return Line(what, "x", median(ratios), None, goal)

    same, more = ("same rows", "won", "size"), ("more columns", "rate", "size")
    dimension = ("by team", "total", "total")
    groups, kpis = found["groups"], every.told["kpis"]
    return [
        line(f"an added KPI on the same rows, {size}", "engine", same, KPI_GOAL),
        line(f"an added KPI that reads more columns, {size}", "engine", more, KPI_GOAL),
        line("  the same by hand", "by hand", more),
        line(f"an added dimension of {groups} values, {size}", "engine", dimension, DIMENSION_GOAL),
        line("  the same by hand", "by hand", dimension),
        Line(f"all {kpis} KPIs, 24 months, {size}", "CPU s", every.cpu_s, None),
        Line(f"all {kpis} KPIs, 24 months, {size}", "MB", every.peak_mb, None),
    ]


def _import() -> None:
    """What is imported before the clock starts."""
    for module in ("duckdb", "pyarrow", "crmetrics.engine.answer", "crmetrics.compiler.trees"):
        importlib.import_module(module)


@contextmanager
def _engine(workload: Workload, asked: Asked) -> Iterator[Callable[[], Any]]:
    from crmetrics.engine.answer import Question

    with answering(workload, PACKS) as (answerer, periods):
        kpis = tuple(answerer.catalog.kpis) if asked.kpis == ("all",) else tuple(asked.kpis)
        question = Question(kpis, periods, ((), *((name,) for name in asked.by)))
        yield partial(answerer.answer, question)


@contextmanager
def _hand(workload: Workload, asked: Asked) -> Iterator[Callable[[], Any]]:
    yield partial(added_by_hand.ask, workload, asked.kpis, asked.by)


def _rounds(workload: Workload, rounds: int) -> Mapping[str, Any]:
    """groups: of the added dimension. rounds: the cost of each question, by its name and whose."""
    with _engine(workload, _QUESTIONS["by team"]) as answer:
        segments = {str(segment) for segment in answer().column("segment").to_pylist()}
    works = {f"{name}, engine": partial(_engine, workload, q) for name, q in _QUESTIONS.items()}
    works |= {f"{name}, by hand": partial(_hand, workload, q) for name, q in _BY_HAND.items()}
    return {"groups": len(segments) - 1, "rounds": rounds_in_turns(works, rounds)}


def _all(workload: Workload) -> None:
    with _engine(workload, Asked(("all",))) as answer:
        told(lambda: {"kpis": len(set(answer().column("kpi").to_pylist()))})


def _compared(workload: Workload) -> int:
    """The number of values that are the same by hand. Ends the program when any differs."""
    from crmetrics.engine.answer import Question

    found: dict[tuple[str, date, str, str, str], float] = {}
    with answering(workload, PACKS) as (answerer, periods):
        question = Question(_DEALS, periods, ((), *((name,) for name in _BY_DEAL)))
        for row in answerer.answer(question).to_pylist():
            ((dimension, entry),) = dict(row["segment"]).items() or [("", "")]
            if row["value"] is not None:
                found[row["kpi"], row["period_start"], dimension, entry, ""] = row["value"]
    theirs: Values = added_by_hand.values(workload, _DEALS, _BY_DEAL)
    wrong = differences(found, theirs)
    if wrong:
        raise SystemExit(
            "\n".join([*wrong[:40], f"{len(wrong)} values differ; nothing was timed."])
        )
    return len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="M")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--child", choices=["make", "rounds", "all"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    workload = Workload(asked.size)
    if asked.child == "make":
        told(lambda: {"values": _compared(workload.make())})
    elif asked.child == "rounds":
        _import()
        told(lambda: _rounds(workload, asked.rounds))
    elif asked.child == "all":
        _import()
        _all(workload)
    else:
        print(HEAD)
        for line in measure(asked.size, asked.rounds):
            print(line)


if __name__ == "__main__":
    main()
