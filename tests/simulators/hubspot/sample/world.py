"""What all parts of the sample share: ids, texts, and the records of a dataset as they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from simulators.hubspot.account import Account
from simulators.hubspot.records import Record, iso

Row = dict[str, Any]


def text(value: Any) -> str | None:
    """A value as HubSpot writes it: always text; a cleared property is empty."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return str(Decimal(value))
    return str(value)


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


class World:
    """The account that is filled, and the ids that its records got.

    ids: (dataset, id of the generator) -> id in HubSpot, of the survivor for merged records.
    """

    def __init__(self, account: Account, records: Mapping[str, Iterable[Row]]) -> None:
        self.account = account
        self.rows = {name: _newest(rows) for name, rows in records.items()}
        self.ids: dict[tuple[str, str], str] = {}
        self.former_ids: dict[tuple[str, str], str] = {}

    def live(self, dataset: str) -> Iterator[Row]:
        """The records that are not the loser of a merge."""
        return (row for row in self.rows[dataset] if not row.get("merged_into_id"))

    def id_of(self, dataset: str, name: str | None) -> str | None:
        """The id in HubSpot; a number that no record has for a reference to nothing."""
        if name is None:
            return None
        key = dataset, name
        if key not in self.ids:
            self.ids[key] = self.account.new_id()
        return self.ids[key]

    def add(
        self, kind: str, dataset: str, row: Row, values: Mapping[str, Any], *, created: str = ""
    ) -> Record:
        """A record of this object type for a row; archived when the row is deleted.

        created: the column with the instant of creation; by default the row's last change.
        """
        changed: datetime = row.get("updated_at") or row[created]
        at: datetime = row[created] if created else changed
        record = self.account.create(
            kind,
            {name: text(value) for name, value in values.items()},
            record_id=self.id_of(dataset, row["id"]) or "",
            at=at,
            changed=max(changed, at),
        )
        if row.get("is_test"):
            record.properties["test_record"] = "true"
        if row.get("is_deleted") and not row.get("merged_into_id"):
            self.account.archive(kind, record.id, at=max(changed, at))
        return record

    def tie(
        self, kind: str, record: Record, other: str, dataset: str, name: str | None,
        label: tuple[int, str] | None = None,
    ) -> None:  # fmt: skip
        """Associate a record with the one that a reference names, where it exists."""
        if name is None or (dataset, name) not in self.ids:
            return
        target = self.ids[dataset, name]
        if target in self.account.objects[other].records:
            labels = [label] if label else []
            self.account.associate(kind, record.id, other, target, labels)

    def merge(self, kind: str, dataset: str, *, keeps_oldest: bool = True) -> None:
        """Merge the losers of a dataset into their survivors, chains included."""
        into = {r["id"]: r["merged_into_id"] for r in self.rows[dataset] if r.get("merged_into_id")}
        groups: dict[str, list[str]] = {}
        for loser in into:
            survivor = loser
            while survivor in into:
                survivor = into[survivor]
            groups.setdefault(survivor, []).append(loser)
        store = self.account.objects[kind]
        for survivor, losers in groups.items():
            old = [self.ids[dataset, name] for name in (survivor, *losers)]
            created = min(store.records[name].created_at for name in old)
            changed = max(store.records[name].updated_at for name in old)
            result = self.account.merge(kind, *old, at=changed)
            if keeps_oldest:
                store.records[result].created_at = created
                store.mirror(store.records[result])
            for name in (survivor, *losers):
                self.former_ids[dataset, name] = self.ids[dataset, name]
                self.ids[dataset, name] = result


def versions(rows: Iterable[tuple[datetime, Any]]) -> list[tuple[str, datetime, str]]:
    """Values in order of time as a property history, newest first; repeats are no change."""
    found: list[tuple[str, datetime, str]] = []
    for at, value in rows:
        shown = text(value) or ""
        if not found and not shown:
            continue
        if not found or found[0][0] != shown:
            found.insert(0, (shown, at, "CRM_UI"))
    return found


def _newest(rows: Iterable[Row]) -> list[Row]:
    """One row per id, the newest: a CRM holds one version of a record."""
    found: dict[Any, Row] = {}
    for number, row in enumerate(rows):
        key = row.get("id", number)
        if key not in found or row["updated_at"] > found[key]["updated_at"]:
            found[key] = row
    return list(found.values())
