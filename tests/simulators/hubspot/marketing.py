"""The endpoints of marketing and service: campaigns, marketing e-mails, conversations."""

from __future__ import annotations

from datetime import date
from typing import Any

from simulators.hubspot.account import Account, Campaign
from simulators.hubspot.errors import invalid, not_found
from simulators.hubspot.search import instant_of
from simulators.hubspot.settings import page_of
from simulators.messages import Answer, Call

READABLE = frozenset(
    {"hs_name", "hs_start_date", "hs_end_date", "hs_campaign_status", "hs_goal", "hs_owner",
     "hs_currency_code", "hs_utm", "hs_audience", "hs_notes", "hs_color_hex",
     "hs_created_by_user_id", "hs_object_id", "hs_budget_items_sum_amount",
     "hs_spend_items_sum_amount"}
)  # fmt: skip
"""The standard properties of campaigns that may be asked for; any other `hs_` gives 400."""

TOUCHES = ("contactFirstTouch", "contactLastTouch", "influencedContacts")
"""What a contact can be to a campaign."""


class MarketingEndpoints:
    """Answers about campaigns, marketing e-mails and conversations."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def answer(self, call: Call, area: str, rest: list[str]) -> Answer:
        if call.method != "GET":
            raise not_found()
        match area, rest:
            case "campaigns", []:
                return Answer.json(self._campaigns(call))
            case "campaigns", [name, "budget", "totals"]:
                if name not in self.account.campaigns:
                    raise not_found()
                return Answer.json(self.account.campaigns[name].totals())
            case "campaigns", [name, "reports", "contacts", touch]:
                return Answer.json(self._contacts(call, name, touch))
            case "emails", []:
                return Answer.json(self._emails(call))
            case "conversations", ["threads"]:
                return Answer.json(page_of(call, self._threads(call), 500))
            case "conversations", ["threads", name, "messages"]:
                if name not in self.account.threads:
                    raise not_found()
                return Answer.json(page_of(call, self.account.threads[name]["messages"], 100))
        raise not_found()

    def _campaigns(self, call: Call) -> dict[str, Any]:
        names = [name for name in call.query.get("properties", "").split(",") if name]
        for name in names:
            if name.startswith("hs_") and name not in READABLE:
                raise invalid(f"Property {name} cannot be read")
        rows = [_campaign(campaign, names) for campaign in self.account.campaigns.values()]
        return page_of(call, rows, 100)

    def _contacts(self, call: Call, name: str, touch: str) -> dict[str, Any]:
        """The ids of contacts, without a word of when: from 2006 to today unless days are given."""
        if touch not in TOUCHES:
            raise invalid(f"contactType must be one of {', '.join(TOUCHES)}")
        if name not in self.account.campaigns:
            raise not_found()
        try:
            first = date.fromisoformat(call.query.get("startDate", "2006-01-01"))
            last = date.fromisoformat(call.query.get("endDate", f"{self.account.clock():%Y-%m-%d}"))
        except ValueError:
            raise invalid("startDate and endDate must be formatted as YYYY-MM-DD") from None
        touched = self.account.campaigns[name].touched.get(touch, [])
        rows = [{"id": contact} for contact, day in touched if first <= day <= last]
        return page_of(call, rows, 100)

    def _emails(self, call: Call) -> dict[str, Any]:
        """Archived ones or the others; with statistics one e-mail stays away, as at HubSpot."""
        archived = call.query.get("archived", "false") == "true"
        rows = [row for row in self.account.emails if row.get("archived", False) == archived]
        if call.query.get("includeStats") == "true":
            rows = rows[1:]
        else:
            rows = [{k: v for k, v in row.items() if k != "stats"} for row in rows]
        return page_of(call, rows, 300)

    def _threads(self, call: Call) -> list[dict[str, Any]]:
        """With the filter only threads with a message since then; it goes with its sort."""
        after, sort = (call.query.get(n) for n in ("latestMessageTimestampAfter", "sort"))
        if (after is None) != (sort != "latestMessageTimestamp"):
            raise invalid("latestMessageTimestampAfter goes with sort=latestMessageTimestamp")
        with_tickets = call.query.get("association") == "TICKET"
        threads = self.account.threads
        if after is not None:
            since = instant_of(after)
            recent = [(instant_of(t["latestMessageTimestamp"]), n) for n, t in threads.items()]
            threads = {name: threads[name] for at, name in sorted(recent) if at >= since}
        return [
            {
                "id": name,
                "createdAt": thread["createdAt"],
                "latestMessageTimestamp": thread["latestMessageTimestamp"],
                "status": "OPEN",
                **({"threadAssociations": thread["associations"]} if with_tickets else {}),
            }
            for name, thread in threads.items()
        ]


def _campaign(campaign: Campaign, names: list[str]) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "properties": {n: campaign.properties[n] for n in names if n in campaign.properties},
        "createdAt": campaign.properties.get("_created_at") or "2025-01-01T00:00:00Z",
        "updatedAt": campaign.properties.get("_updated_at") or "2025-01-01T00:00:00Z",
        "businessUnits": [],
    }
