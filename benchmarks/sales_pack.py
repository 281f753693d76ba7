"""The twelve KPIs of the sales pack over 24 months, against hand-written SQL over the same file.

    python -m benchmarks.sales_pack [--size M] [--pairs 3]

Each KPI is asked for as a total and by three dimensions that its rows have (QUESTIONS). The
yardstick (`yardstick/*.sql`) is what an expert would write for exactly this workload: one set of
statements, as few scans as possible, only the values. It knows what the engine has to find out:
which months, which currency, UTC, no late events, no merged records. Every value is compared before
anything is timed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.measuring import HEAD, Line, in_turns, lines, run, told
from benchmarks.workload import EXPORTED_AT, Workload

YARDSTICK = Path(__file__).parent / "yardstick"
START, END = date(2024, 1, 1), date(2026, 1, 1)
_BY_DEAL = ("team", "segment", "lead_source")
QUESTIONS: Sequence[tuple[Sequence[str], Sequence[str]]] = (
    (
        (
            "won_amount",
            "win_rate",
            "sales_velocity",
            "average_deal_size",
            "sales_cycle_length",
            "stage_duration",
            "sales_pipeline_value",
            "sales_growth_rate",
        ),
        _BY_DEAL,
    ),
    (("new_customers",), ("segment", "lead_source", "country")),
    (("pipeline_coverage",), ("team", "owner_id", "segment")),
    (("quota_attainment",), ("team", "owner_id", "owner.role")),
    (("sales_forecast_accuracy",), ("team", "owner_id", "forecast_category")),
)
"""KPIs, and the dimensions by which they are asked for beside the total."""

CPU_GOAL, MEMORY_GOAL = 1.3, 1.5
_TOLERANCE = 1e-9

Values = Mapping[tuple[str, date, str, str, str], float]
"""(KPI, first day of the month, dimension, entry, stage) -> value; nulls are left out."""


# --- the product ---------------------------------------------------------------------------------


def ask_engine(workload: Workload) -> Iterator[Any]:
    """The result table of each question, by the engine, in one session."""
    from crmetrics.engine import Project
    from crmetrics.engine.answer import Question

    project = Project(_project_folder(workload), now=lambda: EXPORTED_AT)
    periods = tuple(project.calendar.periods(START, END, "month"))
    with project.answerer(periods) as answerer:
        for kpis, dimensions in QUESTIONS:
            groupings = ((), *((name,) for name in dimensions))
            yield answerer.answer(Question(tuple(kpis), periods, groupings))


def _project_folder(workload: Workload) -> Path:
    folder = workload.folder / "project"
    folder.mkdir(exist_ok=True)
    (folder / "crmetrics.yaml").write_text(
        "version: 1\nproject: benchmark\nreporting: {timezone: UTC, currency: USD}\n"
        f"warehouse: {workload.warehouse}\n"
        "sources: {crm: {connector: csv, path: ../parquet}}\nmetrics: {packs: [sales]}\n"
    )
    return folder


def engine_values(workload: Workload) -> Values:
    found = {}
    for table in ask_engine(workload):
        for row in table.to_pylist():
            segment = dict(row["segment"])
            stage = segment.pop("stage", "")
            ((dimension, entry),) = segment.items() or [("", "")]
            if row["value"] is not None and (stage or row["kpi"] != "stage_duration"):
                found[row["kpi"], row["period_start"], dimension, entry, stage] = row["value"]
    return found


# --- the yardstick -------------------------------------------------------------------------------


def ask_yardstick(workload: Workload) -> Any:
    """The values of the hand-written statements, as an Arrow table."""
    import duckdb

    with duckdb.connect(str(workload.warehouse), read_only=True) as con:
        con.execute("set enable_progress_bar = false; set timezone = 'UTC'")
        for name in YARDSTICK_FILES:
            con.execute((YARDSTICK / f"{name}.sql").read_text())
        return con.sql("from answer where value is not null").to_arrow_table()


YARDSTICK_FILES = sorted(path.stem for path in YARDSTICK.glob("*.sql"))


def yardstick_values(workload: Workload) -> Values:
    return {
        (row["kpi"], row["month"], row["dimension"], row["entry"], row["stage"] or ""): row["value"]
        for row in ask_yardstick(workload).to_pylist()
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


def compare(workload: Workload) -> int:
    """The number of equal values. Ends the program when any differs."""
    ours, theirs = engine_values(workload), yardstick_values(workload)
    wrong = differences(ours, theirs)
    if wrong:
        print("\n".join(wrong[:40]), file=sys.stderr)
        raise SystemExit(f"{len(wrong)} of {len(ours)} values differ; nothing was timed.")
    return len(ours)


def measure(size: str, pairs: int, *, one_currency: bool = False) -> list[Line]:
    arguments = ["--size", size, *(["--one-currency"] if one_currency else [])]
    run("sales_pack", "--child", "make", *arguments)
    equal = run("sales_pack", "--child", "compare", *arguments).told["values"]
    own, other = in_turns(
        lambda: run("sales_pack", "--child", "engine", *arguments),
        lambda: run("sales_pack", "--child", "yardstick", *arguments),
        pairs,
    )
    name = f"sales pack {size}{', one currency' if one_currency else ''}, {equal:,} values"
    return lines(name, own, other, cpu=CPU_GOAL, memory=MEMORY_GOAL)


def _child(which: str, workload: Workload) -> None:
    # Imported before the clock starts.
    importlib.import_module("duckdb")
    importlib.import_module("pyarrow")
    if which == "engine":
        importlib.import_module("crmetrics.engine.answer")
    works: Mapping[str, Callable[[], Mapping[str, Any]]] = {
        "make": lambda: {"folder": str(workload.make().folder)},
        "project": lambda: {"folder": str(_project_folder(workload.make()))},
        "compare": lambda: {"values": compare(workload)},
        "engine": lambda: {"rows": sum(table.num_rows for table in ask_engine(workload))},
        "yardstick": lambda: {"rows": ask_yardstick(workload).num_rows},
    }
    told(works[which])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
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
        _child(asked.child, Workload(asked.size, asked.one_currency))
        return
    print(HEAD)
    for line in measure(asked.size, asked.pairs, one_currency=asked.one_currency):
        print(line)


if __name__ == "__main__":
    main()
