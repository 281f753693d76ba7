"""The marketing KPIs of the sample CRM once more, in plain loops from the words of the catalogue.

Each figure has rows (what falls into a period, each with its groups) and a value over such rows;
no SQL and nothing of the engine, so that an error there cannot hide here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from crmetrics.testing.data.company import Row
from crmetrics.testing.data.facts import Facts, Span, quantile, share

NONE = "(none)"
Person = tuple[str, str]


@dataclass(frozen=True)
class Item:
    """Something that falls into a period: its groups, and what it adds to the figures."""

    groups: dict[str, str]
    part: dict[str, Any] = field(default_factory=dict)


Value = Callable[[Sequence[Item]], float | None]
Rows = Callable[["MarketingRecount", "Span"], list[Item]]


def added(items: Iterable[Item], name: str) -> float:
    return float(sum(item.part.get(name, 0) for item in items))


def ratio(numerator: str, denominator: str) -> Value:
    return lambda items: share(added(items, numerator), added(items, denominator))


def total(name: str) -> Value:
    return lambda items: added(items, name)


def distinct(items: Iterable[Item], name: str) -> int:
    return len({item.part[name] for item in items if item.part.get(name) is not None})


class MarketingRecount(Facts):
    """Rows of the marketing KPIs per period, from the live records."""

    def items(self, rows: Rows, span: Span) -> list[Item]:
        """The rows of a figure in a period, counted once."""
        known = self._known.setdefault(rows, {})
        if span not in known:
            known[span] = rows(self, span)
        return known[span]

    @cached_property
    def _known(self) -> dict[Rows, dict[Span, list[Item]]]:
        return {}

    # --- what a row belongs to -------------------------------------------------------------------

    @cached_property
    def campaigns(self) -> dict[str, Row]:
        return self.live.by_id("campaigns")

    def channel(self, campaign: str | None, own: str | None = None) -> str:
        return self.campaigns.get(campaign or "", {}).get("channel") or own or NONE

    def of_campaign(self, campaign: str | None, own: str | None = None) -> dict[str, str]:
        return {"campaign_id": campaign or NONE, "channel": self.channel(campaign, own)}

    def segment(self, account: str | None) -> str:
        return self.live.by_id("accounts").get(account or "", {}).get("segment") or NONE

    @cached_property
    def first_leads(self) -> dict[str, Row]:
        """Account -> its earliest lead."""
        found: dict[str, Row] = {}
        for lead in sorted(self.live.rows("leads"), key=lambda row: (row["created_at"], row["id"])):
            if lead.get("account_id"):
                found.setdefault(lead["account_id"], lead)
        return found

    def person(self, member: Row) -> Person | None:
        if member.get("contact_id"):
            return "contact", member["contact_id"]
        return ("lead", member["lead_id"]) if member.get("lead_id") else None

    def account_of(self, person: Person | None) -> str | None:
        if person is None:
            return None
        account = self.live.by_id(f"{person[0]}s").get(person[1], {}).get("account_id")
        return str(account) if account else None

    def of_person(self, person: Person | None) -> dict[str, str]:
        account = self.account_of(person)
        lead: Row = {}
        if person is not None and person[0] == "lead":
            lead = self.live.by_id("leads").get(person[1], {})
        elif account in self.live.by_id("accounts"):
            source = self.first_leads.get(account or "", {}).get("lead_source")
            return {"segment": self.segment(account), "lead_source": source or NONE}
        segment = lead.get("segment") or self.segment(account)
        return {"segment": segment, "lead_source": lead.get("lead_source") or NONE}

    def _holds(self, span: Span, instant: datetime) -> bool:
        return self.local_day(instant) in span

    # --- spend and what it brought ---------------------------------------------------------------

    @cached_property
    def spend(self) -> list[tuple[date, Item]]:
        found = []
        for row in self.live.rows("marketing_spend"):
            groups = self.of_campaign(row["campaign_id"], row["channel"])
            for day, amount in self._days_of(row):
                usd = self.usd(amount, row["currency"], day)
                if usd is not None:
                    found.append((day, Item(groups, {"spend": usd})))
        return found

    def _days_of(self, row: Row) -> list[tuple[date, Any]]:
        if row["spend_date"] is not None:
            return [(row["spend_date"], row["amount"])]
        campaign = self.campaigns.get(row["campaign_id"] or "", {})
        start, end = campaign.get("start_date"), campaign.get("end_date")
        if start is None or end is None or end < start:
            return []
        days = (end - start).days + 1
        return [(start + timedelta(days=n), row["amount"] / days) for n in range(days)]

    def spent(self, span: Span) -> list[Item]:
        return [item for day, item in self.spend if day in span]

    def with_expenses(self, span: Span) -> list[Item]:
        booked = [
            Item(
                self.of_campaign(None),
                {"spend": self.usd(row["amount"], row["currency"], row["expense_date"])},
            )
            for row in self.live.rows("expenses")
            if row["category"] == "marketing" and row["expense_date"] in span
        ]
        return self.spent(span) + [item for item in booked if item.part["spend"] is not None]

    def on_budget(self, span: Span) -> list[Item]:
        found = self.spent(span)
        for row in self.campaigns.values():
            if row["budgeted_cost"] is None or row["start_date"] is None:
                continue
            days = (row["end_date"] - row["start_date"]).days + 1
            for number in range(days):
                day = row["start_date"] + timedelta(days=number)
                usd = self.usd(row["budgeted_cost"] / days, row["currency"], day)
                if day in span and usd is not None:
                    found.append(Item(self.of_campaign(row["id"]), {"budget": usd}))
        return found

    @cached_property
    def wins(self) -> list[Any]:
        return [deal for deal in self.deals if deal.row["is_won"] and deal.usd is not None]

    def won_items(self, span: Span) -> list[Item]:
        return [
            Item(
                {**self.of_campaign(deal.row["campaign_id"]), "segment": deal.segment},
                {"revenue": deal.usd},
            )
            for deal in self.wins
            if deal.row["campaign_id"] and deal.row["close_date"] in span
        ]

    def returns(self, span: Span) -> list[Item]:
        return self.won_items(span) + self.spent(span)

    def unattributed(self, span: Span) -> float:
        return float(
            sum(
                deal.usd
                for deal in self.wins
                if not deal.row["campaign_id"] and deal.row["close_date"] in span
            )
        )

    def lifetimes(self, span: Span) -> list[Item]:
        running = {item.groups["campaign_id"] for item in self.spent(span)} - {NONE}
        before = Span(date.min, span.end)
        return [item for item in self.returns(before) if item.groups["campaign_id"] in running]

    def lagged(self, span: Span) -> list[Item]:
        year = Span(span.end - timedelta(days=365), span.end)
        cycles = [
            (deal.row["close_date"] - deal.created_day).days
            for deal in self.deals
            if deal.row["is_won"] and deal.row["close_date"] in year
        ]
        lag = quantile([days for days in cycles if days >= 0], 50)
        assert lag is not None
        back = timedelta(days=int(lag))
        return self.won_items(span) + self.spent(Span(span.start - back, span.end - back))

    @cached_property
    def touches(self) -> dict[str, list[tuple[datetime, str, str]]]:
        """Account -> sends to its people, in order: instant, id, campaign."""
        found: dict[str, list[tuple[datetime, str, str]]] = {}
        for row in self.live.rows("campaign_members"):
            account = self.account_of(self.person(row))
            if account:
                found.setdefault(account, []).append(
                    (row["sent_at"], row["id"], row["campaign_id"])
                )
        return {account: sorted(sends) for account, sends in found.items()}

    def touched(self, span: Span, *, only_first: bool) -> list[Item]:
        found = []
        for deal in self.wins:
            if deal.row["close_date"] not in span:
                continue
            sends = [
                campaign
                for sent, _, campaign in self.touches.get(deal.row["account_id"] or "", ())
                if self.local_day(sent) < deal.row["close_date"]
            ]
            credited = sends[:1] if only_first else sorted(set(sends))
            for campaign in credited:
                part = {"revenue": deal.usd / len(credited)}
                groups = {**self.of_campaign(campaign), "segment": deal.segment}
                found.append(Item(groups, part))
        return found

    def first_touch(self, span: Span) -> list[Item]:
        return self.touched(span, only_first=True) + self.spent(span)

    def linear(self, span: Span) -> list[Item]:
        return self.touched(span, only_first=False) + self.spent(span)

    # --- sends -----------------------------------------------------------------------------------

    @cached_property
    def members(self) -> list[Row]:
        """The live sends in order, with `person` and `is_reached`."""
        rows = sorted(
            self.live.rows("campaign_members"), key=lambda row: (row["sent_at"], row["id"])
        )
        tracked = {row["campaign_id"] for row in rows if row.get("delivered_at")}
        return [
            {
                **row,
                "person": self.person(row),
                "is_reached": bool(row.get("delivered_at"))
                if row["campaign_id"] in tracked
                else not row.get("bounced_at"),
            }
            for row in rows
        ]

    def sends(self, span: Span) -> list[Item]:
        return [
            Item(
                {**self.of_campaign(row["campaign_id"]), **self.of_person(row["person"])},
                {"sends": 1, "person": row["person"], "campaign": row["campaign_id"]},
            )
            for row in self.members
            if self._holds(span, row["sent_at"])
        ]

    def sends_and_leads(self, span: Span) -> list[Item]:
        leads = [
            Item(
                {
                    **self.of_campaign(row.get("campaign_id")),
                    "segment": row.get("segment") or NONE,
                },
                {"leads": 1},
            )
            for row in self.live.rows("leads")
            if row.get("mql_at") and self._holds(span, row["mql_at"])
        ]
        return self.sends(span) + leads

    @cached_property
    def first_sends(self) -> list[Row]:
        """The first send of each person and campaign, with the sends of both in `all`."""
        groups: dict[tuple[str, Person], list[Row]] = {}
        for row in self.members:
            groups.setdefault((row["campaign_id"], row["person"]), []).append(row)
        return [{**rows[0], "all": rows} for rows in groups.values()]

    def responses(self, span: Span) -> list[Item]:
        found = []
        for first in self.first_sends:
            if not first["is_reached"] or not self._holds(span, first["sent_at"]):
                continue
            groups = {**self.of_campaign(first["campaign_id"]), **self.of_person(first["person"])}
            part = {"reached": 1}
            for event in ("responded_at", "clicked_at", "opened_at"):
                part[event] = int(_earliest_within(first, event, 30))
            found.append(Item(groups, part))
        return found

    @cached_property
    def opt_outs(self) -> set[str]:
        """The sends that an unsubscription counts for: the last before it, within 30 days."""
        last: dict[tuple[Person, datetime], Row] = {}
        for row in self.members:
            left = row.get("unsubscribed_at")
            if left and left >= row["sent_at"]:
                last[row["person"], left] = row
        return {
            row["id"]
            for (_, left), row in last.items()
            if left - row["sent_at"] < timedelta(days=30)
        }

    def subscriptions(self, span: Span) -> list[Item]:
        found = []
        for row in self.members:
            if not self._holds(span, row["sent_at"]):
                continue
            blocked = any(
                row.get(event) and timedelta(0) <= row[event] - row["sent_at"] < timedelta(days=30)
                for event in ("bounced_at", "complained_at")
            )
            has_left = row["is_reached"] and row["id"] in self.opt_outs
            found.append(
                Item(
                    {**self.of_campaign(row["campaign_id"]), **self.of_person(row["person"])},
                    {
                        "sent": 1,
                        "reached": int(row["is_reached"]),
                        "blocked": int(blocked),
                        "leaver": row["person"] if has_left else None,
                    },
                )
            )
        return found

    def opted_out(self, span: Span) -> list[Item]:
        at = self.instant(span.end)
        return [
            Item(
                {
                    "segment": self.segment(row["account_id"]),
                    "lifecycle_stage": row.get("lifecycle_stage") or NONE,
                },
                {"contacts": 1, "out": int(bool(row.get("email_opted_out")))},
            )
            for row in self.live.rows("contacts")
            if row["created_at"] < at
        ]

    def judged(self, span: Span) -> list[Item]:
        at = self.instant(span.end)
        sends: dict[str, list[Row]] = {}
        for row in self.members:
            if row.get("contact_id") and row["sent_at"] < at:
                sends.setdefault(row["contact_id"], []).append(row)
        found = []
        for contact, rows in sends.items():
            record = self.live.by_id("contacts").get(contact)
            if record is None or record.get("email_opted_out") or record["created_at"] >= at:
                continue
            item = self._judge(("contact", contact), rows, at)
            if item is not None:
                found.append(item)
        return found

    def silent(self, span: Span) -> list[Item]:
        return [item for item in self.items(MarketingRecount.judged, span) if item.part["silent"]]

    def fallen_silent(self, span: Span) -> list[Item]:
        return [item for item in self.silent(span) if item.part["days"] is not None]

    def _judge(self, person: Person, rows: list[Row], at: datetime) -> Item | None:
        last_bounce = rows[-1].get("bounced_at")
        delivered = [row for row in rows if row.get("delivered_at") and row["delivered_at"] < at]
        if (last_bounce and last_bounce < at) or len(delivered) < 5:
            return None
        last = max((when for row in rows for when in _reactions(row, at)), default=None)
        is_silent = not any(_reactions(row, at) for row in delivered[-5:])
        month = f"{self.local_day(last):%Y-%m}" if last else NONE
        return Item(
            {**self.of_person(person), "last_engaged_month": month},
            {
                "judged": 1,
                "silent": int(is_silent),
                "days": (at - last).total_seconds() / 86400 if is_silent and last else None,
            },
        )

    # --- orders and visits -----------------------------------------------------------------------

    @cached_property
    def orders(self) -> list[Row]:
        """Counted orders that were not fully refunded, with `customer_type`."""
        counted = [
            row for row in self.live.rows("orders") if row["status"] not in ("draft", "cancelled")
        ]
        seen: set[str] = set()
        found = []
        for row in sorted(counted, key=lambda row: (row["ordered_at"], row["id"])):
            kind = "existing" if row["account_id"] in seen else "new"
            seen.add(row["account_id"])
            refund = row.get("refunded_amount") or 0
            if not (refund > 0 and refund >= row["total_amount"]):
                found.append({**row, "customer_type": kind})
        return found

    def ordered(self, span: Span) -> list[Item]:
        found = []
        for row in self.orders:
            day = self.local_day(row["ordered_at"])
            if day not in span:
                continue
            groups = {
                "customer_type": row["customer_type"],
                **self.of_campaign(row.get("campaign_id")),
            }
            part: dict[str, Any] = {"all": 1}
            if row.get("campaign_id"):
                usd = self.usd(row["total_amount"], row.get("currency"), day)
                part |= {"from_campaign": 1, "amount": usd}
            found.append(Item(groups, part))
        return found

    def from_campaigns(self, span: Span) -> list[Item]:
        return [item for item in self.ordered(span) if "from_campaign" in item.part]

    def rated_orders(self, span: Span) -> list[Item]:
        orders = self.from_campaigns(span)
        return [item for item in orders if item.part["amount"] is not None]

    def visits(self, span: Span) -> list[Item]:
        return [
            Item(
                self._of_visit(row),
                {"visits": 1, "done": int(bool(row.get("goal_completed_at")))},
            )
            for row in self.live.rows("web_sessions")
            if self._holds(span, row["started_at"])
        ]

    def _of_visit(self, row: Row) -> dict[str, str]:
        return {
            "goal": row.get("goal") or NONE,
            "channel": row.get("channel") or NONE,
            "campaign_id": row.get("campaign_id") or NONE,
        }

    @cached_property
    def visits_by_visitor(self) -> dict[tuple[str, str], list[Row]]:
        found: dict[tuple[str, str], list[Row]] = {}
        for row in self.live.rows("web_sessions"):
            if row.get("visitor_id") and row.get("goal"):
                found.setdefault((row["visitor_id"], row["goal"]), []).append(row)
        return found

    def goals_begun(self, span: Span) -> list[Item]:
        found = []
        for row in self.live.rows("web_sessions"):
            if not row.get("goal_started_at") or not self._holds(span, row["started_at"]):
                continue
            later = self.visits_by_visitor.get((row.get("visitor_id") or "", row["goal"]), ())
            is_done = bool(row.get("goal_completed_at")) or any(
                other["started_at"] > row["started_at"]
                and other.get("goal_completed_at")
                and timedelta(0)
                <= other["goal_completed_at"] - row["goal_started_at"]
                < timedelta(hours=24)
                for other in later
            )
            found.append(Item(self._of_visit(row), {"begun": 1, "abandoned": int(not is_done)}))
        return found


def _earliest_within(first: Row, event: str, days: int) -> bool:
    """Whether the earliest such event at or after the first send lies within the days."""
    times = [row[event] for row in first["all"] if row.get(event)]
    valid = [when for when in times if when >= first["sent_at"]]
    return bool(valid) and min(valid) - first["sent_at"] < timedelta(days=days)


def _reactions(row: Row, at: datetime) -> list[datetime]:
    times = [row.get("clicked_at"), row.get("responded_at")]
    return [when for when in times if when and row["sent_at"] <= when < at]


def _silent_days(items: Sequence[Item]) -> float | None:
    return quantile([item.part["days"] for item in items], 50)


FIGURES: dict[str, tuple[Rows, Value]] = {
    "marketing_roi": (MarketingRecount.returns, ratio("revenue", "spend")),
    "marketing_roi.lagged": (MarketingRecount.lagged, ratio("revenue", "spend")),
    "marketing_roi.first_touch": (MarketingRecount.first_touch, ratio("revenue", "spend")),
    "marketing_roi.linear": (MarketingRecount.linear, ratio("revenue", "spend")),
    "campaign_response_rate": (MarketingRecount.responses, ratio("responded_at", "reached")),
    "campaign_response_rate.click_rate": (
        MarketingRecount.responses, ratio("clicked_at", "reached")),
    "campaign_response_rate.open_rate": (
        MarketingRecount.responses, ratio("opened_at", "reached")),
    "campaign_volume": (MarketingRecount.sends, total("sends")),
    "campaign_volume.people": (MarketingRecount.sends, lambda items: distinct(items, "person")),
    "campaign_volume.active_campaigns": (
        MarketingRecount.sends, lambda items: distinct(items, "campaign")),
    "campaign_volume.sends_per_person": (
        MarketingRecount.sends,
        lambda items: share(added(items, "sends"), distinct(items, "person"))),
    "campaign_volume.sends_per_qualified_lead": (
        MarketingRecount.sends_and_leads, ratio("sends", "leads")),
    "unsubscribe_rate": (
        MarketingRecount.subscriptions,
        lambda items: share(distinct(items, "leaver"), added(items, "reached"))),
    "unsubscribe_rate.blocked_rate": (MarketingRecount.subscriptions, ratio("blocked", "sent")),
    "unsubscribe_rate.opted_out_share": (MarketingRecount.opted_out, ratio("out", "contacts")),
    "disengaged_contacts": (MarketingRecount.silent, total("silent")),
    "disengaged_contacts.share": (MarketingRecount.judged, ratio("silent", "judged")),
    "disengaged_contacts.silent_days": (MarketingRecount.fallen_silent, _silent_days),
    "abandonment_rate": (MarketingRecount.goals_begun, ratio("abandoned", "begun")),
    "abandonment_rate.all_visits": (
        MarketingRecount.visits,
        lambda items: share(added(items, "visits") - added(items, "done"), len(items))),
    "abandonment_rate.website_conversion_rate": (
        MarketingRecount.visits, ratio("done", "visits")),
    "total_marketing_spend": (MarketingRecount.spent, total("spend")),
    "total_marketing_spend.fully_loaded": (MarketingRecount.with_expenses, total("spend")),
    "total_marketing_spend.budget_share": (MarketingRecount.on_budget, ratio("spend", "budget")),
}  # fmt: skip
"""Figures without dimensions of their own."""

ALWAYS_BY: dict[str, tuple[str, Rows, Value]] = {
    "marketing_roi.lifetime": (
        "campaign_id", MarketingRecount.lifetimes, ratio("revenue", "spend")),
    "campaign_orders": (
        "customer_type", MarketingRecount.from_campaigns, total("from_campaign")),
    "campaign_orders.amount": (
        "customer_type", MarketingRecount.rated_orders, total("amount")),
    "campaign_orders.share": (
        "customer_type", MarketingRecount.ordered, ratio("from_campaign", "all")),
}  # fmt: skip
"""Figures with a dimension in every row."""
