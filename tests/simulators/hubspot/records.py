"""The objects of a simulated account: records with history, properties with types."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Values = dict[str, str | None]


def iso(instant: datetime) -> str:
    """As HubSpot writes instants: UTC with milliseconds, without a fraction when it is zero."""
    instant = instant.astimezone(UTC)
    if not instant.microsecond:
        return f"{instant:%Y-%m-%dT%H:%M:%S}Z"
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}Z"


def milliseconds(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@dataclass(slots=True)
class Record:
    """One record. history: property -> versions as (value, instant, source), newest first."""

    id: str
    properties: Values
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None = None
    history: dict[str, list[tuple[str, datetime, str]]] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return int(self.id)


@dataclass(frozen=True, slots=True)
class Property:
    """The metadata of a property. is_null_in_search: calculated, and search does not know it."""

    name: str
    type: str = "string"
    field_type: str = "text"
    label: str = ""
    is_calculated: bool = False
    is_own: bool = False
    is_null_in_search: bool = False
    is_sensitive: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "label": self.label or self.name,
            "type": self.type,
            "fieldType": self.field_type,
            "description": "",
            "groupName": "information",
            "options": [],
            "calculated": self.is_calculated,
            "hubspotDefined": not self.is_own,
            "archived": False,
            "hidden": False,
            "hasUniqueValue": False,
            "externalOptions": False,
            "displayOrder": -1,
            "formField": False,
            "modificationMetadata": {
                "archivable": self.is_own,
                "readOnlyDefinition": not self.is_own,
                "readOnlyValue": self.is_calculated,
            },
            "dataSensitivity": "sensitive" if self.is_sensitive else "non_sensitive",
        }


class ObjectStore:
    """The records of one object type.

    cursor, created: the properties that mirror the envelope. defaults: what comes unasked. Numbers
    of ids rise. Every write goes through `touched`, so that searches can be remembered.
    """

    def __init__(
        self,
        name: str,
        type_id: str,
        scope: str,
        properties: Iterable[Property],
        *,
        defaults: Iterable[str] = (),
        cursor: str = "hs_lastmodifieddate",
        created: str = "hs_createdate",
    ) -> None:
        self.name, self.type_id, self.scope = name, type_id, scope
        self.cursor, self.created = cursor, created
        self.properties: dict[str, Property] = {}
        for known in (
            Property("hs_object_id", "number", "number"),
            Property(cursor, "datetime", "date"),
            Property(created, "datetime", "date"),
            Property("hs_merged_object_ids", "enumeration", "checkbox"),
            *properties,
        ):
            self.properties[known.name] = known
        self.defaults = ("hs_object_id", cursor, created, *defaults)
        self.records: dict[str, Record] = {}
        self.merged: dict[str, str] = {}
        self.version = 0
        self._numbers: list[int] = []

    def define(self, *properties: Property) -> None:
        for known in properties:
            self.properties[known.name] = known

    # --- writing -----------------------------------------------------------------------------

    def add(self, record: Record) -> Record:
        self.records[record.id] = record
        number = record.number
        if not self._numbers or number > self._numbers[-1]:
            self._numbers.append(number)
        else:
            insort(self._numbers, number)
        for name, value in record.properties.items():
            if value and not record.history.get(name):
                record.history[name] = [(value, record.created_at, "CRM_UI")]
        self.mirror(record)
        return record

    def mirror(self, record: Record) -> None:
        """The envelope as properties."""
        record.properties["hs_object_id"] = record.id
        record.properties[self.created] = iso(record.created_at)
        record.properties[self.cursor] = iso(record.updated_at)
        self.version += 1

    def update(self, record: Record, values: Mapping[str, str | None], at: datetime) -> None:
        for name, value in values.items():
            record.properties[name] = value
            record.history.setdefault(name, []).insert(0, (value or "", at, "CRM_UI"))
        record.updated_at = at
        self.mirror(record)

    def recalculate(self, record: Record, values: Mapping[str, str | None]) -> None:
        """New values of calculated properties: the cursor does not move."""
        record.properties.update(values)
        self.version += 1

    def remove(self, record_id: str) -> None:
        """Gone for good: after a merge, a purge of the bin or a privacy deletion."""
        self._numbers.remove(self.records.pop(record_id).number)
        self.version += 1

    # --- reading -----------------------------------------------------------------------------

    def find(self, record_id: str) -> Record | None:
        """The record, or the one that it was merged into."""
        while record_id in self.merged:
            record_id = self.merged[record_id]
        return self.records.get(record_id)

    def walk(self, after: int, *, archived: bool = False) -> Iterator[Record]:
        """The records with a larger id, in their order."""
        for number in self._numbers[bisect_right(self._numbers, after) :]:
            record = self.records[str(number)]
            if (record.archived_at is not None) == archived:
                yield record

    def shown(self, record: Record, asked: Iterable[str], *, in_search: bool = False) -> Values:
        """The default properties and those asked for; unknown names are left out in silence."""
        found: Values = {}
        for name in (*self.defaults, *asked):
            known = self.properties.get(name)
            if known is not None and name not in found:
                is_unknown = in_search and known.is_null_in_search
                found[name] = None if is_unknown else record.properties.get(name)
        return found
