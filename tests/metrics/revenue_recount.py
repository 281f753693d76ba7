"""The revenue pack, recounted from the sample's records in plain loops: subscriptions, lifetime
value, the forecast, and every figure by its name. The orders stand in `revenue_orders`.

Written from the text of the KPI catalogue, without SQL and without the definitions of the pack.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from crmetrics.testing.data.facts import NONE, Span, last_days, mean, share
from metrics.revenue_orders import ALL, MONTH_DAYS, Figure, Group, OrderRecount

__all__ = ["ALL", "Group", "Recount"]


class Recount(OrderRecount):
    """Figures per span and group."""

    # --- subscriptions -----------------------------------------------------------------------

    def active(self, day: date, group: Group) -> list[dict[str, Any]]:
        return [
            row
            for row in self.subscriptions
            if row["start_date"] <= day
            and (row["end_date"] is None or row["end_date"] > day)
            and self.has(group, row["account_id"])
            and self.sells(group, row["product_id"])
        ]

    def mrr(self, day: date, group: Group, rate_day: date | None = None) -> float:
        rows = self.active(day, group)
        return sum(self.float_usd(r["mrr"], r["currency"], rate_day or day) or 0 for r in rows)

    def committed(self, day: date, group: Group) -> float:
        starts = {(r["subscription_id"], r["start_date"]) for r in self.live.rows("subscriptions")}
        kept = [
            r
            for r in self.active(day, group)
            if r["end_date"] is None or (r["subscription_id"], r["end_date"]) in starts
        ]
        return sum(self.float_usd(r["mrr"], r["currency"], day) or 0 for r in kept)

    def recurring(self, span: Span, group: Group) -> float:
        days = ((span.start + timedelta(days=n)) for n in range((span.end - span.start).days))
        return sum(self.mrr(day, group) for day in days) / MONTH_DAYS

    def customers(self, day: date, group: Group, *, rated: bool = False) -> set[str]:
        return {
            row["account_id"]
            for row in self.active(day, group)
            if row["mrr"] > 0
            and (not rated or self.usd(row["mrr"], row["currency"], day) is not None)
        }

    def seats(self, day: date, group: Group) -> tuple[float, float]:
        mrr = seats = 0.0
        for row in self.active(day, group):
            usd = self.float_usd(row["mrr"], row["currency"], day)
            if usd is not None and row["quantity"] is not None:
                mrr, seats = mrr + usd, seats + row["quantity"]
        return mrr, seats

    def balances(self, day: date, rate_day: date, group: Group) -> dict[str, float]:
        found: dict[str, float] = {}
        for row in self.active(day, group):
            usd = self.float_usd(row["mrr"], row["currency"], rate_day)
            found[row["account_id"]] = found.get(row["account_id"], 0.0) + (usd or 0.0)
        return found

    def first_paid(self, group: Group) -> dict[str, date]:
        found: dict[str, date] = {}
        for row in self.subscriptions:
            is_empty = row["end_date"] is not None and row["end_date"] <= row["start_date"]
            if row["mrr"] > 0 and self.sells(group, row["product_id"]) and not is_empty:
                known = found.get(row["account_id"], row["start_date"])
                found[row["account_id"]] = min(known, row["start_date"])
        return found

    def steps(self, days: list[date], opening_day: date, group: Group) -> dict[str, float]:
        """Movement -> amount, from the change between each two of the days, at one rate."""
        firsts = self.first_paid(group)
        moved: dict[str, float] = {}
        before = self.balances(days[0], opening_day, group)
        for day in days[1:]:
            after = self.balances(day, opening_day, group)
            for account in before.keys() | after.keys():
                old, new = before.get(account, 0.0), after.get(account, 0.0)
                if abs(new - old) < 1e-9:
                    continue
                if abs(old) < 1e-9:
                    was = account in firsts and firsts[account] <= days[days.index(day) - 1]
                    kind = "reactivation" if was else "new"
                elif abs(new) < 1e-9:
                    kind = "churn"
                else:
                    kind = "expansion" if new > old else "contraction"
                moved[kind] = moved.get(kind, 0.0) + new - old
            before = after
        return moved

    def movements(self, span: Span, group: Group, *, daily: bool = False) -> dict[str, float]:
        """Movement -> amount; the empty movement is the net."""
        opening, closing = span.start - timedelta(days=1), span.end - timedelta(days=1)
        days = [opening, closing]
        if daily:
            days = [opening + timedelta(days=n) for n in range((closing - opening).days + 1)]
        moved = self.steps(days, opening, group)
        rest = self.mrr(closing, group) - self.mrr(closing, group, opening)
        if abs(rest) > 1e-9:
            moved["currency"] = rest
        moved[""] = self.mrr(closing, group) - self.mrr(opening, group)
        return moved

    # --- lifetime value ----------------------------------------------------------------------

    @cached_property
    def spells(self) -> list[tuple[str, date, date | None]]:
        found: list[tuple[str, date, date | None]] = []
        by_account: dict[str, list[tuple[date, date | None]]] = {}
        for row in self.subscriptions:
            if row["mrr"] > 0 and (row["end_date"] is None or row["end_date"] > row["start_date"]):
                by_account.setdefault(row["account_id"], []).append(
                    (row["start_date"], row["end_date"])
                )
        for account, spans in by_account.items():
            start: date | None = None
            end: date | None = None
            for begun, ended in sorted(spans, key=lambda pair: pair[0]):
                if start is not None and (end is None or begun <= end):
                    end = None if end is None or ended is None else max(end, ended)
                    continue
                if start is not None:
                    found.append((account, start, end))
                start, end = begun, ended
            if start is not None:
                found.append((account, start, end))
        return found

    def churn(self, span: Span, group: Group) -> tuple[int, int]:
        """(lost, opening) customers over the year that ends with the span."""
        year = last_days(span, 365)
        opening = self.customers(year.start - timedelta(days=1), group)
        return len(opening - self.customers(year.end - timedelta(days=1), group)), len(opening)

    @cached_property
    def segment_revenue(self) -> dict[str, float | None]:
        """Revenue of each ended segment over its whole life."""
        found: dict[str, float | None] = {}
        for row in self.subscriptions:
            if row["end_date"] is not None:
                count = (row["end_date"] - row["start_date"]).days
                days = (row["start_date"] + timedelta(days=n) for n in range(count))
                parts = [self.float_usd(row["mrr"], row["currency"], day) for day in days]
                rated = [part for part in parts if part is not None]
                found[row["id"]] = sum(rated) / MONTH_DAYS if rated else None
        return found

    def historical(self, span: Span, group: Group) -> float | None:
        day = span.end - timedelta(days=1)
        known = {account for account, start, _ in self.spells if start <= day}
        lost = {a for a in known if self.has(group, a)} - self.customers(day, ALL)
        totals: dict[str, float] = {}
        for row in self.subscriptions:
            if row["account_id"] in lost and row["start_date"] <= day:
                amount = self.segment_revenue[row["id"]]
                if amount is not None:
                    totals[row["account_id"]] = totals.get(row["account_id"], 0.0) + amount
        return mean(totals.values())

    def mean_spell_years(self, span: Span, group: Group) -> float | None:
        day = span.end - timedelta(days=1)
        return mean(
            (end - start).days / 365.25
            for account, start, end in self.spells
            if end is not None and end <= day and self.has(group, account)
        )

    # --- moving up ---------------------------------------------------------------------------

    def expansion_deals(self, span: Span, group: Group) -> tuple[int, int]:
        firsts: dict[str, date] = {}
        for account, start, _ in self.spells:
            firsts[account] = min(start, firsts.get(account, start))
        won = [
            row
            for row in self.live.rows("opportunities")
            if row["is_won"] and row["close_date"] in span and self.has(group, row["account_id"])
        ]
        known = [r for r in won if firsts.get(r["account_id"], date.max) < r["close_date"]]
        return sum(r["opportunity_type"] == "expansion" for r in won), len(known)

    def families_per_customer(self, span: Span, group: Group) -> float | None:
        customers = self.customers(span.end - timedelta(days=1), group)
        at = self.instant(span.end)
        count = 0
        for account in customers:
            count += len(
                {
                    self.family(line["product_id"])
                    for order in self.by_account.get(account, [])
                    if order["ordered_at"] < at
                    for line in order["lines"]
                    if line["quantity"] > 0
                }
                - {NONE}
            )
        return share(count, len(customers))

    def tier_held(self, day: date, group: Group) -> dict[tuple[str, str], int]:
        """(account, family) -> highest tier of the active paid segments."""
        found: dict[tuple[str, str], int] = {}
        for row in self.active(day, group):
            product = self.product(row["product_id"])
            if row["mrr"] > 0 and product.get("family") and product.get("tier_rank") is not None:
                key = row["account_id"], product["family"]
                found[key] = max(product["tier_rank"], found.get(key, 0))
        return found

    def tier_bought(self, day: date, group: Group) -> dict[tuple[str, str], int]:
        """(account, family) -> tier bought last in the 365 days to the day."""
        found: dict[tuple[str, str], tuple[datetime, int]] = {}
        for order in self.orders:
            age = (day - order["day"]).days
            if not 0 <= age < 365 or not self.has(group, order["account_id"]):
                continue
            for line in order["lines"]:
                product = self.product(line["product_id"])
                tier = product.get("tier_rank")
                if line["quantity"] > 0 and product.get("family") and tier is not None:
                    key = order["account_id"], product["family"]
                    known = found.get(key)
                    if known is None or known < (order["ordered_at"], tier):
                        found[key] = order["ordered_at"], tier
        return {key: tier for key, (_, tier) in found.items()}

    def migration(
        self, span: Span, group: Group, held: Callable[[date, Group], dict[tuple[str, str], int]]
    ) -> tuple[float | None, float | None]:
        tiers: dict[str, list[int]] = {}
        for row in self.live.rows("products"):
            if row.get("family") and row.get("tier_rank") is not None:
                tiers.setdefault(row["family"], []).append(row["tier_rank"])
        opening = held(span.start - timedelta(days=1), group)
        closing = held(span.end - timedelta(days=1), group)
        below = [key for key, tier in opening.items() if tier < max(tiers[key[1]])]
        above = [key for key, tier in opening.items() if tier > min(tiers[key[1]])]
        up = sum(1 for key in below if closing.get(key, 0) > opening[key])
        down = sum(1 for key in above if key in closing and closing[key] < opening[key])
        return share(up, len(below)), share(down, len(above))

    # --- all of it ---------------------------------------------------------------------------

    def order_figures(self, span: Span, group: Group) -> Figure:
        cost, _ = self.cost(span, group)
        revenue = self.revenue(span, group)
        costed, margin_cost, _ = self.margin(span, group)
        buyers, up, cross, amount = self.moved_up(span, group)
        found: Figure = {
            "revenue": revenue,
            "cost_of_goods_sold": cost,
            "cost_of_goods_sold.ratio": share(cost, revenue),
            "gross_margin": share(costed - margin_cost, costed),
            "gross_margin.amount": costed - margin_cost,
            "upsell_rate": share(len(up), len(buyers)),
            "upsell_rate.amount": amount,
            "cross_sell_rate": share(len(cross), len(buyers)),
        }
        if group.column != "family":
            units, products, _ = self.baskets(span, group)
            found |= {
                "revenue.constant_currency": self.revenue(span, group, self.as_of_day),
                "items_per_order": mean(units),
                "items_per_order.distinct_products": mean(products),
            }
        return found

    def subscription_figures(self, span: Span, group: Group) -> Figure:
        opening, closing = span.start - timedelta(days=1), span.end - timedelta(days=1)
        mrr = self.mrr(closing, group)
        customers = len(self.customers(closing, group, rated=True))
        mean_customers = (customers + len(self.customers(opening, group, rated=True))) / 2
        before = self.balances(opening, opening, group)
        after = self.balances(closing, opening, group)
        had = [account for account, value in before.items() if value > 0]
        grown = [account for account in had if after.get(account, 0) > before[account] + 1e-9]
        moved = self.movements(span, group)
        gained = sum(moved.get(kind, 0) for kind in ("new", "expansion", "reactivation"))
        lost = sum(moved.get(kind, 0) for kind in ("contraction", "churn"))
        arpu = share(mrr, customers)
        churned, had_customers = self.churn(span, group)
        yearly = None if arpu is None else 12 * arpu
        value = None if yearly is None or not churned else yearly * had_customers / churned
        found: Figure = {
            "mrr": mrr,
            "mrr.arr": 12 * mrr,
            "mrr.committed": self.committed(closing, group),
            "mrr.constant_currency": self.mrr(closing, group, self.as_of_day),
            "revenue.recurring": self.recurring(span, group),
            "net_new_mrr.quick_ratio": share(gained, -lost),
            "average_revenue_per_user": arpu,
            "average_revenue_per_user.period_average": share(
                self.recurring(span, group), mean_customers
            ),
            "average_revenue_per_user.per_seat": share(*self.seats(closing, group)),
            "customer_lifetime_value": value,
            "upsell_rate.subscription": share(len(grown), len(had)),
            "revenue_forecast.run_rate": mrr * span.months,
        }
        up, down = self.migration(span, group, self.tier_held)
        found |= {"product_migration_rate": up, "product_migration_rate.downgrade_rate": down}
        if group.column == "family":
            return found
        return found | self.customer_figures(span, group, yearly, value)

    def customer_figures(
        self, span: Span, group: Group, yearly: float | None, value: float | None
    ) -> Figure:
        """What is said of customers, not of what they pay for in a family."""
        years = self.mean_spell_years(span, group)
        costed, cost, _ = self.margin(span, group)
        margin = share(costed - cost, costed)
        expansions, to_customers = self.expansion_deals(span, group)
        return {
            "customer_lifetime_value.gross_margin": (
                None if value is None or margin is None else value * margin
            ),
            "customer_lifetime_value.historical": self.historical(span, group),
            "customer_lifetime_value.observed_lifespan": (
                None if yearly is None or years is None else yearly * years
            ),
            "upsell_rate.by_opportunity_type": share(expansions, to_customers),
            "cross_sell_rate.families_per_customer": self.families_per_customer(span, group),
        }

    def purchase_figures(self, span: Span, group: Group) -> Figure:
        """What differs when a purchase makes the customer."""

        def bought(day: date) -> set[str]:
            return {
                order["account_id"]
                for order in self.orders
                if 0 <= (day - order["day"]).days < 365
                and self.has(group, order["account_id"])
                and not (
                    order["refunded_amount"] and order["refunded_amount"] >= order["total_amount"]
                )
            }

        buyers = {
            order["account_id"]
            for order, _, is_refund in self.bookings(span, group)
            if not is_refund and self.usd(1, order["currency"], order["day"]) is not None  # type: ignore[arg-type]
        }
        year = last_days(span, 365)
        closing = bought(span.end - timedelta(days=1))
        opening = bought(span.start - timedelta(days=1))
        had = bought(year.start - timedelta(days=1))
        yearly = share(self.revenue(year, group), len(closing))
        lifespan = share(len(had), len(had - closing))
        up, down = self.migration(span, group, self.tier_bought)
        revenue = self.revenue(span, group)
        return {
            "average_revenue_per_user": share(revenue, len(buyers)),
            "average_revenue_per_user.period_average": share(
                revenue, (len(opening) + len(closing)) / 2
            ),
            "customer_lifetime_value": (
                None if yearly is None or lifespan is None else yearly * lifespan
            ),
            "product_migration_rate": up,
            "product_migration_rate.downgrade_rate": down,
        }

    # --- forecast ----------------------------------------------------------------------------

    def stage_rates(self, as_of: date) -> dict[str, float]:
        stays: dict[str, set[str]] = {}
        for row in self.live.rows("opportunity_stage_history"):
            stays.setdefault(row["stage"], set()).add(row["opportunity_id"])
        deals = self.live.by_id("opportunities")
        found = {}
        for stage, ids in stays.items():
            closed = [
                deals[i]
                for i in ids
                if i in deals
                and deals[i]["is_closed"]
                and 0 < (as_of - deals[i]["close_date"]).days <= 365
            ]
            if closed:
                found[stage] = sum(row["is_won"] for row in closed) / len(closed)
        return found

    def _is_deal_of(self, group: Group, row: dict[str, Any]) -> bool:
        if group.column == "team":
            owner = self.live.by_id("users").get(row["owner_id"] or "", {})
            return (owner.get("team") or NONE) == group.value
        if group.column == "forecast_category":
            return (row["forecast_category"] or NONE) == group.value
        return self.has(group, row["account_id"])

    def forecast(self, span: Span, as_of: date, group: Group) -> tuple[float, float, int]:
        """(default, calibrated, overdue deals)."""
        rates = self.stage_rates(as_of)
        default = calibrated = 0.0
        overdue = 0
        for row in self.live.rows("opportunities"):
            if row["close_date"] not in span or not self._is_deal_of(group, row):
                continue
            if row["created_at"] > self.instant(as_of):
                continue
            if row["is_won"]:
                usd = self.float_usd(row["amount"], row["currency"], row["close_date"])
                default, calibrated = default + (usd or 0), calibrated + (usd or 0)
            elif not row["is_closed"] and row["close_date"] < as_of:
                overdue += 1
            elif not row["is_closed"]:
                day = min(as_of, span.end) - timedelta(days=1)
                usd = self.float_usd(row["amount"], row["currency"], day) or 0
                rate = rates.get(row["stage"])
                probability = row["probability"] if row["probability"] is not None else rate
                default += usd * (probability or 0)
                calibrated += usd * (rate or 0)
        return default, calibrated, overdue
