"""The command line as a process of its own, for tests that end it from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def started(project: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`crmetrics -C PROJECT WORDS`, killed afterwards with all that it started, if any still runs.

    What it leaves behind would keep its end of the pipe, and us waiting for it, for minutes.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "crmetrics", "-C", str(project), *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
