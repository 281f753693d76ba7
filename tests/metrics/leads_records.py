"""What the recounts of the pack `leads` read: leads, prospects, accounts and costs.

Plain loops over the sample's records, written from the words of the KPI catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from crmetrics.testing.data.facts import NONE, Facts, Span
from crmetrics.testing.data.truth_history import customer_spells

Row = dict[str, Any]

TOUCHES = ("call", "email", "meeting", "chat")
CHANNEL_TO_SOURCE = {"paid": "paid_search", "tradeshow": "event"}
"""The setting channel_to_lead_source of the project under test."""


@dataclass
class Lead:
    """A live lead; groups: its dimensions as text."""

    row: Row
    groups: dict[str, str]
    created_day: date
    customer_day: date | None = None
    customer_after: timedelta | None = None
    was_customer: bool = False
    opens_account: bool = False
    win: tuple[date, int, Decimal | None] | None = None
    answered_at: datetime | None = None
    touches: list[Row] = field(default_factory=list)

    @property
    def waited_s(self) -> float | None:
        if self.answered_at is None:
            return None
        return (self.answered_at - self.row["created_at"]).total_seconds()


@dataclass
class Prospect:
    """A lead with a first attempt, and what followed within 14 days of it."""

    at: datetime
    groups: dict[str, str]
    attempts: int
    answered_after: timedelta | None


@dataclass
class Account:
    created_day: date
    first_day: date | None
    groups: dict[str, str]


@dataclass
class Cost:
    day: date
    amount: float | None
    is_expense: bool
    groups: dict[str, str]


@dataclass
class Records:
    """What the figures of one group are counted from."""

    facts: Facts
    leads: Sequence[Lead]
    prospects: Sequence[Prospect]
    accounts: Sequence[Account]
    costs: Sequence[Cost]
    deals: Sequence[tuple[Any, dict[str, str]]]

    def by(self, dimension: str) -> dict[str, Records]:
        """The records of each group; what does not have the dimension is in no group."""

        def named(items: Iterable[Any]) -> Iterable[str]:
            return (g for g in (groups_of(item).get(dimension) for item in items) if g is not None)

        kinds = ("leads", "prospects", "accounts", "costs", "deals")
        names = {name for kind in kinds for name in named(getattr(self, kind))}
        return {name: self._only(dimension, name, kinds) for name in names}

    def _only(self, dimension: str, name: str, kinds: Sequence[str]) -> Records:
        parts: dict[str, Any] = {
            kind: [item for item in getattr(self, kind) if groups_of(item).get(dimension) == name]
            for kind in kinds
        }
        return replace(self, **parts)

    def created(self, span: Span) -> list[Lead]:
        return [lead for lead in self.leads if lead.created_day in span]

    def acquired(self, span: Span) -> list[Lead]:
        """The cohort of lead_to_customer_rate."""
        return [lead for lead in self.created(span) if not lead.was_customer]


def groups_of(item: Any) -> dict[str, str]:
    groups: dict[str, str] = item[1] if isinstance(item, tuple) else item.groups
    return groups


# --- records to leads, prospects, accounts and costs


class Preparation:
    """Everything that the figures read, from the records of a sample."""

    def __init__(self, facts: Facts, records: Mapping[str, Sequence[Row]]) -> None:
        self.facts, self.live = facts, facts.live
        self.machines = {
            row["id"] for row in records["users"] if row.get("user_type") == "integration"
        }
        self.first_days = {
            account: spells[0][0] for account, spells in customer_spells(facts).items()
        }

    @cached_property
    def records(self) -> Records:
        leads = self._leads()
        return Records(
            self.facts,
            leads,
            self._prospects(leads),
            self._accounts(),
            self._costs(),
            self._deals(),
        )

    @cached_property
    def touches(self) -> dict[str, list[Row]]:
        """Lead -> its completed calls, e-mails, meetings and chats in order."""
        found: dict[str, list[Row]] = {}
        for row in self.live.rows("activities"):
            is_touch = row["activity_type"] in TOUCHES and row.get("is_completed", True)
            if row.get("lead_id") and is_touch and row.get("direction"):
                found.setdefault(row["lead_id"], []).append(row)
        for rows in found.values():
            rows.sort(key=lambda row: (row["occurred_at"], row["id"]))
        return found

    def _leads(self) -> list[Lead]:
        found = [self._lead(row) for row in self.live.rows("leads")]
        deals, earliest = self.live.by_id("opportunities"), {}
        sharing: dict[str, int] = {}
        for lead in found:
            account, deal = lead.row.get("account_id"), lead.row.get("converted_opportunity_id")
            if deal:
                sharing[deal] = sharing.get(deal, 0) + 1
            if account:
                known = earliest.get(account, lead.row["created_at"])
                earliest[account] = min(known, lead.row["created_at"])
        for lead in found:
            self._set_outcome(lead, deals, sharing)
            account = lead.row.get("account_id")
            first_day = self.first_days.get(account or "", date.max)
            lead.was_customer = first_day < lead.created_day
            lead.opens_account = (
                account is not None
                and not lead.was_customer
                and lead.row["created_at"] == earliest[account]
            )
        return found

    def _set_outcome(
        self, lead: Lead, deals: Mapping[str, Row], sharing: Mapping[str, int]
    ) -> None:
        deal_id = lead.row.get("converted_opportunity_id") or ""
        deal = deals.get(deal_id, {})
        if deal.get("is_won"):
            usd = self.facts.usd(deal["amount"], deal["currency"], deal["close_date"])
            days = (deal["close_date"] - lead.created_day).days
            part = None if usd is None else usd / sharing[deal_id]
            lead.win = deal["close_date"], days, part
        became = lead.row.get("became_customer_at")
        if became is not None:
            lead.customer_day = self.facts.local_day(became)
            lead.customer_after = became - lead.row["created_at"]
        elif lead.win is not None:
            lead.customer_day = lead.win[0]
            lead.customer_after = timedelta(days=lead.win[1])

    def _lead(self, row: Row) -> Lead:
        touches = self.touches.get(row["id"], [])
        answered = row.get("first_response_at")
        if answered is None:
            human = (
                t["occurred_at"]
                for t in touches
                if t["direction"] == "outbound"
                and not t.get("is_automated", False)
                and t.get("user_id") not in self.machines
                and t["occurred_at"] >= row["created_at"]
            )
            answered = min(human, default=None)
        groups = self._lead_groups(row)
        if answered is not None:
            local = answered.astimezone(self.facts.zone)
            groups |= {"hour": str(local.hour), "weekday": f"{local:%A}".lower()}
        return Lead(
            row, groups, self.facts.local_day(row["created_at"]), answered_at=answered,
            touches=touches,
        )  # fmt: skip

    def _lead_groups(self, row: Row) -> dict[str, str]:
        owner = self.live.by_id("users").get(row.get("owner_id") or "", {})
        campaign = self.live.by_id("campaigns").get(row.get("campaign_id") or "", {})
        account = self.live.by_id("accounts").get(row.get("account_id") or "", {})
        return {
            "lead_source": row.get("lead_source") or NONE,
            "segment": row.get("segment") or NONE,
            "campaign_id": row.get("campaign_id") or NONE,
            "owner_id": row.get("owner_id") or NONE,
            "team": owner.get("team") or NONE,
            "channel": campaign.get("channel") or NONE,
            "country": account.get("country") or NONE,
        }

    def _prospects(self, leads: Sequence[Lead]) -> list[Prospect]:
        rows = {lead.row["id"]: lead.row for lead in leads}
        found = []
        for lead_id, touches in self.touches.items():
            attempts = [t for t in touches if t["direction"] == "outbound"]
            if not attempts:
                continue
            first = attempts[0]["occurred_at"]
            end = first + timedelta(days=14)
            answers = [t["occurred_at"] for t in touches if is_response(t)]
            inside = [at for at in answers if first <= at < end]
            groups = self._lead_groups(rows.get(lead_id, {}))
            groups["activity_type"] = attempts[0]["activity_type"]
            groups["hour"] = str(first.astimezone(self.facts.zone).hour)
            found.append(
                Prospect(
                    first,
                    groups,
                    sum(1 for t in attempts if t["occurred_at"] < end),
                    min(inside) - first if inside else None,
                )
            )
        return found

    def _accounts(self) -> list[Account]:
        first_leads: dict[str, Row] = {}
        for row in sorted(self.live.rows("leads"), key=lambda row: (row["created_at"], row["id"])):
            if row.get("account_id"):
                first_leads.setdefault(row["account_id"], row)
        found = []
        for row in self.live.rows("accounts"):
            if row.get("account_type") == "partner":
                continue
            lead = first_leads.get(row["id"], {})
            groups = {
                "segment": row.get("segment") or NONE,
                "industry": row.get("industry") or NONE,
                "lead_source": lead.get("lead_source") or NONE,
            }
            created = self.facts.local_day(row["created_at"])
            found.append(Account(created, self.first_days.get(row["id"]), groups))
        return found

    def _costs(self) -> list[Cost]:
        sources = {row.get("lead_source") for row in self.live.rows("leads")} - {None}
        campaigns = self.live.by_id("campaigns")
        found = []
        for row in self.live.rows("marketing_spend"):
            campaign = campaigns.get(row["campaign_id"] or "", {})
            channel = campaign.get("channel") or row["channel"]
            groups = {"channel": channel or NONE, "campaign_id": row["campaign_id"] or NONE}
            source = CHANNEL_TO_SOURCE.get(channel, channel if channel in sources else None)
            if source:
                groups["lead_source"] = source
            days = [row["spend_date"]] if row["spend_date"] else _days_of(campaign)
            for day in days:
                usd = self.facts.usd(row["amount"], row["currency"], day)
                amount = None if usd is None else float(usd) / len(days)
                found.append(Cost(day, amount, False, groups))
        for row in self.live.rows("expenses"):
            if row["category"] == "marketing":
                usd = self.facts.usd(row["amount"], row.get("currency"), row["expense_date"])
                nowhere = {"channel": NONE, "campaign_id": NONE}
                amount = None if usd is None else float(usd)
                found.append(Cost(row["expense_date"], amount, True, nowhere))
        return found

    def _deals(self) -> list[tuple[Any, dict[str, str]]]:
        return [
            (
                deal,
                {
                    "lead_source": deal.row["lead_source"] or NONE,
                    "segment": deal.segment,
                    "campaign_id": deal.row.get("campaign_id") or NONE,
                },
            )
            for deal in self.facts.deals
        ]


def is_response(touch: Row) -> bool:
    if touch["direction"] == "outbound":
        return touch.get("outcome") in ("connected", "replied")
    return not touch.get("is_automated", False) and touch.get("outcome") != "bounced"


def _days_of(campaign: Row) -> list[date]:
    """The days of a campaign, both ends included; none unless both are known."""
    start, end = campaign.get("start_date"), campaign.get("end_date")
    if start is None or end is None:
        return []
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]
