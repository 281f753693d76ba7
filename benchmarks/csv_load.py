"""CSV files into the warehouse, against pyarrow and DuckDB with nothing between them.

    python -m benchmarks.csv_load [--size S] [--pairs 3]

The product takes its whole way: a project folder, the connector `csv`, `Project.sync`, with keys,
duplicates, rejected rows, counts and references checked and everything committed. The yardstick
reads the same files by `pyarrow.csv.open_csv` with every type given and has DuckDB make a table of
each stream. The second part loads one file, and five times as many rows, with DuckDB held to
`memory_limit: 100MB`: the peak of the memory must not follow the size of the file. (DuckDB keeps
what it has written in memory while there is room, for the yardstick as well; under a limit that the
smaller file does not reach, the larger one would only show this.)
"""

from __future__ import annotations

import argparse
import importlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measuring import HEAD, Line, in_turns, lines, run, told
from benchmarks.workload import EXPORTED_AT, Workload

CPU_GOAL = 1.2
GROWTH_GOAL = 1.2
_GROWN = "activities"
_TIMES = (1, 5)
_LIMIT = "100MB"
_CHILDREN = ["make", "make-grown", "product", "yardstick", "grown"]


def load(files: Path, project: Path, limit: str = "null") -> Mapping[str, Any]:
    """Load a folder of CSV files by the product, into a new warehouse."""
    from crmetrics.engine import Project

    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    (project / "crmetrics.yaml").write_text(
        "version: 1\nproject: benchmark\nreporting: {timezone: UTC, currency: USD}\n"
        f"warehouse: {{path: warehouse.duckdb, memory_limit: {limit}}}\n"
        f"sources: {{crm: {{connector: csv, path: {files}}}}}\nmetrics: {{packs: [sales]}}\n"
    )
    report = Project(project, now=lambda: EXPORTED_AT).sync()
    if report.error is not None:
        raise report.error
    return {"rows": sum(loaded.rows for loaded in report.reports)}


def load_plainly(files: Path, project: Path) -> Mapping[str, Any]:
    """The same files by pyarrow and DuckDB alone."""
    import duckdb
    import pyarrow as pa
    from pyarrow import csv

    from crmetrics.datasets import canonical_datasets

    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    datasets = canonical_datasets()
    rows = 0
    with duckdb.connect(str(project / "plain.duckdb")) as con:
        con.execute("set enable_progress_bar = false; set timezone = 'UTC'")
        con.execute("set preserve_insertion_order = false")
        for file in sorted(files.glob("*.csv")):
            schema = datasets[file.stem].arrow_schema()
            stream = csv.open_csv(
                file,
                convert_options=csv.ConvertOptions(
                    column_types={field.name: field.type for field in schema},
                    strings_can_be_null=True,
                ),
            )
            assert isinstance(stream, pa.RecordBatchReader)
            con.register("stream", stream)
            con.execute(f"create table {file.stem} as from stream")
            con.unregister("stream")
            rows += con.execute(f"select count(*) from {file.stem}").fetchall()[0][0]
    return {"rows": rows}


def grown(workload: Workload, times: int) -> Path:
    """A folder with one CSV file of `activities`, so many times as many rows as the workload has;
    ids rise from row to row as in any export by id."""
    import duckdb

    folder = workload.folder / f"csv_{times}"
    file = folder / f"{_GROWN}.csv"
    if not file.exists():
        folder.mkdir(exist_ok=True)
        source = workload.files() / f"{_GROWN}.parquet"
        with duckdb.connect() as con:
            con.execute("set enable_progress_bar = false; set timezone = 'UTC'")
            for number in range(times):
                part = folder / f"{number}.part"
                con.execute(
                    f"copy (select * replace ('{number}' || id as id) from '{source}') to '{part}'"
                    f" (header {number == 0}, format csv,"
                    " timestampformat '%Y-%m-%dT%H:%M:%S.%fZ')"
                )
        parts = sorted(folder.glob("*.part"))
        with (folder / "whole").open("wb") as whole:
            for part in parts:
                with part.open("rb") as text:
                    shutil.copyfileobj(text, whole)
                part.unlink()
        (folder / "whole").rename(file)
    return folder


# --- timing --------------------------------------------------------------------------------------


def measure(size: str, pairs: int, *, grows: bool = True) -> list[Line]:
    """grows: with the second part."""
    run("csv_load", "--child", "make", "--size", size)
    own, other = in_turns(
        lambda: run("csv_load", "--child", "product", "--size", size),
        lambda: run("csv_load", "--child", "yardstick", "--size", size),
        pairs,
    )
    rows = {cost.told["rows"] for cost in (*own, *other)}
    if len(rows) != 1:
        raise SystemExit(f"product and yardstick loaded different numbers of rows: {sorted(rows)}")
    found = lines(f"CSV load {size}, {rows.pop():,} rows", own, other, cpu=CPU_GOAL, memory=1.5)
    return [*found, _growth(size)] if grows else found


def _growth(size: str) -> Line:
    run("csv_load", "--child", "make-grown", "--size", size)
    small, large = (
        run("csv_load", "--child", "grown", "--size", size, "--times", str(times)).peak_mb
        for times in _TIMES
    )
    what = f"CSV load, {_TIMES[1]}x against 1x the rows, {_LIMIT} limit"
    return Line(what, "MB", large, small, GROWTH_GOAL)


def _child(which: str, size: str, times: int) -> None:
    workload = Workload(size)
    for module in ("duckdb", "pyarrow.csv", "crmetrics.engine.loading", "crmetrics_csv.delimited"):
        importlib.import_module(module)

    def make() -> Mapping[str, Any]:
        return {"folder": str(workload.make(csv=True, warehouse=False).folder)}

    def make_grown() -> Mapping[str, Any]:
        workload.make(warehouse=False)
        return {"folders": [str(grown(workload, number)) for number in _TIMES]}

    files, project = workload.files("csv"), workload.folder / "loaded"
    works: Mapping[str, Callable[[], Mapping[str, Any]]] = {
        "make": make,
        "make-grown": make_grown,
        "product": lambda: load(files, project),
        "yardstick": lambda: load_plainly(files, project),
        "grown": lambda: load(workload.folder / f"csv_{times}", project, _LIMIT),
    }
    told(works[which])
    shutil.rmtree(project, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="S")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--times", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=_CHILDREN, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        _child(asked.child, asked.size, asked.times)
        return
    print(HEAD)
    for line in measure(asked.size, asked.pairs, grows=asked.size in ("XS", "S")):
        print(line)


if __name__ == "__main__":
    main()
