"""The close date that HubSpot sets by itself: the last day of the month in which a deal was made.

Nobody promised that day, but a forecast by close date counts the deal there.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa

from crmetrics_hubspot.account import Account


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
                self.count += self._is_default(made, closing)

    def _is_default(self, made: datetime, closing: datetime) -> bool:
        zone = self._account.zone
        first, day = made.astimezone(zone), closing.astimezone(zone)
        is_last = (day + timedelta(days=1)).day == 1
        return is_last and (first.year, first.month) == (day.year, day.month)

    def notice(self) -> str:
        return (
            f"{self.count} of {self.open} open deals carry the close date that HubSpot sets by "
            "itself, the last day of the month in which they were made; pipeline and forecasts by "
            "close date count them there. `default_close_date: ignore` leaves it out."
        )
