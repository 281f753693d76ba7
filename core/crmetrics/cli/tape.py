"""`--record` and `--replay`: what stands between the sources and the network."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import click

from crmetrics.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])


def tape_options(function: Function) -> Function:
    """The options `--record DIR` and `--replay DIR` of a command that reads sources."""
    record = click.option(
        "--record",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Write down what the sources answer into DIR, secrets masked, the data as they are.",
    )
    replay = click.option(
        "--replay",
        metavar="DIR",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Let a recording answer in place of the sources; nothing is sent to them.",
    )
    return record(replay(function))


def tape(record: Path | None, replay: Path | None) -> AbstractContextManager[None]:
    """Records or replays what sources answer inside; sinks are left alone.

    Raises UsageError for both at once.
    """
    from crmetrics.http import recording

    if record is not None and replay is not None:
        raise UsageError("--record and --replay exclude each other.")
    if record is not None:
        return recording.to(record)
    return nullcontext() if replay is None else recording.replay(replay)
