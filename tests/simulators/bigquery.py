"""A local BigQuery: its REST interface for queries, over DuckDB, behind a proxy.

The driver knows no other address than Google's. So a client gets HTTPS_PROXY and SSL_CERT_FILE of
this simulator (`environment`), and a service account whose tokens come from here. SQL is read as
BigQuery's by sqlglot and run as DuckDB's; what it cannot read is refused. The Storage API, which
reads rows as Arrow, answers that the permission is missing.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import uuid
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import duckdb
import sqlglot
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlglot import exp

PROJECT = "acme-data"
_TOKEN = "simulatedToken0123456789"
_HOSTS = ("bigquery.googleapis.com", "bigquerystorage.googleapis.com")
_LONGEST_QUERY, _LARGEST_REQUEST = 1_048_576, 10_000_000
_TYPES = {"VARCHAR": "STRING", "DOUBLE": "FLOAT", "BIGINT": "INTEGER", "DATE": "DATE",
          "TIMESTAMP WITH TIME ZONE": "TIMESTAMP", "BOOLEAN": "BOOLEAN"}  # fmt: skip
_ASSERT = re.compile(r"(?is)^assert (?P<claim>\(.*\)) as '(?P<told>[^']*)'$")


class Refused(Exception):
    """An answer with an error, as Google gives it."""

    def __init__(self, status: int, reason: str, text: str) -> None:
        super().__init__(text)
        self.status, self.reason = status, reason


class BigQueryServer:
    """with BigQueryServer(folder) as server: ...a client with server.environment...

    queries: every statement that came. unavailable: so many requests are answered 503 first.
    """

    def __init__(self, folder: Path) -> None:
        self.queries: list[str] = []
        self.jobs: dict[str, Refused | None] = {}
        self.unavailable = 0
        self._lock = threading.Lock()
        self._engine = duckdb.connect()
        self._engine.execute(f"attach ':memory:' as \"{PROJECT}\"")
        self._engine.execute("set timezone = 'UTC'")
        self._engine.execute("create macro json_query_array(t) as json_extract(t, '$[*]')")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        authority = trustme.CA()
        self._contexts = {host: _context(authority, host) for host in _HOSTS}
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.credentials = folder / "account.json"
        self.credentials.write_text(json.dumps(self._account()), encoding="utf-8")
        self.environment = {
            "HTTPS_PROXY": f"http://127.0.0.1:{self.port}",
            "SSL_CERT_FILE": str(folder / "ca.pem"),
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._thread.join()
        self._socket.close()
        self._engine.close()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def url(self, dataset: str) -> str:
        return f"bigquery://{PROJECT}/{dataset}?credentials={self.credentials}&location=EU"

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """A second way to look inside, in DuckDB's SQL."""
        with self._lock:
            return self._engine.execute(sql).fetchall()

    def _account(self) -> dict[str, str]:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "1",
            "private_key": key.decode(),
            "client_email": "crmetrics@acme-data.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": f"http://127.0.0.1:{self.port}/token",
        }

    # --- connections -------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """One connection: a token, or a tunnel to one of Google's hosts."""
        try:
            with connection:
                if connection.recv(7, socket.MSG_PEEK) != b"CONNECT":
                    _Handler(connection, ("", 0), self)  # type: ignore[arg-type]
                    return
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += connection.recv(1)
                host = head.split()[1].decode().partition(":")[0]
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                with self._contexts[host].wrap_socket(connection, server_side=True) as secure:
                    if secure.selected_alpn_protocol() == "h2":
                        _deny(secure)
                    else:
                        _Handler(secure, ("", 0), self)  # type: ignore[arg-type]
        except OSError:
            return

    # --- requests ----------------------------------------------------------------------------

    def answer(self, method: str, target: str, body: bytes) -> dict[str, Any]:
        """Raises Refused."""
        if self.unavailable:
            self.unavailable -= 1
            raise Refused(503, "backendError", "try again later")
        if len(body) > _LARGEST_REQUEST:
            raise Refused(413, "requestTooLarge", "request too large")
        path = urlsplit(target).path.removeprefix("/bigquery/v2/")
        match method, path.split("/"):
            case "POST", ["projects", project, "jobs"]:
                return self._insert(project, json.loads(body))
            case "GET", ["projects", _, "jobs" | "queries" as kind, job]:
                return self._result(job, raises=kind == "queries")
            case "GET", ["projects", project, "datasets", dataset, "tables", table]:
                return self._table(project, dataset, table)
        raise Refused(404, "notFound", f"no such method: {method} {path}")

    def _insert(self, project: str, asked: dict[str, Any]) -> dict[str, Any]:
        if project != PROJECT:
            raise Refused(404, "notFound", f"Not found: Project {project}")
        job = asked["jobReference"].get("jobId") or uuid.uuid4().hex
        if job in self.jobs:
            raise Refused(409, "duplicate", f"Already Exists: Job {job}")
        query = asked["configuration"]["query"]
        if query.get("useLegacySql") is not False:
            raise Refused(400, "invalid", "legacy SQL is not simulated")
        self.queries.append(query["query"])
        parameters = [one["parameterValue"]["value"] for one in query.get("queryParameters", [])]
        try:
            if len(query["query"]) > _LONGEST_QUERY:
                raise Refused(400, "invalidQuery", "The query is too large")
            with self._lock:
                for statement in _statements(query["query"]):
                    self._execute(statement, parameters)
            self.jobs[job] = None
        except Refused as exc:
            self.jobs[job] = exc
        return self._result(job)

    def _execute(self, sql: str, parameters: list[str]) -> None:
        claim = _ASSERT.match(sql)
        try:
            if parameters and "?" not in sql:
                raise Refused(400, "invalidQuery", "Too many positional parameters")
            if claim:
                [(holds,)] = self._engine.execute(_as_duckdb(f"select {claim['claim']}")).fetchall()
                if holds is not True:
                    raise Refused(400, "invalidQuery", f"Assertion failed: {claim['told']}")
                return
            self._engine.execute(_as_duckdb(sql), parameters)
        except duckdb.Error as exc:
            reason = "notFound" if "does not exist" in str(exc) else "invalidQuery"
            raise Refused(404 if reason == "notFound" else 400, reason, str(exc)) from exc
        except sqlglot.errors.SqlglotError as exc:
            raise Refused(400, "invalidQuery", f"Syntax error: {exc}") from exc

    def _result(self, job: str, *, raises: bool = False) -> dict[str, Any]:
        if job not in self.jobs:
            raise Refused(404, "notFound", f"Not found: Job {job}")
        refused = self.jobs[job]
        if refused is not None and raises:
            raise refused
        status: dict[str, Any] = {"state": "DONE"}
        if refused is not None:
            status["errorResult"] = {"reason": refused.reason, "message": str(refused)}
        reference = {"projectId": PROJECT, "jobId": job, "location": "EU"}
        return {"kind": "bigquery#job", "jobReference": reference, "status": status,
                "jobComplete": True, "totalRows": "0", "statistics": {"query": {}},
                "configuration": {"jobType": "QUERY", "query": {"query": "", "useLegacySql": False,
                    "destinationTable": {"projectId": PROJECT, "datasetId": "_anonymous",
                                         "tableId": "anon1"}}}}  # fmt: skip

    def _table(self, project: str, dataset: str, table: str) -> dict[str, Any]:
        found = self.run(
            "select column_name, data_type from information_schema.columns where table_catalog = "
            f"'{project}' and table_schema = '{dataset}' and table_name = '{table}' "
            "order by ordinal_position"
        )
        if not found:
            raise Refused(404, "notFound", f"Not found: Table {project}:{dataset}.{table}")
        fields = [{"name": name, "type": _TYPES.get(kind, "NUMERIC")} for name, kind in found]
        return {
            "id": f"{project}:{dataset}.{table}",
            "tableReference": {"projectId": project, "datasetId": dataset, "tableId": table},
            "schema": {"fields": fields},
            "type": "TABLE",
        }


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 on a connection that is open already; `server` is the simulator."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self._reply(b"")

    def do_POST(self) -> None:
        self._reply(self.rfile.read(int(self.headers.get("content-length", 0))))

    def _reply(self, body: bytes) -> None:
        try:
            if self.path == "/token":
                answer = {"access_token": _TOKEN, "token_type": "Bearer", "expires_in": 3600}
            elif self.headers.get("authorization") != f"Bearer {_TOKEN}":
                raise Refused(401, "authError", "Invalid Credentials")
            else:
                answer = self.server.answer(self.command, self.path, body)
            status = 200
        except Refused as exc:
            status = exc.status
            told = {"reason": exc.reason, "message": str(exc)}
            answer = {"error": {"code": status, "message": str(exc), "errors": [told]}}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        return


def _context(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    context.set_alpn_protocols(["h2" if "storage" in host else "http/1.1"])
    return context


def _deny(connection: ssl.SSLSocket) -> None:
    """gRPC without its library: every call ends with PERMISSION_DENIED (7)."""
    stream = connection.makefile("rb")
    stream.read(24)  # the preface of HTTP/2
    connection.sendall(_frame(4, 0, 0))
    trailers = (
        b"\x88" + _header(b"content-type", b"application/grpc") + _header(b"grpc-status", b"7")
    )
    while len(head := stream.read(9)) == 9:
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        number = int.from_bytes(head[5:], "big")
        data = stream.read(size)
        if kind == 4 and not flags & 1:
            connection.sendall(_frame(4, 1, 0))
        elif kind == 6 and not flags & 1:
            connection.sendall(_frame(6, 1, 0, data))
        elif kind in (0, 1) and flags & 1:
            connection.sendall(_frame(1, 5, number, trailers))


def _frame(kind: int, flags: int, number: int, data: bytes = b"") -> bytes:
    return len(data).to_bytes(3, "big") + bytes((kind, flags)) + number.to_bytes(4, "big") + data


def _header(name: bytes, value: bytes) -> bytes:
    return bytes((0, len(name))) + name + bytes((len(value),)) + value


def _statements(sql: str) -> list[str]:
    return [part.strip() for part in sql.split(";\n")]


def _as_duckdb(sql: str) -> str:
    """BigQuery's SQL as DuckDB's; raises for what BigQuery's parser does not take."""
    [tree] = sqlglot.parse(sql, read="bigquery", error_level=sqlglot.ErrorLevel.RAISE)
    assert tree is not None
    if isinstance(tree, exp.Command):
        raise sqlglot.errors.ParseError(f"not understood: {sql[:80]}")
    if isinstance(tree, exp.Create):
        tree.set("properties", None)  # options of a table
    for name in tree.find_all(exp.Table):
        if name.name and not name.catalog and name.parts[-1].quoted and "crmetrics" in name.name:
            raise sqlglot.errors.ParseError(f"Table {name.name} must be qualified with a dataset")
    return tree.sql(dialect="duckdb")
