"""What to read: the columns that KPIs need, laid on what the sources can give."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from crmetrics.datasets import Dataset
from crmetrics.plugin import Supply

ALWAYS_READ = ("updated_at", "is_deleted", "is_test", "is_spam", "merged_into_id")
"""Columns that decide whether and as what a row counts: read wherever a source has them."""


@dataclass(frozen=True, slots=True)
class Read:
    """One dataset of one source and the canonical columns to request, in the dataset's order."""

    source: str
    dataset: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read, and what is needed but out of reach.

    missing_datasets: needed, and no source supplies them. missing_columns: dataset -> needed
    columns that no source of the dataset supplies.
    """

    reads: tuple[Read, ...] = ()
    missing_datasets: tuple[str, ...] = ()
    missing_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that have something to read, in the order of the project file."""
        return tuple(dict.fromkeys(read.source for read in self.reads))

    def requests(self, source: str) -> dict[str, tuple[str, ...]]:
        """Dataset -> columns to request of this source, as `extract.sync` takes them."""
        return {read.dataset: read.columns for read in self.reads if read.source == source}


def plan_reads(
    needs: Mapping[str, Collection[str]] | None,
    supplies: Mapping[str, Sequence[Supply]],
    datasets: Mapping[str, Dataset],
) -> Plan:
    """The reads that fill the needed columns (dataset -> columns); None = all that there is.

    supplies: source -> what its connector can give. Beside the needed columns each read holds the
    key, the columns of ALWAYS_READ, the creation instant and the parent's key where the source has
    them. A column with a default is never missing.
    """
    reads = tuple(
        Read(source, supply.dataset, _columns(datasets[supply.dataset], supply, needs))
        for source, offered in supplies.items()
        for supply in offered
        if needs is None or supply.dataset in needs
    )
    if needs is None:
        return Plan(reads)
    supplied: dict[str, set[str]] = {}
    for offered in supplies.values():
        for supply in offered:
            supplied.setdefault(supply.dataset, set()).update(supply.columns)
    missing = {
        name: _missing(datasets[name], columns, supplied[name])
        for name, columns in needs.items()
        if name in supplied
    }
    return Plan(
        reads,
        tuple(name for name in needs if name not in supplied),
        {name: columns for name, columns in missing.items() if columns},
    )


def _columns(
    dataset: Dataset, supply: Supply, needs: Mapping[str, Collection[str]] | None
) -> tuple[str, ...]:
    possible = set(supply.columns) | set(dataset.key)
    if needs is not None:
        useful = {*ALWAYS_READ, *needs[dataset.name], *dataset.key}
        useful |= {name for name in (dataset.created, dataset.parent) if name}
        possible &= useful
    return tuple(name for name in dataset.column_names if name in possible and name != "source")


def _missing(
    dataset: Dataset, columns: Collection[str], supplied: Collection[str]
) -> tuple[str, ...]:
    given = {*supplied, *dataset.key, "source"}
    given |= {column.name for column in dataset.columns if column.default is not None}
    known = [name for name in dataset.column_names if name in columns and name not in given]
    unknown = sorted(name for name in columns if name not in dataset)
    return tuple(known + unknown)
