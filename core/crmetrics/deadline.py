"""A limit of time for an attempt as a whole.

The time limits of a connection count from one byte to the next, so that a service which sends a
byte now and then holds a run, and its warehouse, for ever. When the time is up, or soon after the
program was asked to end, the connection is shut down under whoever waits for it.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Self

from crmetrics import stopping

_STEP_S = 0.1
_GRACE_S = 5.0  # less than what service managers wait for before they kill


class Deadline:
    """The time of one attempt, from `with` (or `begin`) to its end.

    seconds: how long it may take. grace_s: how long it may go on once the program was asked to end.
    What is read after the connection was shut down may look like a whole answer: ask `is_over`.
    """

    def __init__(self, seconds: float, *, grace_s: float = _GRACE_S) -> None:
        self.seconds, self._grace_s = seconds, grace_s
        self.why = ""
        """Why it is over, as a clause; empty while it is not."""
        self._watched: list[socket.socket] = []
        self._guard, self._is_done = threading.Lock(), threading.Event()

    @property
    def is_over(self) -> bool:
        return bool(self.why)

    def watch(self, connection: socket.socket) -> None:
        """Shut this connection down, too, when the time is up."""
        # A copy: the owner may close its own, or wrap it (TLS), at any time.
        copy = socket.socket(fileno=socket.dup(connection.fileno()))
        with self._guard:
            self._watched.append(copy)
            if self.is_over:
                self._shut()

    def begin(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="deadline").start()

    def end(self) -> None:
        """The attempt has come to its end; afterwards nothing is shut down any more."""
        self._is_done.set()
        with self._guard:
            self._release()

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _run(self) -> None:
        until, why = time.monotonic() + self.seconds, f"no whole answer within {self.seconds:g} s"
        is_asked = False
        while (left_s := until - time.monotonic()) > 0:
            if stopping.is_asked() and not is_asked:
                is_asked, left_s = True, min(left_s, self._grace_s)
                until = time.monotonic() + left_s
                why = "no whole answer when the program was asked to end"
            if self._is_done.wait(min(left_s, _STEP_S)):
                return
        with self._guard:
            if not self._is_done.is_set():
                self.why = why
                self._shut()

    def _shut(self) -> None:
        for one in self._watched:
            with suppress(OSError):  # it is closed already
                one.shutdown(socket.SHUT_RDWR)
        self._release()

    def _release(self) -> None:
        for one in self._watched:
            one.close()
        self._watched.clear()
