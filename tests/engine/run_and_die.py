"""Runs of a job in processes that die on the way.

python run_and_die.py

Forks a process for each line that it reads, a JSON list: modules to import before, folder, instant,
the name of a function, a number. The process runs the job `monthly` and dies by SIGKILL when the
function of that name is entered for the so-manieth time. Two lines answer: its id, and its exit
code once it is over, negative for a signal.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from datetime import datetime
from types import FrameType
from typing import Any

from crmetrics.engine import Project


def die_when_called(name: str, number: int) -> None:
    left = [number]

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name == name:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(watch)


def run(folder: str, instant: str, name: str, number: int) -> None:
    project = Project(folder, environ={}, now=lambda: datetime.fromisoformat(instant))
    die_when_called(name, number)
    project.run("monthly")


def main() -> None:
    for line in sys.stdin:
        modules, *asked = json.loads(line)
        for name in modules:
            importlib.import_module(name)
        child = os.fork()
        if child == 0:
            try:
                run(*asked)
            finally:
                os._exit(0 if sys.exception() is None else 1)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
