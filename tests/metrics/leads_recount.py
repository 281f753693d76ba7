"""The KPIs of the pack `leads`, recounted from the sample's records in plain loops.

Written from the words of the KPI catalogue; nothing of the engine and of the pack's SQL is used. A
figure takes the records of a group and the days of a period and gives (value, rows): without rows
the group is not in the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from crmetrics.testing.data.facts import Span, mean, quantile, share
from metrics.leads_records import Account, Lead, Prospect, Records, Row, is_response

Answer = tuple[float | None, int]

MAX_ATTEMPTS, TARGET_S = 5, 900
BERLIN_TEAM = "Commercial West"
HOLIDAYS = (date(2023, 12, 25), date(2024, 12, 25), date(2025, 12, 25), date(2025, 12, 26))
BUSINESS_HOURS = {
    BERLIN_TEAM: {
        "hours": ["08:30", "18:00"],
        "timezone": "Europe/Berlin",
        "holidays": [str(day) for day in HOLIDAYS],
    }
}
"""The setting business_hours of the project under test."""


def _rate(part: float, whole: float, rows: int | None = None) -> Answer:
    return share(part, whole), int(whole) if rows is None else rows


def _within(at: datetime | None, start: datetime, days: int) -> bool:
    return at is not None and timedelta(0) <= at - start < timedelta(days=days)


def leads_created(records: Records, span: Span) -> Answer:
    count = len(records.created(span))
    return count, count


def net_new_accounts(records: Records, span: Span) -> Answer:
    accounts = {lead.row["account_id"] for lead in records.created(span) if lead.opens_account}
    return len(accounts), len(accounts)


def lead_conversion_rate(records: Records, span: Span) -> Answer:
    cohort = records.created(span)
    rows = [lead.row for lead in cohort]
    return _rate(sum(_within(r.get("converted_at"), r["created_at"], 90) for r in rows), len(rows))


def lead_conversion_event(records: Records, span: Span) -> Answer:
    converted = 0
    for lead in records.leads:
        at = lead.row.get("converted_at")
        if at is not None and at >= lead.row["created_at"]:
            converted += records.facts.local_day(at) in span
    created = len(records.created(span))
    return _rate(converted, created, converted + created)


def _became_customer(lead: Lead) -> bool:
    return lead.customer_after is not None and (
        timedelta(0) <= lead.customer_after < timedelta(days=180)
    )


def lead_to_customer_rate(records: Records, span: Span) -> Answer:
    cohort = records.acquired(span)
    return _rate(sum(_became_customer(lead) for lead in cohort), len(cohort))


def lead_to_customer_event(records: Records, span: Span) -> Answer:
    customers = sum(
        1
        for lead in records.leads
        if not lead.was_customer
        and lead.customer_day in span
        and lead.customer_after is not None
        and lead.customer_after >= timedelta(0)
    )
    created = len(records.acquired(span))
    return _rate(customers, created, customers + created)


def conversion_rate(records: Records, span: Span) -> Answer:
    cohort = [a for a in records.accounts if a.created_day in span and not _came_before(a)]
    quick = [a for a in cohort if a.first_day and (a.first_day - a.created_day).days < 180]
    return _rate(len(quick), len(cohort))


def conversion_event(records: Records, span: Span) -> Answer:
    prospects = [account for account in records.accounts if not _came_before(account)]
    customers = sum(account.first_day in span for account in prospects)
    created = sum(account.created_day in span for account in prospects)
    return _rate(customers, created, customers + created)


def _came_before(account: Account) -> bool:
    return account.first_day is not None and account.first_day < account.created_day


def _waits(records: Records, span: Span) -> list[float]:
    found = []
    for lead in records.leads:
        at, waited = lead.answered_at, lead.waited_s
        if at is None or waited is None or waited < 0:
            continue
        if records.facts.local_day(at) in span:
            found.append(waited)
    return found


def response_median(records: Records, span: Span) -> Answer:
    waits = _waits(records, span)
    return quantile(waits, 50), len(waits)


def response_mean(records: Records, span: Span) -> Answer:
    waits = _waits(records, span)
    return mean(waits), len(waits)


def response_p90(records: Records, span: Span) -> Answer:
    waits = _waits(records, span)
    return quantile(waits, 90), len(waits)


def response_business_hours(records: Records, span: Span) -> Answer:
    worked = [
        _worked_s(lead, lead.answered_at, records.facts.zone)
        for lead in records.leads
        if lead.answered_at is not None
        and lead.answered_at >= lead.row["created_at"]
        and records.facts.local_day(lead.answered_at) in span
    ]
    return quantile(worked, 50), len(worked)


def _worked_s(lead: Lead, end: datetime, reporting: ZoneInfo) -> float:
    """Seconds between creation and answer in the hours of the owner's team, day by day."""
    start = lead.row["created_at"]
    opens, closes, zone, holidays = time(9), time(17), reporting, ()
    if lead.groups["team"] == BERLIN_TEAM:
        opens, closes, zone, holidays = time(8, 30), time(18), ZoneInfo("Europe/Berlin"), HOLIDAYS
    total, day = timedelta(0), start.astimezone(zone).date()
    while day <= end.astimezone(zone).date():
        if day.weekday() < 5 and day not in holidays:
            first = max(start, datetime.combine(day, opens, zone))
            last = min(end, datetime.combine(day, closes, zone))
            total += max(timedelta(0), last - first)
        day += timedelta(days=1)
    return total.total_seconds()


def within_target(records: Records, span: Span) -> Answer:
    waits = [lead.waited_s for lead in records.created(span)]
    valid = [waited for waited in waits if waited is None or waited >= 0]
    quick = [waited for waited in valid if waited is not None and waited <= TARGET_S]
    return _rate(len(quick), len(valid))


def revenue_per_lead(records: Records, span: Span) -> Answer:
    cohort = records.created(span)
    return _rate(_cohort_revenue(cohort), len(cohort))


def _cohort_revenue(cohort: Iterable[Lead]) -> float:
    wins = [lead.win for lead in cohort if lead.win is not None and 0 <= lead.win[1] < 180]
    return float(sum((part for _, _, part in wins if part is not None), start=Decimal(0)))


def revenue_event(records: Records, span: Span) -> Answer:
    won = [
        deal.usd
        for deal, _ in records.deals
        if deal.row["is_won"] and deal.row["close_date"] in span and deal.usd is not None
    ]
    created = len(records.created(span))
    return _rate(sum(won, start=Decimal(0)), created, len(won) + created)


def _spent(records: Records, span: Span, *, with_expenses: bool = False) -> list[float]:
    return [
        cost.amount
        for cost in records.costs
        if cost.day in span and cost.amount is not None and (with_expenses or not cost.is_expense)
    ]


def cost_per_lead(records: Records, span: Span) -> Answer:
    spent, created = _spent(records, span), len(records.created(span))
    return _rate(sum(spent), created, len(spent) + created)


def cost_per_qualified_lead(records: Records, span: Span) -> Answer:
    qualified = sum(lead.row.get("mql_at") is not None for lead in records.created(span))
    spent = _spent(records, span)
    return _rate(sum(spent), qualified, len(spent) + qualified)


def cost_fully_loaded(records: Records, span: Span) -> Answer:
    spent = _spent(records, span, with_expenses=True)
    created = len(records.created(span))
    return _rate(sum(spent), created, len(spent) + created)


def qualified_lead_rate(records: Records, span: Span) -> Answer:
    rows = [lead.row for lead in records.created(span)]
    window = timedelta(days=30)
    quick = [r for r in rows if r.get("mql_at") and r["mql_at"] < r["created_at"] + window]
    return _rate(len(quick), len(rows))


def _qualified(records: Records, span: Span) -> list[Row]:
    rows = [lead.row for lead in records.leads if lead.row.get("mql_at")]
    return [row for row in rows if records.facts.local_day(row["mql_at"]) in span]


def qualified_leads(records: Records, span: Span) -> Answer:
    count = len(_qualified(records, span))
    return count, count


def sales_accepted_lead_rate(records: Records, span: Span) -> Answer:
    rows = _qualified(records, span)
    return _rate(sum(_within(row.get("sql_at"), row["mql_at"], 14) for row in rows), len(rows))


def _attempted(records: Records, span: Span) -> list[Prospect]:
    return [p for p in records.prospects if records.facts.local_day(p.at) in span]


def prospect_response_rate(records: Records, span: Span) -> Answer:
    cohort = _attempted(records, span)
    return _rate(sum(p.answered_after is not None for p in cohort), len(cohort))


def attempts_per_response(records: Records, span: Span) -> Answer:
    cohort = _attempted(records, span)
    answered = sum(p.answered_after is not None for p in cohort)
    return _rate(sum(p.attempts for p in cohort), answered, len(cohort))


def time_to_response(records: Records, span: Span) -> Answer:
    cohort = _attempted(records, span)
    days = [p.answered_after / timedelta(days=1) for p in cohort if p.answered_after is not None]
    return quantile(days, 50), len(days)


def _rows_in_vain(records: Records, span: Span) -> list[int]:
    """Per lead open at the end of the span and attempted before: attempts since its last answer."""
    at = records.facts.instant(span.end)
    found = []
    for lead in records.leads:
        ends = [lead.row.get("converted_at"), lead.row.get("disqualified_at")]
        is_open = all(end is None or end >= at for end in ends)
        touches = [t for t in lead.touches if t["occurred_at"] < at]
        attempts = [t["occurred_at"] for t in touches if t["direction"] == "outbound"]
        if is_open and lead.row["created_at"] < at and attempts:
            answers = [t["occurred_at"] for t in touches if is_response(t)]
            found.append(sum(not answers or when > max(answers) for when in attempts))
    return found


def unresponsive_prospects(records: Records, span: Span) -> Answer:
    count = sum(number >= MAX_ATTEMPTS for number in _rows_in_vain(records, span))
    return count, count


def unresponsive_share(records: Records, span: Span) -> Answer:
    rows = _rows_in_vain(records, span)
    return _rate(sum(number >= MAX_ATTEMPTS for number in rows), len(rows))


def attempts_wasted(records: Records, span: Span) -> Answer:
    wasted = [n - MAX_ATTEMPTS for n in _rows_in_vain(records, span) if n >= MAX_ATTEMPTS]
    return sum(wasted), len(wasted)


Figure = Callable[[Records, Span], Answer]

FIGURES: dict[str, Figure] = {
    "leads_created": leads_created,
    "leads_created.net_new_accounts": net_new_accounts,
    "lead_conversion_rate": lead_conversion_rate,
    "lead_conversion_rate.event_dated": lead_conversion_event,
    "lead_to_customer_rate": lead_to_customer_rate,
    "lead_to_customer_rate.event_dated": lead_to_customer_event,
    "conversion_rate": conversion_rate,
    "conversion_rate.event_dated": conversion_event,
    "lead_response_time": response_median,
    "lead_response_time.mean": response_mean,
    "lead_response_time.p90": response_p90,
    "lead_response_time.business_hours": response_business_hours,
    "lead_response_time.within_target": within_target,
    "revenue_per_lead": revenue_per_lead,
    "revenue_per_lead.event_dated": revenue_event,
    "cost_per_lead": cost_per_lead,
    "cost_per_lead.per_qualified_lead": cost_per_qualified_lead,
    "cost_per_lead.fully_loaded": cost_fully_loaded,
    "qualified_lead_rate": qualified_lead_rate,
    "qualified_lead_rate.qualified_leads": qualified_leads,
    "sales_accepted_lead_rate": sales_accepted_lead_rate,
    "prospect_response_rate": prospect_response_rate,
    "prospect_response_rate.attempts_per_response": attempts_per_response,
    "prospect_response_rate.time_to_response": time_to_response,
    "unresponsive_prospects": unresponsive_prospects,
    "unresponsive_prospects.share": unresponsive_share,
    "unresponsive_prospects.attempts_wasted": attempts_wasted,
}
"""Every recount but those of lead_source_effectiveness, which is asked for per source."""


# --- lead_source_effectiveness


def source_figures(records: Records, span: Span) -> dict[str, dict[str, float | None]]:
    """Variant -> lead source -> value."""
    rate_of_all = lead_to_customer_rate(records, span)[0]
    revenue_of_all = revenue_per_lead(records, span)[0]
    found: dict[str, dict[str, float | None]] = {}
    for source, own in records.by("lead_source").items():
        cohort = own.acquired(span)
        customers = sum(_became_customer(lead) for lead in cohort)
        if cohort:
            rate = lead_to_customer_rate(own, span)[0]
            found.setdefault("", {})[source] = _index(rate, rate_of_all)
            found.setdefault("leads", {})[source] = len(cohort)
            found.setdefault("customers", {})[source] = customers
        if created := own.created(span):
            revenue = revenue_per_lead(own, span)[0]
            found.setdefault("revenue_index", {})[source] = _index(revenue, revenue_of_all)
            found.setdefault("won_amount", {})[source] = _cohort_revenue(created)
        if cohort or created or _spent(own, span):
            cost = share(sum(_spent(own, span)), customers) if customers else None
            found.setdefault("cost_per_customer", {})[source] = cost
    return found


def _index(own: float | None, of_all: float | None) -> float | None:
    return None if own is None or not of_all else own / of_all


# --- counts beside the values


def unanswered(records: Records, span: Span) -> int:
    end = records.facts.instant(span.end)
    leads = records.created(span)
    return sum(lead.answered_at is None or lead.answered_at >= end for lead in leads)


def answered_too_early(records: Records, span: Span) -> int:
    return sum(
        1
        for lead in records.leads
        if lead.answered_at is not None
        and lead.answered_at < lead.row["created_at"]
        and records.facts.local_day(lead.answered_at) in span
    )


def converted_too_early(records: Records, span: Span) -> int:
    rows = [lead.row for lead in records.created(span)]
    return sum(
        r.get("converted_at") is not None and r["converted_at"] < r["created_at"] for r in rows
    )


def _not_accepted(records: Records, span: Span) -> list[Row]:
    rows = _qualified(records, span)
    return [row for row in rows if not _within(row.get("sql_at"), row["mql_at"], 14)]


def rejected(records: Records, span: Span) -> int:
    return sum(bool(row.get("disqualified_at")) for row in _not_accepted(records, span))


def late(records: Records, span: Span) -> int:
    rows = [row for row in _not_accepted(records, span) if not row.get("disqualified_at")]
    return sum(bool(row.get("sql_at")) and row["sql_at"] >= row["mql_at"] for row in rows)


def untouched(records: Records, span: Span) -> int:
    rows = _not_accepted(records, span)
    return sum(not row.get("disqualified_at") and not row.get("sql_at") for row in rows)


COUNTS: dict[str, Callable[[Records, Span], int]] = {
    "lead_response_time/unanswered": unanswered,
    "lead_response_time/invalid_duration": answered_too_early,
    "lead_conversion_rate/invalid_duration": converted_too_early,
    "sales_accepted_lead_rate/rejected": rejected,
    "sales_accepted_lead_rate/late": late,
    "sales_accepted_lead_rate/untouched": untouched,
}
"""KPI and coverage key -> its recount."""
