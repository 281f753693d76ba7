"""Opportunities and their product lines; the way through the stages is in `stages`."""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, datetime, timedelta
from decimal import Decimal

from crmetrics.periods import add_months
from crmetrics.testing.data.company import Account, Company, Row, User
from crmetrics.testing.data.dice import Dice, money
from crmetrics.testing.data.stages import FORECAST_CATEGORY, Step, plan_steps, write_history

LEAD_SOURCES = (
    ("web", 30),
    ("referral", 16),
    ("event", 12),
    ("paid_search", 16),
    ("email", 12),
    ("cold_call", 14),
)
_SOURCE_EFFECT = {"referral": 130, "event": 108, "cold_call": 70, "paid_search": 88}
_TYPE_EFFECT = {"new_business": 88, "expansion": 112, "renewal": 165, "other": 90}

# Segment -> median amount in cents, median cycle in days, usual win rate in percent, deals wanted.
_SELLING = {
    "enterprise": (5_200_000, 92, 25, 100),
    "mid_market": (1_250_000, 50, 33, 80),
    "smb": (240_000, 21, 40, 55),
}
_LOST_REASONS = (("price", 30), ("competitor", 24), ("no decision", 20), ("timing", 16),
                 ("duplicate", 2), (None, 8))  # fmt: skip

WEST_DECLINES_MONTHS = 15
"""So many months before the end, Commercial West begins to lose deals."""


def add_opportunities(company: Company) -> None:
    """Deals in the order of their creation, so that a first win makes the later ones expansions.

    They begin five months before the start, so that the first month has a pipeline.
    """
    dice = company.dice("opportunities")
    accounts = company.accounts
    created_days = [account.created for account in accounts]
    for day in sorted(company.days(dice, company.sized(2500), growth=165, earlier=5)):
        known = max(1, bisect_right(created_days, day))
        account = accounts[dice.between(0, known - 1)]
        while not dice.chance(_SELLING[account.segment][3]):
            account = accounts[dice.between(0, known - 1)]
        _add_deal(company, dice, account, day)


def _add_deal(company: Company, dice: Dice, account: Account, day: date) -> None:
    owner = _owner(company, dice, account, day)
    kind = _deal_type(dice, account, day)
    source = dice.weighted(LEAD_SOURCES) if dice.chance(95) else None
    created = min(dice.office_time(day), company.exported_at - timedelta(hours=1))
    row = company.add(
        "opportunities",
        id=company.new_id("opportunities", "opp"),
        account_id=account.id,
        owner_id=owner.id if dice.chance(99) else None,
        campaign_id=_campaign(company, dice, day) if kind != "renewal" else None,
        pipeline="Renewals" if kind == "renewal" else "New and expansion",
        opportunity_type=kind,
        lead_source=source,
        currency=account.currency if account.currency != "USD" or dice.chance(90) else None,
        created_at=created,
    )
    median, cycle, _, _ = _SELLING[account.segment]
    amount = _round_amount(dice.around(median * (140 if kind == "new_business" else 90) // 100))
    is_won = dice.chance(_win_percent(company, account, owner, row, day))
    if owner.team == "Commercial West" and _is_declining(company, day):
        cycle = cycle * 130 // 100
    days = dice.around(cycle * (60 if kind == "renewal" else 100) // 100)
    steps = plan_steps(dice, created, days, is_won)
    write_history(company, dice, row, steps, amount, day + timedelta(days=days))
    _complete(company, dice, account, row, steps)
    _add_items(company, dice, account, row, amount)


def _owner(company: Company, dice: Dice, account: Account, day: date) -> User:
    active = company.active_users(account.team, day)
    for user in active:
        if user.id == account.row["owner_id"] and dice.chance(75):
            return user
    return dice.pick(active)


def _deal_type(dice: Dice, account: Account, day: date) -> str:
    if account.customer_since is None or day < account.customer_since:
        return "new_business"
    return dice.weighted([("expansion", 62), ("renewal", 34), ("other", 4)])


def _campaign(company: Company, dice: Dice, day: date) -> str | None:
    """A campaign that began in the 100 days before, for about a third of the deals."""
    recent = [
        row["id"]
        for row in company.rows["campaigns"]
        if row["start_date"] and timedelta(0) <= day - row["start_date"] <= timedelta(days=100)
    ]
    return dice.pick(recent) if recent and dice.chance(34) else None


def _is_declining(company: Company, day: date) -> bool:
    return day >= add_months(company.end, -WEST_DECLINES_MONTHS)


def _win_percent(company: Company, account: Account, owner: User, row: Row, day: date) -> float:
    percent = float(_SELLING[account.segment][2])
    percent *= _TYPE_EFFECT[row["opportunity_type"]] / 100
    percent *= _SOURCE_EFFECT.get(row["lead_source"], 100) / 100
    percent *= owner.skill / 100
    if owner.team == "Commercial West" and _is_declining(company, day):
        percent *= 0.5
    return min(percent, 90.0)


def _round_amount(cents: int) -> int:
    """Amounts as people type them: whole hundreds above 10,000, whole tens above 1,000."""
    step = 10_000 if cents > 1_000_000 else 1_000 if cents > 100_000 else 50
    return max(step, cents // step * step)


def _complete(company: Company, dice: Dice, account: Account, row: Row, steps: list[Step]) -> None:
    """What the opportunity itself says, from the last step that had happened at the export."""
    reached = [step for step in steps if company.is_over(step.entered)]
    last = reached[-1]
    row["is_closed"], row["is_won"] = last.is_closed, last.is_won
    row["forecast_category"] = FORECAST_CATEGORY[last.stage]
    if not last.is_closed:
        if dice.chance(4):
            row["forecast_category"] = "omitted"
        return
    row["closed_at"] = last.entered
    row["close_date"] = _typed_close_date(company, dice, row["created_at"], last.entered)
    company.rows["opportunity_stage_history"][-1]["close_date"] = row["close_date"]
    row["updated_at"] = max(row["updated_at"], last.entered + timedelta(minutes=dice.between(0, 9)))
    if not last.is_won:
        row["lost_reason"] = dice.weighted(_LOST_REASONS)
    elif row["opportunity_type"] == "new_business" and account.customer_since is None:
        account.customer_since = last.entered.date()


def _typed_close_date(company: Company, dice: Dice, created: datetime, closed: datetime) -> date:
    """People type the close date: mostly the true day, sometimes an earlier one or nonsense."""
    day = closed.date()
    if dice.chance(5):
        return max(created.date(), day - timedelta(days=dice.between(1, 6)))
    if dice.chance(1.0):
        company.count_dirt("opportunities", "back_dated")
        return created.date() - timedelta(days=dice.between(1, 12))
    return day


def _add_items(company: Company, dice: Dice, account: Account, row: Row, first: int) -> None:
    """Lines that add up to the amount, but for a few deals; every eighth deal has none."""
    if dice.chance(12):
        return
    amount = row.get("amount")
    rest = first if amount is None else int(amount * 100)
    if dice.chance(5):
        rest = rest * dice.between(85, 97) // 100
    tier = {"enterprise": 2, "mid_market": 1}.get(account.segment, 0)
    platform = company.rows["products"][max(0, tier - dice.chance(25))]
    others = dice.sample(company.rows["products"][3:], dice.weighted([(0, 45), (1, 38), (2, 17)]))
    for product in others:
        part = rest * dice.between(5, 28) // 100
        _add_item(company, dice, row, product["id"], money(part))
        rest -= part
    _add_item(company, dice, row, platform["id"], money(rest))


def _add_item(company: Company, dice: Dice, row: Row, product: str, total: Decimal) -> None:
    company.add(
        "opportunity_items",
        id=company.new_id("opportunity_items", "opi"),
        opportunity_id=row["id"],
        product_id=product if dice.chance(99) else None,
        quantity=float(dice.weighted([(1, 50), (2, 20), (5, 20), (10, 10)])),
        total_amount=total,
        currency=row["currency"],
        updated_at=row["updated_at"],
    )
