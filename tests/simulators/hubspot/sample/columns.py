"""Which custom properties the sample account has, and how a project file names them."""

from __future__ import annotations

from typing import Any

OWN: dict[str, dict[str, str]] = {
    "companies": {
        "string": "business_segment churn_reason",
        "bool": "test_record agreed_to_refer",
        "datetime": "customer_since loyalty_joined",
    },
    "contacts": {"bool": "test_record"},
    "leads": {
        "string": "lead_origin lead_segment source_campaign referring_company",
        "bool": "test_record",
        "datetime": "first_answer became_customer hs_v2_date_entered_2002 "
        "hs_v2_date_entered_2003 hs_v2_date_entered_2004 hs_v2_date_entered_2005",
    },
    "deals": {"string": "deal_origin source_campaign", "bool": "test_record"},
    "line_items": {"bool": "test_record"},
    "products": {"string": "cost_currency", "number": "tier", "bool": "test_record"},
    "orders": {"string": "source_campaign", "datetime": "refunded_on", "bool": "test_record"},
    "subscriptions": {
        "string": "contract cancel_reason",
        "bool": "test_record is_trial",
    },
    "tickets": {
        "string": "product_ref",
        "bool": "test_record was_escalated opened_by_agent is_spam_ticket",
        "datetime": "escalated_on",
    },
    "calls": {
        "string": "touch_result contact_group touch_direction",
        "number": "hold_s wrap_s queue_s",
        "datetime": "ended_on",
        "bool": "test_record is_done",
    },
    **{
        kind: {
            "string": "touch_result contact_group touch_direction",
            "datetime": "ended_on",
            "bool": "test_record is_done",
        }
        for kind in ("emails", "meetings", "tasks", "notes", "communications")
    },
    "feedback_submissions": {"string": "product_ref", "bool": "test_record"},
    "goal_targets": {"string": "other_kpi"},
    "forecasts": {"string": "category"},
    "users": {"string": "crm_role seat_kind", "bool": "has_seat"},
}
"""Custom properties: object -> type -> names."""

TOUCHES: dict[str, str] = {
    "string": "campaign_guid lead_ref contact_ref",
    "datetime": "sent_on delivered_on bounced_on opened_on clicked_on answered_on left_on "
    "complained_on",
    "bool": "test_record",
}
"""The properties of the custom object `touches`: who a campaign reached, and what they did."""

FORMER_CUSTOMER = "183054321"
"""The id of the account's own lifecycle stage `Former customer`."""

_DONE = {
    "is_completed": "is_done",
    "direction": "touch_direction",
    "outcome": "touch_result",
    "ended_at": "ended_on",
    "interaction_id": "contact_group",
    "hold_seconds": "hold_s",
    "wrap_seconds": "wrap_s",
    "queue_seconds": "queue_s",
}
_TEST = {"is_test": "coalesce(test_record, false)"}

COLUMNS: dict[str, dict[str, str]] = {
    "accounts": {
        **_TEST,
        "account_type": "case lifecyclestage when 'customer' then 'customer' "
        f"when '{FORMER_CUSTOMER}' then 'former_customer' when 'other' then 'partner' "
        "else 'prospect' end",
        "segment": "business_segment",
        "customer_since_at": "customer_since",
        "is_referenceable": "agreed_to_refer",
        "loyalty_joined_at": "loyalty_joined",
        "churn_reason": "churn_reason",
    },
    "contacts": {**_TEST},
    "leads": {
        **_TEST,
        "lead_source": "lead_origin",
        "segment": "lead_segment",
        "campaign_id": "source_campaign",
        "first_response_at": "first_answer",
        "became_customer_at": "became_customer",
        "referred_by_account_id": "referring_company",
    },
    "opportunities": {**_TEST, "lead_source": "deal_origin", "campaign_id": "source_campaign"},
    "products": {**_TEST, "tier_rank": "tier", "currency": "cost_currency"},
    "orders": {**_TEST, "campaign_id": "source_campaign", "refunded_at": "refunded_on"},
    "subscriptions": {
        **_TEST,
        "subscription_id": "contract",
        "cancel_reason": "cancel_reason",
        "is_trial": "is_trial",
    },
    "cases": {
        **_TEST,
        "product_id": "product_ref",
        "is_escalated": "was_escalated",
        "escalated_at": "escalated_on",
        "is_created_by_agent": "opened_by_agent",
        "is_spam": "is_spam_ticket",
    },
    "activities": {**_TEST, **_DONE},
    "survey_responses": {**_TEST, "product_id": "product_ref"},
    "quotas": {"kpi_id": "coalesce(goal_kpi, other_kpi)"},
    "forecasts": {"forecast_category": "category"},
    "campaigns": {"channel": "campaign_channel"},
    "campaign_members": {
        **_TEST,
        "campaign_id": "campaign_guid",
        "lead_id": "lead_ref",
        "contact_id": "contact_ref",
        "sent_at": "sent_on",
        "delivered_at": "delivered_on",
        "bounced_at": "bounced_on",
        "opened_at": "opened_on",
        "clicked_at": "clicked_on",
        "responded_at": "answered_on",
        "unsubscribed_at": "left_on",
        "complained_at": "complained_on",
    },
    "users": {"role": "crm_role", "user_type": "seat_kind", "is_licensed": "has_seat"},
}
"""Canonical columns of the sample that stand in custom properties: `columns:` per dataset."""

LEFT_OUT = ("web_sessions", "training_enrollments", "expenses", "benefits")
"""Datasets that HubSpot does not hold at all."""


def source_section(base_url: str, token: str) -> dict[str, Any]:
    """The source of a project file that reads the sample account whole."""
    datasets: dict[str, Any] = {name: {"columns": map_} for name, map_ in COLUMNS.items()}
    datasets["campaign_members"]["object"] = "touches"
    return {
        "connector": "hubspot",
        "base_url": base_url,
        "auth": {"token": token},
        "leads_from": "leads",
        "case_messages_from": ["conversations"],
        "lead_stages": {
            "mql_at": ["Qualified"],
            "sql_at": ["Accepted"],
            "disqualified_at": ["Disqualified"],
            "converted_at": ["Converted"],
        },
        "ticket_stages": {
            "New": "new",
            "Open": "open",
            "Waiting": "pending",
            "Third party": "on_hold",
            "Solved": "solved",
        },
        "surveys": {
            "Was it solved?": {"type": "resolution", "min": 0, "max": 1},
            "Reviews": {"type": "review", "min": 1, "max": 5},
        },
        "test_email_domains": ["test.example.com"],
        "datasets": datasets,
    }
