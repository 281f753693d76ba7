"""HubSpot records into the warehouse, against requests, pyarrow.json and DuckDB by hand.

    python -m benchmarks.hubspot_pages [--records 100000] [--pairs 3]

A server on this machine, in a process of its own, serves a custom object in pages of 100 records
with 40 text properties each. The product takes its whole way with the connector `hubspot`: property
metadata, the list, pages kept for a run after a killed one, empty texts to nulls, the recycle bin,
`Project.sync`. The yardstick is that of `json_pages`, on the same pages. Peak memory of five times
as many records must not be higher.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from benchmarks.json_pages import PAGE, PROPERTIES, load_plainly, page
from benchmarks.measuring import Line, lines, run
from benchmarks.served import Served, both_ways, main

CPU_GOAL = 1.5
MEMORY_GOAL = 1.5
GROWTH_GOAL = 1.2
_NAMES = [f"property_{n}" for n in range(PROPERTIES)]
_ROUNDS = 199  # prepared pages, served again and again under other ids
_PLUGIN = """
from crmetrics.plugin import Column, Dataset, hookimpl

@hookimpl
def crmetrics_datasets():
    columns = tuple(Column(f"property_{n}", "string") for n in range(%d))
    return [Dataset("things", "what the pages hold", columns)]
"""


# --- the server ------------------------------------------------------------------------------


def prepared(number: int) -> bytes:
    """A page as HubSpot gives it: with the envelope of each record."""
    document = json.loads(page(number, 10**9))
    for record in document["results"]:
        record["createdAt"] = record["updatedAt"] = "2025-11-03T09:00:00.123Z"
        record["archived"] = False
    return json.dumps(document).encode()


class Pages(BaseHTTPRequestHandler):
    """The list of a custom object, its properties, and an empty recycle bin."""

    protocol_version = "HTTP/1.1"
    made: list[bytes]
    total: int

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if "/properties/" in path:
            found = [{"name": name, "type": "string"} for name in _NAMES]
            self._answer(json.dumps({"results": found}).encode())
        elif "archived=true" in query:
            self._answer(b'{"results": []}')
        else:
            after = [part[6:] for part in query.split("&") if part.startswith("after=")]
            self._answer(self._page(int(after[0]) if after else 0))

    def do_POST(self) -> None:
        """The search that counts the records."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(json.dumps({"total": self.total, "results": []}).encode())

    def _page(self, number: int) -> bytes:
        """A prepared page with the ids and the cursor of this one."""
        base, round_ = number % _ROUNDS, number // _ROUNDS
        body = self.made[base].replace(b'"id": "0000', f'"id": "{round_:04}'.encode())
        if (number + 1) * PAGE >= self.total:
            return body[: body.rindex(b', "paging"')] + b"}"
        old, new = f'"after": "{base + 1}"', f'"after": "{number + 1}"'
        return body.replace(old.encode(), new.encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-HubSpot-RateLimit-Max", "1000000")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def serve(total: int, port: Queue[int]) -> None:
    Pages.made = [prepared(number) for number in range(_ROUNDS)]
    Pages.total = total
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    port.put(server.server_port)
    server.serve_forever()


# --- the product -------------------------------------------------------------------------------


def load(url: str, project: Path) -> Mapping[str, Any]:
    """The product's whole way."""
    from crmetrics.engine import Project
    from crmetrics.engine.loading import sync

    (project / "plugins").mkdir(parents=True)
    (project / "plugins" / "things.py").write_text(_PLUGIN % PROPERTIES)
    things = {"object": "2-1", "columns": {name: name for name in _NAMES}}
    document = {
        "version": 1,
        "project": "benchmark",
        "reporting": {"timezone": "UTC", "currency": "USD"},
        "warehouse": {"path": "warehouse.duckdb", "memory_limit": "150MB"},
        "sources": {
            "crm": {
                "connector": "hubspot",
                "base_url": url,
                "auth": {"token": "benchmark-token"},
                "datasets": {"things": things},
            }
        },
    }
    (project / "crmetrics.yaml").write_text(json.dumps(document))
    report = sync(Project(project), (), needs={"things": ["id", *_NAMES]})
    (found,) = report.reports
    if found.error is not None:
        raise found.error
    return {"rows": found.rows}


# --- timing --------------------------------------------------------------------------------------


def measure(records: int, pairs: int) -> list[Line]:
    with Served(serve, records) as url:
        own, other = both_ways("hubspot_pages", url, records, pairs)
    found = lines(
        f"HubSpot pages, {records:,} records", own, other, cpu=CPU_GOAL, memory=MEMORY_GOAL
    )
    with Served(serve, 5 * records) as url:
        large = run("hubspot_pages", "--child", "product", "--url", url).peak_mb
    small = min(cost.peak_mb for cost in own)
    found.append(Line("HubSpot pages, 5x against 1x the records", "MB", large, small, GROWTH_GOAL))
    return found


if __name__ == "__main__":
    ways = {"product": load, "yardstick": load_plainly}
    needs = ("duckdb", "pyarrow.json", "requests", "crmetrics.engine.loading")
    main("hubspot_pages", str(__doc__), measure, ways, needs)
