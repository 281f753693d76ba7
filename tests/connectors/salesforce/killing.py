"""Syncs in processes of their own that can be killed at any request, many of them in little time.

A process forks a child for each sync. It imports what the first whole one has imported, so that no
other pays for that again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from simulators.salesforce import SalesforceSimulator

_PARENT = r"""
import importlib, json, os, re, sys
from datetime import datetime
from crmetrics.engine import Project
from crmetrics.engine.loading import sync

def run(told, directory, now, only):
    at = datetime.fromisoformat(now)
    project = Project(directory, now=lambda: at)
    needs = {name: project.registry.datasets[name].column_names for name in only}
    error = sync(project, (), needs=needs).error
    if error is not None:
        print(error, file=sys.stderr, flush=True)
    os.write(told, json.dumps(sorted(sys.modules)).encode())
    os._exit(0 if error is None else 3)

for line in sys.stdin:
    hears, tells = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run(tells, *json.loads(line))
        finally:
            os._exit(1)
    print(child, flush=True)
    os.close(tells)
    with os.fdopen(hears) as answer:
        imported = answer.read()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    for name in json.loads(imported or "[]"):
        # Not the plugin of the project's folder, which has a name of its own in each process.
        if re.match(r"(crmetrics(_[a-z]+)*|duckdb|pyarrow|requests|urllib3|yaml|pydantic|numpy|"
                    r"asyncio|concurrent|dateutil|isal|sqlite3)(\.|$)", name):
            importlib.import_module(name)
"""


class Syncs:
    """Runs syncs one at a time."""

    def __init__(self, parent: subprocess.Popen[str], salesforce: SalesforceSimulator) -> None:
        self._parent = parent
        self._salesforce = salesforce

    def run(self, directory: Path, only: Sequence[str], *, killed_at: int = 0) -> int:
        """The exit code of a sync (0: nothing failed). killed_at: the number of the request, from
        1, that kills it when it arrives."""
        known, child = threading.Event(), [0]

        def kill() -> None:
            assert known.wait(timeout=300)
            os.kill(child[0], signal.SIGKILL)

        if killed_at:
            self._salesforce.faults.before(kill, skip=killed_at - 1)
        assert self._parent.stdin is not None
        now = self._salesforce.clock().isoformat()
        self._parent.stdin.write(json.dumps([str(directory), now, list(only)]) + "\n")
        self._parent.stdin.flush()
        child[0] = self._number()
        known.set()
        code = self._number()
        self._salesforce.wait_until_left()
        self._salesforce.faults.clear()
        return code

    def _number(self) -> int:
        assert self._parent.stdout is not None
        return int(self._parent.stdout.readline())


@contextmanager
def syncs(salesforce: SalesforceSimulator, environ: Mapping[str, str]) -> Iterator[Syncs]:
    """Whoever runs syncs of the projects over this org."""
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT],
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        yield Syncs(parent, salesforce)
        assert parent.stdin is not None
        parent.stdin.close()
        assert parent.wait(timeout=300) == 0
