"""A ledger of deliveries in a list, by rules of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from crmetrics.deliver import DeliveryRecord, Place


class MemoryLedger:
    """A ledger in a list."""

    def __init__(self) -> None:
        self.records: list[DeliveryRecord] = []

    def receipts(self, job: str) -> list[tuple[str, Mapping[str, Any]]]:
        told = [one for one in self.records if (one.job, one.status) == (job, "delivered")]
        return [(one.channel, one.receipt) for one in told]

    def reports(self, place: Place, start: date, end: date) -> list[DeliveryRecord]:
        days = (start, end)
        return [one for one in self._at(place) if (one.period_start, one.period_end) == days]

    def delivered_by(self, place: Place, start: date, end: date) -> list[DeliveryRecord]:
        asked = (place.job, place.sink, "delivered", start, end)
        return [
            one
            for one in self.records
            if (one.job, one.sink, one.status, one.period_start, one.period_end) == asked
        ]

    def told_before(
        self, place: Place, before: date, *, or_maybe: bool = False, others: Collection[str] = ()
    ) -> Mapping[str, Any]:
        told = self._maybe_there(place) if or_maybe else self._delivered(place)
        told = [one for one in told if one.sink == place.sink or one.sink not in others]
        fitting = [one for one in told if self._start(one) < before]
        fitting = [one for one in fitting if one.sink == place.sink] or fitting
        return fitting[-1].told if fitting else {}

    def held(self, place: Place) -> tuple[date, date] | None:
        found = self._maybe_there(place)
        last = next((one for one in reversed(found) if one.grain == place.grain), None)
        return (self._start(last), last.period_end or date.max) if last else None

    def made_since(self, place: Place) -> str | None:
        told = [one for one in self._delivered(place) if one.grain == place.grain]
        if not told:
            return None
        turn = max(number for number, one in enumerate(self.records) if one is told[-1])
        made = [
            one.receipt.get("made", "")
            for one in self.records[turn + 1 :]
            if one.channel in place.channels
        ]
        return next((str(one) for one in made if one), "")

    def moved_from(self, place: Place) -> str:
        if any(one.grain == place.grain for one in self._delivered(place)):
            return ""
        asked = (place.job, place.sink, place.grain, "delivered")
        found = [one for one in self.records if (one.job, one.sink, one.grain, one.status) == asked]
        return found[-1].destination if found else ""

    def _maybe_there(self, place: Place) -> list[DeliveryRecord]:
        failed = {(one.key, one.run_id) for one in self._at(place) if one.status == "failed"}
        return [
            one
            for one in self._at(place)
            if one.status in ("delivered", "unknown")
            or (one.status == "started" and (one.key, one.run_id) not in failed)
        ]

    def _start(self, record: DeliveryRecord) -> date:
        return record.period_start or date.min

    def _delivered(self, place: Place) -> list[DeliveryRecord]:
        return [record for record in self._at(place) if record.status == "delivered"]

    def _at(self, place: Place) -> list[DeliveryRecord]:
        return [
            record
            for record in self.records
            if record.job == place.job
            and (
                record.channel in place.channels
                or (record.channel, record.sink) == (place.channel_before or "none", place.sink)
                or (record.channel, record.sink, record.destination)
                == ("", place.sink, place.destination)
            )
        ]

    def record(self, record: DeliveryRecord) -> None:
        self.records.append(record)

    @property
    def statuses(self) -> list[str]:
        return [record.status for record in self.records]
