"""Activities: attempts to reach leads, work on deals, contact with customers, notes and tasks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from crmetrics.testing.data.company import Company, Row
from crmetrics.testing.data.dice import Dice
from crmetrics.testing.data.leads import QUEUE

_ATTEMPT_OUTCOMES = (("no_answer", 52), ("connected", 18), ("replied", 12), ("bounced", 4),
                     (None, 14))  # fmt: skip


def add_activities(company: Company) -> None:
    """Everything but the calls of service cases, which come with the cases."""
    dice = company.dice("activities")
    _add_lead_attempts(company, dice)
    _add_deal_work(company, dice)
    _add_customer_contact(company, dice)
    _add_desk_work(company, dice)


def _add(company: Company, kind: str, occurred: datetime, **values: Any) -> Row | None:
    """One activity, unless it lies after the export."""
    if not company.is_over(occurred):
        return None
    return company.add(
        "activities",
        id=company.new_id("activities", "act"),
        activity_type=kind,
        occurred_at=occurred,
        updated_at=occurred,
        **values,
    )


def _add_lead_attempts(company: Company, dice: Dice) -> None:
    """Calls and mails to a lead until it answers or the seller gives up; machines write first."""
    for lead in company.rows["leads"]:
        owner = lead["owner_id"] if lead["owner_id"] != QUEUE else None
        at = lead.get("first_response_at") or lead["created_at"] + timedelta(
            minutes=dice.around(140)
        )
        if dice.chance(30):
            _add(company, "email", lead["created_at"] + timedelta(seconds=45), lead_id=lead["id"],
                 direction="outbound", user_id="usr-mailer", is_automated=True)  # fmt: skip
        if owner is None or dice.chance(12):
            continue
        for _ in range(dice.weighted([(1, 38), (2, 26), (3, 16), (5, 10), (6, 6), (8, 4)])):
            outcome = dice.weighted(_ATTEMPT_OUTCOMES)
            kind = dice.weighted([("call", 55), ("email", 40), ("chat", 5)])
            _add(company, kind, at, lead_id=lead["id"], user_id=owner, direction="outbound",
                 account_id=lead.get("account_id"), outcome=outcome,
                 ended_at=at + timedelta(minutes=3) if kind == "call" else None)  # fmt: skip
            if outcome in ("connected", "replied"):
                break
            at += timedelta(days=dice.around(3), minutes=dice.between(1, 200))
        if dice.chance(16):
            _add_reply(company, dice, lead, at)


def _add_reply(company: Company, dice: Dice, lead: Row, at: datetime) -> None:
    """The lead writes back; some of it is only an automatic absence note."""
    is_automated = dice.chance(20)
    _add(company, "email", at + timedelta(hours=dice.around(20)), lead_id=lead["id"],
         direction="inbound", user_id=lead["owner_id"], is_automated=is_automated,
         outcome=None if is_automated else "replied")  # fmt: skip


def _add_deal_work(company: Company, dice: Dice) -> None:
    for deal in company.rows["opportunities"]:
        end = deal.get("closed_at") or company.exported_at
        days = max(1, (end - deal["created_at"]).days)
        for _ in range(dice.weighted([(0, 38), (1, 38), (2, 17), (3, 7)])):
            day = deal["created_at"].date() + timedelta(days=dice.between(0, days))
            kind = dice.weighted([("call", 40), ("email", 30), ("meeting", 30)])
            at = dice.office_time(day)
            _add(company, kind, at, opportunity_id=deal["id"], account_id=deal["account_id"],
                 user_id=deal["owner_id"], direction=dice.pick(("outbound", "inbound")),
                 ended_at=at + timedelta(minutes=dice.around(25)),
                 outcome="connected" if kind == "call" else None)  # fmt: skip


def _add_customer_contact(company: Company, dice: Dice) -> None:
    """Account managers keep in touch; some customers are forgotten for months."""
    for account in company.accounts:
        if account.customer_since is None or dice.chance(12):
            continue
        gap = {"enterprise": 120, "mid_market": 190}.get(account.segment, 330)
        at = dice.office_time(max(account.customer_since, company.start))
        while company.is_over(at):
            contact = dice.pick(account.contacts) if account.contacts else None
            _add(company, dice.pick(("call", "meeting", "email")), at, account_id=account.id,
                 contact_id=contact, user_id=account.row["owner_id"], direction="outbound",
                 is_automated=dice.chance(8))  # fmt: skip
            at = dice.office_time(at.date() + timedelta(days=dice.around(gap) + 1))


def _add_desk_work(company: Company, dice: Dice) -> None:
    """Notes, tasks, and plans for after the export: none of them is a touch."""
    for day in company.days(dice, company.sized(420)):
        account = dice.pick(company.accounts)
        user = account.row["owner_id"]
        _add(company, dice.pick(("note", "task")), dice.office_time(day), account_id=account.id,
             user_id=user, is_completed=dice.chance(80))  # fmt: skip
    for deal in dice.sample(company.rows["opportunities"], company.sized(25)):
        if not deal["is_closed"]:
            planned = company.exported_at + timedelta(days=dice.between(1, 20), hours=9)
            company.add(
                "activities",
                id=company.new_id("activities", "act"),
                activity_type="meeting",
                direction="outbound",
                occurred_at=planned,
                opportunity_id=deal["id"],
                user_id=deal["owner_id"],
                is_completed=False,
                outcome="scheduled",
                updated_at=company.exported_at - timedelta(days=1),
            )
            company.count_dirt("activities", "after_the_end")
