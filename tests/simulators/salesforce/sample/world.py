"""What all parts of the sample share: the org that is filled, and the ids that records got."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from simulators.salesforce.org import Deletion, Org

Row = dict[str, Any]

OBJECTS = {
    "accounts": "Account",
    "contacts": "Contact",
    "leads": "Lead",
    "opportunities": "Opportunity",
    "opportunity_stage_history": "OpportunityHistory",
    "opportunity_items": "OpportunityLineItem",
    "products": "Product2",
    "orders": "Order",
    "order_items": "OrderItem",
    "subscriptions": "AssetStatePeriod",
    "campaigns": "Campaign",
    "campaign_members": "CampaignMember",
    "activities": "Task",
    "cases": "Case",
    "case_messages": "EmailMessage",
    "users": "User",
    "user_activity": "LoginHistory",
    "survey_responses": "SurveyInvitation",
    "forecasts": "ForecastingSubmissionItem",
    "quotas": "ForecastingQuota",
}
"""The object that holds most records of a dataset."""


class World:
    """ids: (dataset, id of the generator) -> id in Salesforce. until: nothing is later. zone: of
    the company."""

    def __init__(self, org: Org, records: Mapping[str, Iterable[Row]], zone: tzinfo = UTC) -> None:
        self.org = org
        self.zone = zone
        self.rows = {name: _newest(rows) for name, rows in records.items()}
        self.ids: dict[tuple[str, str], str] = {}
        self._made: dict[tuple[str, str], str] = {}

    def id_of(self, dataset: str, name: str | None, *, object: str = "") -> str | None:
        """The id in Salesforce; one that no record has for a reference to nothing."""
        if name is None:
            return None
        if (dataset, name) not in self.ids:
            self.ids[dataset, name] = self.org.new_id(object or OBJECTS[dataset])
        return self.ids[dataset, name]

    def survivors(self, dataset: str) -> dict[str, str]:
        """Loser of a merge -> the record that survives at the end of the chain."""
        into = {r["id"]: r["merged_into_id"] for r in self.rows[dataset] if r.get("merged_into_id")}
        found = {}
        for loser in into:
            survivor = loser
            while survivor in into:
                survivor = into[survivor]
            found[loser] = survivor
        return found

    def add(
        self, dataset: str, row: Row, values: Mapping[str, Any], *, object: str = "",
        created: datetime | None = None,
    ) -> str:  # fmt: skip
        """The record of a row, in the recycle bin when the row is deleted or lost a merge."""
        name = object or OBJECTS[dataset]
        fields = self.org.objects[name].fields
        changed = row.get("updated_at") or created
        more: dict[str, Any] = {"Id": self.id_of(dataset, row["id"], object=name)}
        if "CurrencyIsoCode" in fields:
            more["CurrencyIsoCode"] = row.get("currency") or "USD"
        if "Is_Test__c" in fields:
            more["Is_Test__c"] = bool(row.get("is_test"))
        if created is not None and "CreatedDate" in fields:
            more["CreatedDate"] = created
        is_gone = bool(row.get("is_deleted") or row.get("merged_into_id"))
        if is_gone and "IsDeleted" in fields:
            more["IsDeleted"] = True
        identity = self.org.create(name, stamp=changed, **{**more, **values})
        if is_gone and "IsDeleted" in fields:
            assert changed is not None
            self.org.deletions.append(Deletion(name, identity, changed))
        return identity

    def once(self, kind: str, key: str, **values: Any) -> str:
        """A record that several rows share, made at its first mention."""
        if (kind, key) not in self._made:
            self._made[kind, key] = self.org.create(kind, **values)
        return self._made[kind, key]

    def live_reference(self, dataset: str, name: str | None) -> str | None:
        """A reference as it stands after merges: Salesforce points children to the survivor."""
        survivors = self._survivors_of(dataset)
        return self.id_of(dataset, survivors.get(name or "", name))

    def _survivors_of(self, dataset: str) -> dict[str, str]:
        cache = self.__dict__.setdefault("_survivor_cache", {})
        if dataset not in cache:
            cache[dataset] = self.survivors(dataset)
        found: dict[str, str] = cache[dataset]
        return found


def newest(rows: Iterable[Row]) -> Iterator[Row]:
    return iter(_newest(rows))


def titled(value: str | None) -> str | None:
    """`new_business` as people name it in a picklist: `New Business`."""
    return None if value is None else value.replace("_", " ").title()


def is_past(day: date | datetime | None, until: date) -> bool:
    if day is None:
        return False
    return (day.date() if isinstance(day, datetime) else day) < until


def _newest(rows: Iterable[Row]) -> list[Row]:
    """One row per id, the newest: a CRM holds one version of a record."""
    found: dict[Any, Row] = {}
    for number, row in enumerate(rows):
        key = row.get("id", number)
        if key not in found or row["updated_at"] > found[key]["updated_at"]:
            found[key] = row
    return list(found.values())
