"""The orders behind the revenue pack, recounted from the sample's records in plain loops.

Written from the text of the KPI catalogue, without SQL and without the definitions of the pack. The
reporting currency is USD, settings are the defaults unless a function says otherwise, and as_of is
late enough for everything in the export.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import NONE, Facts, Span

MONTH_DAYS = 30.4375
Figure = dict[str, float | None]


@dataclass(frozen=True)
class Group:
    """The rows of one group: an account's value of a column, or a product family."""

    column: str = ""
    value: str = ""


ALL = Group()


class OrderRecount(Facts):
    """What was bought, what it cost, and who moved up, per span and group."""

    def __init__(self, crm: SampleCrm, *, timezone: str = "UTC", as_of: date) -> None:
        super().__init__(crm.records, crm.start, crm.end, timezone=timezone)
        self.as_of_day = as_of

    # --- records -----------------------------------------------------------------------------

    @cached_property
    def subscriptions(self) -> list[dict[str, Any]]:
        return [row for row in self.live.rows("subscriptions") if not row.get("is_trial")]

    @cached_property
    def orders(self) -> list[dict[str, Any]]:
        rows = [o for o in self.live.rows("orders") if o["status"] not in ("draft", "cancelled")]
        lines: dict[str, list[dict[str, Any]]] = {}
        for line in self.live.rows("order_items"):
            lines.setdefault(line["order_id"], []).append(line)
        found = []
        for row in sorted(rows, key=lambda row: row["ordered_at"]):
            day = self.local_day(row["ordered_at"])
            found.append({**row, "day": day, "lines": lines.get(row["id"], [])})
        return found

    def product(self, product_id: str | None) -> Mapping[str, Any]:
        return self.live.by_id("products").get(product_id or "", {})

    def family(self, product_id: str | None) -> str:
        return self.product(product_id).get("family") or NONE

    def has(self, group: Group, account_id: str | None) -> bool:
        """Whether the account is in the group (families are looked at line by line)."""
        if not group.column or group.column == "family":
            return True
        account = self.live.by_id("accounts").get(account_id or "", {})
        return bool((account.get(group.column) or NONE) == group.value)

    def is_of(self, group: Group, order: Mapping[str, Any]) -> bool:
        """Whether the order is in the group, by itself or by its account."""
        campaign = order.get("campaign_id")
        if group.column == "campaign_id":
            return bool((campaign or NONE) == group.value)
        if group.column == "channel":
            found = self.live.by_id("campaigns").get(campaign or "", {})
            return bool((found.get("channel") or NONE) == group.value)
        return self.has(group, order["account_id"])

    def sells(self, group: Group, product_id: str | None) -> bool:
        return group.column != "family" or self.family(product_id) == group.value

    def float_usd(self, amount: Any, currency: str | None, day: date) -> float | None:
        usd = self.usd(amount, currency, day)
        return None if usd is None else float(usd)

    # --- revenue and its cost ----------------------------------------------------------------

    def bookings(self, span: Span, group: Group) -> Iterator[tuple[dict[str, Any], float, bool]]:
        """(order, amount in its currency, is a refund) of what is booked in the span."""
        for order in self.orders:
            if not self.is_of(group, order):
                continue
            if order["day"] in span:
                yield order, float(order["total_amount"]), False
            if order["refunded_amount"]:
                booked = self.local_day(order["refunded_at"] or order["ordered_at"])
                if booked in span:
                    yield order, -float(order["refunded_amount"]), True

    def line_shares(self, order: dict[str, Any]) -> list[tuple[dict[str, Any], float]]:
        total = sum(float(line["total_amount"]) for line in order["lines"])
        return [
            (line, float(line["total_amount"]) / total if total else 1 / len(order["lines"]))
            for line in order["lines"]
        ]

    def revenue(self, span: Span, group: Group, day: date | None = None) -> float:
        result = 0.0
        for order, amount, _ in self.bookings(span, group):
            usd = self.float_usd(1, order["currency"], day or order["day"])
            if usd is None:
                continue
            part = 1.0
            if group.column == "family":
                shares = self.line_shares(order)
                part = sum(s for line, s in shares if self.sells(group, line["product_id"]))
                if not shares:
                    part = float(group.value == NONE)
            result += usd * amount * part
        return result

    def line_cost(self, order: dict[str, Any], line: dict[str, Any]) -> float | None:
        cost, currency = line["unit_cost"], order["currency"]
        if cost is None:
            product = self.product(line["product_id"])
            cost, currency = product.get("unit_cost"), product.get("currency")
        usd = self.float_usd(cost, currency, order["day"])
        return None if usd is None else usd * line["quantity"]

    def cost(self, span: Span, group: Group) -> tuple[float, float]:
        """(cost, value of the lines without a cost)."""
        total = uncosted = 0.0
        for order in self.orders:
            if order["day"] not in span or not self.is_of(group, order):
                continue
            for line in order["lines"]:
                if self.sells(group, line["product_id"]):
                    cost = self.line_cost(order, line)
                    value = self.float_usd(line["total_amount"], order["currency"], order["day"])
                    total += cost or 0
                    uncosted += (value or 0) if cost is None else 0
        return total, uncosted

    def margin(self, span: Span, group: Group) -> tuple[float, float, float]:
        """(revenue of lines with a cost, their cost, revenue without a known cost)."""
        costed = uncosted = 0.0
        for order, amount, _ in self.bookings(span, group):
            usd = self.float_usd(1, order["currency"], order["day"])
            if usd is None:
                continue
            for line, part in self.line_shares(order):
                if self.sells(group, line["product_id"]):
                    if self.line_cost(order, line) is None:
                        uncosted += usd * amount * part
                    else:
                        costed += usd * amount * part
            if not order["lines"] and group.column != "family":
                uncosted += usd * amount
        return costed, self.cost(span, group)[0], uncosted

    def baskets(self, span: Span, group: Group) -> tuple[list[float], list[float], int]:
        """(units, different products) per order with lines, and the orders without any."""
        units, products, empty = [], [], 0
        for order in self.orders:
            if order["day"] in span and self.is_of(group, order):
                if not order["lines"]:
                    empty += 1
                    continue
                units.append(sum(line["quantity"] for line in order["lines"]))
                bought = {i["product_id"] for i in order["lines"] if i["quantity"] > 0}
                products.append(float(len(bought - {None})))
        return units, products, empty

    # --- moving up ---------------------------------------------------------------------------

    @cached_property
    def returning(self) -> list[dict[str, Any]]:
        """Orders of returning buyers; per line whether it is an up-sell or a cross-sell."""
        found = []
        for order in self.orders:
            earlier = [
                other
                for other in self.by_account[order["account_id"]]
                if other["ordered_at"] < order["ordered_at"]
            ]
            if not earlier:
                continue
            owned: dict[str, int | None] = {}
            for other in earlier:
                for line in other["lines"]:
                    product = self.product(line["product_id"])
                    if line["quantity"] > 0 and product.get("family"):
                        tiers = [owned.get(product["family"]), product.get("tier_rank")]
                        owned[product["family"]] = max((t for t in tiers if t), default=None)
            marked = []
            for line in order["lines"]:
                if line["quantity"] > 0:
                    product = self.product(line["product_id"])
                    family, tier = product.get("family"), product.get("tier_rank")
                    best = owned.get(family or "")
                    is_up = best is not None and tier is not None and tier > best
                    marked.append((line, is_up, family is not None and family not in owned))
            found.append({**order, "marked": marked})
        return found

    @cached_property
    def by_account(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for order in self.orders:
            found.setdefault(order["account_id"], []).append(order)
        return found

    def moved_up(self, span: Span, group: Group) -> tuple[set[str], set[str], set[str], float]:
        """(existing buyers, up-sold, cross-sold, amount of the up-sell lines)."""
        buyers: set[str] = set()
        up: set[str] = set()
        cross: set[str] = set()
        amount = 0.0
        for order in self.returning:
            account = order["account_id"]
            if order["day"] not in span or not self.has(group, account):
                continue
            marked = [m for m in order["marked"] if self.sells(group, m[0]["product_id"])]
            is_unmarked = not order["marked"] and group.value == NONE
            if group.column != "family" or marked or is_unmarked:
                buyers.add(account)
            for line, is_up, is_cross in marked:
                if is_up:
                    up.add(account)
                    usd = self.float_usd(line["total_amount"], order["currency"], order["day"])
                    amount += usd or 0
                if is_cross:
                    cross.add(account)
        return buyers, up, cross, amount
