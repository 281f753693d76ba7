"""How far loading is: a live line per dataset on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crmetrics.cli.console import Console
from crmetrics.log import run_id

Tell = Callable[[str, str, int], None]
"""Called with source, dataset and the records read so far, after each batch."""

_EVERY_S = 10.0


@contextmanager
def reading_progress(console: Console) -> Iterator[Tell | None]:
    """What to hand to the engine as `progress` while the block runs; None when quiet."""
    if console.quiet:
        yield None
    elif console.shows_progress:
        with _live(console) as tell:
            yield tell
    else:
        lines = PlainProgress(console)
        yield lines
        lines.finish()


class PlainProgress:
    """One line per dataset when it is read, and every ten seconds while it lasts."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._current: tuple[str, str, int] | None = None
        self._run_id = ""
        self._told_at = clock()

    def __call__(self, source: str, dataset: str, records: int) -> None:
        if self._current is not None and self._current[:2] != (source, dataset):
            self.finish()
        self._current = (source, dataset, records)
        self._run_id = run_id.get()  # the last dataset may be told of when its run is over
        if self._clock() - self._told_at >= _EVERY_S:
            self._tell("so far")

    def finish(self) -> None:
        """The last dataset is read."""
        if self._current is not None:
            self._tell("")
        self._current = None

    def _tell(self, suffix: str) -> None:
        assert self._current is not None
        source, dataset, records = self._current
        text = f"{source}.{dataset}: {records:,} records {suffix}".rstrip()
        self._console.note(
            text, run_id=self._run_id, source=source, dataset=dataset, records=records
        )
        self._told_at = self._clock()


@contextmanager
def _live(console: Console) -> Iterator[Tell]:
    from rich.console import Console as RichConsole
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:>12,} records", justify="right"),
        TimeElapsedColumn(),
    )
    screen = RichConsole(stderr=True, no_color=console.has_no_color)
    with Progress(*columns, console=screen, transient=True) as progress:
        tasks: dict[tuple[str, str], TaskID] = {}

        def tell(source: str, dataset: str, records: int) -> None:
            if (source, dataset) not in tasks:
                # One line is enough: what is read is in the table at the end.
                for task in tasks.values():
                    progress.update(task, visible=False)
                tasks[source, dataset] = progress.add_task(f"{source}.{dataset}", total=None)
            progress.update(tasks[source, dataset], completed=records)

        yield tell
