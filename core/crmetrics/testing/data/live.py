"""The records as KPIs see them, in plain loops: newest copies, no deleted, test or merged ones.

This is the view `live_{dataset}` of the KPI catalogue (1.3) once more, written independently of
the engine, so that the two can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crmetrics.datasets import Dataset, canonical_datasets
from crmetrics.testing.data.company import Row

_CASE_CHILDREN = ("case_status_history", "case_messages")


class LiveRecords:
    """The live rows of each dataset; rows that were changed are copies."""

    def __init__(self, records: Mapping[str, Sequence[Row]]) -> None:
        self._datasets = canonical_datasets()
        self._records = records
        self._newest = {
            name: _newest(rows) for name, rows in records.items() if name != "exchange_rates"
        }
        self._survivors = {
            name: _survivors(self._newest.get(name, {}))
            for name, dataset in self._datasets.items()
            if dataset.is_mergeable
        }
        self._live: dict[str, dict[str, Row]] = {}

    def rows(self, dataset: str) -> list[Row]:
        """The live rows of one dataset."""
        return list(self.by_id(dataset).values())

    def by_id(self, dataset: str) -> dict[str, Row]:
        """The live rows of one dataset by their id."""
        if dataset not in self._live:
            kept = (
                self._repoint(self._datasets[dataset], row)
                for row in self._newest.get(dataset, {}).values()
                if _is_countable(row)
            )
            self._live[dataset] = {
                row["id"]: row for row in kept if self._has_parent(self._datasets[dataset], row)
            }
        return self._live[dataset]

    def _repoint(self, dataset: Dataset, row: Row) -> Row:
        """The row with its foreign keys moved from merged records to the survivors (E2, E8)."""
        changes: Row = {}
        for column in dataset.foreign_keys:
            if dataset.name in _CASE_CHILDREN and column.references == "cases":
                continue
            survivor = self._survivors.get(str(column.references), {}).get(
                row.get(column.name) or ""
            )
            if survivor is not None:
                changes[column.name] = survivor
        earliest = self._earliest_creation(dataset, row)
        return {**row, **changes, **earliest}

    def _earliest_creation(self, dataset: Dataset, row: Row) -> Row:
        """A surviving account, contact or lead was created when the first of its group was."""
        losers = [
            self._newest[dataset.name][loser]
            for loser, survivor in self._survivors.get(dataset.name, {}).items()
            if survivor == row["id"]
        ]
        if not losers or dataset.name == "cases":
            return {}
        return {"created_at": min(record["created_at"] for record in [row, *losers])}

    def _has_parent(self, dataset: Dataset, row: Row) -> bool:
        """False for a child whose parent is deleted, a test or (of a case) merged (E7, E8)."""
        if dataset.parent is None:
            return True
        parent_id = row.get(dataset.parent)
        parents = str(dataset.column(dataset.parent).references)
        # A parent that was never there makes an orphan, and orphans stay (E6).
        return parent_id not in self._newest.get(parents, {}) or parent_id in self.by_id(parents)


def _newest(rows: Sequence[Row]) -> dict[str, Row]:
    """The copy of each id with the latest `updated_at` (E3)."""
    newest: dict[str, Row] = {}
    for row in rows:
        known = newest.get(row["id"])
        if known is None or row["updated_at"] >= known["updated_at"]:
            newest[row["id"]] = row
    return newest


def _survivors(rows: Mapping[str, Row]) -> dict[str, str]:
    """Merged id -> id of the record that survives at the end of the chain."""
    survivors = {}
    for identity, row in rows.items():
        into = row.get("merged_into_id")
        while into is not None:
            survivors[identity] = into
            into = rows[into].get("merged_into_id") if into in rows else None
    return survivors


def _is_countable(row: Row) -> bool:
    is_out = row.get("is_deleted", False) or row.get("is_test", False) or row.get("is_spam", False)
    return not is_out and row.get("merged_into_id") is None
