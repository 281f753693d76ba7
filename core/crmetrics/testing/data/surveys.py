"""Survey invitations and answers: NPS of customers, CSAT and resolution of cases, reviews."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from crmetrics.testing.data.company import Account, Company, Row
from crmetrics.testing.data.dice import Dice


def add_surveys(company: Company) -> None:
    """Half of the invitations stay unanswered; scores follow how the customer was served."""
    dice = company.dice("surveys")
    for case in company.rows["cases"]:
        if case["is_closed"] and not case["is_created_by_agent"] and dice.chance(52):
            _ask_about_case(company, dice, case)
    for account in company.accounts:
        if account.customer_since is not None and account.contacts:
            _ask_for_recommendation(company, dice, account)
    for day in company.days(dice, company.sized(60)):
        at = dice.office_time(day)
        score = float(dice.weighted([(1, 10), (2, 8), (3, 15), (4, 32), (5, 35)]))
        _add(company, dice, "review", None, at, score, (1, 5), channel="review_site")


def _add(
    company: Company, dice: Dice, kind: str, sent: datetime | None, answered: datetime | None,
    score: float | None, scale: tuple[int, int], **values: Any,
) -> None:  # fmt: skip
    """One invitation; an answer after the export has not come yet."""
    if not company.is_over(answered):
        answered, score = None, None
    elif dice.chance(2):
        score = None
        company.count_dirt("survey_responses", "null_score")
    elif dice.chance(0.6):
        score = float(scale[1] + 2)
        company.count_dirt("survey_responses", "out_of_scale")
    company.add(
        "survey_responses",
        id=company.new_id("survey_responses", "srv"),
        survey_type=kind,
        score=score,
        scale_min=float(scale[0]),
        scale_max=float(scale[1]),
        sent_at=sent,
        responded_at=answered,
        updated_at=answered or sent,
        **values,
    )


def _ask_about_case(company: Company, dice: Dice, case: Row) -> None:
    closed: datetime = case["closed_at"]
    sent = closed + timedelta(minutes=30)
    if not company.is_over(sent):
        return
    was_slow = closed - case["created_at"] > timedelta(hours=48) or case.get("is_escalated", False)
    about = {
        "case_id": case["id"],
        "account_id": case["account_id"],
        "contact_id": case["contact_id"],
        "user_id": case["owner_id"],
        "product_id": case["product_id"],
        "channel": dice.pick(("email", "form", "phone")),
    }
    answered = sent + timedelta(hours=dice.around(22)) if dice.chance(46) else None
    if dice.chance(30):
        score = 1.0 if dice.chance(58 if was_slow else 86) else 0.0
        _add(company, dice, "resolution", sent, answered, score, (0, 1), **about)
        return
    weights = [(1, 24), (2, 18), (3, 20), (4, 22), (5, 16)] if was_slow else [
        (1, 4), (2, 5), (3, 12), (4, 37), (5, 42)]  # fmt: skip
    _add(company, dice, "csat", sent, answered, float(dice.weighted(weights)), (1, 5), **about)


def _ask_for_recommendation(company: Company, dice: Dice, account: Account) -> None:
    """Twice a year one contact of each customer; who leaves soon is already a detractor."""
    assert account.customer_since is not None
    day = max(account.customer_since, company.start) + timedelta(days=dice.between(20, 200))
    while day < company.exported_day:
        if account.is_customer_on(day):
            stays = account.is_customer_on(day + timedelta(days=240))
            high = [(10, 22), (9, 26), (8, 22), (7, 14), (5, 10), (2, 6)]
            low = [(9, 8), (7, 18), (6, 26), (4, 24), (1, 24)]
            sent = dice.office_time(day)
            answered = sent + timedelta(hours=dice.around(60)) if dice.chance(52) else None
            if answered and dice.chance(1):
                answered = sent - timedelta(hours=5)
                company.count_dirt("survey_responses", "answer_before_invitation")
            _add(company, dice, "nps", sent, answered, float(dice.weighted(high if stays else low)),
                 (0, 10), account_id=account.id, channel=dice.pick(("email", "web")),
                 contact_id=dice.pick(account.contacts) if dice.chance(95) else None,
                 product_id=dice.pick(company.rows["products"][:5])["id"])  # fmt: skip
        day += timedelta(days=182)
