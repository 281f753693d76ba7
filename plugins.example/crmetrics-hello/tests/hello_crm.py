"""A simulated Hello CRM on this machine: token, pages, changes since."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-the-simulation"
COMPANIES: list[dict[str, Any]] = [
    {
        "id": f"c{number}",
        "kind": "customer",
        "industry": "retail",
        "country": "DE",
        "owner": "u1",
        "size": number,
        "created": "2025-01-01T00:00:00Z",
        "changed": f"2026-01-01T00:{number % 60:02}:00Z",
        "deleted": number == 250,
    }
    for number in range(1, 251)
]


class HelloCrm:
    """The server; `fault` makes it misbehave: `html`, `null` or a status."""

    def __init__(self) -> None:
        self.fault: str | int = ""
        self.queries: list[dict[str, str]] = []
        crm = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = crm.answer(self.path, self.headers.get("Authorization", ""))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.base_url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        self.queries.append(query)
        if authorization != f"Bearer {TOKEN}":
            return 401, b'{"error": "unauthorized"}'
        if self.fault == "html":
            return 200, b"<html>maintenance</html>"
        if self.fault == "null":
            return 200, b"null"
        if self.fault:
            return int(self.fault), b"{}"
        since = query.get("changed_since", "").replace("+00:00", "Z")
        before = query.get("changed_before", "9").replace("+00:00", "Z")
        found = [company for company in COMPANIES if since <= company["changed"] < before]
        first, limit = int(query.get("cursor", 0)), int(query["limit"])
        end = first + limit
        page = {"items": found[first:end], "next": str(end) if end < len(found) else None}
        return 200, json.dumps(page).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
