"""A service that answers a byte at a time and never comes to an end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

from simulators.in_turn import ServerInTurn

_EVERY_S = 0.02


class Drip(ServerInTurn):
    """A server on a free port.

    answers: what is sent at once for each thing that is received on a connection; after the last
    one it goes on with one more byte each fiftieth of a second until the client hangs up.
    connections: how many there were. is_asked: set by the first.
    """

    def __init__(self, *answers: bytes) -> None:
        super().__init__()
        self.answers: Sequence[bytes] = answers
        self.connections = 0
        self.is_asked = threading.Event()

    def talk(self, connection: socket.socket) -> None:
        self.connections += 1
        self.is_asked.set()
        connection.settimeout(10)
        for answer in self.answers:
            if not connection.recv(65_536):
                return
            connection.sendall(answer)
        while not self.is_over.wait(_EVERY_S):
            connection.sendall(b"1")
