"""The KPIs of the pack `roi`, recounted from the sample's records in plain loops.

Written from the words of the KPI catalogue; nothing of the engine and of the pack's SQL is used.
Customers are those of the model `subscription`, the reporting currency is USD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property

from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.company import Row
from crmetrics.testing.data.facts import NONE, Facts, Span, months_later, quantile

ACQUISITION = ("sales", "marketing")
OPERATING = ("sales", "marketing", "service")
CRM = ("crm_license", "crm_implementation", "crm_training", "crm_support")
ZERO = Decimal(0)
LONG_AGO = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost of one day in USD (None = no rate); channel of spend."""

    day: date
    category: str
    usd: Decimal | None
    is_media: bool
    channel: str = NONE


@dataclass(frozen=True, slots=True)
class Sale:
    """A counted order or a refund of one: what it brought on which day, and what its goods cost.

    costed, uncosted: USD of the lines with and without a known cost; None = no rate.
    """

    account: str
    ordered: date
    booked: date
    is_refund: bool
    costed: Decimal | None
    uncosted: Decimal | None
    cost: Decimal


def ratio(part: float | Decimal | None, whole: float | Decimal | None) -> float | None:
    if part is None or whole is None or whole <= 0:
        return None
    return float(part) / float(whole)


class Recount(Facts):
    def __init__(self, crm: SampleCrm, timezone: str) -> None:
        super().__init__(crm.records, crm.start, crm.end, timezone=timezone)
        self.accounts = self.live.by_id("accounts")

    def segment(self, account: str | None) -> str:
        return str(self.accounts.get(account or "", {}).get("segment") or NONE)

    # --- costs -----------------------------------------------------------------------------------

    @cached_property
    def costs(self) -> list[Cost]:
        found = [
            Cost(
                row["expense_date"],
                row["category"],
                self.usd(row["amount"], row["currency"], row["expense_date"]),
                is_media=False,
            )
            for row in self.live.rows("expenses")
        ]
        for row in self.live.rows("marketing_spend"):
            found += self._spend(row)
        return found

    def _spend(self, row: Row) -> Iterator[Cost]:
        campaign = self.live.by_id("campaigns").get(row.get("campaign_id") or "", {})
        channel = campaign.get("channel") or row.get("channel") or NONE
        if row.get("spend_date") is not None:
            usd = self.usd(row["amount"], row["currency"], row.get("spend_date"))
            yield Cost(row.get("spend_date"), "marketing", usd, is_media=True, channel=channel)
            return
        first, last = campaign.get("start_date"), campaign.get("end_date")
        if first is None or last is None or last < first:
            return
        days = (last - first).days + 1
        for number in range(days):
            day = first + timedelta(days=number)
            usd = self.usd(row["amount"] / days, row["currency"], day)
            yield Cost(day, "marketing", usd, is_media=True, channel=channel)

    def cost(self, span: Span, is_counted: Callable[[Cost], bool]) -> Decimal:
        wanted = (cost for cost in self.costs if cost.day in span and is_counted(cost))
        return sum((cost.usd for cost in wanted if cost.usd is not None), start=ZERO)

    def acquisition_cost(self, span: Span) -> Decimal:
        return self.cost(span, lambda cost: cost.category in ACQUISITION)

    # --- customers -------------------------------------------------------------------------------

    @cached_property
    def paid(self) -> list[Row]:
        return [
            row
            for row in self.live.rows("subscriptions")
            if not row.get("is_trial")
            and row["mrr"] > 0
            and (row.get("end_date") is None or row.get("end_date") > row["start_date"])
        ]

    @cached_property
    def first_days(self) -> dict[str, date]:
        found: dict[str, date] = {}
        for row in self.paid:
            account = row["account_id"]
            found[account] = min(found.get(account, row["start_date"]), row["start_date"])
        return found

    @cached_property
    def channels(self) -> dict[str, str]:
        """Account -> channel of the campaign of its earliest lead."""
        found: dict[str, str] = {}
        campaigns = self.live.by_id("campaigns")
        for row in sorted(self.live.rows("leads"), key=lambda r: (r["created_at"], r["id"])):
            if row.get("account_id") is not None:
                campaign = campaigns.get(row.get("campaign_id") or "", {})
                found.setdefault(row["account_id"], campaign.get("channel") or NONE)
        return found

    def newcomers(self, span: Span) -> list[str]:
        return [account for account, day in self.first_days.items() if day in span]

    def active(self, day: date) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in self.paid:
            end = row.get("end_date")
            if row["start_date"] <= day and (end is None or end > day):
                found.setdefault(row["account_id"], []).append(row)
        return found

    def cac(self, span: Span) -> float | None:
        return ratio(self.acquisition_cost(span), len(self.newcomers(span)))

    def media_cac(self, span: Span) -> float | None:
        spend = self.cost(span, lambda cost: cost.is_media)
        return ratio(spend, len(self.newcomers(span)))

    def lag(self, span: Span) -> int | None:
        year = Span(span.end - timedelta(days=365), span.end)
        days = []
        for deal in self.deals:
            closed = deal.row["close_date"]
            if deal.row["is_won"] and closed in year and closed >= deal.created_day:
                days.append((closed - deal.created_day).days)
        median = quantile(days, 50)
        return None if median is None else int(median)

    def lagged_cac(self, span: Span, lag: int | None = None) -> float | None:
        lag = self.lag(span) if lag is None else lag
        if lag is None:
            return None
        back = timedelta(days=lag)
        shifted = Span(span.start - back, span.end - back)
        if shifted.end <= min(cost.day for cost in self.costs if cost.category in ACQUISITION):
            return None
        return ratio(self.acquisition_cost(shifted), len(self.newcomers(span)))

    # --- lifetime value --------------------------------------------------------------------------

    def arpu(self, span: Span, segment: str | None = None) -> float | None:
        day = span.end - timedelta(days=1)
        total, customers = ZERO, 0
        for account, rows in self.active(day).items():
            if segment is not None and self.segment(account) != segment:
                continue
            amounts = [self.usd(row["mrr"], row["currency"], day) for row in rows]
            rated = [amount for amount in amounts if amount is not None]
            total += sum(rated, start=ZERO)
            customers += bool(rated)
        return ratio(total, customers)

    def lifetime_value(self, span: Span, segment: str | None = None) -> float | None:
        opening = set(self.active(span.end - timedelta(days=366)))
        closing = set(self.active(span.end - timedelta(days=1)))
        if segment is not None:
            opening = {account for account in opening if self.segment(account) == segment}
        churn = ratio(len(opening - closing), len(opening))
        arpu = self.arpu(span, segment)
        return None if not churn or arpu is None else 12 * arpu / churn

    def trailing_cac(self, span: Span, months: int = 3) -> float | None:
        return self.cac(Span(months_later(span.end, -months), span.end))

    def ltv_to_cac(self, span: Span, segment: str | None = None) -> float | None:
        value, margin = self.lifetime_value(span, segment), self.gross_margin(span, segment)
        if value is None or margin is None:
            return None
        return ratio(value * margin, self.trailing_cac(span))

    def revenue_ltv_to_cac(self, span: Span, segment: str | None = None) -> float | None:
        return ratio(self.lifetime_value(span, segment), self.trailing_cac(span))

    def payback_months(self, span: Span, segment: str | None = None) -> float | None:
        arpu, margin = self.arpu(span, segment), self.gross_margin(span, segment)
        if arpu is None or margin is None:
            return None
        return ratio(self.trailing_cac(span), arpu * margin)

    # --- sales -----------------------------------------------------------------------------------

    @cached_property
    def sales(self) -> list[Sale]:
        lines: dict[str, list[Row]] = {}
        for row in self.live.rows("order_items"):
            lines.setdefault(row["order_id"], []).append(row)
        found: list[Sale] = []
        for order in self.live.rows("orders"):
            if order["status"] not in ("draft", "cancelled"):
                found += self._sales(order, lines.get(order["id"], []))
        return found

    def _sales(self, order: Row, lines: list[Row]) -> Iterator[Sale]:
        day = self.local_day(order["ordered_at"])
        costs = [self._line_cost(line, order, day) for line in lines]
        total = sum((line["total_amount"] for line in lines), start=ZERO)
        shares = [
            line["total_amount"] / total if total else Decimal(1) / len(lines) for line in lines
        ]
        known = sum((s for s, c in zip(shares, costs, strict=True) if c is not None), start=ZERO)
        cost = sum((c for c in costs if c is not None), start=ZERO)

        def sale(amount: Decimal, booked: date, *, is_refund: bool) -> Sale:
            usd = self.usd(amount, order["currency"], day)
            costed = None if usd is None else usd * known
            uncosted = None if usd is None else usd * (1 - known)
            own = ZERO if is_refund else cost
            return Sale(order["account_id"], day, booked, is_refund, costed, uncosted, own)

        yield sale(order["total_amount"], day, is_refund=False)
        refund = order.get("refunded_amount")
        if refund:
            booked = order.get("refunded_at") or order["ordered_at"]
            yield sale(-refund, self.local_day(booked), is_refund=True)

    def _line_cost(self, line: Row, order: Row, day: date) -> Decimal | None:
        unit, currency = line.get("unit_cost"), order["currency"]
        if unit is None:
            product = self.live.by_id("products").get(line["product_id"] or "", {})
            unit, currency = product.get("unit_cost"), product.get("currency")
        if unit is None:
            return None
        return self.usd(Decimal(str(line["quantity"])) * unit, currency, day)

    def booked(self, span: Span) -> list[Sale]:
        return [sale for sale in self.sales if sale.booked in span]

    def revenue(self, span: Span) -> Decimal:
        parts = ((sale.costed, sale.uncosted) for sale in self.booked(span))
        return sum((a + b for a, b in parts if a is not None and b is not None), start=ZERO)

    def gross_margin(self, span: Span, segment: str | None = None) -> float | None:
        revenue = cost = ZERO
        for sale in self.booked(span):
            if segment is None or self.segment(sale.account) == segment:
                revenue += sale.costed or ZERO
                cost += sale.cost
        return ratio(revenue - cost, revenue)

    def expense_ratio(self, span: Span, category: str | None = None) -> float | None:
        wanted = OPERATING if category is None else (category,)
        return ratio(self.cost(span, lambda cost: cost.category in wanted), self.revenue(span))

    def all_in_ratio(self, span: Span) -> float | None:
        return ratio(self.cost(span, lambda cost: True), self.revenue(span))

    # --- benefits --------------------------------------------------------------------------------

    def benefits(
        self, span: Span, categories: tuple[str, ...] = ("cost_saving", "efficiency_gain",
                                                         "revenue_increase"),
    ) -> Decimal:  # fmt: skip
        total = ZERO
        for row in self.live.rows("benefits"):
            has_baseline = (
                row.get("baseline_amount") is not None and row.get("actual_amount") is not None
            )
            if row["category"] not in categories or row["benefit_date"] not in span:
                continue
            if row["category"] != "cost_saving" or has_baseline:
                total += self.usd(row["amount"], row["currency"], row["benefit_date"]) or ZERO
        return total

    def without_baseline(self, span: Span) -> int:
        return sum(
            row["category"] == "cost_saving"
            and (row.get("baseline_amount") is None or row.get("actual_amount") is None)
            for row in self.live.rows("benefits")
            if row["benefit_date"] in span
        )

    def inconsistent(self, span: Span) -> int:
        count = 0
        for row in self.live.rows("benefits"):
            before, after = row.get("baseline_amount"), row.get("actual_amount")
            is_known = before is not None and after is not None
            if is_known and row["benefit_date"] in span and row["category"] == "cost_saving":
                count += row["amount"] != Decimal(before or 0) - Decimal(after or 0)
        return count

    def crm_cost(self, span: Span) -> Decimal:
        return self.cost(span, lambda cost: cost.category in CRM)

    def return_on(self, span: Span) -> float | None:
        cost = self.crm_cost(span)
        return ratio(self.benefits(span) - cost, cost)

    def revenue_over_cost(self, span: Span) -> float | None:
        return ratio(self.benefits(span), self.crm_cost(span))

    @cached_property
    def payback(self) -> tuple[date, date | None]:
        """The day of the first CRM cost, and the first day on which benefits had caught up."""
        first = min(cost.day for cost in self.costs if cost.category in CRM)
        day = first
        while day < self.end:
            so_far = Span(LONG_AGO, day + timedelta(days=1))
            if self.benefits(so_far) >= self.crm_cost(so_far):
                return first, day
            day += timedelta(days=1)
        return first, None

    def payback_days(self, end: date) -> int | None:
        first, day = self.payback
        return None if day is None or day >= end else (day - first).days

    # --- profitability ---------------------------------------------------------------------------

    def results(self, span: Span) -> dict[str, float]:
        """Account with a rated counted order in the span -> its result in USD."""
        buyers = {s.account for s in self.sales if not s.is_refund and s.ordered in span}
        closed: dict[str | None, int] = {}
        for row in self.live.rows("cases"):
            at: datetime | None = row.get("closed_at")
            if row["is_closed"] and at is not None and self.local_day(at) in span:
                closed[row["account_id"]] = closed.get(row["account_id"], 0) + 1
        service = self.cost(span, lambda cost: not cost.is_media and cost.category == "service")
        found: dict[str, Decimal] = {}
        for sale in self.booked(span):
            if sale.account in buyers and sale.costed is not None:
                found[sale.account] = found.get(sale.account, ZERO) + sale.costed - sale.cost
        cases = sum(closed.values())
        return {
            account: float(amount) - float(service) * closed.get(account, 0) / max(cases, 1)
            for account, amount in found.items()
        }

    def acquired_results(self, span: Span) -> dict[str, float]:
        cac = self.cac(span) or 0.0
        new = set(self.newcomers(span))
        return {
            account: result - (cac if account in new else 0.0)
            for account, result in self.results(span).items()
        }

    def is_loyal(self, account: str, span: Span) -> str:
        joined = self.accounts.get(account, {}).get("loyalty_joined_at")
        return str(joined is not None and joined < self.instant(span.start)).lower()


def profitable(results: dict[str, float]) -> float | None:
    return ratio(sum(result > 0 for result in results.values()), len(results))
