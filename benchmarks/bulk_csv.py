"""A Salesforce bulk job into the warehouse, against requests, pyarrow.csv and DuckDB by hand.

    python -m benchmarks.bulk_csv [--records 100000] [--pairs 3]

A server on this machine, in a process of its own, gives a token, describes one object with 40
text fields, and serves the result of one bulk job in pages of 50,000 rows, some 40 MB each. The
product takes its whole way: the connector `salesforce`, `Project.sync`, every field a column, keys
checked, every page and the whole counted, everything committed. The yardstick reads the same pages
raw, parses them by `pyarrow.csv` with the types given, and has DuckDB make a table of them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from benchmarks.measuring import HEAD, Line, in_turns, lines, run, told

CPU_GOAL = 1.3
PAGE = 50_000
FIELDS = [f"Property_{number}__c" for number in range(40)]
_STAMP = "2026-01-05T09:00:00.000Z"
_PLUGIN = """
from crmetrics.plugin import Column, Dataset, hookimpl

@hookimpl
def crmetrics_datasets():
    columns = tuple(Column(f"property_{n}", "string") for n in range(40))
    return [Dataset("things", "what the job holds", columns)]
"""


# --- the server ------------------------------------------------------------------------------


def page(number: int, rows: int) -> bytes:
    """One page as Bulk writes it: everything quoted, null as an empty text, a header each."""
    head = ",".join(f'"{name}"' for name in ("Id", "IsDeleted", "SystemModstamp", *FIELDS))
    body = [head]
    for n in range(number * PAGE, number * PAGE + rows):
        values = (
            '""' if (n + p) % 12 == 0 else f'"{n * (p + 7):0{10 + (p * 5) % 25}}"'
            for p in range(len(FIELDS))
        )
        body.append(f'"a01{n:015}","false","{_STAMP}",' + ",".join(values))
    return "\n".join(body).encode() + b"\n"


def serve(total: int, port: Queue[int]) -> None:
    sizes = [min(PAGE, total - first) for first in range(0, total, PAGE)]
    pages = [page(number, rows) for number, rows in enumerate(sizes)]
    fields = [
        {"name": "Id", "type": "id"},
        {"name": "IsDeleted", "type": "boolean"},
        {"name": "SystemModstamp", "type": "datetime"},
        *({"name": name, "type": "string"} for name in FIELDS),
    ]
    job = {"id": "750000000000001AAA", "state": "JobComplete", "numberRecordsProcessed": total}
    answers: Mapping[str, Any] = {
        "/token": {"access_token": "benchmark-token", "instance_url": ""},
        "/limits": {"DailyApiRequests": {"Max": 100_000, "Remaining": 100_000}},
        "/describe": {"name": "Thing__c", "fields": fields},
        "/jobs/query": job,
        f"/jobs/query/{job['id']}": job,
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _, query = self.path.partition("?")
            if path.endswith("/results"):
                self.results(int(query.rpartition("locator=")[2]) if "locator=" in query else 0)
                return
            if path.endswith("/composite/batch"):
                self.describe(json.loads(sent)["batchRequests"])
                return
            found = next(answers[end] for end in answers if path.endswith(end))
            self.send(json.dumps(found).encode())

        def describe(self, requests: list[dict[str, str]]) -> None:
            """The org has this one object and none of the standard ones."""
            found = [
                {"statusCode": 200, "result": answers["/describe"]}
                if "/Thing__c/" in request["url"]
                else {"statusCode": 404, "result": [{"errorCode": "NOT_FOUND"}]}
                for request in requests
            ]
            self.send(json.dumps({"results": found}).encode())

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

        def results(self, number: int) -> None:
            following = str(number + 1) if number + 1 < len(pages) else "null"
            rows = str(sizes[number])
            self.send(pages[number], {"Sforce-Locator": following, "Sforce-NumberOfRecords": rows})

        def send(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.put(server.server_port)
    server.serve_forever()


# --- the two ways ------------------------------------------------------------------------------


def load(url: str, project: Path) -> Mapping[str, Any]:
    """The product's whole way."""
    from crmetrics.engine import Project

    (project / "plugins").mkdir(parents=True)
    (project / "plugins" / "things.py").write_text(_PLUGIN)
    columns = ", ".join(f"property_{n}: {name}" for n, name in enumerate(FIELDS))
    (project / "crmetrics.yaml").write_text(
        "version: 1\nproject: benchmark\nreporting: {timezone: UTC, currency: USD}\n"
        "warehouse: {path: warehouse.duckdb, memory_limit: 150MB}\n"
        f"sources:\n  crm:\n    connector: salesforce\n    base_url: '{url}'\n"
        "    transport: bulk\n"
        "    auth: {flow: client_credentials, client_id: id, client_secret: secret-of-the-app}\n"
        f"    datasets: {{things: {{object: Thing__c, columns: {{{columns}}}}}}}\n"
    )
    opened = Project(project)
    report = opened.sync()
    if report.error is not None:
        raise report.error
    return {"rows": sum(loaded.rows for loaded in report.reports if loaded.dataset == "things")}


def load_plainly(url: str, project: Path) -> Mapping[str, Any]:
    """The same by hand, as quick as these libraries go."""
    import duckdb
    import pyarrow as pa
    from pyarrow import csv

    project.mkdir(parents=True)
    types = {"Id": pa.string(), "IsDeleted": pa.bool_()}
    types |= {"SystemModstamp": pa.timestamp("us", tz="UTC"), **dict.fromkeys(FIELDS, pa.string())}

    def batches() -> Iterator[pa.RecordBatch]:
        for body in _bodies(url):
            yield from csv.read_csv(
                pa.BufferReader(body),
                read_options=csv.ReadOptions(block_size=8 << 20, use_threads=False),
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=csv.ConvertOptions(column_types=types, strings_can_be_null=True),
            ).to_batches()

    with duckdb.connect(str(project / "plain.duckdb")) as con:
        con.execute("set enable_progress_bar = false; set memory_limit = '150MB'")
        con.execute("set preserve_insertion_order = false; set timezone = 'UTC'")
        schema = pa.schema(list(types.items()))
        con.register("stream", pa.RecordBatchReader.from_batches(schema, batches()))
        con.execute("create table things as from stream")
        con.unregister("stream")
        return {"rows": con.execute("select count(*) from things").fetchall()[0][0]}


def _bodies(url: str) -> Iterator[bytes]:
    import requests

    address = f"{url}/services/data/v65.0/jobs/query/750000000000001AAA/results"
    locator = ""
    with requests.Session() as session:
        while locator != "null":
            asked = f"{address}?locator={locator}" if locator else address
            response = session.get(asked, stream=True)
            yield response.raw.read()
            locator = response.headers["Sforce-Locator"]


# --- timing --------------------------------------------------------------------------------------


def measure(records: int, pairs: int) -> list[Line]:
    # Spawned: a forked child would begin with this process's memory, and its peak.
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    server = context.Process(target=serve, args=(records, port), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{port.get()}"
    try:
        own, other = in_turns(
            lambda: run("bulk_csv", "--child", "product", "--url", url),
            lambda: run("bulk_csv", "--child", "yardstick", "--url", url),
            pairs,
        )
    finally:
        server.terminate()
        server.join()
    rows = {cost.told["rows"] for cost in (*own, *other)}
    if rows != {records}:
        raise SystemExit(f"expected {records} records, loaded were {sorted(rows)}")
    return lines(f"Bulk CSV, {records:,} records", own, other, cpu=CPU_GOAL, memory=1.5)


def _child(which: str, url: str) -> None:
    for module in ("duckdb", "pyarrow.csv", "requests", "crmetrics.engine.loading"):
        importlib.import_module(module)
    importlib.import_module("crmetrics.loader").load_plugins(Path(tempfile.gettempdir()))
    works: Mapping[str, Callable[[str, Path], Mapping[str, Any]]] = {
        "product": load,
        "yardstick": load_plainly,
    }
    folder = Path(tempfile.mkdtemp(prefix="bulk_csv_"))
    try:
        told(lambda: works[which](url, folder / "project"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=["product", "yardstick"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        _child(asked.child, asked.url)
        return
    print(HEAD)
    for line in measure(asked.records, asked.pairs):
        print(line)


if __name__ == "__main__":
    main()
