"""Syncs in processes of their own, which may be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

_PROGRAM = """
import json, os, sys
from datetime import datetime
from pathlib import Path
import crmetrics.config.loading, crmetrics.engine.loading, crmetrics.http.budget
import crmetrics.http.paging, crmetrics.http.records, crmetrics.http.session
import crmetrics.warehouse.load, crmetrics_hubspot.account, crmetrics_hubspot.connector
import crmetrics_hubspot.estimating, crmetrics_hubspot.reading, dateutil.relativedelta, duckdb
import pyarrow.compute, pyarrow.json, requests, yaml
from crmetrics.engine import Project
from crmetrics.loader import load_plugins

load_plugins(Path.cwd())

def synced(asked):
    now = datetime.fromisoformat(asked["now"])
    project = Project(asked["folder"], environ={}, now=lambda: now)
    report = crmetrics.engine.loading.sync(
        project, (), needs=asked["needs"], full=asked["full"]
    )
    return 0 if report.error is None and not report.failures else 1

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os._exit(synced(json.loads(line)))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Forks a process for each sync: what takes long to import is imported once."""


class Children:
    """Syncs, each in a process of its own."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def sync(
        self,
        folder: Path,
        now: datetime,
        needs: Mapping[str, Sequence[str]],
        *,
        full: bool = False,
    ) -> int:
        """The exit code of a sync; negative for a signal."""
        assert self._parent.stdin is not None
        asked = {"folder": str(folder), "now": now.isoformat(), "needs": needs, "full": full}
        self._parent.stdin.write(json.dumps(asked) + "\n")
        self._parent.stdin.flush()
        self.child = self._number()
        return self._number()

    def kill(self) -> None:
        os.kill(self.child, signal.SIGKILL)

    def _number(self) -> int:
        assert self._parent.stdout is not None
        return int(self._parent.stdout.readline())

    def close(self) -> None:
        self._parent.communicate()
