"""Service cases with their status history, messages and calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from crmetrics.testing.data.company import Account, Company, Row, User
from crmetrics.testing.data.dice import Dice

_CATEGORIES = (("billing", 22), ("bug", 24), ("how-to", 30), ("outage", 8), ("delivery", 16))
_CHANNELS = (("email", 44), ("phone", 27), ("chat", 18), ("web", 9), ("social", 2))
_PRIORITIES = (("low", 25), ("normal", 50), ("high", 20), ("urgent", 5))
# Channel -> median minutes to the first human answer, median hours to the solution.
_PACE = {"email": (190, 30), "phone": (4, 5), "chat": (3, 4), "web": (320, 38), "social": (80, 20)}


@dataclass(slots=True)
class _Case:
    """A case while its story is told: who works on it and when it last moved."""

    row: Row
    agent: User | None
    at: datetime
    replies: int = 0


def add_cases(company: Company) -> None:
    """Cases of customers; more where more is sold, and from the Desk more of them reopen."""
    dice = company.dice("cases")
    for day in company.days(dice, company.sized(1500), growth=200):
        account = dice.pick(company.accounts)
        if not account.is_customer_on(day):
            # One other account gets a chance; else the case comes from someone unknown.
            account = dice.pick(company.accounts)
        known = account if account.is_customer_on(day) else None
        case = _open_case(company, dice, known, dice.office_time(day))
        if case.row.get("is_spam"):
            continue
        if dice.chance(1):
            # A call that is only put on record: closed in the moment it is created.
            _close(case.row, case.at)
            _enter(company, case.row, "solved", "solved", case.at)
            continue
        _answer(company, dice, case)
        _work_on(company, dice, case)


def _open_case(company: Company, dice: Dice, account: Account | None, created: datetime) -> _Case:
    channel = dice.weighted(_CHANNELS)
    category = dice.weighted(_CATEGORIES)
    team = "Support Experts" if category in ("bug", "outage") else "Support Desk"
    agent = dice.pick(company.active_users(team, created.date())) if dice.chance(93) else None
    row = company.add(
        "cases",
        id=company.new_id("cases", "cas"),
        account_id=account.id if account else None,
        contact_id=dice.pick(account.contacts) if account and account.contacts else None,
        owner_id=agent.id if agent else None,
        team=team,
        product_id=dice.pick(company.rows["products"])["id"] if dice.chance(75) else None,
        channel=channel,
        category=category,
        priority=dice.weighted(_PRIORITIES),
        status="new",
        is_closed=False,
        created_at=created,
        is_created_by_agent=dice.chance(4),
        is_spam=dice.chance(1.5),
        updated_at=created,
    )
    _enter(company, row, "new", "new", created)
    if not row["is_created_by_agent"]:
        _write(company, row, created, "customer", None)
    if row["is_spam"]:
        company.count_dirt("cases", "spam")
    elif channel in ("email", "chat", "web") and dice.chance(35):
        _write(company, row, created + timedelta(seconds=20), "bot", None)
    return _Case(row, agent, created)


def _enter(company: Company, row: Row, status: str, category: str, at: datetime) -> None:
    """The case enters a status; the stay before it ends."""
    history = company.rows["case_status_history"]
    if history and history[-1]["case_id"] == row["id"]:
        history[-1]["exited_at"] = history[-1]["updated_at"] = at
    company.add(
        "case_status_history",
        id=company.new_id("case_status_history", "csh"),
        case_id=row["id"],
        status=status,
        status_category=category,
        entered_at=at,
        exited_at=None,
        updated_at=at,
    )
    row["status"] = status
    row["updated_at"] = max(row["updated_at"], at)


def _close(row: Row, at: datetime) -> None:
    row["is_closed"], row["closed_at"] = True, at


def _write(company: Company, row: Row, at: datetime, author: str, user: str | None,
           *, is_public: bool = True) -> None:  # fmt: skip
    company.add(
        "case_messages",
        id=company.new_id("case_messages", "msg"),
        case_id=row["id"],
        sent_at=at,
        author_type=author,
        user_id=user,
        is_public=is_public,
        updated_at=at,
    )


def _answer(company: Company, dice: Dice, case: _Case) -> None:
    """The first human answer: a call on the phone, a message elsewhere; some cases get none."""
    minutes = _PACE[case.row["channel"]][0]
    # The Desk got slower in the last year: more cases with the same people.
    if case.row["team"] == "Support Desk" and (company.end - case.at.date()).days < 365:
        minutes = minutes * 140 // 100
    at = case.at + timedelta(minutes=dice.around(minutes), seconds=dice.between(1, 59))
    if case.agent is None or not company.is_over(at) or dice.chance(3):
        return
    case.at = at
    _enter(company, case.row, "open", "open", at)
    if case.row["channel"] == "phone":
        _call(company, dice, case)
    else:
        _reply(company, dice, case)
    if dice.chance(60):
        case.row["first_response_at"] = at


def _reply(company: Company, dice: Dice, case: _Case) -> None:
    user = case.agent.id if case.agent else None
    if dice.chance(12):
        noted = max(case.row["created_at"], case.at - timedelta(seconds=30))
        _write(company, case.row, noted, "agent", user, is_public=False)
    _write(company, case.row, case.at, "agent", user)
    case.replies += 1


def _call(company: Company, dice: Dice, case: _Case) -> None:
    """An inbound call, sometimes passed on to a second agent: two legs of one contact."""
    legs = 1 + dice.chance(14)
    talk = dice.around(320 if case.row["team"] == "Support Desk" else 480)
    interaction = f"int-{case.row['id']}-{case.replies}" if legs > 1 or dice.chance(40) else None
    at = case.at
    for leg in range(legs):
        agent = (
            case.agent
            if leg == 0
            else dice.pick(company.active_users("Support Experts", at.date()))
        )
        was_handled = not dice.chance(4)
        ended = at + timedelta(seconds=talk + 40)
        company.add(
            "activities",
            id=company.new_id("activities", "act"),
            activity_type="call",
            direction="inbound",
            occurred_at=at,
            ended_at=ended if dice.chance(95) else None,
            interaction_id=interaction,
            user_id=agent.id if agent else None,
            account_id=case.row["account_id"],
            contact_id=case.row["contact_id"],
            case_id=case.row["id"],
            outcome="connected" if was_handled else "no_answer",
            talk_seconds=float(talk) if was_handled else None,
            hold_seconds=float(dice.around(35)) if was_handled and dice.chance(60) else None,
            wrap_seconds=float(dice.around(50)) if was_handled and dice.chance(85) else None,
            queue_seconds=float(dice.around(45)) if leg == 0 else None,
            updated_at=ended,
        )
        at = ended + timedelta(seconds=15)
    case.replies += 1


def _work_on(company: Company, dice: Dice, case: _Case) -> None:
    """Waiting for the customer or a third party, escalation, solution, sometimes a reopening."""
    row = case.row
    if case.replies == 0 and not dice.chance(40):
        return
    hours = _PACE[row["channel"]][1] * {"outage": 60, "bug": 180}.get(row["category"], 100) // 100
    for status, category, percent in (("waiting", "pending", 32), ("third party", "on_hold", 12)):
        if dice.chance(percent) and not _wait(company, dice, case, status, category, hours):
            return
    if dice.chance(9 if row["priority"] in ("low", "normal") else 20):
        # The flag may be reset later, and the time was not always kept: either one tells.
        told = dice.weighted([("both", 75), ("flag", 15), ("time", 10)])
        row["is_escalated"] = told != "time"
        row["escalated_at"] = case.at if told != "flag" else None
    if not _solve(company, dice, case, hours):
        return
    if dice.chance(11 if row["team"] == "Support Desk" else 5):
        _reopen(company, dice, case, hours)


def _wait(
    company: Company, dice: Dice, case: _Case, status: str, category: str, hours: int
) -> bool:
    """A stay in a waiting status and back; False when the export came before its end."""
    at = case.at + timedelta(minutes=dice.around(40))
    back = at + timedelta(minutes=dice.around(hours * 20) + 1)
    if not company.is_over(at):
        return False
    _enter(company, case.row, status, category, at)
    case.at = at
    if not company.is_over(back):
        return False
    _enter(company, case.row, "open", "open", back)
    case.at = back
    if category == "pending":
        _write(company, case.row, back, "customer", None)
    return True


def _solve(company: Company, dice: Dice, case: _Case, hours: int) -> bool:
    """The solution, mostly with a last message; False when it lies after the export."""
    at = case.at + timedelta(minutes=dice.around(hours * 45) + 2)
    if not company.is_over(at):
        return False
    case.at = at
    if dice.chance(45 if case.row["channel"] != "phone" else 15):
        _reply(company, dice, case)
    _enter(company, case.row, "solved", "solved", at)
    _close(case.row, at)
    return True


def _reopen(company: Company, dice: Dice, case: _Case, hours: int) -> None:
    """The customer comes back: often within the week, sometimes only to say thank you."""
    is_thanks = dice.chance(20)
    at = case.at + timedelta(minutes=dice.around(60 if is_thanks else 2_400))
    if not company.is_over(at):
        return
    case.at = at
    _write(company, case.row, at, "customer", None)
    _enter(company, case.row, "open", "open", at)
    case.row["is_closed"], case.row["closed_at"] = False, None
    if is_thanks:
        again = at + timedelta(minutes=dice.between(2, 40))
        if company.is_over(again):
            _enter(company, case.row, "solved", "solved", again)
            _close(case.row, again)
    else:
        _solve(company, dice, case, hours)
