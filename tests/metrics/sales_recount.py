"""The KPIs of the pack `sales` by groups, recounted from the sample's records in plain loops.

Written from the words of the KPI catalogue; nothing of the engine and of the pack's SQL is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from crmetrics.testing.data import truth_deals as by_deals
from crmetrics.testing.data.facts import (
    NONE,
    Deal,
    Facts,
    Span,
    last_days,
    mean,
    quantile,
    share,
    total_usd,
    won,
)
from crmetrics.testing.data.truth_history import customer_spells

Row = Mapping[str, Any]
Groups = dict[str, list[Deal]]
Value = float | None
ZERO = Decimal(0)


def worked_velocity(facts: Facts, deals: Sequence[Deal], span: Span) -> Value:
    recent = last_days(span, 90)
    created = sum(deal.created_day in recent for deal in deals)
    return _velocity(facts, deals, span, created, by_deals.recent_cycle_days(facts, deals, span))


def median_velocity(facts: Facts, deals: Sequence[Deal], span: Span) -> Value:
    days = by_deals.cycle_median(facts, deals, last_days(span, 90))
    return _velocity(facts, deals, span, by_deals.open_deals(facts, deals, span), days)


def _velocity(facts: Facts, deals: Sequence[Deal], span: Span, count: float, days: Value) -> Value:
    size = by_deals.recent_deal_size(facts, deals, span)
    rate = by_deals.recent_win_rate(facts, deals, span)
    return count * size * rate / days if size is not None and rate is not None and days else None


VELOCITY: dict[str, Callable[[Facts, Sequence[Deal], Span], Value]] = {
    "sales_velocity": by_deals.sales_velocity,
    "sales_velocity.opportunities_worked": worked_velocity,
    "sales_velocity.median_cycle": median_velocity,
    "sales_velocity.open_opportunities": by_deals.open_deals,
    "sales_velocity.average_deal_size": by_deals.recent_deal_size,
    "sales_velocity.win_rate": by_deals.recent_win_rate,
    "sales_velocity.cycle_days": by_deals.recent_cycle_days,
}
CYCLES = {
    "sales_cycle_length": by_deals.cycle_median,
    "sales_cycle_length.from_lead": by_deals.cycle_from_lead,
    "sales_cycle_length.lost": by_deals.cycle_lost,
}
GROWTH = {
    "sales_growth_rate": by_deals.growth_on_previous,
    "sales_growth_rate.year_over_year": by_deals.growth_year_over_year,
    "sales_growth_rate.trailing_12m": by_deals.growth_trailing,
    "sales_growth_rate.constant_currency": by_deals.growth_on_previous,
}
OF_DEALS = {**VELOCITY, **CYCLES, **GROWTH, "win_rate.by_amount": by_deals.win_rate_by_amount}


class SalesRecount(Facts):
    """as_of_day: whose rates convert what is asked for in constant currency."""

    as_of_day = date(2029, 12, 31)

    def groups(self, by: str, deals: Iterable[Deal]) -> Groups:
        found: Groups = {}
        for deal in deals:
            found.setdefault(self._group(deal, by), []).append(deal)
        return found

    def _group(self, deal: Deal, by: str) -> str:
        if by in ("team", "segment"):
            return deal.team if by == "team" else deal.segment
        if by == "country":
            account = self.live.by_id("accounts").get(deal.row["account_id"] or "", {})
            return account.get("country") or NONE
        return deal.row.get(by) or NONE

    @cached_property
    def constant_deals(self) -> list[Deal]:
        return [
            replace(deal, usd=self.usd(deal.row["amount"], deal.row["currency"], self.as_of_day))
            for deal in self.deals
        ]

    def of_deals(self, kpi: str, by: str) -> dict[Any, Value]:
        deals = self.constant_deals if kpi.endswith("constant_currency") else self.deals
        groups = self.groups(by, deals) if by else {"": deals}
        return {
            (span.start, *([name] if by else [])): OF_DEALS[kpi](self, own, span)
            for name, own in groups.items()
            for span in self.spans()
        }

    # --- products ----------------------------------------------------------------------------

    def parts(self, kpi: str, by: str) -> dict[Any, Value]:
        """Won deals split over their lines by share of the line total, per product or family."""
        lines: dict[str, list[Row]] = {}
        for row in self.live.rows("opportunity_items"):
            lines.setdefault(row["opportunity_id"], []).append(row)
        found: dict[Any, list[float | None]] = {}
        for deal in self.deals:
            if deal.row["is_won"] and self.start <= deal.row["close_date"] < self.end:
                month = deal.row["close_date"].replace(day=1)
                for name, share_ in self._shares(lines.get(deal.row["id"], []), by).items():
                    part = None if deal.usd is None else float(deal.usd) * share_
                    found.setdefault((month, name), []).append(part)
        return {key: _of_parts(kpi, values) for key, values in found.items()}

    def _shares(self, lines: Sequence[Row], by: str) -> dict[str, float]:
        if not lines:
            return {NONE: 1.0}
        total, found = sum(float(line["total_amount"]) for line in lines), {}
        for line in lines:
            product = line["product_id"] or ""
            record = self.live.by_id("products").get(product, {})
            name = record.get(by) if by == "family" else product
            own = float(line["total_amount"]) / total if total else 1 / len(lines)
            found[name or NONE] = found.get(name or NONE, 0.0) + own
        return found

    # --- time in stage -----------------------------------------------------------------------

    @cached_property
    def stays(self) -> list[tuple[str, str, datetime, datetime]]:
        """(deal, stage, entered, exited) of the stays in open stages that are over."""
        rows: dict[tuple[str, str], list[Row]] = {}
        for row in self.live.rows("opportunity_stage_history"):
            if not row["is_closed"]:
                stay = row["stay_id"] or f"row {row['id']}"
                rows.setdefault((row["opportunity_id"], stay), []).append(row)
        return [
            (deal, own[0]["stage"], min(r["entered_at"] for r in own), exits[-1])
            for (deal, _), own in rows.items()
            if len(exits := sorted(r["exited_at"] for r in own if r["exited_at"])) == len(own)
        ]

    def stage_days(self, variant: str, by: str) -> dict[Any, Value]:
        """(month, stage[, group of the deal]) -> days."""
        deals = {deal.row["id"]: deal for deal in self.deals}
        spent: dict[Any, dict[str, float]] = {}
        for deal_id, stage, entered, exited in self.stays:
            deal, day = deals.get(deal_id), self.local_day(exited)
            if not self.start <= day < self.end:
                continue
            if variant == "won_only" and not (deal and deal.row["is_won"]):
                continue
            group = [self._group(deal, by) if deal else NONE] if by else []
            own = spent.setdefault((day.replace(day=1), stage, *group), {})
            own[deal_id] = own.get(deal_id, 0.0) + (exited - entered).total_seconds() / 86_400
        percent = 90 if variant == "p90" else 50
        return {
            key: mean(days.values()) if variant == "mean" else quantile(days.values(), percent)
            for key, days in spent.items()
        }

    # --- new customers -----------------------------------------------------------------------

    def new_customers(self, kpi: str, by: str) -> dict[Any, Value]:
        leads: dict[str, Row] = {}
        for row in sorted(self.live.rows("leads"), key=lambda r: (r["created_at"], r["id"])):
            leads.setdefault(row.get("account_id") or "", row)
        accounts, found = self.live.by_id("accounts"), {}
        for account, spells in customer_spells(self).items():
            record = leads.get(account, {}) if by in ("lead_source", "campaign_id") else None
            record = accounts.get(account, {}) if record is None else record
            starts = {start.replace(day=1) for start, _ in spells}
            if "." not in kpi:
                starts = {spells[0][0].replace(day=1)}
            for month in starts:
                if self.start <= month < self.end:
                    key = (month, record.get(by) or NONE)
                    found[key] = found.get(key, 0) + 1
        return dict(found)

    # --- plans -------------------------------------------------------------------------------

    def quotas(self, span: Span, *, company: bool) -> dict[str | None, Row]:
        """Owner -> the quota of the month; the company's alone when there is one."""
        own = {
            row["owner_id"]: row
            for row in self.live.rows("quotas")
            if row["kpi_id"] == "won_amount"
            and (row["period_start"], row["period_end"]) == (span.start, span.end)
        }
        if company and None in own:
            return {None: own[None]}
        return {owner: row for owner, row in own.items() if owner is not None}

    def owner_group(self, owner: str | None, by: str) -> str:
        if by == "owner_id":
            return owner or NONE
        return self.live.by_id("users").get(owner or "", {}).get(by) or NONE

    def attainment(self, kpi: str, by: str) -> dict[Any, Value]:
        found: dict[Any, Value] = {}
        for span in self.spans():
            groups: dict[tuple[str, ...], list[tuple[Decimal, Decimal]]] = {}
            for owner, quota in self.quotas(span, company=False).items():
                if quota["target_amount"] > 0:
                    own = [deal for deal in self.deals if deal.row["owner_id"] == owner]
                    pair = total_usd(won(own, span)), quota["target_amount"]
                    key = (self.owner_group(owner, by),) if by else ()
                    groups.setdefault(key, []).append(pair)
            for key, pairs in groups.items():
                if kpi.endswith("share_at_target"):
                    value = share(sum(have >= want for have, want in pairs), len(pairs))
                else:  # a month that is over is its own pace
                    value = share(sum(p[0] for p in pairs), sum(p[1] for p in pairs))
                found[span.start, *key] = value
        return found

    def coverage(self, kpi: str, by: str, spans: Sequence[Span], as_of: datetime) -> Any:
        """Open deals due from as_of on over what remains of the owners' targets; a segment's open
        deals over what remains of all."""
        today, day = self.local_day(as_of), self.local_day(as_of - timedelta(microseconds=1))
        found: dict[Any, Value] = {}
        for span in spans:
            quotas = self.quotas(span, company=True)
            left: dict[str, Decimal] = {}
            pipeline: dict[str, float] = {}
            for owner, quota in quotas.items():
                name = self.owner_group(owner, by) if by in ("team", "owner_id") else ""
                own = [deal for deal in self.deals if deal.row["owner_id"] == owner]
                target = quota["target_amount"] - total_usd(won(own, span))
                left[name] = left.get(name, ZERO) + target
                for deal in own:
                    if deal.row["is_closed"] or deal.row["close_date"] not in span:
                        continue
                    usd = self.usd(deal.row["amount"], deal.row["currency"], day)
                    if usd is None or deal.row["close_date"] < today:
                        continue
                    weight = deal.row["probability"] if kpi.endswith("weighted") else 1
                    group = deal.segment if by == "segment" else name
                    pipeline[group] = pipeline.get(group, 0.0) + float(usd) * (weight or 0)
            for name in pipeline if by == "segment" else left:
                remaining = left.get("" if by == "segment" else name, ZERO)
                value = share(pipeline.get(name, 0.0), float(remaining))
                found[span.start, *([name] if by else [])] = value
        return found

    def locked(self, span: Span, category: str) -> dict[str | None, Decimal]:
        """Owner (None = the company) -> the last forecast known at the start of the month."""
        last: dict[str | None, Row] = {}
        for row in self.live.rows("forecasts"):
            is_own = (row["period_start"], row["period_end"]) == (span.start, span.end)
            if not is_own or row["forecast_category"] != category:
                continue
            before = last.get(row["owner_id"])
            if row["submitted_at"] <= self.instant(span.start) and (
                before is None or before["submitted_at"] < row["submitted_at"]
            ):
                last[row["owner_id"]] = row
        return {owner: row["forecast_amount"] for owner, row in last.items()}

    def accuracy(self, kpi: str, by: str) -> dict[Any, Value]:
        variant = kpi.partition(".")[2]
        categories = ("commit", "best_case") if by == "forecast_category" else ("commit",)
        found: dict[Any, Value] = {}
        for span in self.spans():
            for category in categories:
                groups: dict[str, list[tuple[Decimal, Decimal]]] = {}
                for owner, forecast in self.locked(span, category).items():
                    if owner is None:
                        continue
                    name = category if len(categories) > 1 else self.owner_group(owner, by)
                    own = [deal for deal in self.deals if deal.row["owner_id"] == owner]
                    pair = forecast, total_usd(won(own, span))
                    groups.setdefault(name, []).append(pair)
                for name, pairs in groups.items():
                    found[span.start, name] = _accuracy(variant, pairs)
        return found

    def company_accuracy(self, by: str) -> dict[Any, Value]:
        """By category: the company forecast, else the sum of the owners', against all sales."""
        found: dict[Any, Value] = {}
        for span in self.spans():
            actual = total_usd(won(self.deals, span))
            for category in ("commit", "best_case"):
                locked = self.locked(span, category)
                if locked:
                    forecast = locked.get(None, sum(locked.values(), start=ZERO))
                    error = share(abs(forecast - actual), actual)
                    found[span.start, category] = None if error is None else max(0.0, 1 - error)
        return found


def _of_parts(kpi: str, parts: Sequence[float | None]) -> Value:
    rated = [part for part in parts if part is not None]
    if kpi.endswith("won_count"):
        return len(parts)
    if kpi.startswith("won_amount"):
        return sum(rated) or None
    return quantile(rated, 50) if kpi.endswith("median") else mean(rated)


def _accuracy(variant: str, pairs: Sequence[tuple[Decimal, Decimal]]) -> Value:
    actual = sum((sold for _, sold in pairs), start=ZERO)
    if variant == "bias":
        return share(sum((f - a for f, a in pairs), start=ZERO), actual)
    if variant == "mape":
        error = mean([float(abs(f - a) / a) for f, a in pairs if a > 0])
    else:
        error = share(sum((abs(f - a) for f, a in pairs), start=ZERO), actual)
    return None if error is None else max(0.0, 1 - error)
