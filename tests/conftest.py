"""Fixtures for all tests."""

from __future__ import annotations

import difflib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crmetrics import secrets

REPO = Path(__file__).resolve().parent.parent
GOLDEN = Path(__file__).resolve().parent / "golden"


def pytest_configure() -> None:
    """A shell starts what runs in its background with Ctrl-C ignored, and so would all its children
    be: the tests that interrupt something would wait for ever."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` comes to: a worker for each core and each 2 GB of memory, two to four.

    xdist would count neither the memory nor, of a core with two threads, the second one.
    """
    bytes_here = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")  # of a container
    if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
        bytes_here = min(bytes_here, int(text))
    return max(2, min(4, os.cpu_count() or 2, bytes_here // (2 << 30)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the files under tests/golden with what the code gives now",
    )


@pytest.fixture(autouse=True)
def own_secrets() -> Iterator[None]:
    """What one test declares secret, such as the word "null", masks nothing in the next."""
    before = set(secrets._known)
    yield
    secrets._known &= before


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the checkout."""
    return REPO


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets beside the checkout; skips where there is none."""
    folder = REPO.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the folder of public data sets beside the checkout (../shared/data)")
    return folder


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden("slack/message.txt", text)` compares `text` with that file under tests/golden.

    With `--update-golden` the file is rewritten instead; read the change as code.
    """

    def compare(name: str, text: str) -> None:
        file = GOLDEN / name
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode("utf-8"))
            return
        if not file.is_file():
            pytest.fail(f"tests/golden/{name} is missing: run pytest with --update-golden")
        expected = file.read_bytes().decode("utf-8")
        if text != expected:
            diff = difflib.unified_diff(
                expected.splitlines(), text.splitlines(), f"golden/{name}", "now", lineterm=""
            )
            pytest.fail("\n".join(["the text has changed (--update-golden rewrites it):", *diff]))

    return compare
