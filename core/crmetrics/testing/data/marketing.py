"""Campaigns, who they reached, what they cost, and the visits to the web site."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from crmetrics.periods import add_months
from crmetrics.testing.data.company import Company, Row
from crmetrics.testing.data.dice import Dice, money, workday

# Channel -> people per send, response and unsubscribe in percent, cost in cents, duration in days.
# E-mail reaches many and sells a little; social costs the most per answer.
_CHANNELS = {
    "email": (170, 6, 1.2, 480_000, 21),
    "newsletter": (190, 3, 1.8, 240_000, 28),
    "tradeshow": (55, 24, 0, 3_600_000, 4),
    "outbound_call": (70, 14, 0.4, 1_000_000, 30),
    "social": (40, 4, 0.5, 2_000_000, 45),
    "paid": (45, 7, 0.3, 2_600_000, 60),
    "referral": (35, 18, 0, 560_000, 40),
}
_ALWAYS_ON = (("paid", 900_000), ("social", 400_000))


def add_campaigns(company: Company) -> None:
    """One or two campaigns a month in changing channels; two campaigns without dates."""
    dice = company.dice("campaigns")
    channels = list(_CHANNELS)
    number = 0
    for month in [add_months(company.start, -1), *company.months()]:
        for _ in range(1 + dice.chance(35)):
            channel = channels[number % len(channels)]
            start = workday(month + timedelta(days=dice.between(0, 20)))
            _add_campaign(company, dice, channel, start)
            number += 1
    for channel in ("paid", "other"):
        _add_campaign(company, dice, channel, None)
        company.count_dirt("campaigns", "undated")


def _add_campaign(company: Company, dice: Dice, channel: str, start: date | None) -> None:
    cost, days = _CHANNELS.get(channel, (0, 0, 0, 300_000, 30))[3:]
    created = dice.office_time((start or company.start) - timedelta(days=20))
    company.add(
        "campaigns",
        id=company.new_id("campaigns", "cmp"),
        name=f"{channel.replace('_', ' ').capitalize()} {start:%Y-%m}" if start else "Évergreen",
        channel=channel,
        start_date=start,
        end_date=start + timedelta(days=days - 1) if start else None,
        budgeted_cost=money(dice.around(company.sized(cost)) // 1000 * 1000)
        if dice.chance(92)
        else None,
        currency=dice.weighted([("USD", 80), ("EUR", 15), (None, 5)]),
        updated_at=created,
    )


def add_campaign_members(company: Company) -> None:
    """Sends to leads and contacts; e-mail events as first occurrences."""
    dice = company.dice("campaign members")
    people = sorted(
        (row["created_at"], key, row["id"])
        for dataset, key in (("leads", "lead_id"), ("contacts", "contact_id"))
        for row in company.rows[dataset]
    )
    for campaign in company.rows["campaigns"]:
        if campaign["start_date"] is None:
            continue
        first = datetime.combine(campaign["start_date"], time.min, UTC)
        known = people[: bisect_left(people, (first, "", ""))]
        wanted = company.sized(_CHANNELS[campaign["channel"]][0])
        if campaign["channel"] == "newsletter":
            # The same readers each time: after five issues it shows who no longer reads.
            chosen = [person for person in known if person[1] == "contact_id"][:wanted]
        else:
            chosen = dice.sample(known, wanted)
        for _, key, person in chosen:
            sent = dice.office_time(campaign["start_date"] + timedelta(days=dice.between(0, 3)))
            _add_member(company, dice, campaign, {key: person}, sent)
            if dice.chance(3):
                later = sent + timedelta(days=dice.between(4, 15))
                _add_member(company, dice, campaign, {key: person}, later)


def _add_member(
    company: Company, dice: Dice, campaign: Row, person: dict[str, str], sent: datetime
) -> None:
    channel = campaign["channel"]
    _, response, leaving, _, _ = _CHANNELS[channel]
    by_mail = channel in ("email", "newsletter")
    bounced = by_mail and dice.chance(3)
    delivered = sent + timedelta(seconds=dice.between(5, 600)) if by_mail and not bounced else None
    opened = clicked = None
    if delivered is not None and dice.chance(38):
        opened = delivered + timedelta(minutes=dice.around(300))
        clicked = opened + timedelta(seconds=dice.between(3, 90)) if dice.chance(22) else None
    answered = None
    if not bounced and dice.chance(response):
        answered = sent + timedelta(hours=dice.around(70), minutes=dice.between(1, 59))
        if dice.chance(1.5):
            answered = sent - timedelta(days=dice.between(1, 9))
            company.count_dirt("campaign_members", "early_response")
    left = (delivered or sent) + timedelta(hours=dice.around(30)) if dice.chance(leaving) else None
    events = {
        "delivered_at": delivered,
        "bounced_at": sent + timedelta(minutes=2) if bounced else None,
        "opened_at": opened,
        "clicked_at": clicked,
        "responded_at": answered,
        "unsubscribed_at": None if bounced else left,
        "complained_at": delivered + timedelta(days=1) if delivered and dice.chance(0.3) else None,
    }
    past = {name: at for name, at in events.items() if company.is_over(at)}
    company.add(
        "campaign_members",
        id=company.new_id("campaign_members", "mem"),
        campaign_id=campaign["id"],
        sent_at=sent,
        updated_at=max([sent, *(at for at in past.values() if at is not None)]),
        **person,
        **past,
    )


def add_marketing_spend(company: Company) -> None:
    """Weekly cost of most campaigns, undated totals of the others, channels that always run."""
    dice = company.dice("marketing spend")
    for campaign in company.rows["campaigns"]:
        planned = int((campaign["budgeted_cost"] or company.sized(6_000)) * 100)
        total = planned * dice.between(80, 125) // 100
        currency = campaign["currency"]
        if campaign["start_date"] is None or dice.chance(22):
            _add_spend(company, None, total, currency, campaign=campaign["id"])
            continue
        weeks = list(_weeks(campaign["start_date"], campaign["end_date"]))
        for day in weeks:
            _add_spend(company, day, total // len(weeks), currency, campaign=campaign["id"])
    for month in company.months():
        for channel, cents in _ALWAYS_ON:
            amount = company.sized(cents) * dice.between(85, 118) // 100
            _add_spend(company, month + timedelta(days=9), amount, "USD", channel=channel)


def _weeks(start: date, end: date) -> Iterator[date]:
    while start <= end:
        yield start
        start += timedelta(days=7)


def _add_spend(
    company: Company, day: date | None, cents: int, currency: str | None,
    *, campaign: str | None = None, channel: str | None = None,
) -> None:  # fmt: skip
    if day is not None and day >= company.exported_day:
        return
    booked = datetime.combine(day or company.end - timedelta(days=1), time(20), UTC)
    company.add(
        "marketing_spend",
        id=company.new_id("marketing_spend", "spd"),
        spend_date=day,
        campaign_id=campaign,
        channel=channel,
        amount=money(cents),
        currency=currency,
        updated_at=booked,
    )


def add_web_sessions(company: Company) -> None:
    """Visits; four of ten begin a goal, some of them finish it in a later visit."""
    dice = company.dice("web sessions")
    campaigns = [row for row in company.rows["campaigns"] if row["channel"] in ("paid", "social")]
    visitors = company.sized(1500)
    for day in company.days(dice, company.sized(2800), growth=170):
        visitor = f"vis-{dice.between(1, visitors):06d}" if dice.chance(96) else None
        campaign = dice.pick(campaigns) if dice.chance(20) else None
        started = dice.office_time(day)
        goal = dice.weighted([("checkout", 18), ("form", 16), ("signup", 8), (None, 58)])
        finished = _add_session(company, dice, visitor, campaign, started, goal, percent=38)
        later = started + timedelta(hours=dice.between(1, 30))
        if goal and visitor and not finished and dice.chance(15) and company.is_over(later):
            _add_session(company, dice, visitor, campaign, later, goal, percent=90)


def _add_session(
    company: Company, dice: Dice, visitor: str | None, campaign: Row | None,
    started: datetime, goal: str | None, *, percent: float,
) -> bool:  # fmt: skip
    begun = started + timedelta(seconds=dice.between(10, 400)) if goal else None
    done = None
    if begun is not None and dice.chance(percent):
        done = begun + timedelta(seconds=dice.around(140))
    company.add(
        "web_sessions",
        id=company.new_id("web_sessions", "web"),
        visitor_id=visitor,
        started_at=started,
        channel=campaign["channel"] if campaign else dice.pick(("organic", "direct", "email")),
        campaign_id=campaign["id"] if campaign else None,
        goal=goal,
        goal_started_at=begun,
        goal_completed_at=done,
        updated_at=done or started,
    )
    return done is not None
