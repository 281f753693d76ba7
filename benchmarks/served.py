"""What the benchmarks of an API share: a server of so many records in a process of its own, the two
ways against it in turns, and the call from the shell."""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from benchmarks.measuring import HEAD, Cost, Line, in_turns, run, told

Way = Callable[[str, Path], Mapping[str, Any]]
"""Loads what stands at an address into a new folder; tells how many `rows` there are then."""


class Served:
    """A server of so many records, while the block runs; its address.

    serve: puts the port that it listens on into the queue, then serves for ever.
    """

    def __init__(self, serve: Callable[[int, Queue[int]], None], records: int) -> None:
        # Spawned: a forked child would begin with this process's memory, and its peak.
        context = multiprocessing.get_context("spawn")
        self._port = context.Queue()
        self._process = context.Process(target=serve, args=(records, self._port), daemon=True)

    def __enter__(self) -> str:
        self._process.start()
        return f"http://127.0.0.1:{self._port.get()}"

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def both_ways(part: str, url: str, records: int, pairs: int) -> tuple[list[Cost], list[Cost]]:
    """The costs of product and yardstick; both must have loaded every record."""
    own, other = in_turns(
        lambda: run(part, "--child", "product", "--url", url),
        lambda: run(part, "--child", "yardstick", "--url", url),
        pairs,
    )
    rows = {cost.told["rows"] for cost in (*own, *other)}
    if rows != {records}:
        raise SystemExit(f"expected {records} records, loaded were {sorted(rows)}")
    return own, other


def main(
    part: str,
    about: str,
    measure: Callable[[int, int], list[Line]],
    ways: Mapping[str, Way],
    needs: Sequence[str],
    prepare: Callable[[], object] = lambda: None,
) -> None:
    """The command line of a benchmark. about: its docstring. ways: `product` and `yardstick`.
    needs: modules that are imported, and prepare: what is called, before the clock starts."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=list(ways), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        for module in needs:
            importlib.import_module(module)
        prepare()
        _in_a_folder(part, ways[asked.child], asked.url)
        return
    print(HEAD)
    for line in measure(asked.records, asked.pairs):
        print(line)


def _in_a_folder(part: str, way: Way, url: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix=f"{part}_"))
    try:
        told(lambda: way(url, folder / "project"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
