"""A limit of time for work that waits inside of a driver, where nothing else can end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar

from crmetrics.plugin import pause

if TYPE_CHECKING:
    from crmetrics_database.engines import Database

_STEP_S = 0.1
_GRACE_S = 5.0  # once the program was asked to end
_CANCEL_S = 5.0

T = TypeVar("T")


class LimitError(Exception):
    """The work was given up. has_ended: it came to an end then, without a result."""

    def __init__(self, why: str, *, has_ended: bool) -> None:
        super().__init__(why)
        self.has_ended = has_ended


class StillAtWorkError(Exception):
    """Earlier work at the same place was given up and has not ended."""


class Attempt:
    """One piece of work that may take so many seconds, and few more once the program is to end.

    Work that was given up may go on in its thread: it holds its own attempt, never that of work
    that came later. place: where it is done; no other work begins there meanwhile, be it of another
    sink or another run of this process.
    """

    _left: ClassVar[list[Attempt]] = []
    """Those of this process that were given up; one that has ended since stays to the next look."""

    def __init__(self, seconds: float, place: str) -> None:
        self._seconds, self._place = seconds, place
        self._done = threading.Event()
        self.at_work: Database | None = None
        """Where the work is done now; whoever does it says so."""
        self.has_made_table = False
        self.is_given_up = False
        """Nobody waits for the work any more: it must change nothing from now on."""

    def run(self, work: Callable[[Attempt], T]) -> T:
        """What the work gives or raises; past the limit, the database at work is asked to end it.

        Raises LimitError, or StillAtWorkError before it begins. A driver that does not even answer
        that is left to its thread, which ends with the program.
        """
        self._left[:] = [one for one in self._left if not one._done.is_set()]
        if any(one._place == self._place for one in self._left):
            raise StillAtWorkError
        done, found, failed = self._done, list[T](), list[BaseException]()

        def act() -> None:
            try:
                found.append(work(self))
            except BaseException as exc:  # noqa: BLE001 - raised again where it is waited for
                failed.append(exc)
            finally:
                done.set()

        _start(act)
        try:
            why = self._wait()
        except BaseException:
            self._give_up()
            raise
        if why:
            self._give_up()
            _start(self._cancel)
            done.wait(_CANCEL_S)
        if found:
            return found[0]
        if why:
            raise LimitError(why, has_ended=bool(failed))
        raise failed[0]

    def _give_up(self) -> None:
        self.is_given_up = True
        self._left.append(self)

    def _cancel(self) -> None:
        if self.at_work is not None:
            self.at_work.cancel()

    def _wait(self) -> str:
        """Until the work is done, or why it has to be given up."""
        until, is_asked = time.monotonic() + self._seconds, False
        while not self._done.wait(_STEP_S):
            if not is_asked and not pause(0):
                is_asked, until = True, min(until, time.monotonic() + _GRACE_S)
            if time.monotonic() >= until:
                if is_asked:
                    return "the program was asked to end before the write was done"
                return f"the write was not done within {self._seconds:g} s (`timeout`)"
        return ""


def _start(act: Callable[[], None]) -> None:
    threading.Thread(target=act, daemon=True, name="database").start()
