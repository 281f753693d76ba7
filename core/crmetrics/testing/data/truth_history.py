"""Known answers that read validity spans: stage history and subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from crmetrics.testing.data.company import Row
from crmetrics.testing.data.facts import Deal, Facts, Span

# --- sales_pipeline_value -------------------------------------------------------------------------


def _open_rows(facts: Facts, span: Span) -> Iterable[tuple[Row, Row]]:
    """The history rows valid just before the end of the span, with their deals."""
    at = facts.instant(span.end)
    deals = facts.live.by_id("opportunities")
    for row in facts.live.rows("opportunity_stage_history"):
        is_valid = row["entered_at"] < at and (row["exited_at"] is None or row["exited_at"] >= at)
        if is_valid and not row["is_closed"]:
            deal = deals.get(row["opportunity_id"], {})
            if deal.get("forecast_category") != "omitted":
                yield row, deal


def _pipeline(facts: Facts, span: Span, is_counted: Callable[[Row], bool]) -> Decimal:
    snapshot_day = span.end - timedelta(days=1)
    total = Decimal(0)
    for row, deal in _open_rows(facts, span):
        usd = facts.usd(row["amount"], deal.get("currency"), snapshot_day)
        if usd is not None and is_counted(row):
            total += usd
    return total


def pipeline_value(facts: Facts, deals: Sequence[Deal], span: Span) -> float:
    return float(_pipeline(facts, span, lambda row: True))


def pipeline_closing(facts: Facts, deals: Sequence[Deal], span: Span) -> float:
    return float(_pipeline(facts, span, lambda row: row["close_date"] in span))


def pipeline_overdue(facts: Facts, deals: Sequence[Deal], span: Span) -> float:
    # The local day of the snapshot instant is the first day after the span.
    return float(_pipeline(facts, span, lambda row: row["close_date"] < span.end))


def pipeline_weighted(facts: Facts, deals: Sequence[Deal], span: Span) -> float:
    snapshot_day = span.end - timedelta(days=1)
    total = 0.0
    for row, deal in _open_rows(facts, span):
        usd = facts.usd(row["amount"], deal.get("currency"), snapshot_day)
        if usd is not None and row["probability"] is not None:
            total += float(usd) * row["probability"]
    return total


# --- stage_duration -------------------------------------------------------------------------------


def stage_days(facts: Facts, span: Span, *, won_only: bool = False) -> dict[str, list[float]]:
    """Per open stage the days of each deal whose stays in it ended in the span, summed per deal."""
    start, end = facts.instant(span.start), facts.instant(span.end)
    deals = facts.live.by_id("opportunities")
    spent: dict[tuple[str, str], float] = {}
    for deal_id, stage, entered, exited in _stays(facts):
        if exited is None or not start <= exited < end:
            continue
        if won_only and not deals.get(deal_id, {}).get("is_won", False):
            continue
        days = (exited - entered).total_seconds() / 86_400
        spent[stage, deal_id] = spent.get((stage, deal_id), 0.0) + days
    found: dict[str, list[float]] = {}
    for (stage, _), days in spent.items():
        found.setdefault(stage, []).append(days)
    return found


def _stays(facts: Facts) -> Iterable[tuple[str, str, datetime, datetime | None]]:
    """(deal, stage, entered, exited) of each stay in an open stage; exited None = still running."""
    stays: dict[tuple[str, str], list[Row]] = {}
    for row in facts.live.rows("opportunity_stage_history"):
        if not row["is_closed"]:
            # Without a stay_id the row is its own stay; a row's id cannot meet a stay's.
            key = row["opportunity_id"], row["stay_id"] or f"row {row['id']}"
            stays.setdefault(key, []).append(row)
    for (deal_id, _), rows in stays.items():
        exits = [row["exited_at"] for row in rows if row["exited_at"] is not None]
        is_over = len(exits) == len(rows)
        entered = min(row["entered_at"] for row in rows)
        yield deal_id, rows[0]["stage"], entered, max(exits) if is_over else None


# --- new_customers --------------------------------------------------------------------------------


def customer_spells(facts: Facts) -> dict[str, list[tuple[date, date | None]]]:
    """Account -> periods as a customer: paid segments joined where no day lies between them."""
    segments: dict[str, list[tuple[date, date | None]]] = {}
    for row in facts.live.rows("subscriptions"):
        pair = row["start_date"], row["end_date"]
        is_empty = pair[1] is not None and pair[1] <= pair[0]
        if not row.get("is_trial", False) and row["mrr"] > 0 and not is_empty:
            segments.setdefault(row["account_id"], []).append(pair)
    return {account: _joined(pairs) for account, pairs in segments.items()}


def _joined(pairs: list[tuple[date, date | None]]) -> list[tuple[date, date | None]]:
    spells: list[tuple[date, date | None]] = []
    for start, end in sorted(pairs, key=lambda pair: (pair[0], pair[1] or date.max)):
        last_end = spells[-1][1] if spells else date.min
        if spells and (last_end is None or start <= last_end):
            longest = None if last_end is None or end is None else max(last_end, end)
            spells[-1] = spells[-1][0], longest
        else:
            spells.append((start, end))
    return spells


def new_customers(facts: Facts, deals: Sequence[Deal], span: Span) -> float:
    return sum(1 for spells in customer_spells(facts).values() if spells[0][0] in span)


def new_or_returned_customers(facts: Facts, deals: Sequence[Deal], span: Span) -> float:
    return sum(
        1 for spells in customer_spells(facts).values() if any(start in span for start, _ in spells)
    )
