"""A service that answers a byte at a time and never comes to an end."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

_EVERY_S = 0.02


class Drip:
    """A server on a free port.

    answers: what is sent at once for each thing that is received on a connection; after the last
    one it goes on with one more byte each fiftieth of a second until the client hangs up.
    connections: how many there were.
    """

    def __init__(self, *answers: bytes) -> None:
        self.answers: Sequence[bytes] = answers
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._is_over = threading.Event()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            pass
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._is_over.is_set():
            connection, _ = self._socket.accept()
            self.connections += 1
            with connection, contextlib.suppress(OSError):
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        for answer in self.answers:
            if not connection.recv(65_536):
                return
            connection.sendall(answer)
        while not self._is_over.wait(_EVERY_S):
            connection.sendall(b"1")
