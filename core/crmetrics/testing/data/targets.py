"""Quotas and forecasts: what was planned and what sellers promised."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from crmetrics.periods import add_months
from crmetrics.testing.data.company import SEASON, Company, User
from crmetrics.testing.data.dice import Dice, money
from crmetrics.testing.data.people import SALES_TEAMS

# Team -> monthly quota of a seller in cents, percent by which forecasts miss on average.
_PLANS = {"Enterprise": (9_000_000, 96), "Commercial East": (3_400_000, 100),
          "Commercial West": (3_400_000, 140)}  # fmt: skip


def add_quotas(company: Company) -> None:
    """A monthly quota per seller, one per quarter for the company, a few for other KPIs."""
    dice = company.dice("quotas")
    months = [*company.months(), *(add_months(company.end, index) for index in range(3))]
    for month in months:
        for user in _sellers(company, month):
            monthly = company.per_head(_PLANS[user.team][0], people=4)
            cents = monthly * SEASON[month.month - 1] // 100
            is_new = 0 <= (month - user.created).days < 31
            _add_quota(company, user.id, month, 1, 0 if is_new else cents // 10_000 * 10_000)
    for quarter in months[::3]:
        growth = 100 + 14 * (quarter.year - company.start.year)
        cents = int(135_000_000 * company.scale) * growth
        _add_quota(company, None, quarter, 3, cents // 100 // 100_000 * 100_000)
        seller = dice.pick(_sellers(company, quarter))
        _add_quota(company, seller.id, quarter, 3, 35, kpi="win_rate")


def _sellers(company: Company, month: date) -> list[User]:
    return [user for user in company.users if user.team in SALES_TEAMS and user.works_on(month)]


def _add_quota(
    company: Company, owner: str | None, start: date, months: int, cents: int,
    *, kpi: str = "won_amount",
) -> None:  # fmt: skip
    planned = min(start - timedelta(days=40), company.end)
    company.add(
        "quotas",
        id=company.new_id("quotas", "quo"),
        owner_id=owner,
        kpi_id=kpi,
        period_start=start,
        period_end=add_months(start, months),
        target_amount=money(cents),
        currency="USD",
        updated_at=datetime(planned.year, planned.month, planned.day, 9, tzinfo=UTC),
    )


def add_forecasts(company: Company) -> None:
    """Monthly commits: an early one, the last before the month, and one that comes too late."""
    dice = company.dice("forecasts")
    won = _won_cents(company)
    for month in [*company.months(), company.end]:
        total = 0
        for user in _sellers(company, month):
            bias = _PLANS[user.team][1]
            cents = won.get((user.id, month), 1_500_000) * dice.between(bias - 25, bias + 25) // 100
            total += cents
            if dice.chance(40):
                _submit(company, dice, user.id, month, -12, cents * 115 // 100)
            if dice.chance(92):
                _submit(company, dice, user.id, month, -2, cents)
            if dice.chance(45):
                _submit(company, dice, user.id, month, 18, cents * 98 // 100)
            if dice.chance(30):
                _submit(company, dice, user.id, month, -2, cents * 140 // 100, "best_case")
        if month >= add_months(company.end, -12):
            _submit(company, dice, None, month, -1, total * 94 // 100)


def _won_cents(company: Company) -> dict[tuple[str, date], int]:
    """What each seller won per month, roughly: forecasts are guesses around it."""
    won: dict[tuple[str, date], int] = {}
    for deal in company.rows["opportunities"]:
        if deal["is_won"] and deal["amount"] is not None:
            key = deal["owner_id"], deal["close_date"].replace(day=1)
            won[key] = won.get(key, 0) + int(deal["amount"] * 100)
    return won


def _submit(
    company: Company, dice: Dice, owner: str | None, month: date, offset: int, cents: int,
    category: str = "commit",
) -> None:  # fmt: skip
    submitted = dice.office_time(month + timedelta(days=offset))
    if not company.is_over(submitted):
        return
    company.add(
        "forecasts",
        id=company.new_id("forecasts", "fct"),
        owner_id=owner,
        period_start=month,
        period_end=add_months(month, 1),
        submitted_at=submitted,
        forecast_category=category,
        forecast_amount=money(cents // 10_000 * 10_000),
        currency="USD",
        updated_at=submitted,
    )
