"""A way to a PostgreSQL socket whose first connection gets nowhere until it is let go."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from pathlib import Path
from typing import Self

_NAME = ".s.PGSQL.5432"


class HeldPostgres:
    """A socket in `folder` that leads to the one in `behind`; a context manager.

    release: lets the first connection through; all others pass at once.
    """

    def __init__(self, folder: Path, behind: Path) -> None:
        self._behind = behind / _NAME
        self._numbers = itertools.count()
        self.release = threading.Event()
        self._front = socket.socket(socket.AF_UNIX)
        self._front.bind(str(folder / _NAME))
        self._front.listen(10)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        with contextlib.suppress(OSError):
            self._front.shutdown(socket.SHUT_RDWR)
        self._front.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._front.accept()
                number = next(self._numbers)
                threading.Thread(target=self._lead, args=(client, number), daemon=True).start()

    def _lead(self, client: socket.socket, number: int) -> None:
        if number == 0:
            self.release.wait()
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(self._behind))
            back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            back.start()
            _pass_on(client, server)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
