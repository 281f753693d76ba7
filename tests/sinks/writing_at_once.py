"""Several writers into one table at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable


def failures_at_once(write: Callable[[float], object], writers: int) -> list[Exception]:
    """What went wrong when so many threads each wrote 0.1, 0.2, ..."""
    failures: list[Exception] = []

    def deliver(value: float) -> None:
        try:
            write(value)
        except Exception as exc:  # noqa: BLE001 - told by the test
            failures.append(exc)

    threads = [threading.Thread(target=deliver, args=(n / 10,)) for n in range(1, writers + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures
