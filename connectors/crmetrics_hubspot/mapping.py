"""Canonical columns from HubSpot's properties, per object: SQL over one record's fields.

An entry is a property, or an expression over properties and the fields that the connector adds
(`associated_company`, `stage_label`, `company_currency`, ...). Several entries are alternatives:
the first whose properties the account has is taken. A column of which the account has none is not
supplied, and `check` says so. `columns:` of the project file comes before all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Entry = str | tuple[str, ...]
Entries = Mapping[str, Entry]

_WORD = re.compile(r"[a-z_][a-z0-9_]*(?!\w*\s*\()")
_SQL = frozenset(
    {"and", "bool", "case", "date", "double", "else", "end", "false", "in", "is", "not", "null",
     "or", "then", "timestamptz", "true", "varchar", "when"}
)  # fmt: skip


def alternatives(entry: Entry) -> tuple[str, ...]:
    return (entry,) if isinstance(entry, str) else entry


def fields_in(text: str) -> tuple[str, ...]:
    """The fields that one of the expressions below reads: words that are neither SQL, functions nor
    inside quotes."""
    bare = re.sub(r"'[^']*'", "", text)
    return tuple(dict.fromkeys(w for w in _WORD.findall(bare) if w not in _SQL))


ENVELOPE: Entries = {"id": "id", "is_deleted": "archived", "updated_at": "changed_at"}
_NOBODY = "null::varchar"  # what was merged comes as a row of its own

_LIFECYCLE = (
    "case lower(lifecyclestage) when 'marketingqualifiedlead' then 'mql' "
    "when 'salesqualifiedlead' then 'sql' else lower(lifecyclestage) end"
)


def _first_entry(stage: str) -> tuple[str, ...]:
    """The first entry into a default lifecycle stage.

    The newer property moves when a stage is entered again, the older one is not always filled.
    """
    new, old = f"hs_v2_date_entered_{stage}", f"hs_lifecyclestage_{stage}_date"
    return (f"least({new}, {old})", new, old)


COMPANIES: Entries = {
    "account_type": "case lower(lifecyclestage) when 'customer' then 'customer' "
    "when 'evangelist' then 'customer' when 'other' then 'other' "
    "else case when lifecyclestage is null then null else 'prospect' end end",
    "industry": "industry",
    "country": "country",
    "owner_id": "hubspot_owner_id",
    "parent_account_id": "hs_parent_company_id",
    "created_at": "createdate",
    "customer_since_at": _first_entry("customer"),
    "merged_into_id": _NOBODY,
}

CONTACTS: Entries = {
    "account_id": (
        "coalesce(associatedcompanyid, associated_company)",
        "associated_company",
        "associatedcompanyid",
    ),
    "owner_id": "hubspot_owner_id",
    "lifecycle_stage": _LIFECYCLE,
    "email_opted_out": "coalesce(hs_email_optout, false)",
    "created_at": "createdate",
    "merged_into_id": _NOBODY,
}

LEADS_OF_CONTACTS: Entries = {
    "lead_source": "hs_analytics_source",
    "campaign_id": "first_touch_campaign",
    "account_id": (
        "coalesce(associatedcompanyid, associated_company)",
        "associated_company",
        "associatedcompanyid",
    ),
    "owner_id": "hubspot_owner_id",
    "status": "hs_lead_status",
    "created_at": (
        *(f"coalesce({text}, createdate)" for text in _first_entry("lead")),
        "createdate",
    ),
    "mql_at": _first_entry("marketingqualifiedlead"),
    "sql_at": _first_entry("salesqualifiedlead"),
    "converted_at": _first_entry("opportunity"),
    "became_customer_at": _first_entry("customer"),
    "first_response_at": "hs_sa_first_engagement_date",
    "converted_opportunity_id": "associated_deal",
    "disqualified_at": "unqualified_at",
    "merged_into_id": _NOBODY,
}

LEADS: Entries = {
    "campaign_id": "first_touch_campaign",
    "account_id": "associated_company",
    "owner_id": "hubspot_owner_id",
    "status": "stage_label",
    "created_at": ("hs_createdate", "createdate"),
    "converted_opportunity_id": "associated_deal",
    "merged_into_id": _NOBODY,
}
"""`mql_at`, `sql_at`, `disqualified_at` and `converted_at` come from the lead pipelines' stages."""

_IS_CLOSED = ("coalesce(stage_is_closed, hs_is_closed, false)", "coalesce(stage_is_closed, false)")
_IS_WON = ("coalesce(stage_is_won, hs_is_closed_won, false)", "coalesce(stage_is_won, false)")

DEALS: Entries = {
    "account_id": "associated_company",
    "owner_id": "hubspot_owner_id",
    "pipeline": "pipeline_label",
    "stage": "stage_label",
    "opportunity_type": "case lower(dealtype) when 'newbusiness' then 'new_business' "
    "when 'existingbusiness' then 'expansion' when 'expansion' then 'expansion' "
    "when 'renewal' then 'renewal' else case when dealtype is null then null else 'other' end end",
    "lead_source": "hs_analytics_source",
    "amount": "amount",
    "currency": ("coalesce(deal_currency_code, company_currency)", "company_currency"),
    "probability": (
        "coalesce(hs_deal_stage_probability, stage_probability)",
        "stage_probability",
    ),
    "forecast_category": "case lower(hs_manual_forecast_category) when 'omit' then 'omitted' "
    "else lower(hs_manual_forecast_category) end",
    "is_closed": _IS_CLOSED,
    "is_won": _IS_WON,
    "close_date": "closedate",
    "closed_at": tuple(
        f"case when {closed} then {at} end"
        for at in ("coalesce(hs_v2_date_entered_current_stage, closedate)", "closedate")
        for closed in _IS_CLOSED
    ),
    "lost_reason": "closed_lost_reason",
    "created_at": "createdate",
}

CLOSE_DATE_UNLESS_DEFAULT = (
    "case when not coalesce(stage_is_closed, false) and close_date_is_default "
    "then null else closedate end"
)
"""HubSpot sets the last day of the month of creation by itself; nobody has promised that day."""

_LINE: dict[str, Entry] = {
    "product_id": "hs_product_id",
    "quantity": "coalesce(quantity, 1)",
    "total_amount": (
        "coalesce(amount, price::decimal(28, 10) * coalesce(quantity::decimal(28, 10), 1))",
        "amount",
    ),
}
LINES_OF_DEALS: Entries = {
    **_LINE,
    "opportunity_id": "associated_deal",
    "currency": ("coalesce(hs_line_item_currency_code, company_currency)", "company_currency"),
}
LINES_OF_ORDERS: Entries = {
    **_LINE,
    "order_id": "associated_order",
    "unit_cost": "hs_cost_of_goods_sold",
}

PRODUCTS: Entries = {
    "name": "name",
    "family": "hs_product_type",
    "unit_cost": "hs_cost_of_goods_sold",
    "currency": "company_currency",
}

ORDERS: Entries = {
    "account_id": ("coalesce(associated_company, company_of_contact)", "associated_company"),
    "opportunity_id": "associated_deal",
    "ordered_at": ("coalesce(hs_external_created_date, hs_createdate)", "hs_createdate"),
    "status": "case when hs_external_order_status is null then 'placed' "
    "else case lower(hs_external_order_status) when 'paid' then 'paid' "
    "when 'fulfilled' then 'fulfilled' when 'shipped' then 'fulfilled' "
    "when 'delivered' then 'fulfilled' when 'completed' then 'fulfilled' "
    "when 'cancelled' then 'cancelled' when 'canceled' then 'cancelled' "
    "when 'draft' then 'draft' else 'placed' end end",
    "total_amount": (
        "hs_total_price - coalesce(hs_tax, 0) - coalesce(hs_shipping_cost, 0)",
        "hs_total_price - coalesce(hs_shipping_cost, 0)",
        "hs_total_price - coalesce(hs_tax, 0)",
        "hs_total_price",
    ),
    "refunded_amount": "hs_refund_amount",
    # HubSpot keeps no day of it: the amount counts on the day of the order.
    "refunded_at": "null::timestamptz",
    "currency": ("coalesce(hs_currency_code, company_currency)", "company_currency"),
}

_MONTHS = (
    "case lower(hs_recurring_billing_frequency) when 'weekly' then 12.0 / 52 "
    "when 'biweekly' then 24.0 / 52 when 'monthly' then 1 when 'quarterly' then 3 "
    "when 'per_six_months' then 6 when 'annually' then 12 when 'per_two_years' then 24 "
    "when 'per_three_years' then 36 when 'per_four_years' then 48 "
    "when 'per_five_years' then 60 end"
)
SUBSCRIPTIONS: Entries = {
    "subscription_id": "id",
    "account_id": ("coalesce(associated_company, company_of_contact)", "associated_company"),
    "product_id": "hs_product_id",
    "start_date": "hs_recurring_billing_start_date",
    "end_date": (
        "coalesce(hs_recurring_billing_end_date, subscription_ended_on)",
        "subscription_ended_on",
        "hs_recurring_billing_end_date",
    ),
    "mrr": (
        f"coalesce(hs_mrr, hs_recurring_revenue / ({_MONTHS}))",
        "hs_mrr",
        f"hs_recurring_revenue / ({_MONTHS})",
    ),
    "quantity": "quantity",
    "is_trial": "coalesce(lower(hs_status) in ('trial', 'trialing', 'in_trial'), false)",
    "currency": ("coalesce(hs_currency_code, company_currency)", "company_currency"),
}
RECURRING_LINES: Entries = {
    "subscription_id": "id",
    "account_id": "company_of_deal",
    "product_id": "hs_product_id",
    "start_date": "hs_recurring_billing_start_date",
    "end_date": "hs_recurring_billing_end_date",
    "mrr": "hs_mrr",
    "quantity": "quantity",
    "currency": ("coalesce(hs_line_item_currency_code, company_currency)", "company_currency"),
}

_IS_OVER = (
    "coalesce(stage_is_closed, hs_is_closed, closed_date is not null)",
    "coalesce(stage_is_closed, closed_date is not null)",
    "coalesce(stage_is_closed, false)",
)
"""Of a ticket whose stage no pipeline has any more, HubSpot's own flag or the end that it keeps."""

TICKETS: Entries = {
    "account_id": "associated_company",
    "contact_id": "associated_contact",
    "owner_id": "hubspot_owner_id",
    "team": "team_label",
    "channel": "case lower(source_type) when 'form' then 'web' else lower(source_type) end",
    "category": "hs_ticket_category",
    "priority": "lower(hs_ticket_priority)",
    "status": "stage_label",
    "is_closed": _IS_OVER,
    "created_at": "createdate",
    "first_response_at": "first_agent_reply_date",
    "closed_at": tuple(
        f"case when {over} then {at} end"
        for at in ("coalesce(hs_last_closed_date, closed_date)", "closed_date")
        for over in _IS_OVER
    ),
    "merged_into_id": _NOBODY,
}

_TIED: dict[str, Entry] = {
    "user_id": "hubspot_owner_id",
    "account_id": "associated_company",
    "contact_id": "associated_contact",
    "lead_id": "associated_lead",
    "opportunity_id": "associated_deal",
    "case_id": "associated_ticket",
}
_DISPOSITIONS = {
    "f240bbac-87c9-4f6e-bf70-924b57d47db7": "connected",
    "a4c4c377-d246-4b32-a13b-75a56a4cd0ff": "connected",
    "73a0d17f-1163-4015-bdd5-ec830791da20": "no_answer",
    "9d9162e7-6cf3-4944-bf63-4dff82258764": "no_answer",
    "b2cf5968-551e-4856-9783-52b3da59a7d0": "no_answer",
    "17b47fee-58de-441e-a44c-c6300d46f273": "no_answer",
}
"""HubSpot's own call outcomes; an account's further ones keep their id or text."""

_WHEN = " ".join(f"when '{name}' then '{word}'" for name, word in _DISPOSITIONS.items())
_NOT_MADE = "'QUEUED', 'SCHEDULED', 'RINGING', 'CONNECTING', 'IN_PROGRESS', 'CANCELED'"

ENGAGEMENTS: Mapping[str, Entries] = {
    "calls": {
        **_TIED,
        "activity_type": "'call'",
        "direction": "lower(hs_call_direction)",
        "occurred_at": "hs_timestamp",
        "is_completed": f"coalesce(upper(hs_call_status), '') not in ({_NOT_MADE})",
        "outcome": f"case hs_call_disposition {_WHEN} else hs_call_disposition end",
        "talk_seconds": "hs_call_duration / 1000",
    },
    "emails": {
        **_TIED,
        "activity_type": "'email'",
        "direction": "case hs_email_direction when 'INCOMING_EMAIL' then 'inbound' "
        "when 'EMAIL' then 'outbound' when 'FORWARDED_EMAIL' then 'outbound' end",
        "occurred_at": "hs_timestamp",
        "is_completed": "coalesce(hs_email_status, '') not in ('SCHEDULED', 'SENDING')",
        "outcome": "case when hs_email_status in ('BOUNCED', 'FAILED') then 'bounced' "
        "when hs_email_direction = 'INCOMING_EMAIL' then 'replied' end",
    },
    "meetings": {
        **_TIED,
        "activity_type": "'meeting'",
        "occurred_at": ("coalesce(hs_meeting_start_time, hs_timestamp)", "hs_timestamp"),
        "ended_at": "hs_meeting_end_time",
        "is_completed": "coalesce(hs_meeting_outcome, 'COMPLETED') = 'COMPLETED'",
        "outcome": "case hs_meeting_outcome when 'COMPLETED' then 'connected' "
        "when 'NO_SHOW' then 'no_answer' else lower(hs_meeting_outcome) end",
    },
    "tasks": {
        **_TIED,
        "activity_type": "'task'",
        "occurred_at": (
            "case when hs_task_status = 'COMPLETED' "
            "then coalesce(hs_task_completion_date, hs_timestamp) else hs_timestamp end",
            "hs_timestamp",
        ),
        "is_completed": "coalesce(hs_task_status = 'COMPLETED', false)",
    },
    "notes": {
        **_TIED,
        "activity_type": "'note'",
        "occurred_at": "hs_timestamp",
    },
    "communications": {
        **_TIED,
        "activity_type": "'chat'",
        "occurred_at": "hs_timestamp",
    },
}

SURVEYS: Entries = {
    "score": "hs_value",
    "channel": "case lower(hs_survey_channel) when 'web' then 'web' "
    "else lower(hs_survey_channel) end",
    "responded_at": "hs_submission_timestamp",
    "account_id": "associated_company",
    "contact_id": (
        "coalesce(hs_contact_id, associated_contact)",
        "associated_contact",
        "hs_contact_id",
    ),
    "case_id": (
        "coalesce(hs_ticket_id, associated_ticket)",
        "associated_ticket",
        "hs_ticket_id",
    ),
    "user_id": "owner_of_ticket",
}
SURVEY_TYPES: Mapping[str, tuple[str, float, float]] = {
    "NPS": ("nps", 0, 10),
    "CSAT": ("csat", 1, 5),
    "CES": ("ces", 1, 7),
}
"""HubSpot's survey types with their scales; custom surveys are described in the project file."""

GOALS: Entries = {
    "owner_id": "goal_owner",
    "kpi_id": "goal_kpi",
    "period_start": "goal_first_day",
    "period_end": "goal_end_day",
    "target_amount": "hs_target_amount",
    "currency": (
        "coalesce(hs_goal_target_currency_code, company_currency)",
        "company_currency",
    ),
}

FORECASTS: Entries = {
    "owner_id": "forecast_owner",
    "period_start": "forecast_first_day",
    "period_end": "forecast_end_day",
    "submitted_at": "hs_createdate",
    "forecast_amount": "hs_amount",
    "currency": "company_currency",
}
"""In beta. HubSpot does not say how sure a forecast is: `forecast_category` is to be said under
`columns:`."""

TICKET_EMAILS: Entries = {
    "case_id": "associated_ticket",
    "sent_at": "hs_timestamp",
    "user_id": "hubspot_owner_id",
    "is_public": "true",
}
TICKET_NOTES: Entries = {
    "case_id": "associated_ticket",
    "sent_at": "hs_timestamp",
    "author_type": "'agent'",
    "user_id": "hubspot_owner_id",
    "is_public": "false",
}
