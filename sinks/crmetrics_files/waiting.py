"""A limit of time for what an object store is asked: its library counts from one byte to the next,
if at all."""

from __future__ import annotations

import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any

from crmetrics.plugin import pause

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

_STEP_S = 0.1
_GRACE_S = 5.0  # once the program was asked to end


class CutError(Exception):
    """What was asked was cut off; whether it came to pass is not known."""


class Patience:
    """For all that belongs to one attempt, from `begin` on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.begin()

    def begin(self) -> None:
        self._until = time.monotonic() + self._seconds
        self._why = f"it was not done within {self._seconds:g} s (`timeout`)"
        self._is_asked = False

    def ask(self, system: Any, what: str, *given: Any) -> Any:
        """What a file system of fsspec answers, or raises. Raises CutError.

        One that works in this thread alone, such as that of a local server, is waited for.
        """
        ask = getattr(system, f"_{what}", None)
        if not (getattr(system, "async_impl", False) and ask is not None):
            return getattr(system, what)(*given)
        if time.monotonic() >= self._until:
            raise CutError(self._why)
        return self._answer(system.loop, ask(*given))

    def _answer(self, loop: asyncio.AbstractEventLoop, asked: Coroutine[Any, Any, Any]) -> Any:
        # Late: whoever has no object store would wait for it at every start.
        import asyncio

        under_way = asyncio.run_coroutine_threadsafe(asked, loop)
        try:
            while not wait([under_way], _STEP_S).done:
                if not self._is_asked and not pause(0):
                    self._is_asked = True
                    self._until = min(self._until, time.monotonic() + _GRACE_S)
                    self._why = "the program was asked to end before it was done"
                if time.monotonic() >= self._until:
                    raise CutError(self._why)
            return under_way.result()
        finally:
            under_way.cancel()  # closes its connection
