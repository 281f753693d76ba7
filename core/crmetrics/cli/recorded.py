"""What the warehouse keeps of former runs, for commands that show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from crmetrics.cli.session import Session

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.warehouse.connection import Connection


def recorded(
    session: Session, read: Callable[[Connection], pa.Table | None], columns: Sequence[str]
) -> pa.Table:
    """What `read` finds; without a warehouse, or where it finds no record (None), an empty table
    of these columns. Only read, so that several may look at once."""
    import pyarrow as pa

    from crmetrics.warehouse.connection import connect

    found = None
    settings = session.project.engine_settings
    if settings.path.exists():
        with connect(settings, read_only=True) as warehouse:
            found = read(warehouse)
    if found is not None:
        return found
    return pa.table({name: pa.array([], pa.string()) for name in columns})
