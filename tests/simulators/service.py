"""The base of the simulators: a local HTTP server with routes, a log, tokens and faults on demand.

    class Greeter(Service):
        @route("GET", "/hello/{name}")
        def hello(self, call: Call, name: str) -> Answer:
            return Answer.json({"hello": name})

    with Greeter() as service:
        service.faults.answer(503, on="GET /hello", times=2)
        ...call service.base_url + "/hello/ann"...
        assert service.count("GET /hello") == 3

Calls are handled one at a time, so a simulator needs no locks. `clock` is the time of the simulated
world: it stands still unless a test, or a client that sleeps on it, moves it on.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.client import responses as REASONS
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from simulators.crowd import Crowd
from simulators.faults import Fault, Faults
from simulators.messages import Answer, Call
from simulators.tokens import Tokens

__all__ = ["Answer", "Call", "Clock", "Service", "route"]

_LONGEST_SILENCE_S = 30.0
_SMALLEST_GZIP = 200


class Clock:
    """The time of the simulated world; `sleep` moves it on instead of waiting."""

    def __init__(self, start: datetime = datetime(2026, 1, 12, 8, tzinfo=UTC)) -> None:
        self.now = start
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def sleep(self, seconds: float) -> None:
        """For clients that take their pauses as a function."""
        self.slept.append(seconds)
        self.advance(seconds)


def route(method: str, pattern: str) -> Callable[[Any], Any]:
    """Marks a method as the answer to a path; `{name}` is a segment, `{name:rest}` all the rest."""

    def mark(function: Any) -> Any:
        marks = [*getattr(function, "routes", []), (method, _compiled(pattern))]
        function.routes = marks
        return function

    return mark


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)(:rest)?\}", pattern)
    text = ""
    for index in range(0, len(parts), 3):
        text += re.escape(parts[index])
        if index + 1 < len(parts):
            text += f"(?P<{parts[index + 1]}>{'.*' if parts[index + 2] else '[^/]+'})"
    return re.compile(text + r"/?\Z")


class Service:
    """One simulated service on a free port of this machine.

    calls: every request in order, with the status it got. compresses: answers go out as gzip to
    clients that accept it. crowd: counts calls that are under way at once. connections: how many
    were opened. A mistake of the simulator itself is raised at the end. Subclasses add methods with
    `@route`, or override `handle`.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.calls: list[Call] = []
        self.faults = Faults()
        self.tokens = Tokens()
        self.compresses = True
        self.crowd: Crowd | None = None
        self.connections = 0
        self.broken: list[BaseException] = []
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = []
        self._lock = threading.RLock()
        self._release = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.include(self)

    def include(self, part: Any) -> None:
        """Serve the methods of this object that are marked with `@route`."""
        for name in dir(type(part)):
            for method, pattern in getattr(getattr(type(part), name), "routes", ()):
                self._routes.append((method, pattern, getattr(part, name)))

    # --- life --------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up_all()
        self._server.server_close()
        if self.broken:
            raise self.broken[0] from error

    # --- what arrived ------------------------------------------------------------------------

    def seen(self, on: str = "") -> list[Call]:
        """The calls whose line (`GET /path?query`, decoded) holds this regular expression."""
        return [call for call in self.calls if re.search(on, call.line)]

    def count(self, on: str = "") -> int:
        return len(self.seen(on))

    def wait_until_left(self) -> None:
        """Return when every client has closed its connections, a killed one too: what it still
        asked for has been answered then."""
        self._server.wait_until_left()

    # --- answering ---------------------------------------------------------------------------

    def handle(self, call: Call) -> Answer:
        """The answer of the service, without faults."""
        found = False
        for method, pattern, function in self._routes:
            match = pattern.match(call.path)
            if match and method == call.method:
                return function(call, **{k: unquote(v) for k, v in match.groupdict().items()})
            found = found or match is not None
        return self.not_allowed(call) if found else self.not_found(call)

    def not_found(self, call: Call) -> Answer:
        return Answer.text("not found", status=404)

    def not_allowed(self, call: Call) -> Answer:
        return Answer.text("method not allowed", status=405)

    def answer(self, call: Call) -> Answer:
        """The answer that goes out: the service's own, or what a fault makes of it."""
        with self.crowd.around(call) if self.crowd else contextlib.nullcontext():
            return self._answered(call)

    def _answered(self, call: Call) -> Answer:
        with self._lock:
            self.calls.append(call)
            last = Fault()
            for fault in self.faults.take(call):
                fault.prelude()
                self.clock.advance(fault.delay_s)
                last = fault
            answer = last.spoil(self.handle(call) if last.instead is None else last.instead)
            call.status = answer.status
        if answer.is_silent:
            self._release.wait(_LONGEST_SILENCE_S)
        return answer


# --- the wire ---------------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def __getattr__(self, name: str) -> Any:
        # The base class looks for do_GET, do_POST, ... : one method answers all.
        if name.startswith("do_"):
            return self._exchange
        raise AttributeError(name)

    def _exchange(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the client died while it asked
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.command, self.path, headers, body)
        try:
            self._send(call, self.server.service.answer(call))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send(self, call: Call, answer: Answer) -> None:
        if answer.is_reset:
            self._reset()
            return
        if answer.is_silent or answer.is_hung_up:
            self._hang_up()
            return
        body, headers = self._encoded(call, answer)
        head = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, '')}"]
        if answer.status != 204:
            headers.setdefault("Content-Length", str(len(body)))
        head += [f"{name}: {value}" for name, value in headers.items()]
        sent = body if answer.sent_share is None else body[: int(len(body) * answer.sent_share)]
        self.wfile.write("\r\n".join([*head, "", ""]).encode("latin-1") + sent)
        if answer.sent_share is not None:
            self.wfile.flush()
            self._hang_up()

    def _encoded(self, call: Call, answer: Answer) -> tuple[bytes, dict[str, str]]:
        headers = dict(answer.headers)
        accepted = call.headers.get("accept-encoding", "")
        if (
            self.server.service.compresses
            and "gzip" in accepted
            and len(answer.body) >= _SMALLEST_GZIP
            and "Content-Encoding" not in headers
        ):
            headers["Content-Encoding"] = "gzip"
            return gzip.compress(answer.body, 1), headers
        return answer.body, headers

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _reset(self) -> None:
        """Close with a TCP reset in place of an orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    """Keeps the open connections, so that closing does not wait for clients that stay."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, service: Service) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = service
        self._open: set[socket.socket] = set()
        self._guard = threading.Condition()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
            self.service.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._guard:
            self._open.discard(request)
            self._guard.notify_all()

    def wait_until_left(self) -> None:
        with self._guard:
            assert self._guard.wait_for(lambda: not self._open, timeout=300)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is none of our business; a fault of the simulator fails the test."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.service.broken.append(error)

    def hang_up_all(self) -> None:
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
