"""One run of a job in a process that dies on the way.

python run_and_die.py FOLDER INSTANT FUNCTION NUMBER

It dies by SIGKILL when the function of that name is entered for the so-manieth time.
"""

from __future__ import annotations

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


def main() -> None:
    folder, instant, name, number = sys.argv[1:]
    project = Project(folder, environ={}, now=lambda: datetime.fromisoformat(instant))
    die_when_called(name, int(number))
    project.run("monthly")


if __name__ == "__main__":
    main()
