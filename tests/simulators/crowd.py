"""How many calls of a client are under way at the same time."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from simulators.messages import Call

_LONGEST_S, _QUIET_S = 20.0, 0.2


class Crowd:
    """Keeps back answers to calls of one kind until all that are asked at once are there.

        service.crowd = Crowd("/queryAll", expected=4)
        ...
        assert service.crowd.most == 4

    The first are kept until `expected` have come (or, when fewer ever come, for long), and each
    until no further one comes for a moment: who asks more at once is seen. most: the largest number
    at the same time.
    """

    def __init__(self, on: str, *, expected: int) -> None:
        self._on = re.compile(on)
        self._expected = expected
        self._arrived = self._now = 0
        self._changed = threading.Condition()
        self.most = 0

    @contextmanager
    def around(self, call: Call) -> Iterator[None]:
        """A call that is under way."""
        if not self._on.search(call.line):
            yield
            return
        with self._changed:
            self._arrived += 1
            self._now += 1
            self.most = max(self.most, self._now)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self._expected, timeout=_LONGEST_S)
            seen = 0
            while seen != self._arrived:
                seen = self._arrived
                self._changed.wait_for(lambda: self._arrived != seen, timeout=_QUIET_S)  # noqa: B023
        try:
            yield
        finally:
            with self._changed:
                self._now -= 1
