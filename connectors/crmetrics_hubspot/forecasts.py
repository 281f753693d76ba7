"""Forecasts: whose they are, for which days, and which of them are of all that a person sells.

HubSpot says of a forecast when it begins and ends, or its year with a month or a quarter of the
fiscal year. A forecast of a team, or of one pipeline of several, is no forecast of its owner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa

from crmetrics_hubspot.account import Account
from crmetrics_hubspot.goals import days_of
from crmetrics_hubspot.values import INSTANT, Misfits, typed

_OWNER, _CREATOR, _TEAM = "hubspot_owner_id", "hs_created_by_user_id", "hs_team_id"
_PIPELINE = "hs_deal_pipeline_id"
_START, _END = "hs_forecast_start_date", "hs_forecast_end_date"
_FISCAL = ("hs_year", "hs_milestone", "hs_fiscal_month", "hs_fiscal_quarter",
           "hs_forecast_fiscal_offset")  # fmt: skip
_DAYS = (_START, _END, *_FISCAL)
COUNTS = "forecast_counts"
FIELDS: Mapping[str, tuple[str, ...]] = {
    COUNTS: (_OWNER, _TEAM, _PIPELINE),
    "forecast_owner": (_OWNER, _CREATOR),
    "forecast_first_day": _DAYS,
    "forecast_end_day": _DAYS,
}
"""Fields that a mapping of forecasts may read, with the properties behind them."""

Values = Mapping[str, str | None]


@dataclass
class Forecasts:
    """The fields of forecasts, and what became of those that count nowhere.

    known: the properties that forecasts have in this account.
    """

    account: Account
    known: Collection[str]
    unused: Counter[str] = field(default_factory=Counter)
    undated: int = 0
    misfits: Misfits = field(default_factory=lambda: Misfits("forecasts"))

    def of(self, name: str, count: int, texts: Callable[[str], Any]) -> Any:
        """One of FIELDS for each of `count` forecasts. texts: gives a property as it came."""
        columns = {
            prop: texts(prop) if prop in self.known else pa.nulls(count, pa.string())
            for prop in FIELDS[name]
        }
        told = {prop: column.to_pylist() for prop, column in columns.items()}
        rows = [{prop: v[row] or None for prop, v in told.items()} for row in range(count)]
        if name == COUNTS:
            return pa.array([self._counts(row) for row in rows], pa.bool_())
        if name == "forecast_owner":
            owners = [self.account.owner_or_user(row[_OWNER], row[_CREATOR]) for row in rows]
            return pa.array(owners, pa.string())
        days = self._days(columns, rows)
        if name == "forecast_first_day":
            self.undated += sum(None in pair for pair in days)
            return pa.array([first for first, _ in days], pa.date32())
        # What does not fit is told of the first day: both are made of the same properties.
        return pa.array([end for _, end in days], pa.date32())

    def notices(self) -> list[str]:
        if not self.unused:
            return []
        shown = ", ".join(f"{count} {what}" for what, count in self.unused.most_common())
        return [
            f"forecasts: {self.unused.total()} are not used, because they are not of all that a "
            f"person or the company sells: {shown}. Map owner_id under `columns:` to say yourself "
            "whose the forecasts of this account are."
        ]

    def unfit(self) -> list[str]:
        if not self.undated:
            return self.misfits.notices()
        undated = (
            f"forecasts: {self.undated} do not say for which days they are "
            f"({_START} and {_END}, or hs_year with its month or quarter where the fiscal year "
            "begins in January). Map period_start and period_end under `columns:`."
        )
        return [*self.misfits.notices(), undated]

    # --- one forecast ----------------------------------------------------------------------------

    def _counts(self, row: Values) -> bool:
        why = ""
        pipelines = self.account.pipelines("deals").labels if row[_PIPELINE] else {}
        if _OWNER in self.known and row[_OWNER] is None and row[_TEAM] is not None:
            why = "of a team"
        elif row[_PIPELINE] and set(pipelines) != {row[_PIPELINE]}:
            why = "of one pipeline"
        if why:
            self.unused[why] += 1
        return not why

    def _days(
        self, columns: Mapping[str, Any], rows: list[dict[str, str | None]]
    ) -> list[tuple[date | None, date | None]]:
        """The first day, and the day after the last."""
        ends = pa.RecordBatch.from_arrays([columns[_START], columns[_END]], names=[_START, _END])
        start, end = typed(ends, dict.fromkeys((_START, _END), INSTANT), self.misfits)
        found = []
        for row, one, other in zip(rows, start.to_pylist(), end.to_pylist(), strict=True):
            is_told = row[_START] is not None and row[_END] is not None
            found.append(days_of(one, other, self.account.zone) if is_told else fiscal_days(row))
        return found


def fiscal_days(row: Values) -> tuple[date | None, date | None]:
    """The first day and the day after the last, by year and month or quarter.

    Only where the fiscal year is the calendar's: HubSpot does not say to which calendar year the
    others belong.
    """
    year, month, quarter = (_whole(row[name]) for name in ("hs_year", *_FISCAL[2:4]))
    if _whole(row[_FISCAL[4]]) != 0 or year is None or not 1900 <= year <= 2999:
        return None, None
    match (row["hs_milestone"] or "").lower():
        case "monthly" if month is not None and 1 <= month <= 12:
            first, months = month, 1
        case "quarterly" if quarter is not None and 1 <= quarter <= 4:
            first, months = 3 * quarter - 2, 3
        case "yearly" | "annually" | "annual":
            first, months = 1, 12
        case _:
            return None, None
    after = first + months
    return date(year, first, 1), date(year + (after > 12), (after - 1) % 12 + 1, 1)


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None
