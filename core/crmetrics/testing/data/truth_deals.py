"""Known answers that read deals by their close date, and the factors of sales velocity.

Each function takes the facts, the deals of the group and the span, and gives the figure in the
unit of its KPI, None where the catalogue says null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from crmetrics.testing.data.facts import (
    Deal,
    Facts,
    Span,
    last_days,
    lost,
    mean,
    months_later,
    quantile,
    share,
    total_usd,
    won,
)

Deals = Sequence[Deal]


def won_amount(facts: Facts, deals: Deals, span: Span) -> float:
    return float(total_usd(won(deals, span)))


def won_count(facts: Facts, deals: Deals, span: Span) -> float:
    return len(won(deals, span))


def lost_count(facts: Facts, deals: Deals, span: Span) -> float:
    return len(lost(deals, span))


def win_rate(facts: Facts, deals: Deals, span: Span) -> float | None:
    wins, losses = len(won(deals, span)), len(lost(deals, span))
    return share(wins, wins + losses)


def win_rate_by_amount(facts: Facts, deals: Deals, span: Span) -> float | None:
    wins, losses = total_usd(won(deals, span)), total_usd(lost(deals, span))
    return share(wins, wins + losses)


def win_rate_cohort(facts: Facts, deals: Deals, span: Span) -> float | None:
    cohort = [deal for deal in deals if deal.created_day in span]
    wins = [
        deal
        for deal in cohort
        if deal.row["is_won"] and 0 <= (deal.row["close_date"] - deal.created_day).days < 180
    ]
    return share(len(wins), len(cohort))


def _sizes(deals: Deals, span: Span) -> list[float]:
    return [float(deal.usd) for deal in won(deals, span) if deal.usd is not None]


def average_deal_size(facts: Facts, deals: Deals, span: Span) -> float | None:
    return mean(_sizes(deals, span))


def median_deal_size(facts: Facts, deals: Deals, span: Span) -> float | None:
    return quantile(_sizes(deals, span), 50)


# --- sales_cycle_length ---------------------------------------------------------------------------


def _cycle_days(deals: Iterable[Deal]) -> list[int]:
    """Days from creation to close; a close before the creation is invalid and left out."""
    days = [(deal.row["close_date"] - deal.created_day).days for deal in deals]
    return [count for count in days if count >= 0]


def cycle_median(facts: Facts, deals: Deals, span: Span) -> float | None:
    return quantile(_cycle_days(won(deals, span)), 50)


def cycle_mean(facts: Facts, deals: Deals, span: Span) -> float | None:
    return mean(_cycle_days(won(deals, span)))


def cycle_p90(facts: Facts, deals: Deals, span: Span) -> float | None:
    return quantile(_cycle_days(won(deals, span)), 90)


def cycle_lost(facts: Facts, deals: Deals, span: Span) -> float | None:
    return quantile(_cycle_days(lost(deals, span)), 50)


def cycle_from_lead(facts: Facts, deals: Deals, span: Span) -> float | None:
    first_lead: dict[str, datetime] = {}
    for lead in facts.live.rows("leads"):
        deal_id = lead.get("converted_opportunity_id")
        if deal_id is not None:
            known = first_lead.get(deal_id, lead["created_at"])
            first_lead[deal_id] = min(known, lead["created_at"])
    days = [
        (deal.row["close_date"] - facts.local_day(first_lead[deal.row["id"]])).days
        for deal in won(deals, span)
        if deal.row["id"] in first_lead
    ]
    return quantile([count for count in days if count >= 0], 50)


# --- sales_velocity and its factors ---------------------------------------------------------------


def open_deals(facts: Facts, deals: Deals, span: Span) -> float:
    at = facts.instant(span.end)
    count = 0
    for deal in deals:
        row = deal.row
        if row["created_at"] < at:
            closed = row.get("closed_at") or facts.instant(row["close_date"])
            if not row["is_closed"] or closed >= at:
                count += 1
    return count


def recent_deal_size(facts: Facts, deals: Deals, span: Span) -> float | None:
    return average_deal_size(facts, deals, last_days(span, 90))


def recent_win_rate(facts: Facts, deals: Deals, span: Span) -> float | None:
    return win_rate(facts, deals, last_days(span, 90))


def recent_cycle_days(facts: Facts, deals: Deals, span: Span) -> float | None:
    return cycle_mean(facts, deals, last_days(span, 90))


def sales_velocity(facts: Facts, deals: Deals, span: Span) -> float | None:
    size = recent_deal_size(facts, deals, span)
    rate = recent_win_rate(facts, deals, span)
    days = recent_cycle_days(facts, deals, span)
    if size is None or rate is None or not days:
        return None
    return open_deals(facts, deals, span) * size * rate / days


# --- sales_growth_rate ----------------------------------------------------------------------------


def _growth(deals: Deals, current: Span, previous: Span) -> float | None:
    now, before = total_usd(won(deals, current)), total_usd(won(deals, previous))
    return share(now - before, before) if before > Decimal(0) else None


def growth_on_previous(facts: Facts, deals: Deals, span: Span) -> float | None:
    return _growth(deals, span, span.back(span.months))


def growth_year_over_year(facts: Facts, deals: Deals, span: Span) -> float | None:
    return _growth(deals, span, span.back(12))


def growth_trailing(facts: Facts, deals: Deals, span: Span) -> float | None:
    year = Span(months_later(span.end, -12), span.end)
    return _growth(deals, year, year.back(12))
