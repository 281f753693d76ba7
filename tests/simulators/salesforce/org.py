"""The data of an org: records with their stamps, the recycle bin, merges, and what is hidden.

org = Org(clock)
account = org.create("Account", Name="Acme")     # the 18-character id
org.update(account, Industry="Retail")           # moves SystemModstamp
org.delete(account); org.undelete(account); org.purge(account)
org.merge(survivor, loser)
org.hide("Opportunity", "Amount")                # field-level security
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from simulators.salesforce.schema import Field, SObject, parse_fields
from simulators.salesforce.standard import AUDIT, standard_objects

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECK = string.ascii_uppercase + "012345"
USER_PREFIX = "005"


def make_id(prefix: str, number: int) -> str:
    """The 18-character id with this number; ids of one prefix sort in the order of creation."""
    tail = ""
    for _ in range(12):
        number, digit = divmod(number, 62)
        tail = _DIGITS[digit] + tail
    return long_id(prefix + tail)


def long_id(short: str) -> str:
    """The 15-character id with its three check characters, which say where capitals are."""
    check = ""
    for start in (0, 5, 10):
        part = short[start : start + 5]
        check += _CHECK[sum(1 << place for place, c in enumerate(part) if "A" <= c <= "Z")]
    return short + check


@dataclass(frozen=True)
class Deletion:
    """An entry of the log that `/deleted/` reads."""

    object: str
    id: str
    at: datetime


class Org:
    """The objects and records of one org; `clock` gives the stamps, cut to whole seconds.

    id: that of the org, as logins and session ids tell it. currency: the only one, or that of the
    company.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        is_multi_currency: bool = False,
        currency: str = "USD",
    ) -> None:
        self.clock = clock
        self.id = make_id("00D", 1)
        self.objects: dict[str, SObject] = standard_objects(is_multi_currency=is_multi_currency)
        self.deletions: list[Deletion] = []
        self.log_begins: datetime | None = None
        """Deletions before this were purged from the log; None = the log is whole."""
        self._hidden: dict[str, set[str]] = {}
        self._hidden_objects: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._owner: dict[str, str] = {}
        self._fallen: dict[str, list[str]] = {}
        self.user = self.create("User", Username="integration@acme.example", IsActive=True)
        self.currency = currency
        told = {"DefaultCurrencyIsoCode": currency} if is_multi_currency else {}
        self.create("Organization", Id=self.id, **told)

    # --- the shape ---------------------------------------------------------------------------

    def object(self, name: str) -> SObject | None:
        """The object that this user may read, whatever the case of the name."""
        found = self.objects.get(name)
        if found is None:
            lowered = name.lower()
            found = next((o for o in self.objects.values() if o.name.lower() == lowered), None)
        return None if found is None or found.name in self._hidden_objects else found

    def visible(self, name: str) -> list[Field]:
        hidden = self._hidden.get(name, set())
        return [field for field in self.objects[name].fields.values() if field.name not in hidden]

    def hidden(self, name: str) -> set[str]:
        return self._hidden.get(name, set())

    def field(self, name: str, field: str) -> Field | None:
        """The field of an object, unless it is absent or hidden from this user."""
        found = self.objects[name].field_named(field)
        return None if found is None or found.name in self.hidden(name) else found

    def hide(self, name: str, *fields: str) -> None:
        """Field-level security; without fields the whole object."""
        if fields:
            self._hidden.setdefault(name, set()).update(fields)
        else:
            self._hidden_objects.add(name)

    def show(self, name: str, *fields: str) -> None:
        self._hidden.get(name, set()).difference_update(fields)
        if not fields:
            self._hidden_objects.discard(name)

    def remove_object(self, *names: str) -> None:
        """The edition or feature is absent."""
        for name in names:
            del self.objects[name]

    def add_fields(self, name: str, text: str) -> None:
        """Custom fields, written as in `schema.parse_fields`."""
        sobject = self.objects[name]
        sobject.fields.update(parse_fields(text))
        for identity, record in sobject.records.items():
            sobject.records[identity] = {**sobject.blank(), **record}

    def add_object(self, name: str, prefix: str, text: str) -> None:
        """A custom object with an audit trail, a name and these fields."""
        self.objects[name] = SObject(name, prefix, parse_fields(f"{AUDIT} Name {text}"))

    # --- records -----------------------------------------------------------------------------

    def now(self) -> datetime:
        return self.clock().replace(microsecond=0)

    def new_id(self, name: str) -> str:
        prefix = self.objects[name].prefix
        self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        return make_id(prefix, self._numbers[prefix])

    def create(self, name: str, /, *, stamp: datetime | None = None, **values: Any) -> str:
        """A record; returns its id. stamp: SystemModstamp and the dates, if not now (a late
        commit shows a record with an earlier stamp)."""
        sobject = self.objects[name]
        at = stamp or self.now()
        identity = values.pop("Id", None) or self.new_id(name)
        record = dict(sobject.blank())
        record["Id"] = identity
        for field in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
            if field in record:
                record[field] = at
        if name != "User" and "CreatedById" in record:
            record["CreatedById"] = self.user
            if "LastModifiedById" in record:
                record["LastModifiedById"] = self.user
        if not values.keys() <= record.keys():
            unknown = ", ".join(sorted(values.keys() - record.keys()))
            raise KeyError(f"{name} has no field {unknown}")
        record.update(values)
        sobject.records[identity] = record
        self._owner[identity] = name
        return identity

    def object_of(self, identity: str) -> SObject:
        return self.objects[self._owner[identity]]

    def find(self, identity: str | None) -> Mapping[str, Any] | None:
        """The record of this id, deleted ones included; None when there is none."""
        name = self._owner.get(identity or "")
        if name is None or name not in self.objects:
            return None
        return self.objects[name].records.get(identity or "")

    def name_of(self, identity: str | None) -> str:
        return self._owner.get(identity or "", "")

    def update(self, identity: str, /, *, stamp: datetime | None = None, **values: Any) -> None:
        """Change a record as a user does: SystemModstamp moves."""
        at = stamp or self.now()
        moved = {"LastModifiedDate": at, "SystemModstamp": at}
        fields = self.object_of(identity).fields
        self.recalculate(identity, **values, **{k: v for k, v in moved.items() if k in fields})

    def recalculate(self, identity: str, /, **values: Any) -> None:
        """Change values without touching a stamp, as formulas and roll-ups do."""
        sobject = self.object_of(identity)
        unknown = set(values) - set(sobject.fields)
        if unknown:
            raise KeyError(f"{sobject.name} has no field {', '.join(sorted(unknown))}")
        sobject.records[identity] = {**sobject.records[identity], **values}

    # --- deletes and merges ------------------------------------------------------------------

    def delete(self, identity: str) -> None:
        """Into the recycle bin, with the records that hang on it."""
        name = self.object_of(identity).name
        self.update(identity, IsDeleted=True)
        self.deletions.append(Deletion(name, identity, self.now()))
        self._fallen[identity] = list(self._children(identity))
        for child in self._fallen[identity]:
            self.delete(child)

    def undelete(self, identity: str) -> None:
        """Back from the bin, with the records that went with it."""
        self.update(identity, IsDeleted=False)
        self.deletions = [entry for entry in self.deletions if entry.id != identity]
        for child in self._fallen.pop(identity, ()):
            if self.find(child) is not None:
                self.undelete(child)

    def purge(self, identity: str) -> None:
        """Gone for good, with the records that hang on it: no query shows it any more."""
        sobject = self.object_of(identity)
        if all(entry.id != identity for entry in self.deletions):
            self.deletions.append(Deletion(sobject.name, identity, self.now()))
        for child in list(self._children(identity)):
            self.purge(child)
        del sobject.records[identity]
        del self._owner[identity]

    def empty_bin(self) -> None:
        """Purge all that was deleted."""
        for sobject in list(self.objects.values()):
            for identity, record in list(sobject.records.items()):
                if record.get("IsDeleted") and identity in sobject.records:
                    self.purge(identity)

    def merge(self, survivor: str, *losers: str) -> None:
        """Delete the losers with MasterRecordId, and let what pointed to them point to the
        survivor. A case keeps its messages and history."""
        name = self.object_of(survivor).name
        for loser in losers:
            self.update(loser, IsDeleted=True, MasterRecordId=survivor)
            self.deletions.append(Deletion(name, loser, self.now()))
            for sobject, field in list(self._lookups_to(name)):
                if name == "Case" and field in sobject.parents:
                    continue
                for identity, record in list(sobject.records.items()):
                    if record[field] == loser:
                        change: dict[str, Any] = {field: survivor}
                        self.update(identity, **change)

    def _lookups_to(self, name: str) -> Iterable[tuple[SObject, str]]:
        for sobject in self.objects.values():
            for field in sobject.fields.values():
                if name in field.refers_to and field.name != "MasterRecordId":
                    yield sobject, field.name

    def _children(self, identity: str) -> Iterable[str]:
        name = self._owner[identity]
        for sobject in self.objects.values():
            for parent in sobject.parents:
                if name not in sobject.fields[parent].refers_to:
                    continue
                for child, record in sobject.records.items():
                    if record[parent] == identity and not record.get("IsDeleted"):
                        yield child
