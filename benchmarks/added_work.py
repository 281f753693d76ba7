"""What one more KPI or dimension costs, and all KPIs of the catalogue in one question.

    python -m benchmarks.added_work [--size M] [--rounds 5]

The cost of an answer without opening the project and the warehouse, each in a process of its own.
An added KPI: (both - the first) / the second alone. An added dimension: (with it - the total alone)
/ the total alone. "By hand" is the same of statements that an expert would write for each question;
their values are compared with the answers before anything is timed.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Any

from benchmarks import added_by_hand
from benchmarks.comparing import Values, answering, differences
from benchmarks.measuring import HEAD, Cost, Line, run, told
from benchmarks.workload import Workload

PACKS = ("sales", "leads", "retention", "revenue", "marketing", "service", "adoption", "roi")
KPI_GOAL, DIMENSION_GOAL = 0.25, 0.2
_BY_DEAL = ("team", "segment", "lead_source")


@dataclass(frozen=True)
class Asked:
    """What one process asks for: KPIs (`all` = every one of the catalogue), total and by each of
    these dimensions."""

    kpis: Sequence[str]
    by: Sequence[str] = ()

    @property
    def arguments(self) -> list[str]:
        return ["--kpis", ",".join(self.kpis), "--by", ",".join(self.by)]


def measure(size: str, rounds: int) -> list[Line]:
    """The lines of the table; the ratios are medians over rounds of interleaved processes."""
    run("added_work", "--size", size, "--make")
    deals = ("win_rate", "average_deal_size")
    won = ("won_amount", "average_deal_size")
    questions = {
        "same rows": Asked(won, _BY_DEAL),
        "won": Asked(won[:1], _BY_DEAL),
        "more columns": Asked(deals, _BY_DEAL),
        "rate": Asked(deals[:1], _BY_DEAL),
        "size": Asked(deals[1:], _BY_DEAL),
        "total": Asked(deals),
        "by team": Asked(deals, ("team",)),
    }
    written = {name: asked for name, asked in questions.items() if "won_amount" not in asked.kpis}
    found, by_hand = [], []
    for _ in range(rounds):
        found.append({name: _cost(size, asked) for name, asked in questions.items()})
        by_hand.append({name: _cost(size, asked, "--by-hand") for name, asked in written.items()})
    same = median(_added(r, "same rows", "won", "size") for r in found)
    more, more_by_hand = (
        median(_added(r, "more columns", "rate", "size") for r in runs) for runs in (found, by_hand)
    )
    dimension, dimension_by_hand = (
        median(_added(r, "by team", "total", "total") for r in runs) for runs in (found, by_hand)
    )
    groups = found[0]["by team"].told["groups"]
    every = _cost(size, Asked(("all",)))
    return [
        Line(f"an added KPI on the same rows, {size}", "x", same, None, KPI_GOAL),
        Line(f"an added KPI that reads more columns, {size}", "x", more, None, KPI_GOAL),
        Line("  the same by hand", "x", more_by_hand, None),
        Line(
            f"an added dimension of {groups} values, {size}", "x", dimension, None, DIMENSION_GOAL
        ),
        Line("  the same by hand", "x", dimension_by_hand, None),
        Line(f"all {every.told['kpis']} KPIs, 24 months, {size}", "CPU s", every.cpu_s, None),
        Line(f"all {every.told['kpis']} KPIs, 24 months, {size}", "MB", every.peak_mb, None),
    ]


def _cost(size: str, asked: Asked, *more: str) -> Cost:
    return run("added_work", "--size", size, *asked.arguments, *more)


def _added(costs: Mapping[str, Cost], both: str, first: str, alone: str) -> float:
    return (costs[both].cpu_s - costs[first].cpu_s) / costs[alone].cpu_s


def _ask_by_hand(workload: Workload, asked: Asked) -> None:
    for module in ("duckdb", "pyarrow"):
        importlib.import_module(module)
    told(lambda: {"rows": added_by_hand.ask(workload, asked.kpis, asked.by).num_rows})


def _compared(workload: Workload) -> int:
    """The number of values that are the same by hand. Ends the program when any differs."""
    from crmetrics.engine.answer import Question

    kpis = ("win_rate", "average_deal_size")
    found: dict[tuple[str, date, str, str, str], float] = {}
    with answering(workload, PACKS) as (answerer, periods):
        question = Question(kpis, periods, ((), *((name,) for name in _BY_DEAL)))
        for row in answerer.answer(question).to_pylist():
            ((dimension, entry),) = dict(row["segment"]).items() or [("", "")]
            if row["value"] is not None:
                found[row["kpi"], row["period_start"], dimension, entry, ""] = row["value"]
    theirs: Values = added_by_hand.values(workload, kpis, _BY_DEAL)
    wrong = differences(found, theirs)
    if wrong:
        raise SystemExit(
            "\n".join([*wrong[:40], f"{len(wrong)} values differ; nothing was timed."])
        )
    return len(found)


def _ask(workload: Workload, asked: Asked) -> None:
    for module in ("duckdb", "pyarrow", "crmetrics.engine.answer", "crmetrics.compiler.trees"):
        importlib.import_module(module)  # before the clock starts
    from crmetrics.engine.answer import Question

    with answering(workload, PACKS) as (answerer, periods):
        kpis = tuple(asked.kpis)
        if kpis == ("all",):
            kpis = tuple(answerer.catalog.kpis)
        question = Question(kpis, periods, ((), *((name,) for name in asked.by)))

        def answer() -> Mapping[str, Any]:
            table = answerer.answer(question)
            segments = {str(segment) for segment in table.column("segment").to_pylist()}
            return {"kpis": len(kpis), "rows": table.num_rows, "groups": len(segments) - 1}

        told(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="M")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kpis", default="", help=argparse.SUPPRESS)
    parser.add_argument("--by", default="", help=argparse.SUPPRESS)
    parser.add_argument("--by-hand", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    workload = Workload(asked.size)
    if asked.make:
        told(lambda: {"values": _compared(workload.make())})
    elif asked.kpis:
        by = [name for name in asked.by.split(",") if name]
        work = _ask_by_hand if asked.by_hand else _ask
        work(workload, Asked(asked.kpis.split(","), by))
    else:
        print(HEAD)
        for line in measure(asked.size, asked.rounds):
            print(line)


if __name__ == "__main__":
    main()
