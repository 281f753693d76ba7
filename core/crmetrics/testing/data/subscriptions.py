"""Subscriptions as segments of constant MRR: trials, upgrades, downgrades, churn, returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from crmetrics.periods import add_months
from crmetrics.testing.data.company import Account, Company
from crmetrics.testing.data.dice import Dice, money

# Segment -> median MRR in cents, churn and change of price in percent per month, platform tier.
_RENTING = {
    "enterprise": (310_000, 0.5, 4.5, 3),
    "mid_market": (78_000, 1.3, 4.0, 2),
    "smb": (14_500, 2.6, 3.0, 1),
}
_CANCEL_REASONS = ("price", "competitor", "missing feature", "closed business", None)


def seed_customers(company: Company) -> None:
    """Seven of ten accounts that exist before the start are customers already."""
    dice = company.dice("earlier customers")
    for account in company.accounts:
        if account.created < company.start and dice.chance(70):
            days = (company.start - account.created).days
            account.customer_since = account.created + timedelta(days=dice.between(0, days - 1))


def add_subscriptions(company: Company) -> None:
    """A platform subscription per customer, add-ons for some, trials that lead to nothing."""
    dice = company.dice("subscriptions")
    for account in company.accounts:
        if account.customer_since is None:
            if account.segment == "smb" and dice.chance(30):
                _add_trial(company, dice, account, account.created + timedelta(days=14))
            continue
        account.is_loyal = dice.chance(30)
        start = account.customer_since
        if account.segment == "smb" and dice.chance(40):
            _add_trial(company, dice, account, start - timedelta(days=30))
        _live_on(company, dice, account, start, percent=100)
        if account.segment != "smb" and dice.chance(35):
            start += timedelta(days=dice.between(30, 500))
            if start < company.exported_day and account.is_customer_on(start):
                _live_on(company, dice, account, start, percent=25)


def _add_trial(company: Company, dice: Dice, account: Account, start: date) -> None:
    if start >= company.exported_day:
        return
    company.add(
        "subscriptions",
        id=company.new_id("subscriptions", "seg"),
        subscription_id=f"trial-{account.id}",
        account_id=account.id,
        product_id=company.rows["products"][0]["id"],
        start_date=start,
        end_date=start + timedelta(days=30),
        mrr=money(0 if dice.chance(80) else 900),
        is_trial=True,
        currency=account.currency,
        updated_at=dice.office_time(start),
    )


@dataclass(slots=True)
class _Subscription:
    """One subscription while its months go by, with the values of its running segment."""

    id: str
    account: Account
    is_addon: bool
    tier: int
    cents: int
    seats: int
    segment_start: date


def _live_on(company: Company, dice: Dice, account: Account, start: date, *, percent: int) -> None:
    """Month after month until the export: keep, change the price, cancel, perhaps come back."""
    median, churn, change, tier = _RENTING[account.segment]
    cents = max(500, dice.around(median * percent // 100) // 100 * 100)
    subscription = _Subscription(
        company.new_id("subscriptions", "sub"), account, percent < 100, tier, cents,
        max(1, cents // 2_500), start,
    )  # fmt: skip
    churn = churn * (0.5 if account.is_loyal else 1.15)
    day, began = start, start
    while day < company.exported_day:
        event = day + timedelta(days=dice.between(0, 27))
        if event >= company.exported_day:
            break
        if event > subscription.segment_start and dice.chance(churn):
            _cut(company, dice, subscription, event, dice.pick(_CANCEL_REASONS))
            account.active.append((began, event))
            if subscription.is_addon or not dice.chance(28):
                return
            began = event + timedelta(days=dice.between(20, 300))
            if began >= company.exported_day:
                return
            _come_back(company, dice, subscription, began)
            day = began
        elif event > subscription.segment_start and dice.chance(change):
            _cut(company, dice, subscription, event, None)
            _reprice(dice, subscription, event)
        day = add_months(day.replace(day=1), 1)
    _leave_open(company, dice, subscription, began)


def _come_back(company: Company, dice: Dice, subscription: _Subscription, day: date) -> None:
    """A customer returns, under the old number or a new one, at a lower price."""
    if dice.chance(50):
        subscription.id = company.new_id("subscriptions", "sub")
    subscription.cents = max(500, subscription.cents * dice.between(55, 100) // 10_000 * 100)
    subscription.segment_start = day


def _reprice(dice: Dice, subscription: _Subscription, day: date) -> None:
    """Seven of ten changes go up; large ones also change the product tier."""
    if dice.chance(70):
        factor = dice.between(108, 160)
        subscription.tier = min(3, subscription.tier + (factor > 135))
    else:
        factor = dice.between(55, 92)
        subscription.tier = max(1, subscription.tier - (factor < 70))
    subscription.cents = max(500, subscription.cents * factor // 10_000 * 100)
    subscription.seats = max(1, subscription.seats * factor // 100)
    subscription.segment_start = day


def _leave_open(company: Company, dice: Dice, subscription: _Subscription, began: date) -> None:
    """Service goes on at the export; a few have a notice or a new price for a later day."""
    later = company.exported_day + timedelta(days=dice.between(15, 80))
    if dice.chance(4):
        _cut(company, dice, subscription, later, "price")
        subscription.account.active.append((began, later))
        return
    if dice.chance(3):
        _cut(company, dice, subscription, later, None)
        _reprice(dice, subscription, later)
    _cut(company, dice, subscription, None, None)
    subscription.account.active.append((began, None))


def _cut(
    company: Company, dice: Dice, subscription: _Subscription, end: date | None,
    reason: str | None,
) -> None:  # fmt: skip
    """Write the segment that ends on `end` (exclusive)."""
    recorded = subscription.segment_start if end is None or end > company.exported_day else end
    recorded = min(recorded, company.exported_day - timedelta(days=1))
    company.add(
        "subscriptions",
        id=company.new_id("subscriptions", "seg"),
        subscription_id=subscription.id,
        account_id=subscription.account.id,
        product_id=_product(company, subscription),
        start_date=subscription.segment_start,
        end_date=end,
        mrr=money(subscription.cents),
        quantity=float(subscription.seats) if dice.chance(94) else None,
        cancel_reason=reason,
        currency=subscription.account.currency,
        updated_at=dice.office_time(recorded),
    )


def _product(company: Company, subscription: _Subscription) -> str:
    products = company.rows["products"]
    place = 2 + min(2, subscription.tier) if subscription.is_addon else subscription.tier - 1
    identity: str = products[place]["id"]
    return identity
