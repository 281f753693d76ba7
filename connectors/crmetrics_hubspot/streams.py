"""Which objects feed which dataset: one line per stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from crmetrics_hubspot import mapping
from crmetrics_hubspot.mapping import ENVELOPE, Entries, Entry
from crmetrics_hubspot.options import HubSpotOptions, SurveyRule

CONTACTS_SCOPE = "crm.objects.contacts.read"


@dataclass(frozen=True)
class Stream:
    """The records of one object type on their way into one dataset.

    requires: fields of which one must have a value for a record to belong here. prefix: before the
    id, where several objects with ids of their own share a dataset.
    """

    kind: str
    scope: str
    entries: Entries
    requires: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def all_entries(self) -> Entries:
        """The entries with the envelope, ids prefixed."""
        own_id = {"id": f"'{self.prefix}' || id"} if self.prefix else {}
        return {**ENVELOPE, **own_id, **self.entries}

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.all_entries)


STREAMS: Mapping[str, tuple[Stream, ...]] = {
    "accounts": (Stream("companies", "crm.objects.companies.read", mapping.COMPANIES),),
    "contacts": (Stream("contacts", CONTACTS_SCOPE, mapping.CONTACTS),),
    "leads": (
        Stream(
            "contacts",
            CONTACTS_SCOPE,
            mapping.LEADS_OF_CONTACTS,
            requires=tuple(
                name
                for stage in ("lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity")
                for name in (f"hs_v2_date_entered_{stage}", f"hs_lifecyclestage_{stage}_date")
            ),
        ),
    ),
    "opportunities": (Stream("deals", "crm.objects.deals.read", mapping.DEALS),),
    "opportunity_items": (
        Stream(
            "line_items",
            "crm.objects.line_items.read",
            mapping.LINES_OF_DEALS,
            requires=("associated_deal",),
        ),
    ),
    "products": (Stream("products", "crm.objects.products.read", mapping.PRODUCTS),),
    "orders": (Stream("orders", "crm.objects.orders.read", mapping.ORDERS),),
    "order_items": (
        Stream(
            "line_items",
            "crm.objects.line_items.read",
            mapping.LINES_OF_ORDERS,
            requires=("associated_order",),
        ),
    ),
    "subscriptions": (
        Stream("subscriptions", "crm.objects.subscriptions.read", mapping.SUBSCRIPTIONS),
    ),
    "activities": tuple(
        Stream(kind, CONTACTS_SCOPE, entries, prefix=f"{kind}-")
        for kind, entries in mapping.ENGAGEMENTS.items()
    ),
    "cases": (Stream("tickets", "tickets", mapping.TICKETS),),
    "survey_responses": (
        Stream("feedback_submissions", "crm.objects.feedback_submissions.read", mapping.SURVEYS),
    ),
    "quotas": (
        Stream("goal_targets", "crm.objects.goals.read", mapping.GOALS, requires=("goal_kpi",)),
    ),
    "forecasts": (
        Stream(
            "forecasts",
            "crm.objects.forecasts.read",
            mapping.FORECASTS,
            requires=("forecast_counts",),
        ),
    ),
}
"""The datasets that consist of records of objects; the others have readers of their own."""

_LEADS = Stream("leads", "crm.objects.leads.read", mapping.LEADS)
_RECURRING = Stream(
    "line_items",
    "crm.objects.line_items.read",
    mapping.RECURRING_LINES,
    requires=("deal_is_won",),
)
_MESSAGES = {
    "emails": Stream(
        "emails", CONTACTS_SCOPE, mapping.TICKET_EMAILS, ("associated_ticket",), "emails-"
    ),
    "notes": Stream(
        "notes", CONTACTS_SCOPE, mapping.TICKET_NOTES, ("associated_ticket",), "notes-"
    ),
}
_CUSTOM_SCOPE = "crm.objects.custom.read"


def streams_of(dataset: str, config: HubSpotOptions) -> tuple[Stream, ...]:
    """The streams of a dataset as the project file has them; none for other datasets."""
    own = config.own(dataset)
    if own.object:
        return (Stream(own.object, _CUSTOM_SCOPE, {}),)
    found = STREAMS.get(dataset, ())
    if dataset == "leads" and config.leads_from == "leads":
        found = (_with_entries(_LEADS, dict.fromkeys(config.lead_stages, ())),)
    elif dataset == "subscriptions" and config.subscriptions_from == "line_items":
        found = (_RECURRING,)
    elif dataset == "case_messages":
        wanted = config.case_messages_from
        found = tuple(_MESSAGES[name] for name in wanted if name in _MESSAGES)
    change = _CHANGES.get(dataset)
    return tuple(change(stream, config) for stream in found) if change else found


# --- what the options change ---------------------------------------------------------------------


def _with_entries(stream: Stream, entries: Mapping[str, Entry]) -> Stream:
    return replace(stream, entries={**stream.entries, **entries})


def _contacts(stream: Stream, config: HubSpotOptions) -> Stream:
    if not config.test_email_domains or stream.kind != "contacts":
        return stream
    domains = _listed(domain.lower() for domain in config.test_email_domains)
    test = f"coalesce(lower(split_part(email, '@', 2)) in ({domains}), false)"
    return _with_entries(stream, {"is_test": test})


def _deals(stream: Stream, config: HubSpotOptions) -> Stream:
    if config.default_close_date == "keep":
        return stream
    return _with_entries(stream, {"close_date": mapping.CLOSE_DATE_UNLESS_DEFAULT})


def _engagements(stream: Stream, config: HubSpotOptions) -> Stream:
    sources = _listed(config.automated_sources)
    if not sources:
        return stream
    automated = f"coalesce(hs_object_source in ({sources}), false)"
    return _with_entries(stream, {"is_automated": automated})


def _messages(stream: Stream, config: HubSpotOptions) -> Stream:
    if stream.kind != "emails":
        return stream
    sources = _listed(config.automated_sources)
    bot = f"when hs_object_source in ({sources}) then 'bot' " if sources else ""
    author = "case when hs_email_direction = 'INCOMING_EMAIL' then 'customer' "
    return _with_entries(stream, {"author_type": f"{author}{bot}else 'agent' end"})


def _quotas(stream: Stream, config: HubSpotOptions) -> Stream:
    """Which goals are quotas the project file may say itself."""
    says_itself = "kpi_id" in config.own("quotas").columns
    return replace(stream, requires=()) if says_itself else stream


def _forecasts(stream: Stream, config: HubSpotOptions) -> Stream:
    """Whose forecasts they are the project file may say itself."""
    says_itself = "owner_id" in config.own("forecasts").columns
    return replace(stream, requires=()) if says_itself else stream


def _surveys(stream: Stream, config: HubSpotOptions) -> Stream:
    """Type and scale by survey, as the project file says, else by HubSpot's own survey type."""
    rules = list(config.surveys.items())
    own = {kind: SurveyRule(type=name, min=low, max=high)
           for kind, (name, low, high) in mapping.SURVEY_TYPES.items()}  # fmt: skip

    def cases(value: Callable[[SurveyRule], str], otherwise: str) -> str:
        named = [
            f"when hs_survey_name = {_quoted(name)} or hs_survey_id = {_quoted(name)} "
            f"then {value(rule)}"
            for name, rule in rules
        ]
        typed = [f"when hs_survey_type = '{kind}' then {value(rule)}" for kind, rule in own.items()]
        return f"case {' '.join([*named, *typed])} else {otherwise} end"

    return _with_entries(
        stream,
        {
            "survey_type": cases(lambda rule: f"'{rule.type}'", "lower(hs_survey_type)"),
            "scale_min": cases(lambda rule: f"{rule.min:g}", "null"),
            "scale_max": cases(lambda rule: f"{rule.max:g}", "null"),
        },
    )


_CHANGES: Mapping[str, Callable[[Stream, HubSpotOptions], Stream]] = {
    "contacts": _contacts,
    "leads": _contacts,
    "opportunities": _deals,
    "activities": _engagements,
    "case_messages": _messages,
    "quotas": _quotas,
    "forecasts": _forecasts,
    "survey_responses": _surveys,
}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(_quoted(name) for name in names)


# --- datasets with readers of their own ----------------------------------------------------------


@dataclass(frozen=True)
class Special:
    """A dataset that is not one object's records: what it gives, and the scopes it needs."""

    columns: tuple[str, ...]
    scopes: tuple[str, ...]
    kind: str = ""
    incremental: bool = False
    fields: tuple[str, ...] = field(default=())


_COMMON = ("id", "is_deleted", "updated_at")

SPECIAL: Mapping[str, Special] = {
    "opportunity_stage_history": Special(
        (*_COMMON, "opportunity_id", "stay_id", "stage", "entered_at", "exited_at", "is_closed",
         "is_won", "amount", "probability", "close_date"),
        ("crm.objects.deals.read",), "deals", True,
    ),
    "case_status_history": Special(
        (*_COMMON, "case_id", "status", "status_category", "entered_at", "exited_at"),
        ("tickets",), "tickets", True,
    ),
    "campaigns": Special(
        ("id", "updated_at", "name", "channel", "start_date", "end_date", "budgeted_cost",
         "currency"),
        ("marketing.campaigns.read",),
    ),
    "campaign_members": Special(
        ("id", "is_deleted", "updated_at", "campaign_id", "lead_id", "contact_id", "sent_at",
         "delivered_at", "bounced_at", "opened_at", "clicked_at", "responded_at",
         "unsubscribed_at", "complained_at"),
        ("content", CONTACTS_SCOPE), incremental=True,
    ),
    "marketing_spend": Special(
        ("id", "updated_at", "spend_date", "campaign_id", "channel", "amount", "currency"),
        ("marketing.campaigns.read",),
    ),
    "users": Special(
        ("id", "updated_at", "team", "user_type", "created_at", "deactivated_at"),
        ("crm.objects.owners.read",),
    ),
    "user_activity": Special(
        ("id", "updated_at", "user_id", "activity_type", "object_type", "occurred_at",
         "is_success"),
        ("account-info.security.read", "crm.objects.owners.read"),
    ),
    "exchange_rates": Special(
        ("currency", "valid_from", "rate"), ("multi-currency-read",)
    ),
    "case_messages": Special(
        ("id", "updated_at", "case_id", "sent_at", "author_type", "user_id", "is_public"),
        ("conversations.read",),
    ),
}  # fmt: skip
