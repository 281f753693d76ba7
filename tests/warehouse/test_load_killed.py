"""A process that is killed or runs out of disk at any moment leaves the last whole load."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crmetrics.warehouse import LoadSession
from warehouse.loading import load, on, open_warehouse, part, rows, stored

CHILD = """
import os, resource, signal, sys
from pathlib import Path
import pyarrow as pa
from crmetrics.errors import CrmetricsError
from crmetrics.warehouse.connection import Connection
from warehouse.loading import load, on, open_warehouse, part, rows

folder, moment = Path(sys.argv[1]), sys.argv[2]
seen = 0

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def kill_at_statement(frame, event, argument):
    global seen
    if event == "call" and frame.f_code is Connection.begin.__code__:
        seen += 1
        if seen == int(moment):
            kill()

many = rows(id=[str(n) for n in range(50_000)], stage=["second"] * 50_000)
with open_warehouse(folder) as session:
    if moment == "reading":
        load(session, part("a"), many, many.slice(0, 10), kill)
    elif moment == "full disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (800_000, 800_000))
        noise = [os.urandom(60).hex() for _ in range(50_000)]
        try:
            load(session, part("a"), rows(id=noise, stage=noise))
        except CrmetricsError as exc:
            print(type(exc).__name__, exc)
            os._exit(1)
    else:
        sys.setprofile(kill_at_statement)
        load(session, part("a"), many, lambda intake: intake.save_state({"load": 2}),
             lambda intake: intake.delete(["3"]), started=on(12))
        sys.setprofile(None)
        print(seen)
"""


def in_child(folder: Path, moment: str) -> subprocess.CompletedProcess[str]:
    tests = Path(__file__).resolve().parent.parent
    paths = os.pathsep.join([str(tests), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), moment],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def load_first(folder: Path) -> None:
    with open_warehouse(folder) as session:
        load(
            session,
            part("a"),
            rows(id=["1", "2", "x"], stage=["first"] * 3),
            lambda intake: intake.save_state({"load": 1}),
        )


def assert_first_load_stands(session: LoadSession) -> None:
    assert stored(session, "id", "stage") == [("1", "first"), ("2", "first"), ("x", "first")]
    state = session.state("crm", "opportunities")
    assert (state.state, state.synced_at) == ({"load": 1}, on(10))
    assert session.inventory()["opportunities"].rows == 3
    assert session.scalar("select count(*) from meta.syncs where status = 'ok'") == 1


def assert_next_load_is_right(session: LoadSession) -> None:
    report = load(session, part("a"), rows(id=["2", "3"], stage=["again"] * 2))
    assert (report.inserted, report.updated, report.replaced) == (1, 1, 2)
    assert stored(session, "id", "stage") == [("2", "again"), ("3", "again")]


@pytest.fixture(scope="module")
def statements(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many statements the load of the child takes when nobody kills it."""
    folder = tmp_path_factory.mktemp("whole")
    load_first(folder)
    done = in_child(folder, "0")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("share", [0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0])
def test_a_load_killed_between_two_statements_leaves_the_last_one(
    tmp_path: Path, statements: int, share: float
) -> None:
    load_first(tmp_path)
    # The last statement is the commit: killed as it is given, it has not run.
    killed = in_child(tmp_path, str(1 + round(share * (statements - 1))))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with open_warehouse(tmp_path) as session:
        assert_first_load_stands(session)
        assert_next_load_is_right(session)


def test_a_load_killed_while_reading_leaves_the_last_one(tmp_path: Path) -> None:
    load_first(tmp_path)
    assert in_child(tmp_path, "reading").returncode == -signal.SIGKILL
    with open_warehouse(tmp_path) as session:
        assert_first_load_stands(session)
        assert_next_load_is_right(session)


def test_a_first_load_killed_while_reading_leaves_an_empty_warehouse(tmp_path: Path) -> None:
    assert in_child(tmp_path, "reading").returncode == -signal.SIGKILL
    with open_warehouse(tmp_path) as session:
        assert not session.inventory()["opportunities"].exists
        assert load(session, part("a"), rows(id=["1"])).landed == 1


def test_a_full_disk_is_told_and_leaves_the_last_load(tmp_path: Path) -> None:
    load_first(tmp_path)
    failed = in_child(tmp_path, "full disk")
    assert failed.returncode == 1, failed.stderr
    assert failed.stdout.startswith("WarehouseError the disk is full:"), failed.stdout
    assert "Free space" in failed.stdout
    with open_warehouse(tmp_path) as session:
        assert_first_load_stands(session)
        assert_next_load_is_right(session)
