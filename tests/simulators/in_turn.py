"""A server on this machine that serves one connection after another."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class ServerInTurn:
    """A server on a free port, a context manager; `talk` is what it does with a connection."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def talk(self, connection: socket.socket) -> None:
        """Serve one connection; what the line does is no error."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            pass
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self.is_over.is_set():
                connection.close()
                return
            with contextlib.suppress(OSError):
                self.talk(connection)
            with contextlib.suppress(OSError):
                connection.close()
