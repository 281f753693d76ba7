"""Known answers that compare sales with quotas and forecasts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from crmetrics.testing.data.company import Row
from crmetrics.testing.data.facts import Deal, Facts, Span, mean, share, total_usd, won

Deals = Sequence[Deal]

# --- quota_attainment -----------------------------------------------------------------------------


def _quotas(facts: Facts, span: Span) -> dict[str | None, list[Row]]:
    """Owner (None = the company) -> quotas on won_amount that lie wholly inside the span.

    Of overlapping quotas of one owner the longest counts.
    """
    inside = [
        row
        for row in facts.live.rows("quotas")
        if row["kpi_id"] == "won_amount"
        and span.start <= row["period_start"]
        and row["period_end"] <= span.end
    ]
    inside.sort(key=lambda row: row["period_start"] - row["period_end"])
    found: dict[str | None, list[Row]] = {}
    for row in inside:
        kept = found.setdefault(row["owner_id"], [])
        if not any(_overlap(row, other) for other in kept):
            kept.append(row)
    return found


def _overlap(row: Row, other: Row) -> bool:
    starts_before: bool = row["period_start"] < other["period_end"]
    return starts_before and bool(other["period_start"] < row["period_end"])


def _target(rows: Iterable[Row]) -> Decimal:
    return sum((row["target_amount"] for row in rows), start=Decimal(0))


def _won_in(deals: Iterable[Deal], quotas: Iterable[Row]) -> Decimal:
    return sum(
        (total_usd(won(deals, Span(row["period_start"], row["period_end"]))) for row in quotas),
        start=Decimal(0),
    )


def _by_owner(facts: Facts, deals: Deals, span: Span) -> list[tuple[Decimal, Decimal]]:
    """(won, target) of each owner with a quota above zero."""
    pairs = []
    for owner, rows in _quotas(facts, span).items():
        target = _target(rows)
        if owner is not None and target > 0:
            own = [deal for deal in deals if deal.row["owner_id"] == owner]
            pairs.append((_won_in(own, rows), target))
    return pairs


def quota_attainment(facts: Facts, deals: Deals, span: Span) -> float | None:
    company = _quotas(facts, span).get(None)
    if company:
        return share(_won_in(deals, company), _target(company))
    pairs = _by_owner(facts, deals, span)
    total = sum((amount for amount, _ in pairs), start=Decimal(0))
    return share(total, sum((target for _, target in pairs), start=Decimal(0)))


def share_at_target(facts: Facts, deals: Deals, span: Span) -> float | None:
    pairs = _by_owner(facts, deals, span)
    return share(sum(1 for amount, target in pairs if amount >= target), len(pairs))


def pipeline_coverage(facts: Facts, span: Span, as_of: datetime) -> float | None:
    """Open pipeline due from the as_of day to the end of the span / target that remains.

    None when nothing remains (`target_met`) or there is no quota (`no_data`).
    """
    quotas = _quotas(facts, span)
    owners = None if None in quotas else set(quotas)
    deals = [deal for deal in facts.deals if owners is None or deal.row["owner_id"] in owners]
    today = facts.local_day(as_of)
    snapshot_day = facts.local_day(as_of - timedelta(microseconds=1))
    due = Span(today, span.end)
    pipeline = Decimal(0)
    for deal in deals:
        row = deal.row
        if not row["is_closed"] and row["close_date"] in due:
            pipeline += facts.usd(row["amount"], row["currency"], snapshot_day) or Decimal(0)
    chosen = quotas.get(None) or [row for rows in quotas.values() for row in rows]
    return share(pipeline, _target(chosen) - total_usd(won(deals, span)))


# --- sales_forecast_accuracy ----------------------------------------------------------------------


def _locked(facts: Facts, span: Span) -> dict[str | None, Decimal]:
    """Owner (None = the company) -> the last commit for the span submitted by its start."""
    lock = facts.instant(span.start)
    last: dict[str | None, Row] = {}
    for row in facts.live.rows("forecasts"):
        is_for_span = row["period_start"] == span.start and row["period_end"] == span.end
        if not is_for_span or row["forecast_category"] != "commit" or row["submitted_at"] > lock:
            continue
        known = last.get(row["owner_id"])
        if known is None or row["submitted_at"] > known["submitted_at"]:
            last[row["owner_id"]] = row
    return {owner: row["forecast_amount"] for owner, row in last.items()}


def _pairs(facts: Facts, deals: Deals, span: Span) -> list[tuple[Decimal, Decimal]]:
    """(forecast, actual) of each owner with a forecast."""
    pairs = []
    for owner, forecast in _locked(facts, span).items():
        if owner is not None:
            own = [deal for deal in deals if deal.row["owner_id"] == owner]
            pairs.append((forecast, total_usd(won(own, span))))
    return pairs


def forecast_accuracy(facts: Facts, deals: Deals, span: Span) -> float | None:
    pairs = _pairs(facts, deals, span)
    missed = sum((abs(forecast - actual) for forecast, actual in pairs), start=Decimal(0))
    error = share(missed, sum((actual for _, actual in pairs), start=Decimal(0)))
    return None if error is None else max(0.0, 1 - error)


def forecast_bias(facts: Facts, deals: Deals, span: Span) -> float | None:
    pairs = _pairs(facts, deals, span)
    error = sum((forecast - actual for forecast, actual in pairs), start=Decimal(0))
    return share(error, sum((actual for _, actual in pairs), start=Decimal(0)))


def forecast_mape(facts: Facts, deals: Deals, span: Span) -> float | None:
    errors = [
        float(abs(forecast - actual) / actual)
        for forecast, actual in _pairs(facts, deals, span)
        if actual > 0
    ]
    error = mean(errors)
    return None if error is None else max(0.0, 1 - error)


def forecast_company_level(facts: Facts, deals: Deals, span: Span) -> float | None:
    locked = _locked(facts, span)
    if not locked:
        return None
    forecast = locked[None] if None in locked else sum(locked.values(), start=Decimal(0))
    actual = total_usd(won(deals, span))
    error = share(abs(forecast - actual), actual)
    return None if error is None else max(0.0, 1 - error)
