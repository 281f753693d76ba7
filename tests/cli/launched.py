"""The command line as a process of its own, for tests that end it from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def started(project: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`crmetrics -C PROJECT WORDS`, killed afterwards if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "crmetrics", "-C", str(project), *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
