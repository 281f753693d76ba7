"""Ending on request: SIGTERM and Ctrl-C stop a run at once, but never between sending and noting
that it was sent. Waits (`pause`) are cut short even there: while one waits, nothing is on its way.

Only a program installs this (`install`); embedded in another one, signals stay its own.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


class Terminated(KeyboardInterrupt):
    """SIGTERM: a service manager ends the process."""


_STEP_S = 0.1
_AGAIN_S = 0.05

_ENDS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGTERM: Terminated,
    signal.SIGINT: KeyboardInterrupt,
}


class _State:
    """What the signal handler and the blocks that hold it back share."""

    is_installed = False
    is_asked = False
    depth = 0
    pending: type[KeyboardInterrupt] | None = None


def install() -> None:
    """From now on SIGTERM raises Terminated and Ctrl-C KeyboardInterrupt in the main thread, later
    inside `held`. Does nothing outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return
    _State.is_asked = False
    if _State.is_installed:
        return
    for number in _ENDS:
        signal.signal(number, _on_signal)
    _State.is_installed = True
    _hear_what_is_ignored()


def listen() -> None:
    """From now on SIGTERM and Ctrl-C are only noted, for a program that asks `is_asked` itself."""
    _State.is_asked = _State.is_installed = False
    for number in _ENDS:
        signal.signal(number, _note)


def _note(number: int, frame: FrameType | None) -> None:
    _State.is_asked = True


def _on_signal(number: int, frame: FrameType | None) -> None:
    end = _ENDS[number]
    _State.is_asked = True
    # A service manager repeats itself; a person who presses Ctrl-C again wants it now.
    is_repeated = _State.pending is not None and end is KeyboardInterrupt
    if _State.depth and not is_repeated:
        _State.pending = _State.pending or end
        return
    _State.pending = None
    raise end


def _hear_what_is_ignored() -> None:
    """Python drops what is raised while it calls a finalizer or the callback of a weak reference,
    of which every import has some: a request to end that comes just then is made again."""
    former = sys.unraisablehook

    def heard(ignored: UnraisableHookArgs) -> None:
        number = next((n for n, end in _ENDS.items() if ignored.exc_type is end), None)
        if number is None or not _State.is_installed:
            former(ignored)
            return
        # Not here, where it would be dropped again. A bare thread: to start one of `threading`
        # takes locks that the interrupted code may hold.
        _thread.start_new_thread(_ask_again, (number,))

    sys.unraisablehook = heard


def _ask_again(number: int) -> None:
    time.sleep(_AGAIN_S)
    os.kill(os.getpid(), number)


def is_asked() -> bool:
    """True once somebody asked this program to end: begin nothing that takes long."""
    return _State.is_asked


def pause(seconds: float) -> bool:
    """Wait; False when the wait was cut short because the program is to end. For any thread."""
    until = time.monotonic() + seconds
    # Short sleeps and no Event: a handler that sets one while its own thread is about to wait on
    # it blocks for ever.
    while not _State.is_asked:
        left_s = until - time.monotonic()
        if left_s <= 0:
            return True
        time.sleep(min(left_s, _STEP_S))
    return False


@contextmanager
def held() -> Iterator[None]:
    """Inside, a request to end waits until the block is over; a second Ctrl-C does not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.depth += 1
    try:
        yield
    finally:
        _State.depth -= 1
        if not _State.depth and _State.pending is not None:
            end, _State.pending = _State.pending, None
            raise end
