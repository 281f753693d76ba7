"""Leads: those that became the deals of the pipeline, and the many that did not."""

from __future__ import annotations

from datetime import datetime, timedelta

from crmetrics.testing.data.company import Account, Company, Row
from crmetrics.testing.data.dice import Dice
from crmetrics.testing.data.people import SALES_TEAMS
from crmetrics.testing.data.pipeline import LEAD_SOURCES

# Source -> percent that marketing qualifies, percent of those that sales accepts.
# E-mail brings many leads and few good ones; referrals are the reverse.
_QUALITY = {
    "web": (52, 55),
    "referral": (74, 72),
    "event": (58, 56),
    "paid_search": (44, 40),
    "email": (30, 26),
    "cold_call": (36, 34),
}
_RESPONSE_MINUTES = {
    "web": 25,
    "referral": 90,
    "event": 900,
    "paid_search": 40,
    "email": 240,
    "cold_call": 30,
}
QUEUE = "queue-inbound"
"""Leads that nobody has taken belong to a queue, which is no user."""


def add_leads(company: Company) -> None:
    """A lead before six of ten new-business deals, and the larger number that led to nothing."""
    dice = company.dice("leads")
    by_id = {account.id: account for account in company.accounts}
    for deal in company.rows["opportunities"]:
        if deal["opportunity_type"] == "new_business" and dice.chance(62):
            _add_converted(company, dice, deal, by_id[deal["account_id"]])
    for day in company.days(dice, company.sized(1850), growth=190):
        _add_unconverted(company, dice, dice.office_time(day))


def _add_converted(company: Company, dice: Dice, deal: Row, account: Account) -> None:
    converted: datetime = deal["created_at"]
    waited = timedelta(days=dice.around(9), minutes=dice.between(90, 600))
    if dice.chance(4):
        waited += timedelta(days=95)
    elif dice.chance(2):
        waited = -timedelta(hours=30)
        company.count_dirt("leads", "converted_before_created")
    created = converted - waited
    if not company.is_over(created):
        return
    lead = _add_lead(company, dice, created, deal["lead_source"], deal["owner_id"], account.segment)
    lead.update(
        campaign_id=deal["campaign_id"],
        account_id=account.id,
        status="converted",
        mql_at=created + timedelta(seconds=int(waited.total_seconds()) // 4),
        sql_at=created + timedelta(seconds=int(waited.total_seconds()) // 2),
        converted_at=converted,
        converted_opportunity_id=deal["id"],
        updated_at=max(converted, created),
    )
    if deal["is_won"] and dice.chance(30):
        lead["became_customer_at"] = deal["closed_at"]
        lead["updated_at"] = deal["closed_at"]


def _add_unconverted(company: Company, dice: Dice, created: datetime) -> None:
    source = dice.weighted(LEAD_SOURCES) if dice.chance(96) else None
    segment = dice.weighted([("enterprise", 10), ("mid_market", 30), ("smb", 60)])
    team = "Enterprise" if segment == "enterprise" else dice.pick(SALES_TEAMS[1:])
    owner = dice.pick(company.active_users(team, created.date())).id
    lead = _add_lead(company, dice, created, source, QUEUE if dice.chance(6) else owner, segment)
    mql_percent, sql_percent = _QUALITY.get(source or "", (40, 40))
    status, at = "new", created
    if dice.chance(mql_percent * 0.8):
        status, at = "qualified", at + timedelta(hours=dice.around(60))
        lead["mql_at"] = at
        if dice.chance(sql_percent * (0.6 if team == "Commercial West" else 0.9)):
            # Every third acceptance by West comes after the two weeks that count.
            days = dice.around(11 if team == "Commercial West" else 4)
            status, at = "accepted", at + timedelta(days=days, minutes=dice.between(1, 400))
            lead["sql_at"] = at
    if dice.chance(48):
        status, at = "disqualified", at + timedelta(days=dice.around(12), minutes=7)
        lead["disqualified_at"] = at
    lead["status"] = status
    _forget_later(company, lead)
    if dice.chance(14):
        lead["account_id"] = dice.pick(company.accounts).id
    if dice.chance(38):
        lead["campaign_id"] = dice.pick(company.rows["campaigns"])["id"]


def _add_lead(
    company: Company, dice: Dice, created: datetime, source: str | None,
    owner: str | None, segment: str,
) -> Row:  # fmt: skip
    """One lead; every second one has the instant of its first human answer as a column."""
    minutes = dice.around(_RESPONSE_MINUTES.get(source or "", 120))
    answered: datetime | None = created + timedelta(minutes=minutes, seconds=dice.between(1, 59))
    if not dice.chance(48) or not company.is_over(answered):
        answered = None
    elif dice.chance(1):
        answered = created - timedelta(hours=3)
        company.count_dirt("leads", "answered_before_created")
    referrer = dice.pick(company.accounts) if source == "referral" else None
    return company.add(
        "leads",
        id=company.new_id("leads", "led"),
        lead_source=source,
        owner_id=owner,
        segment=segment if dice.chance(92) else None,
        status="new",
        created_at=created,
        first_response_at=answered,
        referred_by_account_id=referrer.id if referrer and referrer.customer_since else None,
        updated_at=max(created, answered or created),
    )


def _forget_later(company: Company, lead: Row) -> None:
    """Leave out what had not happened when the export was made."""
    for name in ("mql_at", "sql_at", "disqualified_at"):
        at = lead.get(name)
        if at is None:
            continue
        if company.is_over(at):
            lead["updated_at"] = max(lead["updated_at"], at)
        else:
            del lead[name]
            lead["status"] = "new"
