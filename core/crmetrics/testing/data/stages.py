"""The way of a deal through the stages, and the history rows that tell it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from crmetrics.periods import add_months
from crmetrics.testing.data.company import Company, Row
from crmetrics.testing.data.dice import Dice, money, workday

OPEN_STAGES = ("Prospecting", "Qualification", "Proposal", "Negotiation")
WON, LOST = "Closed Won", "Closed Lost"
PROBABILITY = {
    "Prospecting": 0.1,
    "Qualification": 0.25,
    "Proposal": 0.5,
    "Negotiation": 0.75,
    WON: 1.0,
    LOST: 0.0,
}
FORECAST_CATEGORY = {
    "Prospecting": "pipeline",
    "Qualification": "pipeline",
    "Proposal": "best_case",
    "Negotiation": "commit",
    WON: "closed",
    LOST: "closed",
}

STALE_PERCENT = 3.5
REOPENED_PERCENT = 4
STEP_BACK_PERCENT = 7
NULL_AMOUNT_PERCENT = 2


@dataclass(frozen=True, slots=True)
class Step:
    """A deal enters a stage."""

    stage: str
    entered: datetime

    @property
    def is_closed(self) -> bool:
        return self.stage in (WON, LOST)

    @property
    def is_won(self) -> bool:
        return self.stage == WON


def plan_steps(dice: Dice, created: datetime, days: int, is_won: bool) -> list[Step]:
    """Every stage that the deal enters, also those after the export was made."""
    last = 3 if is_won else dice.weighted([(0, 18), (1, 30), (2, 32), (3, 20)])
    first = 1 if last > 0 and dice.chance(15) else 0
    stages = list(OPEN_STAGES[first : last + 1])
    if len(stages) > 1 and dice.chance(STEP_BACK_PERCENT):
        # Back to the stage before and forward again: two stays in each of them.
        place = dice.between(1, len(stages) - 1)
        stages[place + 1 : place + 1] = stages[place - 1 : place + 1]
    steps = [Step(stages[0], created)]
    for stage in stages[1:]:
        steps.append(Step(stage, _after(dice, steps[-1].entered, days // len(stages))))
    if not is_won and dice.chance(STALE_PERCENT * 1.5):
        return steps
    closed = dice.office_time(_closing_day(dice, created.date() + timedelta(days=days)))
    if closed <= steps[-1].entered:
        closed = steps[-1].entered + timedelta(minutes=dice.between(15, 90))
    steps.append(Step(WON if is_won else LOST, closed))
    if dice.chance(REOPENED_PERCENT):
        steps.append(Step("Negotiation", _after(dice, closed, 20)))
        outcome = LOST if is_won else WON if dice.chance(40) else LOST
        steps.append(Step(outcome, _after(dice, steps[-1].entered, 16)))
    return steps


def _closing_day(dice: Dice, day: date) -> date:
    """The planned day, or a day near the end of the month or quarter, when sellers push."""
    months = dice.weighted([(None, 38), (1, 22), (3, 40)])
    if months is None:
        return workday(day)
    following = add_months(day.replace(day=1), 1)
    while (following.month - 1) % months:
        following = add_months(following, 1)
    if (following - day).days > 55:
        return workday(day)
    return min(workday(following - timedelta(days=dice.between(2, 9))),
               following - timedelta(days=1))  # fmt: skip


def _after(dice: Dice, instant: datetime, days: int) -> datetime:
    """An office time about so many days later, always later than `instant`."""
    later = dice.office_time(workday(instant.date() + timedelta(days=dice.around(days))))
    return later if later > instant else instant + timedelta(minutes=dice.between(10, 80))


def write_history(
    company: Company, dice: Dice, row: Row, steps: list[Step], cents: int, expected: date
) -> None:
    """One row per stay, or two when amount or close date change during it.

    Sets stage, amount, probability, close date and update time of the opportunity `row` to those
    of the last history row. `expected` is the close date that the seller first typed.
    """
    has_amount = not dice.chance(NULL_AMOUNT_PERCENT)
    if not has_amount:
        company.count_dirt("opportunities", "null_amount")
    values = {"amount": money(cents) if has_amount else None, "close_date": expected}
    for index, step in enumerate(steps):
        if not company.is_over(step.entered):
            break
        end = steps[index + 1].entered if index + 1 < len(steps) else None
        _write_stay(company, dice, row, step, end, values)
    last = company.rows["opportunity_stage_history"][-1]
    for name in ("stage", "amount", "probability", "close_date"):
        row[name] = last[name]
    row["updated_at"] = last["updated_at"]


def _write_stay(
    company: Company, dice: Dice, row: Row, step: Step, end: datetime | None, values: Row
) -> None:
    bounds = [step.entered]
    if not step.is_closed and dice.chance(32):
        until = end if end is not None else company.exported_at
        middle = step.entered + (until - step.entered) * dice.between(20, 80) // 100
        middle = middle.replace(microsecond=0)
        if step.entered < middle and company.is_over(middle):
            bounds.append(middle)
    exits = [*bounds[1:], end if company.is_over(end) else None]
    stay = company.new_id("opportunity_stage_history", "stay")
    is_named = len(bounds) > 1 or dice.chance(75)
    for number, (entered, exited) in enumerate(zip(bounds, exits, strict=True)):
        if number:
            _change(dice, values)
        company.add(
            "opportunity_stage_history",
            id=company.new_id("opportunity_stage_history", "osh"),
            opportunity_id=row["id"],
            stay_id=stay if is_named else None,
            stage=step.stage,
            entered_at=entered,
            exited_at=exited,
            is_closed=step.is_closed,
            is_won=step.is_won,
            probability=PROBABILITY[step.stage],
            updated_at=exited or entered,
            **values,
        )


def _change(dice: Dice, values: Row) -> None:
    """The seller corrects the amount, moves the close date, or both."""
    kind = dice.weighted([("amount", 45), ("date", 40), ("both", 15)])
    if kind != "date" and values["amount"] is not None:
        cents = int(values["amount"] * 100) * dice.between(70, 125) // 100
        values["amount"] = money(cents // 1000 * 1000 or 1000)
    if kind != "amount":
        values["close_date"] += timedelta(days=dice.weighted([(7, 20), (30, 60), (90, 20)]))
