"""Wall seconds of a million result rows into PostgreSQL, against a bare ADBC ingest.

    python -m benchmarks.postgres_sink [--rows 1000000] [--pairs 5]

Product: the sink `database` with a delivery as a run gives it, nested columns, key, scope and
count afterwards included. Yardstick: `adbc_ingest` of the same rows, flat already, into a table
without a key. Both from this process, in turns, against one server from a wheel; most of the work
is the server's, so wall time is what can be measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import HEAD, ROOT, Line

GOAL = 1.5
_COMPUTED_AT = datetime(2026, 2, 2, 8, tzinfo=UTC)


def results(rows: int) -> Any:
    """One KPI by account: a million groups of one month."""
    import pyarrow as pa

    from crmetrics.results import result_schema

    schema = result_schema()
    numbers = pa.array(range(rows), pa.int64())
    offsets = pa.array(range(rows + 1), pa.int32())
    accounts = pa.array([f"001{number:015d}" for number in range(rows)])
    constant: dict[str, Any] = {
        "kpi": "won_amount",
        "variant": "",
        "period_start": date(2026, 1, 1),
        "period_end": date(2026, 2, 1),
        "grain": "month",
        "unit": "currency",
        "status": "ok",
        "definition_hash": "0123456789abcdef",
        "as_of": _COMPUTED_AT,
        "run_id": "20260202T080000Z-1f3a9c",
        "computed_at": _COMPUTED_AT,
    }
    given: dict[str, Any] = {
        "value": numbers.cast(pa.float64()),
        "n": numbers,
        "segment": pa.MapArray.from_arrays(
            offsets, pa.repeat(pa.scalar("account_id"), rows), accounts
        ),
        "coverage": pa.MapArray.from_arrays(
            offsets,
            pa.repeat(pa.scalar("rows_used"), rows),
            pa.array([float(number % 60) for number in range(rows)]),
        ),
        "flags": pa.ListArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows + 1),
                                          pa.array([], pa.string())),
    }  # fmt: skip
    columns = []
    for field in schema:
        if field.name in given:
            columns.append(given[field.name].cast(field.type))
        elif field.name in constant:
            columns.append(pa.repeat(pa.scalar(constant[field.name], field.type), rows))
        else:
            columns.append(pa.nulls(rows, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


@contextmanager
def server() -> Iterator[str]:
    """The address of a server that lives as long as the measurement."""
    import sys

    sys.path.insert(0, str(ROOT / "tests"))
    from simulators.postgres import PostgresServer

    with tempfile.TemporaryDirectory(prefix="pg") as folder, PostgresServer(Path(folder)) as found:
        yield found.url()


def sink_seconds(url: str, table: Any, name: str) -> float:
    from crmetrics.message import Message
    from crmetrics.plugin import Delivery, Secret, SinkContext
    from crmetrics_database.sink import DatabaseOptions, DatabaseSink

    sink = DatabaseSink(
        DatabaseOptions(url=Secret(url), table=name), SinkContext("history", Path())
    )
    message = Message("t", "t", "2026-01", "2026-01-01", "2026-02-01")
    delivery = Delivery("key", "run", "monthly", table, message, date(2026, 1, 1),
                        date(2026, 2, 1), "month")  # fmt: skip
    began = time.perf_counter()
    receipt = sink.write(delivery)
    seconds = time.perf_counter() - began
    assert receipt.details["inserted"] == table.num_rows
    return seconds


def bare_seconds(url: str, flat: Any, name: str) -> float:
    import adbc_driver_postgresql.dbapi as driver

    began = time.perf_counter()
    with driver.connect(url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(name, flat, mode="create")
        connection.commit()
    return time.perf_counter() - began


def measure(rows: int, pairs: int) -> list[Line]:
    from crmetrics import export

    table = results(rows)
    flat = export.flat(table)
    times = []
    with server() as url:
        for turn in range(pairs):
            ours = sink_seconds(url, table, f"sink_{turn}")
            times.append((ours, bare_seconds(url, flat, f"bare_{turn}")))
            _drop(url, f"sink_{turn}", f"bare_{turn}")
    own = median(ours for ours, _ in times)
    ratio = median(ours / bare for ours, bare in times)
    return [Line(f"{rows:,} results into PostgreSQL", "s", own, own / ratio, GOAL)]


def _drop(url: str, *tables: str) -> None:
    import adbc_driver_postgresql.dbapi as driver

    with driver.connect(url) as connection, connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"drop table {table}")
        connection.commit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    print(HEAD)
    for line in measure(asked.rows, asked.pairs):
        print(line)


if __name__ == "__main__":
    main()
