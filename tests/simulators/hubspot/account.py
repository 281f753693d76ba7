"""A simulated HubSpot account: what it holds, and what its users do to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from simulators.hubspot.email_log import EmailLog
from simulators.hubspot.records import ObjectStore, Record, Values, iso, milliseconds
from simulators.hubspot.schema import standard_objects

Label = tuple[int, str | None]
"""Type id and label of an association; None = the unlabelled one that every pair has."""


@dataclass
class Stage:
    """A stage of a pipeline; metadata values are texts."""

    id: str
    label: str
    metadata: Mapping[str, str]

    def as_json(self, order: int) -> dict[str, Any]:
        return {
            "id": self.id,
            "label": self.label,
            "displayOrder": order,
            "metadata": dict(self.metadata),
            "archived": False,
            "createdAt": "2020-01-01T00:00:00Z",
            "updatedAt": "2020-01-01T00:00:00Z",
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
        }


@dataclass
class Pipeline:
    """A pipeline of deals, tickets, leads or orders."""

    id: str
    label: str
    stages: list[Stage]

    def as_json(self, order: int) -> dict[str, Any]:
        return {
            "id": self.id,
            "label": self.label,
            "displayOrder": order,
            "archived": False,
            "createdAt": "2020-01-01T00:00:00Z",
            "updatedAt": "2020-01-01T00:00:00Z",
            "stages": [stage.as_json(number) for number, stage in enumerate(self.stages)],
        }


@dataclass
class Owner:
    """An owner: a person or a queue. team: (id, name) of the primary team."""

    id: str
    user_id: int | None
    team: tuple[str, str] | None = None
    type: str = "PERSON"
    created_at: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    updated_at: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    is_archived: bool = False
    email: str = "owner@example.com"

    def as_json(self) -> dict[str, Any]:
        shown = {
            "id": self.id,
            "email": self.email,
            "type": self.type,
            "firstName": "First",
            "lastName": f"Last {self.id}",
            "userId": None if self.is_archived else self.user_id,
            "userIdIncludingInactive": self.user_id,
            "createdAt": iso(self.created_at),
            "updatedAt": iso(self.updated_at),
            "archived": self.is_archived,
        }
        if self.team:
            shown["teams"] = [{"id": self.team[0], "name": self.team[1], "primary": True}]
        return shown


@dataclass
class Campaign:
    """A marketing campaign. spend: items as (id, name, amount, created at). touched: kind of
    touch -> contacts with the day on which they count."""

    id: str
    properties: Values
    currency: str | None = None
    budget: str | None = None
    spend: list[tuple[str, str, str, datetime]] = field(default_factory=list)
    touched: dict[str, list[tuple[str, date]]] = field(default_factory=dict)

    def totals(self) -> dict[str, Any]:
        """The answer of the budget totals call: its instants are milliseconds."""
        spent = sum(float(item[2]) for item in self.spend)
        return {
            "currencyCode": self.currency,
            "budgetTotal": float(self.budget) if self.budget else 0.0,
            "spendTotal": spent,
            "remainingBudget": float(self.budget or 0) - spent,
            "budgetItems": [],
            "spendItems": [
                {
                    "id": name,
                    "name": title,
                    "amount": float(amount),
                    "order": number,
                    "createdAt": milliseconds(at),
                    "updatedAt": milliseconds(at),
                }
                for number, (name, title, amount, at) in enumerate(self.spend)
            ],
        }


class Account:
    """Everything that one account holds. clock: the time of the simulated world."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.portal_id = 62515
        self.currency = "USD"
        self.time_zone = "US/Eastern"
        self.objects: dict[str, ObjectStore] = standard_objects()
        self.owners: dict[str, Owner] = {}
        self.pipelines: dict[str, list[Pipeline]] = {}
        self.campaigns: dict[str, Campaign] = {}
        self.emails: list[dict[str, Any]] = []
        self.log = EmailLog(self.portal_id, clock)
        self.rates: list[tuple[str, str, float, datetime]] = []
        self.logins: list[dict[str, Any]] = []
        self.login_days: int | None = 90
        self.audit_logs: list[dict[str, Any]] = []
        self.threads: dict[str, dict[str, Any]] = {}
        self.links: dict[tuple[str, str], dict[str, list[tuple[str, Label]]]] = {}
        self.keeps_id_on_merge = False
        self._next = 1000

    # --- objects -----------------------------------------------------------------------------

    def store(self, name: str) -> ObjectStore | None:
        """An object type by name, type id or fully qualified name."""
        for store in self.objects.values():
            qualified = (f"p{self.portal_id}_{store.name}", f"p_{store.name}")
            is_own = store.type_id.startswith("2-")
            if name in (store.name, store.type_id) or (is_own and name in qualified):
                return store
        return None

    def add_object(self, store: ObjectStore) -> ObjectStore:
        """A custom object."""
        self.objects[store.name] = store
        return store

    def new_id(self) -> str:
        self._next += 1
        return str(self._next)

    def create(
        self,
        kind: str,
        values: Mapping[str, str | None],
        *,
        record_id: str = "",
        at: datetime | None = None,
        changed: datetime | None = None,
    ) -> Record:
        """A new record; created (and changed) at this instant, by default now."""
        created = at or self.clock()
        name = record_id or self.new_id()
        self._next = max(self._next, int(name))
        return self.objects[kind].add(Record(name, dict(values), created, changed or created))

    def update(self, kind: str, record_id: str, at: datetime | None = None, **values: Any) -> None:
        store = self.objects[kind]
        store.update(store.records[record_id], values, at or self.clock())

    def recalculate(self, kind: str, record_id: str, **values: str | None) -> None:
        """A calculated property changes, and the record's cursor does not."""
        store = self.objects[kind]
        store.recalculate(store.records[record_id], values)

    def archive(self, kind: str, record_id: str, at: datetime | None = None) -> None:
        """Into the recycle bin; search and list no longer give it."""
        store = self.objects[kind]
        store.records[record_id].archived_at = at or self.clock()
        store.version += 1

    def restore(self, kind: str, record_id: str) -> None:
        store = self.objects[kind]
        store.records[record_id].archived_at = None
        store.version += 1

    def purge(self, kind: str, record_id: str) -> None:
        """Gone without a trace: a privacy deletion."""
        self.objects[kind].remove(record_id)
        self._forget_links(kind, record_id)

    def merge(self, kind: str, winner: str, *losers: str, at: datetime | None = None) -> str:
        """Merge records; the id of the result, a new one unless `keeps_id_on_merge`.

        Reads by an old id give the result. Associations move to it.
        """
        store, moment = self.objects[kind], at or self.clock()
        old = store.records[winner]
        gone = [winner, *losers]
        result = winner if self.keeps_id_on_merge else self.new_id()
        earlier = [m for name in gone for m in self._merged_ids(store.records[name])]
        values = {**old.properties, "hs_merged_object_ids": ";".join([*gone, *earlier])}
        further = [a for name in gone for a in _addresses(store.records[name])]
        if further and kind == "contacts":
            # The addresses of those that are gone are further ones of the result.
            values["hs_additional_emails"] = ";".join(
                dict.fromkeys(a for a in further if a != old.properties.get("email"))
            )
        for name in gone:
            store.remove(name)
        store.add(Record(result, values, old.created_at, moment, history=dict(old.history)))
        for name in gone:
            if name != result:
                store.merged[name] = result
                self._move_links(kind, name, result)
        return result

    def _merged_ids(self, record: Record) -> list[str]:
        return [m for m in (record.properties.get("hs_merged_object_ids") or "").split(";") if m]

    # --- associations ------------------------------------------------------------------------

    def associate(
        self, kind: str, record_id: str, other: str, other_id: str, labels: Iterable[Label] = ()
    ) -> None:
        """Tie two records, both ways; the record itself does not change."""
        for label in ((1000, None), *labels):
            self._tie((kind, other), record_id, other_id, label)
            self._tie((other, kind), other_id, record_id, label)

    def _tie(self, pair: tuple[str, str], one: str, other: str, label: Label) -> None:
        ties = self.links.setdefault(pair, {}).setdefault(one, [])
        if (other, label) not in ties:
            ties.append((other, label))

    def _forget_links(self, kind: str, record_id: str) -> None:
        for (one, other), ties in self.links.items():
            if one == kind:
                ties.pop(record_id, None)
            if other == kind:
                for found in ties.values():
                    found[:] = [tie for tie in found if tie[0] != record_id]

    def _move_links(self, kind: str, old: str, new: str) -> None:
        for (one, other), ties in list(self.links.items()):
            if one != kind:
                continue
            for target, label in ties.pop(old, []):
                back = self.links[other, kind].get(target, [])
                back[:] = [tie for tie in back if tie[0] != old]
                self._tie((kind, other), new, target, label)
                self._tie((other, kind), target, new, label)


def _addresses(record: Record) -> list[str]:
    own = record.properties
    texts = [own.get("email"), *(own.get("hs_additional_emails") or "").split(";")]
    return [text for text in texts if text]
