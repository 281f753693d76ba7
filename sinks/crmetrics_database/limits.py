"""A limit of time for work that waits inside of a driver, where nothing else can end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from crmetrics.plugin import pause

_STEP_S = 0.1
_GRACE_S = 5.0  # once the program was asked to end
_CANCEL_S = 5.0

T = TypeVar("T")


class LimitError(Exception):
    """The work was given up. has_ended: it came to an end then, without a result."""

    def __init__(self, why: str, *, has_ended: bool) -> None:
        super().__init__(why)
        self.has_ended = has_ended


class Limit:
    """Lets one piece of work take so many seconds, and few more once the program is to end."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.is_given_up = False
        """Nobody waits for the work any more: it must change nothing from now on."""

    def run(self, work: Callable[[], T], cancel: Callable[[], None]) -> T:
        """What the work gives or raises. cancel: asks it to end, from another thread.

        Raises LimitError. A driver that does not even answer that is left to its thread, which
        ends with the program.
        """
        done, found, failed = threading.Event(), list[T](), list[BaseException]()

        def act() -> None:
            try:
                found.append(work())
            except BaseException as exc:  # noqa: BLE001 - raised again where it is waited for
                failed.append(exc)
            finally:
                done.set()

        _start(act)
        try:
            why = self._wait(done)
        except BaseException:
            self.is_given_up = True
            raise
        if why:
            self.is_given_up = True
            _start(cancel)
            done.wait(_CANCEL_S)
        if found:
            return found[0]
        if why:
            raise LimitError(why, has_ended=bool(failed))
        raise failed[0]

    def _wait(self, done: threading.Event) -> str:
        """Until the work is done, or why it has to be given up."""
        until, is_asked = time.monotonic() + self._seconds, False
        while not done.wait(_STEP_S):
            if not is_asked and not pause(0):
                is_asked, until = True, min(until, time.monotonic() + _GRACE_S)
            if time.monotonic() >= until:
                if is_asked:
                    return "the program was asked to end before the write was done"
                return f"the write was not done within {self._seconds:g} s (`timeout`)"
        return ""


def _start(act: Callable[[], None]) -> None:
    threading.Thread(target=act, daemon=True, name="database").start()
