"""The end of a subscription that has no end date: the day on which its status says that it is over.

HubSpot keeps no date of a cancellation, but the former values of `hs_status`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from crmetrics_hubspot.account import Account
from crmetrics_hubspot.objects import Objects
from crmetrics_hubspot.values import Misfits, typed

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
    dated: int = 0
    undated: int = 0

    def of(self, ids: Sequence[str], texts: Callable[[str], Any]) -> Any:
        """A column of days. texts: gives a property as it came."""
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
        self.dated += len(told)
        self.undated += len(begins) - len(told)
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
            stamp = _over_since(versions)
            if stamp is not None:
                instant = datetime.fromisoformat(stamp)
                yield str(record["id"]), instant.astimezone(self.account.zone).date()

    def notices(self) -> list[str]:
        what = "subscriptions are canceled or expired by their status and have no end date"
        told = []
        if self.dated:
            told.append(
                f"subscriptions: {self.dated} {what}; they end on the day on which the status "
                f"became so. {_WHAT_TO_DO}"
            )
        if self.undated:
            told.append(
                f"subscriptions: {self.undated} {what}, nor does HubSpot tell when the status "
                f"became so; they count at no time. {_WHAT_TO_DO}"
            )
        return told


def _is_over(status: str | None) -> bool:
    return (status or "").strip().lower() in _OVER


def _over_since(versions: Sequence[Mapping[str, Any]]) -> str | None:
    """When the status last became so, of versions that come newest first; None when it is not."""
    since: str | None = None
    for version in versions:
        if not _is_over(version.get("value")):
            break
        since = str(version["timestamp"])
    return since
