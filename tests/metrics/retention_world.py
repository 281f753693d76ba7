"""The sample's customers as plain lists and dicts, whole or restricted to a group of accounts or of
products: what the recount of the pack `retention` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from crmetrics.testing.data.facts import NONE, Facts, Span, last_days

Row = dict[str, Any]
Spell = tuple[date, date]
"""First day and first day without service; open = date.max."""

ONE_DAY = timedelta(days=1)


def anyone(value: str | None) -> bool:
    return True


@dataclass
class World:
    """The customers of a company; `accounts` and `products` say which account and product ids
    belong to the group that is looked at."""

    facts: Facts
    accounts: Callable[[str | None], bool] = anyone
    products: Callable[[str | None], bool] = anyone
    answers_where: Callable[[Row], bool] = field(default=lambda row: True)

    @cached_property
    def segments(self) -> list[Row]:
        """Segments of subscriptions that are no trial."""
        return [
            row
            for row in self.facts.live.rows("subscriptions")
            if not row.get("is_trial", False)
            and self.accounts(row["account_id"])
            and self.products(row["product_id"])
        ]

    @cached_property
    def spells(self) -> dict[str, list[Spell]]:
        found: dict[str, list[Spell]] = {}
        for row in sorted(self.segments, key=lambda row: row["start_date"]):
            start, end = row["start_date"], row["end_date"] or date.max
            if row["mrr"] <= 0 or end <= start:  # active on no day
                continue
            mine = found.setdefault(row["account_id"], [])
            if mine and start <= mine[-1][1]:
                mine[-1] = mine[-1][0], max(mine[-1][1], end)
            else:
                mine.append((start, end))
        return found

    def on(self, day: date) -> set[str]:
        """The customers on a day."""
        return {a for a, spells in self.spells.items() if any(s <= day < e for s, e in spells)}

    def mrr(self, day: date, rate_day: date) -> dict[str, Decimal]:
        """Recurring revenue per account on a day, at the rates of another."""
        found: dict[str, Decimal] = {}
        for row in self.segments:
            if row["start_date"] <= day and (row["end_date"] is None or row["end_date"] > day):
                usd = self.facts.usd(row["mrr"], row["currency"], rate_day)
                if usd is not None:
                    found[row["account_id"]] = found.get(row["account_id"], Decimal(0)) + usd
        return found

    # --- orders ---------------------------------------------------------------------------------

    @cached_property
    def orders(self) -> dict[str, list[Row]]:
        """Counted orders of each account that were not refunded whole, in order."""
        found: dict[str, list[Row]] = {}
        for row in sorted(self.facts.live.rows("orders"), key=lambda row: row["ordered_at"]):
            refunded = row["refunded_amount"] or Decimal(0)
            if row["status"] in ("draft", "cancelled") or 0 < refunded >= row["total_amount"]:
                continue
            if self.accounts(row["account_id"]) and self._has_product(row["id"]):
                found.setdefault(row["account_id"], []).append(row)
        return found

    def _has_product(self, order: str) -> bool:
        if self.products is anyone:
            return True
        lines = self._lines.get(order, [None])
        return any(self.products(product) for product in lines)

    @cached_property
    def _lines(self) -> dict[str, list[str | None]]:
        found: dict[str, list[str | None]] = {}
        for row in self.facts.live.rows("order_items"):
            found.setdefault(row["order_id"], []).append(row["product_id"])
        return found

    def orders_in(self, span: Span) -> dict[str, int]:
        """Account -> number of orders in the span, without those that have none."""
        found = {}
        for account, rows in self.orders.items():
            number = sum(self.facts.local_day(row["ordered_at"]) in span for row in rows)
            if number:
                found[account] = number
        return found

    def revenue(self, span: Span) -> dict[str, Decimal]:
        """Revenue per account: orders at the rate of their day, less refunds of the span."""
        found: dict[str, Decimal] = {}
        for row in self.facts.live.rows("orders"):
            if row["status"] in ("draft", "cancelled"):
                continue
            placed = self.facts.local_day(row["ordered_at"])
            refund_day = self.facts.local_day(row["refunded_at"] or row["ordered_at"])
            parts = [(placed, row["total_amount"])]
            if row["refunded_amount"]:
                parts.append((refund_day, -row["refunded_amount"]))
            for day, amount in parts:
                usd = self.facts.usd(amount, row["currency"], placed)
                if day in span and usd is not None:
                    account = row["account_id"]
                    found[account] = found.get(account, Decimal(0)) + usd
        return found

    def value_bands(self, span: Span) -> dict[str, str]:
        """Account -> band of its MRR on the last day, else of its revenue of 365 days."""
        day = span.end - ONE_DAY
        values = {**self.revenue(last_days(span, 365)), **self.mrr(day, day)}
        return {account: _band(value) for account, value in values.items()}

    # --- touches and answers --------------------------------------------------------------------

    @cached_property
    def touches(self) -> dict[str, list[datetime]]:
        """Instants at which humans and an account were in touch, in order."""
        users = self.facts.live.by_id("users")
        machines = {
            key for key, row in users.items() if row.get("user_type", "human") == "integration"
        }
        found: dict[str, list[datetime]] = {}
        for row in self.facts.live.rows("activities"):
            is_touch = row["activity_type"] in ("call", "email", "meeting", "chat")
            is_done = row.get("is_completed", True) and not row.get("is_automated", False)
            if is_touch and is_done and row.get("user_id") not in machines:
                found.setdefault(row.get("account_id") or "", []).append(row["occurred_at"])
        cases = self.facts.live.by_id("cases")
        for row in self.facts.live.rows("case_messages"):
            if row["author_type"] not in ("customer", "agent") or not row.get("is_public", True):
                continue
            if row.get("user_id") not in machines and row["case_id"] in cases:
                account = cases[row["case_id"]]["account_id"] or ""
                found.setdefault(account, []).append(row["sent_at"])
        found.pop("", None)
        return {account: sorted(instants) for account, instants in found.items()}

    def answers(self, span: Span) -> list[Row]:
        """NPS answers of the group in the span: the latest with a valid score of each contact."""
        start, end = self.facts.instant(span.start), self.facts.instant(span.end)
        latest: dict[str, Row] = {}
        for row in self.facts.live.rows("survey_responses"):
            if row["survey_type"] != "nps" or row["responded_at"] is None:
                continue
            if not start <= row["responded_at"] < end or row["score"] is None:
                continue
            if (row["scale_min"], row["scale_max"]) != (0, 10) or not 0 <= row["score"] <= 10:
                continue
            if not (self.accounts(row.get("account_id")) and self.answers_where(row)):
                continue
            key = f"c{row['contact_id']}" if row.get("contact_id") else f"r{row['id']}"
            known = latest.get(key)
            order = (row["responded_at"], row["id"])
            if known is None or (known["responded_at"], known["id"]) < order:
                latest[key] = row
        return list(latest.values())


def _band(value: Decimal) -> str:
    if value < 1000:
        return "<1000"
    if value < 10000:
        return "1000-10000"
    return "10000-100000" if value < 100000 else ">=100000"


def account_value(facts: Facts, account: str | None, column: str) -> str:
    """A column of the account, as the group's name."""
    value = facts.live.by_id("accounts").get(account or "", {}).get(column)
    return NONE if value is None else str(value)


def family_of(facts: Facts, product: str | None) -> str:
    return str(facts.live.by_id("products").get(product or "", {}).get("family") or NONE)


def first_campaigns(facts: Facts) -> dict[str, str]:
    """Account -> campaign of its earliest lead."""
    return {a: row.get("campaign_id") or NONE for a, row in _first_leads(facts).items()}


def first_sources(facts: Facts, as_of: datetime) -> dict[str, str]:
    """Account -> lead source of its earliest lead, of those created by as_of."""
    leads = _first_leads(facts).items()
    return {a: row.get("lead_source") or NONE for a, row in leads if row["created_at"] <= as_of}


def _first_leads(facts: Facts) -> dict[str, Row]:
    earliest: dict[str, Row] = {}
    for row in facts.live.rows("leads"):
        account = row.get("account_id")
        if account is None:
            continue
        known = earliest.get(account)
        if known is None or (row["created_at"], row["id"]) < (known["created_at"], known["id"]):
            earliest[account] = row
    return earliest


def groups(names: Iterable[str]) -> list[str]:
    return sorted(set(names))
