"""A Salesforce bulk job into the warehouse, against requests, pyarrow.csv and DuckDB by hand.

    python -m benchmarks.bulk_csv [--records 100000] [--pairs 3]

A server on this machine, in a process of its own, gives a token, describes one object with 40
text fields, and serves the result of one bulk job in pages of 50,000 rows, some 40 MB each. The
product takes its whole way: the connector `salesforce`, `Project.sync`, every field a column, keys
checked, every page and the whole counted, everything committed. The yardstick reads the same pages
raw, parses them by `pyarrow.csv` with the types given, and has DuckDB make a table of them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from benchmarks.measuring import Line, lines
from benchmarks.served import Served, both_ways, main

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


def answers_of(total: int) -> Mapping[str, Any]:
    """What the org says, by the end of the path that is asked."""
    fields = [
        {"name": "Id", "type": "id"},
        {"name": "IsDeleted", "type": "boolean"},
        {"name": "SystemModstamp", "type": "datetime"},
        *({"name": name, "type": "string"} for name in FIELDS),
    ]
    job = {"id": "750000000000001AAA", "state": "JobComplete", "numberRecordsProcessed": total}
    return {
        "/token": {"access_token": "benchmark-token", "instance_url": ""},
        "/limits": {"DailyApiRequests": {"Max": 100_000, "Remaining": 100_000}},
        "/describe": {"name": "Thing__c", "fields": fields},
        "/jobs/query": job,
        f"/jobs/query/{job['id']}": job,
    }


class Org(BaseHTTPRequestHandler):
    """An org with one object and the finished job that read it."""

    protocol_version = "HTTP/1.1"
    sizes: Sequence[int]
    pages: Sequence[bytes]
    answers: Mapping[str, Any]

    def answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        if path.endswith("/results"):
            self.results(int(query.rpartition("locator=")[2]) if "locator=" in query else 0)
            return
        if path.endswith("/composite/batch"):
            self.describe(json.loads(sent)["batchRequests"])
            return
        found = next(self.answers[end] for end in self.answers if path.endswith(end))
        self.send(json.dumps(found).encode())

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

    def describe(self, requests: list[dict[str, str]]) -> None:
        """The org has this one object and none of the standard ones."""
        found = [
            {"statusCode": 200, "result": self.answers["/describe"]}
            if "/Thing__c/" in request["url"]
            else {"statusCode": 404, "result": [{"errorCode": "NOT_FOUND"}]}
            for request in requests
        ]
        self.send(json.dumps({"results": found}).encode())

    def results(self, number: int) -> None:
        following = str(number + 1) if number + 1 < len(self.pages) else "null"
        rows = str(self.sizes[number])
        self.send(self.pages[number], {"Sforce-Locator": following, "Sforce-NumberOfRecords": rows})

    def send(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def serve(total: int, port: Queue[int]) -> None:
    Org.sizes = [min(PAGE, total - first) for first in range(0, total, PAGE)]
    Org.pages = [page(number, rows) for number, rows in enumerate(Org.sizes)]
    Org.answers = answers_of(total)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Org)
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
    with Served(serve, records) as url:
        own, other = both_ways("bulk_csv", url, records, pairs)
    return lines(f"Bulk CSV, {records:,} records", own, other, cpu=CPU_GOAL, memory=1.5)


def _know_plugins() -> None:
    from crmetrics.loader import load_plugins

    load_plugins(Path(tempfile.gettempdir()))


if __name__ == "__main__":
    ways = {"product": load, "yardstick": load_plainly}
    needs = ("duckdb", "pyarrow.csv", "requests", "crmetrics.engine.loading")
    main("bulk_csv", str(__doc__), measure, ways, needs, _know_plugins)
