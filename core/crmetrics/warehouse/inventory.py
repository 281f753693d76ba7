"""What the warehouse holds, from the counts that each load keeps: one cheap query per table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime

from msgspec import Struct, field

from crmetrics.datasets import Dataset
from crmetrics.warehouse.connection import Connection
from crmetrics.warehouse.registry import instant
from crmetrics.warehouse.schema import check_layout


class SourceHoldings(Struct, frozen=True):
    """What one source gave to a dataset.

    columns: canonical columns that it filled. last_sync: start of its last good sync.
    covers_from: first day from which it is declared complete. watermark: changes are loaded up to
    here. deleted, test, merged, spam: rows with that flag; one row may count in several.
    """

    source: str
    rows: int = 0
    deleted: int = 0
    test: int = 0
    merged: int = 0
    spam: int = 0
    columns: frozenset[str] = frozenset()
    last_sync: datetime | None = None
    covers_from: date | None = None
    watermark: datetime | None = None


class DatasetHoldings(Struct, frozen=True):
    """What the warehouse holds of one dataset, over all its sources."""

    dataset: str
    by_source: Mapping[str, SourceHoldings] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """True once a sync of it was committed, even one without rows."""
        return bool(self.by_source)

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(self.by_source)

    @property
    def rows(self) -> int:
        return sum(held.rows for held in self.by_source.values())

    @property
    def deleted(self) -> int:
        return sum(held.deleted for held in self.by_source.values())

    @property
    def test(self) -> int:
        return sum(held.test for held in self.by_source.values())

    @property
    def merged(self) -> int:
        return sum(held.merged for held in self.by_source.values())

    @property
    def spam(self) -> int:
        return sum(held.spam for held in self.by_source.values())

    @property
    def columns(self) -> frozenset[str]:
        """Columns that at least one source filled."""
        return frozenset().union(*(held.columns for held in self.by_source.values()))

    @property
    def last_sync(self) -> dict[str, datetime]:
        """Source -> start of its last good sync."""
        return {name: held.last_sync for name, held in self.by_source.items() if held.last_sync}

    @property
    def covers_from(self) -> date | None:
        """The earliest day that a source declares; None when none does (rule N3)."""
        days = [held.covers_from for held in self.by_source.values() if held.covers_from]
        return min(days, default=None)


class Inventory(Mapping[str, DatasetHoldings]):
    """Dataset name -> what is held of it; every known dataset is there, held or not."""

    def __init__(self, holdings: Mapping[str, DatasetHoldings]) -> None:
        self._holdings = dict(holdings)

    def __getitem__(self, dataset: str) -> DatasetHoldings:
        return self._holdings[dataset]

    def __iter__(self) -> Iterator[str]:
        return iter(self._holdings)

    def __len__(self) -> int:
        return len(self._holdings)

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources that have delivered something, sorted."""
        return tuple(sorted({name for held in self.values() for name in held.by_source}))


def inventory(connection: Connection, datasets: Mapping[str, Dataset]) -> Inventory:
    """What the warehouse behind this connection holds of these datasets.

    An empty warehouse, and one in memory, hold nothing. Raises WarehouseError when the file is
    another program's or of a newer crmetrics.
    """
    found: dict[str, dict[str, SourceHoldings]] = {name: {} for name in datasets}
    if check_layout(connection) is not None:
        for dataset, holdings in _held(connection):
            if dataset in found:
                found[dataset][holdings.source] = holdings
    return Inventory({name: DatasetHoldings(name, held) for name, held in found.items()})


def _held(connection: Connection) -> Iterator[tuple[str, SourceHoldings]]:
    rows = connection.rows(
        """with delivered as (
            select dataset, source, list("column") as columns
            from meta.delivered_columns where is_covered group by all
        )
        select
            dataset, source, c."rows", c.deleted, c.test, c.merged, c.spam,
            d.columns, epoch_us(s.synced_at), s.covers_from, epoch_us(s.watermark)
        from meta.sync_state s
        left join meta.row_counts c using (dataset, source)
        left join delivered d using (dataset, source)
        order by dataset, source"""
    )
    for dataset, source, *counts, columns, synced_at, covers_from, watermark in rows:
        count, deleted, test, merged, spam = (int(number or 0) for number in counts)
        yield (
            str(dataset),
            SourceHoldings(
                str(source),
                rows=count,
                deleted=deleted,
                test=test,
                merged=merged,
                spam=spam,
                columns=frozenset(columns or ()),
                last_sync=instant(synced_at),
                covers_from=covers_from,
                watermark=instant(watermark),
            ),
        )
