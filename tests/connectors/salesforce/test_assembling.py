"""Where rows are put together: what is left there by whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

BENCH = """
import sys
from crmetrics_salesforce.assembling import Workbench
bench = Workbench()
bench.given("deals", ["Id"], [["006A"], ["006B"]])
print("ready", flush=True)
sys.stdin.readline()
bench.close()
"""


def reader(folder: Path) -> subprocess.Popen[str]:
    """A process that has put rows together and waits for a line."""
    started = subprocess.Popen(
        [sys.executable, "-c", BENCH],
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


def folders(where: Path) -> set[Path]:
    return set(where.glob("crmetrics-salesforce-*"))


def age(folder: Path, hours: float) -> None:
    then = time.time() - hours * 3600
    os.utime(folder, (then, then))


def test_a_read_that_ends_leaves_nothing(tmp_path: Path) -> None:
    process = reader(tmp_path)
    assert len(folders(tmp_path)) == 1
    end(process)

    assert not folders(tmp_path)


def test_what_a_killed_read_left_goes_with_the_next_read_a_day_later(tmp_path: Path) -> None:
    kill(reader(tmp_path))
    (left,) = folders(tmp_path)
    age(left, 23)
    end(reader(tmp_path))
    assert folders(tmp_path) == {left}

    age(left, 25)
    end(reader(tmp_path))

    assert not folders(tmp_path)


def test_a_read_that_takes_days_keeps_its_rows(tmp_path: Path) -> None:
    slow = reader(tmp_path)
    (held,) = folders(tmp_path)
    age(held, 72)
    end(reader(tmp_path))

    assert folders(tmp_path) == {held}
    assert (held / "rows.duckdb").exists()
    end(slow)


def test_folders_of_others_and_links_stay(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").write_text("x")
    link = tmp_path / "crmetrics-salesforce-link"
    link.symlink_to(victim)
    then = time.time() - 72 * 3600
    os.utime(link, (then, then), follow_symlinks=False)
    os.utime(victim, (then, then))
    end(reader(tmp_path))

    assert (victim / "kept").read_text() == "x"
    assert link.is_symlink()
