"""The KPIs of the pack `retention`, counted once more from the sample's records in plain loops.

Rule by rule as the KPI catalogue words them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby

from crmetrics.testing.data.facts import Span, last_days, mean, quantile, share
from metrics.retention_world import ONE_DAY, Row, World, account_value

Figure = Callable[[World, Span], float | None]


def _edges(world: World, span: Span) -> tuple[set[str], set[str]]:
    return world.on(span.start - ONE_DAY), world.on(span.end - ONE_DAY)


# --- customers --------------------------------------------------------------------------------


def active_customers(world: World, span: Span) -> float:
    return len(world.on(span.end - ONE_DAY))


def average_customers(world: World, span: Span) -> float:
    opening, closing = _edges(world, span)
    return (len(opening) + len(closing)) / 2


def retention(world: World, span: Span) -> float | None:
    opening, closing = _edges(world, span)
    return share(len(opening & closing), len(opening))


def churn(world: World, span: Span) -> float | None:
    opening, closing = _edges(world, span)
    return share(len(opening - closing), len(opening))


def ended_spells(world: World, span: Span) -> float | None:
    ended = sum(end in span for spells in world.spells.values() for _, end in spells)
    return share(ended, len(world.on(span.start - ONE_DAY)))


def value_weighted_churn(world: World, span: Span) -> float | None:
    opening, closing = _edges(world, span)
    day = span.start - ONE_DAY
    mrr = world.mrr(day, day)

    def segment(account: str) -> str:
        return account_value(world.facts, account, "segment")

    lost_mrr = 0.0
    for _, members in groupby(sorted(opening, key=segment), key=segment):
        mine = set(members)
        revenue = sum((mrr.get(account, Decimal(0)) for account in mine), Decimal(0))
        lost_mrr += len(mine - closing) / len(mine) * float(revenue)
    return share(lost_mrr, float(sum(mrr.values(), Decimal(0))))


# --- recurring revenue ------------------------------------------------------------------------


def _revenue_edges(world: World, span: Span) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    day = span.start - ONE_DAY
    return world.mrr(day, day), world.mrr(span.end - ONE_DAY, day)


def gross_revenue_retention(world: World, span: Span) -> float | None:
    opening, closing = _revenue_edges(world, span)
    kept = sum((min(mrr, closing.get(a, Decimal(0))) for a, mrr in opening.items()), Decimal(0))
    return share(kept, sum(opening.values(), Decimal(0)))


def gross_revenue_churn(world: World, span: Span) -> float | None:
    kept = gross_revenue_retention(world, span)
    return None if kept is None else 1 - kept


def net_revenue_retention(world: World, span: Span) -> float | None:
    opening, closing = _revenue_edges(world, span)
    paying = [account for account, mrr in opening.items() if mrr > 0]
    kept = sum((closing.get(account, Decimal(0)) for account in paying), Decimal(0))
    return share(kept, sum(opening.values(), Decimal(0)))


# --- orders -----------------------------------------------------------------------------------


def repeat_purchase(world: World, span: Span) -> float | None:
    buyers = world.orders_in(last_days(span, 365))
    return share(sum(number >= 2 for number in buyers.values()), len(buyers))


def repeat_purchase_cohort(world: World, span: Span) -> float | None:
    cohort = returned = 0
    for rows in world.orders.values():
        first = rows[0]["ordered_at"]
        if world.facts.local_day(first) in span:
            cohort += 1
            returned += len(rows) > 1 and rows[1]["ordered_at"] < first + timedelta(days=90)
    return share(returned, cohort)


# --- touches ----------------------------------------------------------------------------------


def _silences(world: World, span: Span) -> list[float | None]:
    """Days since the last touch of each customer; None = never."""
    end = world.facts.instant(span.end)
    found: list[float | None] = []
    for account in world.on(span.end - ONE_DAY):
        before = [at for at in world.touches.get(account, []) if at < end]
        found.append((end - before[-1]).total_seconds() / 86_400 if before else None)
    return found


def silence_median(world: World, span: Span) -> float | None:
    return quantile([days for days in _silences(world, span) if days is not None], 50)


def silence_mean(world: World, span: Span) -> float | None:
    return mean([days for days in _silences(world, span) if days is not None])


def silence_p90(world: World, span: Span) -> float | None:
    return quantile([days for days in _silences(world, span) if days is not None], 90)


def lapsed_share(world: World, span: Span) -> float | None:
    silences = _silences(world, span)
    return share(sum(days is None or days >= 90 for days in silences), len(silences))


def never_contacted(world: World, span: Span) -> int:
    return sum(days is None for days in _silences(world, span))


# --- returns ----------------------------------------------------------------------------------


def former_customers(world: World, span: Span) -> dict[str, date]:
    """Account -> the day its last spell ended, for those lost in the 365 days before the span."""
    found = {}
    for account, spells in world.spells.items():
        begun = [end for start, end in spells if start < span.start]
        if begun and span.start - timedelta(days=365) <= begun[-1] < span.start:
            found[account] = begun[-1]
    return found


def _first_days_back(world: World, span: Span) -> dict[str, date]:
    found = {}
    for account in former_customers(world, span):
        starts = [start for start, _ in world.spells[account] if start in span]
        if starts:
            found[account] = starts[0]
    return found


def win_back(world: World, span: Span) -> float | None:
    return share(len(_first_days_back(world, span)), len(former_customers(world, span)))


def win_back_stayed(world: World, span: Span) -> float | None:
    back = _first_days_back(world, span)
    stayed = sum(account in world.on(day + timedelta(days=90)) for account, day in back.items())
    return share(stayed, len(former_customers(world, span)))


# --- loyalty ----------------------------------------------------------------------------------


def _members(world: World, day: date) -> Callable[[str], bool]:
    rows = world.facts.live.by_id("accounts")
    start = world.facts.instant(day)

    def is_member(account: str) -> bool:
        joined = rows.get(account, {}).get("loyalty_joined_at")
        return joined is not None and joined < start

    return is_member


def _difference(members: float | None, others: float | None) -> float | None:
    return None if members is None or others is None else members - others


def loyalty_lift(world: World, span: Span) -> float | None:
    opening, closing = _edges(world, span)
    inside = set(filter(_members(world, span.start), opening))
    outside = opening - inside
    return _difference(
        share(len(inside & closing), len(inside)), share(len(outside & closing), len(outside))
    )


def repeat_purchase_lift(world: World, span: Span) -> float | None:
    window = last_days(span, 365)
    is_member = _members(world, window.start)
    buyers = world.orders_in(window)
    inside = [number for account, number in buyers.items() if is_member(account)]
    outside = [number for account, number in buyers.items() if not is_member(account)]
    return _difference(
        share(sum(n >= 2 for n in inside), len(inside)),
        share(sum(n >= 2 for n in outside), len(outside)),
    )


def arpu_lift(world: World, span: Span) -> float | None:
    day = span.end - ONE_DAY
    mrr = world.mrr(day, day)
    rated = world.on(day) & set(mrr)
    is_member = _members(world, span.start)
    inside = [mrr[account] for account in rated if is_member(account)]
    outside = [mrr[account] for account in rated if not is_member(account)]
    ours = share(sum(inside, Decimal(0)), len(inside))
    theirs = share(sum(outside, Decimal(0)), len(outside))
    return None if ours is None or not theirs else (ours - theirs) / theirs


# --- answers ----------------------------------------------------------------------------------


def _score(answers: list[Row]) -> float | None:
    promoters = sum(row["score"] >= 9 for row in answers)
    detractors = sum(row["score"] < 7 for row in answers)
    return 100 * (promoters - detractors) / len(answers) if answers else None


def nps(world: World, span: Span) -> float | None:
    return _score(world.answers(span))


def promoters(world: World, span: Span) -> float | None:
    answers = world.answers(span)
    return share(sum(row["score"] >= 9 for row in answers), len(answers))


def passives(world: World, span: Span) -> float | None:
    answers = world.answers(span)
    return share(sum(7 <= row["score"] < 9 for row in answers), len(answers))


def detractors(world: World, span: Span) -> float | None:
    answers = world.answers(span)
    return share(sum(row["score"] < 7 for row in answers), len(answers))


def _by_case(world: World, span: Span, *, has_case: bool) -> float | None:
    known = world.answers_where
    narrowed = replace(
        world,
        answers_where=lambda row: known(row) and (row.get("case_id") is not None) == has_case,
    )
    return _score(narrowed.answers(span))


def nps_relationship(world: World, span: Span) -> float | None:
    return _by_case(world, span, has_case=False)


def nps_transactional(world: World, span: Span) -> float | None:
    return _by_case(world, span, has_case=True)


def nps_by_revenue(world: World, span: Span) -> float | None:
    day = span.end - ONE_DAY
    mrr = world.mrr(day, day)
    total = Decimal(0)
    balance = Decimal(0)
    for row in world.answers(span):
        weight = mrr.get(row.get("account_id") or "", Decimal(0))
        total += weight
        balance += weight * ((row["score"] >= 9) - (row["score"] < 7))
    return float(100 * balance / total) if total else None


# --- references -------------------------------------------------------------------------------


def _flags(world: World, span: Span) -> list[bool | None]:
    rows = world.facts.live.by_id("accounts")
    active = world.on(span.end - ONE_DAY)
    return [rows.get(account, {}).get("is_referenceable") for account in active]


def referenceable(world: World, span: Span) -> float | None:
    flags = _flags(world, span)
    return share(sum(flag is True for flag in flags), len(flags))


def referenceable_of_asked(world: World, span: Span) -> float | None:
    asked = [flag for flag in _flags(world, span) if flag is not None]
    return share(sum(asked), len(asked))


def referrals(world: World, span: Span) -> float | None:
    active = world.on(span.end - ONE_DAY)
    named = {
        row.get("referred_by_account_id")
        for row in world.facts.live.rows("leads")
        if world.facts.local_day(row["created_at"]) in span
    }
    return share(len(active & named), len(active))


# --- cohorts ----------------------------------------------------------------------------------


def cohort_cells(
    world: World, span: Span, as_of: date, *, weekly: bool = False
) -> dict[str, float | None]:
    """k -> share of the customers won in the span that are active k months (weeks) later."""
    cohort = [account for account, spells in world.spells.items() if spells[0][0] in span]
    cells: dict[str, float | None] = {}
    for k in range(53 if weekly else 25):
        day = span.end + timedelta(days=7 * k) if weekly else months_on(span.end, k)
        if cohort and day <= as_of:
            active = world.on(day - ONE_DAY)
            cells[str(k)] = share(sum(account in active for account in cohort), len(cohort))
    return cells


def cohort_revenue(world: World, span: Span, as_of: date) -> dict[str, float | None]:
    """k -> recurring revenue of the cohort k months later out of that of the first days."""
    cohort = {a: spells[0][0] for a, spells in world.spells.items() if spells[0][0] in span}
    first = {a: world.mrr(day, day).get(a, Decimal(0)) for a, day in cohort.items()}
    cells: dict[str, float | None] = {}
    for k in range(25):
        day = months_on(span.end, k)
        if cohort and day <= as_of:
            later = [world.mrr(day - ONE_DAY, began).get(a, 0) for a, began in cohort.items()]
            cells[str(k)] = share(sum(later, Decimal(0)), sum(first.values(), Decimal(0)))
    return cells


def months_on(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month + 1, day.day)


FIGURES: dict[str, Figure] = {
    "active_customers": active_customers,
    "active_customers.average": average_customers,
    "customer_retention_rate": retention,
    "customer_retention_rate.by_revenue": gross_revenue_retention,
    "customer_churn_rate": churn,
    "customer_churn_rate.event_dated": ended_spells,
    "customer_churn_rate.revenue": gross_revenue_churn,
    "customer_churn_rate.value_weighted": value_weighted_churn,
    "gross_revenue_retention": gross_revenue_retention,
    "gross_revenue_retention.churn_rate": gross_revenue_churn,
    "net_revenue_retention": net_revenue_retention,
    "repeat_purchase_rate": repeat_purchase,
    "repeat_purchase_rate.cohort": repeat_purchase_cohort,
    "time_since_last_interaction": silence_median,
    "time_since_last_interaction.lapsed_share": lapsed_share,
    "time_since_last_interaction.mean": silence_mean,
    "time_since_last_interaction.p90": silence_p90,
    "win_back_rate": win_back,
    "win_back_rate.still_active_90d": win_back_stayed,
    "loyalty_retention_lift": loyalty_lift,
    "loyalty_retention_lift.repeat_purchase_lift": repeat_purchase_lift,
    "loyalty_retention_lift.arpu_lift": arpu_lift,
    "net_promoter_score": nps,
    "net_promoter_score.promoters": promoters,
    "net_promoter_score.passives": passives,
    "net_promoter_score.detractors": detractors,
    "net_promoter_score.relationship": nps_relationship,
    "net_promoter_score.transactional": nps_transactional,
    "net_promoter_score.by_revenue": nps_by_revenue,
    "referenceability_rate": referenceable,
    "referenceability_rate.of_asked": referenceable_of_asked,
    "referenceability_rate.referral_rate": referrals,
}
"""KPI or variant -> its number in a period; those without an own row set are counted apart."""
