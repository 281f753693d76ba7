"""The end of a subscription that has no end date: the day on which its status says that it is over.

HubSpot keeps no date of a cancellation, but the former values of `hs_status`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from crmetrics_hubspot.account import Account
from crmetrics_hubspot.objects import Objects
from crmetrics_hubspot.values import Misfits, instant_of, typed

FIELD = "subscription_ended_on"
"""A field that a mapping of subscriptions may read, and the properties behind it."""

STATUS = "hs_status"
_DAYS = ("hs_recurring_billing_start_date", "hs_recurring_billing_end_date")
BEHIND = (STATUS, *_DAYS)
_OVER = frozenset({"canceled", "cancelled", "expired"})
_WHAT_TO_DO = "Map end_date under `columns:` if a property holds the first day without service."


@dataclass
class Endings:
    """The first day without service of those that are over and have no end date; null for others.

    Where HubSpot tells no day either, it is the day on which they began: nobody pays for them now.
    known: the properties that subscriptions have in this account.
    """

    account: Account
    known: Collection[str]
    dated: set[str] = field(default_factory=set)
    undated: set[str] = field(default_factory=set)

    def of(
        self, ids: Sequence[str], are_archived: Sequence[bool], texts: Callable[[str], Any]
    ) -> Any:
        """A column of days. texts: gives a property as it came.

        Records in the recycle bin have their day too, but nobody needs to hear of them.
        """
        columns = [
            texts(name) if name in self.known else pa.nulls(len(ids), pa.string()) for name in _DAYS
        ]
        days = pa.RecordBatch.from_arrays(columns, names=list(_DAYS))
        # What does not fit is told where the columns themselves are made.
        begun, ended = typed(days, dict.fromkeys(_DAYS, pa.date32()), Misfits("subscriptions"))
        begins: dict[str, date | None] = {
            name: begin
            for name, status, begin, end in zip(
                ids, texts(STATUS).to_pylist(), begun.to_pylist(), ended.to_pylist(), strict=True
            )
            if _is_over(status) and end is None
        }
        told = self._told(list(begins))
        archived = {name for name, is_it in zip(ids, are_archived, strict=True) if is_it}
        # The same record may come twice: from the list, and as changed since.
        self.dated = (self.dated | told.keys()) - archived
        self.undated = (self.undated | (begins.keys() - told.keys())) - archived
        return pa.array([told.get(name, begins.get(name)) for name in ids], pa.date32())

    def _told(self, ids: list[str]) -> dict[str, date]:
        """The days by the history of the status; of those in the recycle bin too."""
        found: dict[str, date] = {}
        objects = Objects(self.account.api, "subscriptions", (), (STATUS,))
        for archived in (False, True):
            rest = [name for name in ids if name not in found]
            for start in range(0, len(rest), objects.page):
                body = objects.of(rest[start : start + objects.page], archived=archived)
                found |= dict(self._ends(json.loads(body)["results"]))
        return found

    def _ends(self, records: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, date]]:
        for record in records:
            versions = (record.get("propertiesWithHistory") or {}).get(STATUS) or ()
            instant = _over_since(versions)
            if instant is not None:
                yield str(record["id"]), instant.astimezone(self.account.zone).date()

    def notices(self) -> list[str]:
        what = "subscriptions are canceled or expired by their status and have no end date"
        told = []
        if self.dated:
            told.append(
                f"subscriptions: {len(self.dated)} {what}; they end on the day on which the status "
                f"became so. {_WHAT_TO_DO}"
            )
        if self.undated:
            told.append(
                f"subscriptions: {len(self.undated)} {what}, nor does HubSpot tell when the status "
                f"became so; they count at no time. {_WHAT_TO_DO}"
            )
        return told


def _is_over(status: str | None) -> bool:
    return (status or "").strip().lower() in _OVER


def _over_since(versions: Sequence[Mapping[str, Any]]) -> datetime | None:
    """When the status last became so, of versions that come newest first; None when it is not, or
    when its instant is none."""
    since: datetime | None = None
    for version in versions:
        if not _is_over(version.get("value")):
            break
        since = instant_of(version.get("timestamp"))
    return since
