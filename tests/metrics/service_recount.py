"""The service KPIs recounted from the sample's records: plain loops, rule by rule as the KPI
catalogue words them, without SQL and without the engine.

An `Item` is one row that a KPI counts in the period of its instant, with the groups it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property, partial
from typing import Any
from zoneinfo import ZoneInfo

from crmetrics.testing.data.company import Row
from crmetrics.testing.data.facts import NONE, Facts, Span, mean, quantile

Value = float | None

HOUR_S = 3600
WEEK = timedelta(days=7)
SETTINGS: dict[str, Any] = {
    "business_hours": {
        "Support Experts": {
            "weekdays": ["tue", "wed", "thu", "fri", "sat", "sun"],
            "hours": ["00:00", "12:30"],
            "holidays": ["2024-12-25", "2025-01-01", "2025-03-09"],
            "timezone": "Europe/Berlin",
        }
    }
}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Item:
    """One counted row: when, in which groups, and what it adds."""

    at: datetime
    groups: Mapping[str, str]
    value: Any = None


@dataclass(frozen=True)
class Story:
    """A case's status history: (category, from, to) in order; first and last move into solved."""

    stays: Sequence[tuple[str, datetime, datetime | None]]
    first_solved: datetime | None
    last_solved: datetime | None


def percentile(percent: int) -> Callable[[Sequence[Any]], Value]:
    return lambda values: quantile(values, percent)


def share(values: Sequence[Any]) -> Value:
    """Mean of truths."""
    return mean([float(value) for value in values])


class Recount(Facts):
    """All figures of the pack, by month, and by month and group."""

    # --- what the records say ----------------------------------------------------------------

    def __init__(self, records: Mapping[str, Sequence[Row]], start: date, end: date, zone: str):
        super().__init__(records, start, end, timezone=zone)
        users = records["users"]
        self.machines = {row["id"] for row in users if row.get("user_type") == "integration"}

    @cached_property
    def cases(self) -> dict[str, Row]:
        return self.live.by_id("cases")

    def case_groups(self, case: Row | None) -> dict[str, str]:
        case = case or {}
        return {"team": case.get("team") or NONE, "category": case.get("category") or NONE}

    def user_groups(self, row: Row) -> dict[str, str]:
        """Of what a user did on a case: the team is the user's, the category the case's."""
        user = self.live.by_id("users").get(row.get("user_id") or "", {})
        case = self.cases.get(row.get("case_id") or "", {})
        return {"team": user.get("team") or NONE, "category": case.get("category") or NONE}

    @cached_property
    def agent_messages(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in sorted(self.live.rows("case_messages"), key=lambda row: row["sent_at"]):
            if row["author_type"] == "agent" and row.get("user_id") not in self.machines:
                found.setdefault(row["case_id"], []).append(row)
        return found

    def replies(self, case_id: str) -> list[datetime]:
        """When the public messages of human agents on a case were sent."""
        messages = self.agent_messages.get(case_id, [])
        return [row["sent_at"] for row in messages if row.get("is_public", True)]

    @cached_property
    def stories(self) -> dict[str, Story]:
        stays: dict[str, list[Row]] = {}
        for row in self.live.rows("case_status_history"):
            stays.setdefault(row["case_id"], []).append(row)
        found = {case_id: _story(rows) for case_id, rows in stays.items()}
        for case_id, case in self.cases.items():
            closed = case.get("closed_at")
            found.setdefault(case_id, Story((), closed, closed))
        return found

    @cached_property
    def work(self) -> list[Row]:
        """Completed activities of humans."""
        return [
            row
            for row in self.live.rows("activities")
            if row.get("is_completed", True)
            and not row.get("is_automated", False)
            and row.get("user_id") not in self.machines
        ]

    # --- business hours ----------------------------------------------------------------------

    def at_work(self, team: str | None, start: datetime, end: datetime) -> float:
        """Seconds of a team's hours between two instants, day by day."""
        hours: Mapping[str, Any] = SETTINGS["business_hours"].get(team, {})
        zone = ZoneInfo(hours.get("timezone") or str(self.zone))
        opens, closes = (time.fromisoformat(at) for at in hours.get("hours", ["09:00", "17:00"]))
        total = 0.0
        day = start.astimezone(zone).date()
        while day <= end.astimezone(zone).date():
            is_open = _DAYS[day.weekday()] in hours.get("weekdays", _DAYS[:5])
            if is_open and str(day) not in hours.get("holidays", ()):
                since = datetime.combine(day, opens, zone).timestamp()
                until = datetime.combine(day, closes, zone).timestamp()
                total += max(0, min(until, end.timestamp()) - max(since, start.timestamp()))
            day += timedelta(days=1)
        return total

    def team_of(self, case: Row) -> str | None:
        owner = self.live.by_id("users").get(case.get("owner_id") or "", {})
        return case.get("team") or owner.get("team")

    # --- answering and solving ---------------------------------------------------------------

    def first_response(self, case: Row) -> datetime | None:
        if case.get("first_response_at"):
            return case["first_response_at"]  # type: ignore[no-any-return]
        replies = self.replies(case["id"])
        if case.get("is_created_by_agent"):
            replies = replies[1:]
        return next((at for at in replies if at >= case["created_at"]), None)

    def responses(self, *, in_hours: bool = False) -> Iterator[Item]:
        for case in self.cases.values():
            at, created = self.first_response(case), case["created_at"]
            if at is not None and at >= created:
                seconds = (at - created).total_seconds()
                if in_hours:
                    seconds = self.at_work(self.team_of(case), created, at)
                yield Item(at, self.case_groups(case), seconds)

    def timely(self) -> Iterator[Item]:
        for case in self.cases.values():
            at, created = self.first_response(case), case["created_at"]
            if at is None or at >= created:
                is_timely = at is not None and at - created <= timedelta(seconds=HOUR_S)
                yield Item(created, self.case_groups(case), is_timely)

    def closed(self) -> Iterator[Row]:
        return (case for case in self.cases.values() if case["is_closed"] and case.get("closed_at"))

    def resolutions(self, *, in_hours: bool = False) -> Iterator[Item]:
        for case in self.closed():
            seconds = (case["closed_at"] - case["created_at"]).total_seconds()
            if seconds > 1:
                if in_hours:
                    team = self.team_of(case)
                    seconds = self.at_work(team, case["created_at"], case["closed_at"])
                yield Item(case["closed_at"], self.case_groups(case), seconds)

    def first_resolutions(self) -> Iterator[Item]:
        for case_id, story in self.stories.items():
            case = self.cases.get(case_id)
            if case is not None and story.first_solved is not None:
                seconds = (story.first_solved - case["created_at"]).total_seconds()
                if seconds > 1:
                    yield Item(story.first_solved, self.case_groups(case), seconds)

    def first_contacts(self, *, reopen: bool = True, repeat: bool = False) -> Iterator[Item]:
        calls: dict[str, list[datetime]] = {}
        for row in self.work:
            if row["activity_type"] == "call" and row.get("case_id"):
                calls.setdefault(row["case_id"], []).append(row["occurred_at"])
        for case_id, story in self.stories.items():
            case = self.cases.get(case_id, {})
            solved = story.first_solved
            if solved is None or case.get("is_created_by_agent"):
                continue
            on_phone = case.get("channel") == "phone"
            contacts = calls.get(case_id, []) if on_phone else self.replies(case_id)
            is_good = sum(1 for at in contacts if at <= solved) <= 1
            is_good &= not (case.get("is_escalated") or case.get("escalated_at"))
            if reopen:
                is_good &= not any(
                    category != "solved" and solved < entered < solved + WEEK
                    for category, entered, _ in story.stays
                )
            if repeat:
                is_good &= not self._came_back(case, solved)
            yield Item(solved, self.case_groups(case), is_good)

    def _came_back(self, case: Row, solved: datetime) -> bool:
        return any(
            other["id"] != case.get("id")
            and other.get("contact_id") is not None
            and other.get("contact_id") == case.get("contact_id")
            and other.get("category") == case.get("category")
            and not other.get("is_created_by_agent")
            and solved <= other["created_at"] < solved + WEEK
            for other in self.cases.values()
        )

    def reopens(self) -> Iterator[Item]:
        for case_id, story in self.stories.items():
            if story.first_solved is not None and story.stays:
                groups = self.case_groups(self.cases.get(case_id))
                yield Item(story.first_solved, groups, self._moves(case_id, story))

    def _moves(self, case_id: str, story: Story) -> int:
        """Moves out of solved within a week of the first solve, thanks left out."""
        count = 0
        for number, (category, entered, _) in enumerate(story.stays):
            before = story.stays[number - 1][0] if number else ""
            if category == "solved" or before != "solved":
                continue
            again = next((at for kind, at, _ in story.stays[number:] if kind == "solved"), None)
            is_thanks = again is not None and again - entered < timedelta(hours=1) and not any(
                entered <= row["sent_at"] <= again for row in self.agent_messages.get(case_id, [])
            )  # fmt: skip
            assert story.first_solved is not None
            count += not is_thanks and entered - story.first_solved < WEEK
        return count

    def waits(self, *, in_hours: bool = False) -> Iterator[Item]:
        for case_id, story in self.stories.items():
            if not story.stays or story.stays[-1][0] != "solved":
                continue
            case = self.cases.get(case_id, {})
            total = 0.0
            for category, entered, left in story.stays:
                if category in ("new", "open", "on_hold"):
                    assert left is not None
                    total += (
                        self.at_work(self.team_of(case), entered, left)
                        if in_hours
                        else (left - entered).total_seconds()
                    )
            assert story.last_solved is not None
            yield Item(story.last_solved, self.case_groups(case), total)

    # --- work --------------------------------------------------------------------------------

    @cached_property
    def contacts(self) -> list[tuple[Row, datetime, float]]:
        """Handled contacts: the last leg, its end, the seconds of all legs."""
        legs: dict[tuple[str, str], list[Row]] = {}
        for row in self.work:
            key = row.get("interaction_id")
            legs.setdefault(("leg", row["id"]) if key is None else ("contact", key), []).append(row)
        found = []
        for rows in legs.values():
            talk = [row["talk_seconds"] for row in rows if row.get("talk_seconds") is not None]
            if sum(talk) > 0:
                ends = [(row.get("ended_at") or row["occurred_at"], row) for row in rows]
                last = max(ends, key=lambda end: (end[0], end[1]["occurred_at"], end[1]["id"]))
                parts = ("talk_seconds", "hold_seconds", "wrap_seconds")
                seconds = sum(row.get(part) or 0 for row in rows for part in parts)
                found.append((last[1], last[0], seconds))
        return found

    def handled(self) -> Iterator[Item]:
        for last, ended, seconds in self.contacts:
            yield Item(ended, self.user_groups(last), seconds)

    def handled_cases(self) -> Iterator[Item]:
        totals: dict[str, float] = {}
        for last, _, seconds in self.contacts:
            if last.get("case_id"):
                totals[last["case_id"]] = totals.get(last["case_id"], 0) + seconds
        for case in self.closed():
            if case["id"] in totals:
                yield Item(case["closed_at"], self.case_groups(case), totals[case["id"]])

    def queue(self) -> Iterator[Item]:
        for row in self.work:
            is_answered = row["activity_type"] == "call" and (row.get("talk_seconds") or 0) > 0
            if (
                is_answered
                and row["direction"] == "inbound"
                and row.get("queue_seconds") is not None
            ):
                yield Item(row["occurred_at"], self.user_groups(row), row["queue_seconds"])

    # --- cases -------------------------------------------------------------------------------

    def opened(self, *, by_agents: bool = False) -> Iterator[Item]:
        for case in self.cases.values():
            if bool(case.get("is_created_by_agent")) == by_agents:
                yield Item(case["created_at"], self.case_groups(case))

    def escalations(self) -> Iterator[Item]:
        for case in self.closed():
            yield Item(case["closed_at"], self.case_groups(case), was_escalated(case))

    def avoided(self) -> Iterator[Item]:
        latest: dict[str, Row] = {}
        for row in sorted(self.answers("csat"), key=lambda row: (row["responded_at"], row["id"])):
            latest[row.get("case_id") or ""] = row
        for case in self.closed():
            answer = latest.get(case["id"])
            if answer is not None and not was_escalated(case) and position(answer) < 0.75:
                yield Item(case["closed_at"], self.case_groups(case))

    def backlog(self, span: Span) -> list[tuple[str, Row]]:
        """(id, case) of the cases in another status than solved at the end of the span."""
        at = self.instant(span.end)
        return [
            (case_id, self.cases.get(case_id, {}))
            for case_id, story in self.stories.items()
            if any(
                category != "solved" and entered < at and (left is None or left >= at)
                for category, entered, left in story.stays
            )
        ]

    # --- surveys -----------------------------------------------------------------------------

    def answers(self, kind: str) -> list[Row]:
        """Answers with a score on its scale."""
        return [
            row
            for row in self.live.rows("survey_responses")
            if row["survey_type"] == kind
            and row.get("responded_at") is not None
            and row.get("score") is not None
            and row["scale_min"] <= row["score"] <= row["scale_max"]
        ]

    def latest_answers(
        self, kind: str, span: Span, group: tuple[str, str] | None, wanted: Callable[[Row], bool]
    ) -> list[float]:
        """Positions on the scale of the answers that count in a period and group."""
        latest: dict[tuple[str, str], Row] = {}
        for row in self.answers(kind):
            is_in = self.local_day(row["responded_at"]) in span and wanted(row)
            if not is_in or (group and self.user_groups(row)[group[0]] != group[1]):
                continue
            per = next(key for key in ("case_id", "contact_id", "id") if row.get(key))
            known = latest.get((per, row[per]))
            order = (row["responded_at"], row["id"])
            if known is None or order > (known["responded_at"], known["id"]):
                latest[per, row[per]] = row
        return [position(row) for row in latest.values()]

    def resolution_answers(self) -> Iterator[Item]:
        for row in self.live.rows("survey_responses"):
            is_answer = row.get("responded_at") is not None and row.get("score") is not None
            if row["survey_type"] == "resolution" and is_answer:
                is_yes = row["score"] == row["scale_max"]
                yield Item(row["responded_at"], self.user_groups(row), is_yes)

    def invitations(self) -> Iterator[Item]:
        for row in self.live.rows("survey_responses"):
            if row.get("sent_at") is not None:
                at = row.get("responded_at")
                is_answered = at is not None and timedelta(0) <= at - row["sent_at"] < 2 * WEEK
                yield Item(row["sent_at"], self.user_groups(row), is_answered)

    def customers(self, day: date) -> set[str]:
        return {
            row["account_id"]
            for row in self.live.rows("subscriptions")
            if not row.get("is_trial", False)
            and row["mrr"] > 0
            and row["start_date"] <= day
            and (row.get("end_date") is None or day < row["end_date"])
        }

    def surveyed(self, span: Span) -> Value:
        customers = self.customers(span.end - timedelta(days=1))
        year = Span(span.end - timedelta(days=365), span.end)
        asked = {
            row.get("account_id")
            for row in self.live.rows("survey_responses")
            if row.get("responded_at") is not None and self.local_day(row["responded_at"]) in year
        }
        return len(customers & asked) / len(customers) if customers else None

    # --- money -------------------------------------------------------------------------------

    def service_cost(self, span: Span) -> Decimal:
        total = Decimal(0)
        for row in self.live.rows("expenses"):
            if row["category"] == "service" and row["expense_date"] in span:
                total += self.usd(row["amount"], row.get("currency"), row["expense_date"]) or 0
        return total

    # --- figures -----------------------------------------------------------------------------

    def within(self, items: Iterable[Item]) -> dict[date, list[Item]]:
        """The items of each month."""
        found: dict[date, list[Item]] = {span.start: [] for span in self.spans()}
        for item in items:
            month = self.local_day(item.at).replace(day=1)
            if month in found:
                found[month].append(item)
        return found


def was_escalated(case: Row) -> bool:
    return bool(case.get("is_escalated") or case.get("escalated_at"))


def position(answer: Row) -> float:
    """Where on its scale the score lies, 0 to 1."""
    low, high = answer["scale_min"], answer["scale_max"]
    return float((answer["score"] - low) / (high - low))


def _story(rows: list[Row]) -> Story:
    rows.sort(key=lambda row: (row["entered_at"], row["exited_at"] is None, row["id"]))
    stays = [(row["status_category"], row["entered_at"], row["exited_at"]) for row in rows]
    solves = [
        entered
        for number, (category, entered, _) in enumerate(stays)
        if category == "solved" and (number == 0 or stays[number - 1][0] != "solved")
    ]
    return Story(stays, solves[0] if solves else None, solves[-1] if solves else None)


def satisfied(positions: Sequence[float]) -> Value:
    return share([value >= 0.75 for value in positions])


def _count(values: Sequence[Any]) -> Value:
    return len(values)


Source = Callable[[Recount], Iterable[Item]]
BY_ITEM: dict[str, tuple[Source, Callable[[Sequence[Any]], Value]]] = {
    "first_response_time": (Recount.responses, percentile(50)),
    "first_response_time.mean": (Recount.responses, mean),
    "first_response_time.p90": (Recount.responses, percentile(90)),
    "first_response_time.business_hours": (
        partial(Recount.responses, in_hours=True),
        percentile(50),
    ),
    "first_response_time.within_target": (Recount.timely, share),
    "average_handle_time": (Recount.handled, mean),
    "average_handle_time.median": (Recount.handled, percentile(50)),
    "average_handle_time.per_case": (Recount.handled_cases, mean),
    "first_contact_resolution_rate": (Recount.first_contacts, share),
    "first_contact_resolution_rate.one_touch": (
        partial(Recount.first_contacts, reopen=False),
        share,
    ),
    "first_contact_resolution_rate.repeat_contact": (
        partial(Recount.first_contacts, repeat=True),
        share,
    ),
    "first_contact_resolution_rate.survey": (Recount.resolution_answers, share),
    "resolution_time": (Recount.resolutions, percentile(50)),
    "resolution_time.mean": (Recount.resolutions, mean),
    "resolution_time.p90": (Recount.resolutions, percentile(90)),
    "resolution_time.first_resolution": (Recount.first_resolutions, percentile(50)),
    "resolution_time.business_hours": (
        partial(Recount.resolutions, in_hours=True),
        percentile(50),
    ),
    "case_volume": (Recount.opened, _count),
    "case_volume.outbound": (partial(Recount.opened, by_agents=True), _count),
    "customer_wait_time": (Recount.waits, percentile(50)),
    "customer_wait_time.mean": (Recount.waits, mean),
    "customer_wait_time.p90": (Recount.waits, percentile(90)),
    "customer_wait_time.business_hours": (
        partial(Recount.waits, in_hours=True),
        percentile(50),
    ),
    "customer_wait_time.phone_queue": (Recount.queue, percentile(50)),
    "escalation_rate": (Recount.escalations, share),
    "escalation_rate.avoided": (Recount.avoided, _count),
    "reopen_rate": (Recount.reopens, lambda moves: share([count > 0 for count in moves])),
    "reopen_rate.reopens_per_case": (Recount.reopens, mean),
    "survey_response_rate": (Recount.invitations, share),
}
"""KPIs that are figures over items: where the items come from, and what is made of their values."""
