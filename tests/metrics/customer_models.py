"""The sample's customers and orders by the models of the catalogue, counted from the raw rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from crmetrics.testing.data import SampleCrm

ZONE = ZoneInfo("America/New_York")
NONE = "(none)"
Row = Mapping[str, Any]
Spells = Mapping[str, list[tuple[date, date | None]]]
MODELS = [
    ("subscription", "orders"),
    ("purchase", "orders"),
    ("purchase", "opportunities"),
    ("field", "orders"),
]
"""customer_model and orders_from."""


def local_day(instant: datetime) -> date:
    return instant.astimezone(ZONE).date()


class Raw:
    """The rows that count, by the rules of the catalogue: deleted and test records and what hangs
    on such accounts are out, keys of merged accounts lead to the survivor."""

    def __init__(self, crm: SampleCrm) -> None:
        self.tables = {name: crm.tables[name].to_pylist() for name in crm.tables}
        known = {row["id"]: row for row in self.tables["accounts"]}
        self.survivor = {key: self._survivor(key, known) for key in known}
        self.accounts = {
            key: row
            for key, row in known.items()
            if not row["merged_into_id"] and not row["is_deleted"] and not row["is_test"]
        }
        self.gone = {key for key in known if self.survivor[key] not in self.accounts}
        self.rates: dict[str, list[tuple[date, float]]] = {}
        for row in self.tables["exchange_rates"]:
            rate = (row["valid_from"], float(row["rate"]))
            self.rates.setdefault(row["currency"], []).append(rate)

    @staticmethod
    def _survivor(key: str, known: Mapping[str, Row]) -> str:
        while known[key]["merged_into_id"] in known:
            key = known[key]["merged_into_id"]
        return key

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The live rows of a dataset with an account, re-pointed."""
        for row in self.tables[name]:
            if row["is_deleted"] or row["is_test"] or row.get("merged_into_id"):
                continue
            if row["account_id"] in self.gone:
                continue
            yield {**row, "account_id": self.survivor.get(row["account_id"], row["account_id"])}

    def usd(self, amount: Any, currency: str | None, day: date) -> float | None:
        if amount is None:
            return None
        if currency in (None, "USD"):
            return float(amount)
        rates = sorted(self.rates.get(currency, []))
        at = bisect_right([since for since, _ in rates], day) - 1
        return float(amount) * rates[at][1] if at >= 0 else None

    def segment(self, account: str | None) -> str:
        return (self.accounts.get(account or "") or {}).get("segment") or NONE

    # --- orders ----------------------------------------------------------------------------------

    def orders(self, source: str) -> list[dict[str, Any]]:
        """Counted orders with their local day; of `opportunities` the won deals."""
        found = []
        if source == "opportunities":
            for row in self.rows("opportunities"):
                if row["is_won"] and row["close_date"]:
                    found.append({
                        **row, "day": row["close_date"], "total_amount": row["amount"],
                        "refunded_amount": None, "refunded_at": None,
                    })  # fmt: skip
            return found
        for row in self.rows("orders"):
            if row["status"] not in ("draft", "cancelled"):
                found.append({**row, "day": local_day(row["ordered_at"])})
        return found

    # --- customers -------------------------------------------------------------------------------

    def spells(self, model: str, source: str = "orders") -> Spells:
        spans: dict[str, list[tuple[date, date | None]]] = {}
        if model == "purchase":
            for order in self.orders(source):
                if order["account_id"] and not is_refunded(order):
                    year = (order["day"], order["day"] + timedelta(days=365))
                    spans.setdefault(order["account_id"], []).append(year)
        elif model == "field":
            for key, row in self.accounts.items():
                if row["customer_since_at"]:
                    start = local_day(row["customer_since_at"])
                    has_left = row["account_type"] == "former_customer"
                    end = max(local_day(row["updated_at"]), start) if has_left else None
                    spans[key] = [(start, end)]
        else:
            for row in self.rows("subscriptions"):
                if row["account_id"] and not row["is_trial"] and (row["mrr"] or 0) > 0:
                    span = (row["start_date"], row["end_date"])
                    spans.setdefault(row["account_id"], []).append(span)
        return {account: joined(found) for account, found in spans.items()}


def is_refunded(order: Row) -> bool:
    refunded = order["refunded_amount"]
    return bool(refunded and refunded >= (order["total_amount"] or 0))


def joined(spans: list[tuple[date, date | None]]) -> list[tuple[date, date | None]]:
    """Spans that touch or overlap as one."""
    found: list[tuple[date, date | None]] = []
    for start, end in sorted(spans, key=lambda span: span[0]):
        last = found[-1] if found else None
        if last is not None and (last[1] is None or start <= last[1]):
            latest = None if end is None or last[1] is None else max(end, last[1])
            found[-1] = (last[0], latest)
        else:
            found.append((start, end))
    return found


def active(spells: Spells, day: date) -> set[str]:
    return {
        account
        for account, spans in spells.items()
        if any(start <= day and (end is None or day < end) for start, end in spans)
    }


def share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
