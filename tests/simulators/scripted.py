"""A local server that answers what the test says, and remembers what it was asked."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """Answers with what `script` says, in turn: (status, headers, body), or a callable that is
    given the handler. When the script is over: what `always` says, a callable of the path and the
    headers that gives such a triple; without it 200 and `ok`."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.always: Any = None
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                scripted.seen.append((self.command, self.path, headers, self.rfile.read(length)))
                step: Any = (200, {}, b"ok")
                if scripted.script:
                    step = scripted.script.pop(0)
                elif scripted.always is not None:
                    step = scripted.always(self.path, headers)
                if callable(step):
                    step(self)
                    return
                status, extra, body = step
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **extra}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_CONNECT = answer

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
