"""A budget: how many requests may start within a span of time, learnt from refusals."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable


class Budget:
    """At most `calls` requests start within any `per_s` seconds; shared by all threads.

    A refusal (429) halves the number, and holds everybody back for as long as the server asked;
    each span without one gives a tenth of it back. Refusals of requests that started before the
    last halving tell nothing new and do not halve again. calls=None: no limit until the first
    refusal, then half of what was sent in the span before it.
    """

    def __init__(
        self,
        calls: int | None = None,
        per_s: float = 1.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if (calls is not None and calls < 1) or per_s <= 0:
            raise ValueError("a budget allows at least one call in a span above zero")
        self.calls = calls
        self.per_s = per_s
        self._clock = clock
        self._allowed = calls
        self._starts: deque[float] = deque(maxlen=10_000)
        self._closed_until = self._changed = clock()
        self._lock = threading.Lock()

    @property
    def allowed(self) -> int | None:
        """How many calls may start within the span as things stand; None = any number."""
        with self._lock:
            self._recover(self._clock())
            return self._allowed

    def limit(self, calls: int) -> None:
        """From now on so many calls may start within the span: the service has told its limit."""
        with self._lock:
            if self._allowed is None or self._allowed == self.calls:
                self._allowed = calls
            self.calls = calls
            self._allowed = min(self._allowed, calls)

    def book(self) -> tuple[float, float]:
        """Take the next free start: the instant, by the budget's clock, and the seconds until it.

        The caller waits; two threads never get the same place.
        """
        with self._lock:
            now = self._clock()
            self._recover(now)
            start = max(now, self._closed_until)
            if self._starts:
                start = max(start, self._starts[-1])
            if self._allowed is not None and len(self._starts) >= self._allowed:
                start = max(start, self._starts[-self._allowed] + self.per_s)
            self._starts.append(start)
            return start, max(0.0, start - now)

    def refused(self, start: float, wait_s: float = 0.0) -> None:
        """A request that started then was refused, and is to be repeated after `wait_s` seconds."""
        with self._lock:
            now = self._clock()
            self._closed_until = max(self._closed_until, now + wait_s)
            if start < self._changed and self._allowed != self.calls:
                return
            if self._allowed is None:
                recent = sum(1 for begun in self._starts if begun > start - self.per_s)
                self._allowed = max(1, recent // 2)
                self.calls = max(1, recent)
            else:
                self._allowed = max(1, self._allowed // 2)
            self._changed = max(now, self._closed_until)

    def _recover(self, now: float) -> None:
        if self._allowed is None or self.calls is None or self._allowed >= self.calls:
            return
        spans = int((now - self._changed) / self.per_s)
        if spans > 0:
            self._allowed = min(self.calls, self._allowed + spans * max(1, self.calls // 10))
            self._changed += spans * self.per_s
