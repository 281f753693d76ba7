"""The close date that HubSpot sets by itself: the last day of the month in which a deal was made.

Nobody promised that day, but a forecast by close date counts the deal there.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from crmetrics_hubspot.account import Account
from crmetrics_hubspot.values import INSTANT, Misfits, typed

FIELD = "close_date_is_default"
"""A field that a mapping of deals may read, and the properties behind it."""

BEHIND = ("createdate", "closedate")


def is_default(made: datetime | None, closing: datetime | None, zone: ZoneInfo) -> bool:
    """Whether a deal that was made then has the date that HubSpot sets, in the account's zone."""
    if made is None or closing is None:
        return False
    first, day = made.astimezone(zone), closing.astimezone(zone)
    is_last = (day + timedelta(days=1)).day == 1
    return is_last and (first.year, first.month) == (day.year, day.month)


def are_default(made: Any, closing: Any, zone: ZoneInfo) -> Any:
    """The same for columns of texts."""
    texts = pa.RecordBatch.from_arrays([made, closing], names=list(BEHIND))
    first, last = typed(texts, dict.fromkeys(BEHIND, INSTANT), Misfits("deals"))
    pairs = zip(first.to_pylist(), last.to_pylist(), strict=True)
    return pa.array([is_default(one, other, zone) for one, other in pairs], pa.bool_())


class DefaultCloseDates:
    """Counts the open deals with that date, by the days of the account's time zone."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.count = 0
        self.open = 0

    def look(self, batch: pa.RecordBatch) -> None:
        """Count those of a batch that says when deals were made and whether they are closed."""
        if not {"createdate", "closedate", "stage_is_closed"} <= set(batch.schema.names):
            return
        for made, closing, is_closed in zip(
            batch.column("createdate").to_pylist(),
            batch.column("closedate").to_pylist(),
            batch.column("stage_is_closed").to_pylist(),
            strict=True,
        ):
            if is_closed is False and made is not None and closing is not None:
                self.open += 1
                self.count += is_default(made, closing, self._account.zone)

    def notice(self) -> str:
        return (
            f"{self.count} of {self.open} open deals carry the close date that HubSpot sets by "
            "itself, the last day of the month in which they were made; pipeline and forecasts by "
            "close date count them there. `default_close_date: ignore` leaves it out."
        )
