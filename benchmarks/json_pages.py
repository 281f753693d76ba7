"""JSON pages of an API into the warehouse, against requests, pyarrow.json and DuckDB by hand.

    python -m benchmarks.json_pages [--records 100000] [--pairs 3]

A server on this machine, in a process of its own, serves pages of 100 records with 40 text
properties each (162 MB per 100,000). The product takes its whole way: a connector of a few lines on
the kit of `crmetrics.plugin.http`, `Project.sync`, every property a column, keys checked, counts
kept, everything committed. The yardstick reads each page raw, joins the bodies, parses them by
`pyarrow.json` with the schema given, and has DuckDB make a table of it. Peak memory of five times
as many records must not be higher.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from benchmarks.measuring import Line, lines, run
from benchmarks.served import Served, both_ways, main

CPU_GOAL = 1.5
GROWTH_GOAL = 1.2
PAGE = 100
PROPERTIES = 40
_JOINED = 8 * 1024 * 1024
_PLUGIN = """
from functools import cached_property
import pyarrow as pa
from crmetrics.plugin import Column, Connector, Dataset, SourceOptions, Supply, hookimpl, http

NAMES = [f"property_{n}" for n in range(%d)]

class Options(SourceOptions):
    base_url: str

class Pages(Connector):
    name = "pages"
    Config = Options

    @cached_property
    def session(self):
        return http.Session(self.config.base_url)

    def datasets(self):
        return [Supply("things", ("id", *NAMES))]

    def read(self, request):
        fields = {"id": pa.string(), **{f"properties.{n}": pa.string() for n in NAMES}}
        pages = http.pages(self.session, "/things", http.CursorPager("after", "paging.next.after"))
        for batch in http.JsonRecords("results", fields).batches(page.body for page in pages):
            yield batch.rename_columns(["id", *NAMES])

@hookimpl
def crmetrics_connectors():
    return [Pages]

@hookimpl
def crmetrics_datasets():
    columns = tuple(Column(name, "string") for name in NAMES)
    return [Dataset("things", "what the pages hold", columns)]
"""


# --- the server ------------------------------------------------------------------------------


def page(number: int, total: int) -> bytes:
    """One page; texts of uneven length, a twelfth of them null."""
    first = number * PAGE
    results = [
        {
            "id": f"{n:010}",
            "properties": {
                f"property_{p}": None
                if (n + p) % 12 == 0
                else f"{n * (p + 7):0{10 + (p * 5) % 30}}"
                for p in range(PROPERTIES)
            },
        }
        for n in range(first, min(first + PAGE, total))
    ]
    document: dict[str, Any] = {"results": results}
    if first + PAGE < total:
        document["paging"] = {"next": {"after": str(number + 1), "link": "https://x/y?a=[1]"}}
    return json.dumps(document).encode()


def serve(total: int, port: Queue[int]) -> None:
    made = [page(number, min(total, 20_000)) for number in range(200)]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            number = int(self.path.rpartition("after=")[2]) if "after=" in self.path else 0
            body = made[number] if total <= 20_000 else self.moved(number)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def moved(self, number: int) -> bytes:
            """A prepared page with the ids and the cursor of this one."""
            base, round_ = number % 199, number // 199
            body = made[base].replace(b'"id": "0000', f'"id": "{round_:04}'.encode())
            old, new = f'"after": "{base + 1}"', f'"after": "{number + 1}"'
            if (number + 1) * PAGE >= total:
                return body[: body.rindex(b', "paging"')] + b"}"
            return body.replace(old.encode(), new.encode())

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
    (project / "plugins" / "pages.py").write_text(_PLUGIN % PROPERTIES)
    (project / "crmetrics.yaml").write_text(
        "version: 1\nproject: benchmark\nreporting: {timezone: UTC, currency: USD}\n"
        "warehouse: {path: warehouse.duckdb, memory_limit: 150MB}\n"
        f"sources: {{crm: {{connector: pages, base_url: '{url}'}}}}\n"
    )
    report = Project(project).sync()
    if report.error is not None:
        raise report.error
    return {"rows": sum(loaded.rows for loaded in report.reports)}


def load_plainly(url: str, project: Path) -> Mapping[str, Any]:
    """The same by hand, as quick as these libraries go."""
    import duckdb
    import pyarrow as pa

    project.mkdir(parents=True)
    names = [f"property_{n}" for n in range(PROPERTIES)]
    record = pa.struct(
        [("id", pa.string()), ("properties", pa.struct([(n, pa.string()) for n in names]))]
    )
    schema = pa.schema([("results", pa.list_(record))])
    flat = pa.schema([("id", pa.string()), *((n, pa.string()) for n in names)])

    def batches() -> Iterator[pa.RecordBatch]:
        for bodies in _bodies(url):
            yield _parsed(bodies, schema, flat)

    with duckdb.connect(str(project / "plain.duckdb")) as con:
        con.execute("set enable_progress_bar = false; set memory_limit = '150MB'")
        con.execute("set preserve_insertion_order = false")
        con.register("stream", pa.RecordBatchReader.from_batches(flat, batches()))
        con.execute("create table things as from stream")
        con.unregister("stream")
        return {"rows": con.execute("select count(*) from things").fetchall()[0][0]}


def _bodies(url: str) -> Iterator[list[bytes]]:
    import requests

    bodies: list[bytes] = []
    size, after = 0, ""
    with requests.Session() as session:
        while after is not None:
            address = f"{url}/things" + (f"?after={after}" if after else "")
            body = session.get(address, stream=True).raw.read()
            bodies.append(body)
            size += len(body)
            found = body.rfind(b'"after": "')
            after = None if found < 0 else body[found + 10 : body.index(b'"', found + 10)].decode()
            if size >= _JOINED:
                yield bodies
                bodies, size = [], 0
    if bodies:
        yield bodies


def _parsed(bodies: list[bytes], schema: Any, flat: Any) -> Any:
    import pyarrow as pa
    from pyarrow import json as arrow_json

    table = arrow_json.read_json(
        pa.BufferReader(b"\n".join(bodies)),
        read_options=arrow_json.ReadOptions(
            use_threads=False, block_size=max(map(len, bodies)) + 2
        ),
        parse_options=arrow_json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="ignore"
        ),
    )
    records = pa.concat_arrays(table["results"].chunks).flatten()
    identity, properties = records.flatten()
    return pa.RecordBatch.from_arrays([identity, *properties.flatten()], schema=flat)


# --- timing --------------------------------------------------------------------------------------


def measure(records: int, pairs: int) -> list[Line]:
    with Served(serve, records) as url:
        own, other = both_ways("json_pages", url, records, pairs)
    found = lines(f"JSON pages, {records:,} records", own, other, cpu=CPU_GOAL, memory=1.5)
    with Served(serve, 5 * records) as url:
        large = run("json_pages", "--child", "product", "--url", url).peak_mb
    small = min(cost.peak_mb for cost in own)
    found.append(Line("JSON pages, 5x against 1x the records", "MB", large, small, GROWTH_GOAL))
    return found


if __name__ == "__main__":
    ways = {"product": load, "yardstick": load_plainly}
    needs = ("duckdb", "pyarrow.json", "requests", "crmetrics.engine.loading")
    main("json_pages", str(__doc__), measure, ways, needs)
