"""Ending on request: SIGTERM and Ctrl-C stop a run at once, but never between sending and noting
that it was sent.

Only a program installs this (`install`); embedded in another one, signals stay its own.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM: a service manager ends the process."""


_ENDS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGTERM: Terminated,
    signal.SIGINT: KeyboardInterrupt,
}


class _State:
    """What the signal handler and the blocks that hold it back share."""

    is_installed = False
    depth = 0
    pending: type[KeyboardInterrupt] | None = None


def install() -> None:
    """From now on SIGTERM raises Terminated and Ctrl-C KeyboardInterrupt in the main thread, later
    inside `held`. Does nothing outside of the main thread."""
    if _State.is_installed or threading.current_thread() is not threading.main_thread():
        return
    for number in _ENDS:
        signal.signal(number, _on_signal)
    _State.is_installed = True


def _on_signal(number: int, frame: FrameType | None) -> None:
    end = _ENDS[number]
    # A service manager repeats itself; a person who presses Ctrl-C again wants it now.
    is_repeated = _State.pending is not None and end is KeyboardInterrupt
    if _State.depth and not is_repeated:
        _State.pending = _State.pending or end
        return
    _State.pending = None
    raise end


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
