"""Exchange rates, expenses and the benefits credited to the CRM."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from crmetrics.periods import add_months
from crmetrics.testing.data.company import Company, Row
from crmetrics.testing.data.dice import Dice, money

_FIRST_RATES = {"EUR": 10_720, "GBP": 12_150}
"""Dollars for one unit, in ten-thousandths, in the month before the start."""

# Category -> cents per month at the start, percent at the end.
_MONTHLY = {
    "sales": (9_600_000, 128),
    "marketing": (2_800_000, 120),
    "service": (5_200_000, 140),
    "overhead": (2_400_000, 112),
    "cogs": (6_500_000, 150),
    "crm_license": (420_000, 125),
    "crm_support": (110_000, 110),
}


def add_exchange_rates(company: Company) -> None:
    """A new rate on the first of each month, from the month before the start; none for CHF."""
    dice = company.dice("exchange rates")
    for currency, rate in _FIRST_RATES.items():
        for month in [add_months(company.start, -1), *company.months(), company.end]:
            rate = min(14_000, max(9_800, rate + dice.between(-260, 265)))
            company.add(
                "exchange_rates", currency=currency, valid_from=month, rate=Decimal(rate).scaleb(-4)
            )
    # One correction within a month: a rate holds from its day, not from the first.
    middle = company.end - timedelta(days=12)
    company.add("exchange_rates", currency="EUR", valid_from=middle, rate=Decimal("1.0950"))


def add_expenses(company: Company) -> None:
    """The monthly ledger, and the cost of bringing the CRM in and teaching it."""
    dice = company.dice("expenses")
    months = company.months()
    for index, month in enumerate(months):
        booked = add_months(month, 1) - timedelta(days=1)
        for category, (cents, final) in _MONTHLY.items():
            size = int(cents * company.scale) * (100 + (final - 100) * index // len(months)) // 100
            _book(company, booked, category, size * dice.between(93, 107) // 100)
        if index < 3:
            _book(company, booked, "crm_implementation", 1_800_000)
        if index % 6 == 1:
            _book(company, booked, "crm_training", dice.between(150_000, 300_000), "EUR")


def _book(
    company: Company, day: date, category: str, cents: int, currency: str | None = "USD"
) -> None:
    company.add(
        "expenses",
        id=company.new_id("expenses", "exp"),
        expense_date=day,
        category=category,
        amount=money(cents // 100 * 100),
        currency=currency,
        updated_at=_evening(day),
    )


def add_benefits(company: Company) -> None:
    """What finance agreed to credit, after the first months; a few rows without a baseline."""
    dice = company.dice("benefits")
    months = company.months()
    for index, month in enumerate(months[len(months) // 7 :]):
        _credit_saving(company, dice, month + timedelta(days=27), index)
        if index % 3 == 2:
            _credit(company, month + timedelta(days=27), "efficiency_gain", dice.around(280_000))
            _credit(company, month + timedelta(days=27), "revenue_increase", dice.around(1_300_000))


def _credit_saving(company: Company, dice: Dice, day: date, index: int) -> None:
    before = 3_400_000 + index * 10_000
    after = before * dice.between(62, 104) // 100
    row = _credit(company, day, "cost_saving", before - after)
    if dice.chance(94):
        row["baseline_amount"], row["actual_amount"] = money(before), money(after)
        if dice.chance(5):
            row["amount"] += Decimal(500)
            company.count_dirt("benefits", "inconsistent_amount")
    else:
        company.count_dirt("benefits", "missing_baseline")


def _credit(company: Company, day: date, category: str, cents: int) -> Row:
    return company.add(
        "benefits",
        id=company.new_id("benefits", "ben"),
        benefit_date=day,
        category=category,
        amount=money(cents),
        currency="USD",
        updated_at=_evening(day),
    )


def _evening(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 19, tzinfo=UTC)
