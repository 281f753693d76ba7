"""The table that a load writes to, and the columns it knows how to fill there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from crmetrics.datasets import Dataset
from crmetrics.warehouse.connection import Connection
from crmetrics.warehouse.schema import HIDDEN_COLUMNS, default_of, table_of
from crmetrics.warehouse.statements import literal, quoted

STAGED = "temp.staged"
"""Rows on their way: covered columns, _part, _loaded_at, _shapes (negative: a recalled copy)."""


class Target(Struct, frozen=True):
    """Where one load goes.

    covered: columns of the read. stored: columns of the table. delivered_before: columns that
    earlier loads of this source filled. parts: parts whose former rows leave. is_whole: all former
    rows of the source leave.
    """

    connection: Connection
    dataset: Dataset
    source: str
    covered: tuple[str, ...]
    stored: tuple[str, ...]
    delivered_before: frozenset[str]
    parts: tuple[str, ...]
    is_whole: bool

    @property
    def table(self) -> str:
        return table_of(self.dataset.name)

    @property
    def spare(self) -> str:
        return table_of(self.dataset.name, "spare")

    @property
    def has_change_time(self) -> bool:
        """True when the read covers `updated_at`, which decides between copies."""
        return "updated_at" in self.covered

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Stored columns beyond the read whose values are to be kept, those of plugins that are
        gone included. A whole read leaves nothing of the rules before it."""
        skipped = {"source", *HIDDEN_COLUMNS, *self.covered}
        kept = frozenset() if self.is_whole else self.delivered_before
        return tuple(
            name
            for name in self.stored
            if name not in skipped and (name in kept or name not in self.dataset)
        )

    # --- pieces of SQL -----------------------------------------------------------------------

    def keys(self, prefix: str = "") -> str:
        """The key columns, comma-separated."""
        return ", ".join(prefix + quoted(name) for name in self.dataset.key)

    def same_key(self, left: str, right: str) -> str:
        """The join condition of two relations on the key."""
        return " and ".join(
            f"{left}.{quoted(name)} = {right}.{quoted(name)}" for name in self.dataset.key
        )

    @property
    def newest_first(self) -> str:
        """Order of the copies of one key, the one that stands first.

        By change time (none is oldest), then by part, so that the outcome does not depend on which
        file was read when, then the last that arrived.
        """
        return "_changed desc nulls last, _part desc nulls last, _loaded_at desc"

    @property
    def is_ours(self) -> str:
        """Condition: the row is of this source."""
        return f"source = {literal(self.source)}"

    @property
    def is_live(self) -> str:
        """Condition: the row is not marked deleted."""
        return "not is_deleted" if "is_deleted" in self.stored else "true"

    def is_released(self, prefix: str = "") -> str:
        """Condition: the stored row leaves unless this load brings it again."""
        if self.is_whole:
            return "true"
        if not self.parts:
            return "false"
        return f"coalesce({prefix}_part in (select part from temp.touched_parts), false)"

    def filled(self, column: str, value: str) -> str:
        """`value` with the default of a flag in place of null."""
        if column not in self.dataset or self.dataset.column(column).default is None:
            return value
        return f"coalesce({value}, {default_of(self.dataset.column(column))})"

    def defaulted(self, among: Iterable[str]) -> tuple[str, ...]:
        """Flags of the table that have a default and are not `among` the columns given."""
        known = set(among)
        return tuple(
            column.name
            for column in self.dataset.columns
            if column.default is not None
            and column.name not in known
            and column.name in self.stored
        )

    # --- running -----------------------------------------------------------------------------

    def execute(self, sql: str, params: dict[str, Any] | None = None) -> int:
        return self.connection.execute(sql, params)

    def count(self, sql: str) -> int:
        return int(self.connection.scalar(sql) or 0)

    def drop(self, *names: str) -> None:
        for name in names:
            self.execute(f"drop table if exists temp.{name}")
