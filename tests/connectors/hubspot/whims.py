"""What people do to an account between two runs, by dice."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from crmetrics.testing.request import STARTED
from simulators.hubspot import ALL_SCOPES, Campaign, HubSpotSimulator, Pipeline, Stage
from simulators.hubspot.records import iso

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MINUTE, MILLISECOND = timedelta(minutes=1), timedelta(milliseconds=1)
STAGES = ("1", "2", "3")
TOKEN = "pat-na1-of-the-walk"
CAMPAIGNS, EMAILS = "marketing.campaigns.read", "content"
DEALS, LOGINS = "crm.objects.deals.read", "account-info.security.read"
TICKETS = "tickets"
SYSTEM = "SINGLE_SEND_API"
LOGIN_DAYS = 15  # after which HubSpot forgets a login, here

FURTHER = {
    "opportunities": ("closed_at",),
    "case_status_history": ("exited_at", "status_category"),
    "user_activity": ("is_success",),
    "campaigns": ("start_date",),
    "campaign_members": ("opened_at",),
}
"""Dataset -> columns that KPIs may ask for some day."""


class Whims:
    """An account, its users and its admin.

    Whatever happens does so between 16 and 50 minutes ago: after the last run, and before what a
    read holds back or reads again. lacks: scopes of the token. columns: dataset -> entries of
    `columns:`. more: dataset -> further columns that are asked for. has_log: `email_events`.
    told: what happened, for the reader of a failure.
    """

    def __init__(self, service: HubSpotSimulator, seed: int) -> None:
        self.service, self.account = service, service.account
        self.dice = random.Random(seed)
        self.told: list[str] = []
        self.lacks: set[str] = set()
        self.columns: dict[str, dict[str, str]] = {}
        self.more: dict[str, set[str]] = {name: set() for name in FURTHER}
        self.has_log = True
        self._number = 5000
        service.clock.now = STARTED
        self.account.login_days = LOGIN_DAYS
        stages = [Stage(name, f"Stage {name}", {"ticketState": "OPEN"}) for name in STAGES]
        self.account.pipelines["tickets"] = [Pipeline("0", "Support", stages)]
        self._grant()
        for _ in range(3):
            self.new_campaign()
            self.new("deals")
            self.new("tickets")
        for _ in range(4):
            self.new_email()
        for _ in range(6):
            self.send()
            self.log_in()

    def day(self) -> None:
        """Some hours or days pass, and some things happen."""
        self.service.clock.now += self.dice.choice([3 * HOUR, DAY, 25 * HOUR, 12 * DAY])
        for _ in range(self.dice.randrange(2, 9)):
            whim = self.dice.choice(_ALL)
            self.told.append(f"{self.now:%m-%d %H:%M} {whim.__name__} {whim(self) or ''}")

    @property
    def now(self) -> datetime:
        return self.service.clock()

    def _at(self) -> datetime:
        return self.now - self.dice.randrange(16 * 60_000, 50 * 60_000) * MILLISECOND

    # --- deals and tickets ---------------------------------------------------------------------

    def ids(self, kind: str, *, in_bin: bool) -> list[str]:
        found = self.account.objects[kind].records.values()
        return [one.id for one in found if (one.archived_at is not None) == in_bin]

    def new(self, kind: str) -> str:
        values = {"amount": str(self.dice.randrange(1, 999))}
        if kind == "tickets":
            values = {"hs_pipeline": "0", "hs_pipeline_stage": self.dice.choice(STAGES)}
        return self.account.create(kind, values, at=self._at()).id

    def new_deal(self) -> str:
        return self.new("deals")

    def edit_deal(self) -> str:
        name = self.dice.choice(self.ids("deals", in_bin=False) or [self.new("deals")])
        self.account.update("deals", name, self._at(), amount=str(self.dice.randrange(1, 999)))
        return name

    def move_ticket(self) -> str:
        """Once, or to and fro: HubSpot tells the last 20 stages."""
        name = self.dice.choice(self.ids("tickets", in_bin=False)[:1] or [self.new("tickets")])
        times = self.dice.choice([1, 6, 9, 12])
        for at in sorted({self._at() for _ in range(times)}):
            self.account.update("tickets", name, at, hs_pipeline_stage=self.dice.choice(STAGES))
        return f"{name} {times} times"

    def put_in_bin(self) -> str:
        kind = self._kind()
        name = self.dice.choice(self.ids(kind, in_bin=False) or [self.new(kind)])
        self.account.archive(kind, name, self.now - 15 * MINUTE)
        return f"{kind} {name}"

    def restore(self) -> str:
        kind = self._kind()
        if not (names := self.ids(kind, in_bin=True)):
            return self.put_in_bin()
        name = self.dice.choice(names)
        self.account.restore(kind, name)
        return f"{kind} {name}"

    def purge(self) -> str:
        kind = self._kind()
        name = self.dice.choice([*self.account.objects[kind].records] or [self.new(kind)])
        self.account.purge(kind, name)
        return f"{kind} {name}"

    def merge(self) -> str:
        kind = self._kind()
        two = [(self.ids(kind, in_bin=False) or [self.new(kind)])[-1], self.new(kind)]
        return f"{kind} {two} to {self.account.merge(kind, *two, at=self.now - 15 * MINUTE)}"

    def _kind(self) -> str:
        return self.dice.choice(["deals", "tickets"])

    # --- campaigns, e-mails, sends -------------------------------------------------------------

    def new_campaign(self) -> str:
        name = f"g{self._next()}"
        self.account.campaigns[name] = Campaign(name, {"hs_name": f"Campaign {name}"})
        return name

    def rename_campaign(self) -> str:
        name = self.dice.choice([*self.account.campaigns] or [self.new_campaign()])
        self.account.campaigns[name].properties["hs_name"] = f"Campaign {self._next()}"
        return name

    def drop_campaign(self) -> str:
        name = self.dice.choice([*self.account.campaigns, ""])
        self.account.campaigns.pop(name, None)
        for email in self.account.emails:
            if email.get("campaign") == name:
                email["campaign"] = ""
        return name

    def new_email(self) -> str:
        """One that is listed at once, or late: its first sends were of no list."""
        unlisted = sorted(set(self.account.log.campaigns) - self._listed())
        name = str(self._next())
        if unlisted and self.dice.random() < 0.3:
            name = self.dice.choice(unlisted)
        made = iso(STARTED - 99 * DAY)
        self.account.emails.append(
            {"id": f"7{name}", "name": f"E-mail {name}", "type": "BATCH_EMAIL", "createdAt": made,
             "updatedAt": made, "allEmailCampaignIds": [name], "isTransactional": False,
             "campaign": self._some_campaign()}
        )  # fmt: skip
        return name

    def move_email(self) -> str:
        email = self._some_email()
        email["campaign"] = self._some_campaign()
        return f"{email['id']} to {email['campaign']}"

    def turn_email(self) -> str:
        """Transactional from now on, or no longer."""
        email = self._some_email()
        email["isTransactional"] = not email["isTransactional"]
        return f"{email['id']} {email['isTransactional']}"

    def drop_email(self) -> str:
        email = self._some_email()
        self.account.emails.remove(email)
        return str(email["id"])

    def send(self) -> str:
        names = sorted({*self._listed(), *self.account.log.campaigns})
        name = self.dice.choice([*names, *names, str(self._next())])
        kinds = ("BATCH_EMAIL", "AUTOMATED_EMAIL", SYSTEM)
        self.account.log.types.setdefault(name, self.dice.choice(kinds))
        to = f"r{self.dice.randrange(4)}@example.com"
        sent = self.account.log.add("SENT", to, name, self._at())
        return f"{name} {sent['id'][:8]}"

    def _listed(self) -> set[str]:
        return {name for email in self.account.emails for name in email["allEmailCampaignIds"]}

    def _some_campaign(self) -> str:
        return self.dice.choice([*self.account.campaigns, ""])

    def _some_email(self) -> dict[str, Any]:
        if not self.account.emails:
            self.new_email()
        return self.dice.choice(self.account.emails)

    def _next(self) -> int:
        self._number += 1
        return self._number

    # --- people, and the admin -----------------------------------------------------------------

    def log_in(self) -> str:
        name = str(self._next())
        entry = {"id": name, "userId": 900, "loginAt": iso(self._at()), "loginSucceeded": True}
        self.account.logins.append(entry)
        return name

    def scope(self) -> str:
        """One more, or one less."""
        self.lacks ^= {
            self.dice.choice([CAMPAIGNS, CAMPAIGNS, EMAILS, EMAILS, DEALS, LOGINS, TICKETS])
        }
        self._grant()
        return f"lacks {sorted(self.lacks)}"

    def all_scopes(self) -> None:
        self.lacks.clear()
        self._grant()

    def _grant(self) -> None:
        self.service.grant(TOKEN, ALL_SCOPES - self.lacks)

    def map_columns(self) -> str:
        dataset, column, texts = self.dice.choice(
            [("campaigns", "channel", ["'paid'", "'organic'"]),
             ("opportunities", "amount", ["amount * 2", "amount * 3"]),
             ("case_status_history", "status", ["'a'", "'b'"]),
             ("user_activity", "object_type", ["'a'", "'b'"])]
        )  # fmt: skip
        text = self.dice.choice([*texts, ""])
        self.columns[dataset] = {column: text} if text else {}
        return f"{dataset}.{column}: {text}"

    def ask_more(self) -> str:
        """A KPI asks for one more column."""
        pairs = [(name, column) for name, columns in FURTHER.items() for column in columns]
        dataset, column = self.dice.choice(pairs)
        self.more[dataset].add(column)
        return f"{dataset}.{column}"

    def turn_log(self) -> str:
        """`email_events`, mostly on."""
        self.has_log = not self.has_log or self.dice.random() < 0.6
        return str(self.has_log)

    def end_log(self) -> str:
        """Some day, for good."""
        is_time = self.now - STARTED > 40 * DAY and self.dice.random() < 0.5
        self.account.log.is_ended |= is_time
        return str(self.account.log.is_ended)


_ALL = (
    *(Whims.new_deal, Whims.edit_deal, Whims.move_ticket, Whims.move_ticket, Whims.move_ticket),
    *(Whims.put_in_bin, Whims.restore, Whims.purge, Whims.merge),
    *(Whims.new_campaign, Whims.rename_campaign, Whims.drop_campaign),
    *(Whims.new_email, Whims.move_email, Whims.turn_email, Whims.drop_email),
    *(Whims.send, Whims.send, Whims.send, Whims.log_in),
    *(Whims.scope, Whims.scope, Whims.map_columns, Whims.ask_more, Whims.ask_more),
    *(Whims.turn_log, Whims.end_log),
)
