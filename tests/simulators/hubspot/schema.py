"""The standard objects of an account with the properties that the connector and tests use.

Names, types and scopes as in HubSpot's documentation and public specifications; every object also
has properties with personal data, which nobody should ask for.
"""

from __future__ import annotations

from collections.abc import Iterable

from simulators.hubspot.records import ObjectStore, Property

PERSONAL = ("email", "firstname", "lastname", "phone", "dealname", "subject", "content",
            "hs_lead_name", "hs_email_subject", "hs_email_text", "hs_call_body", "hs_note_body",
            "hs_task_body", "hs_communication_body", "hs_meeting_body", "hs_content", "hs_email",
            "hs_given_name", "hs_family_name", "address")  # fmt: skip
"""Properties with names, addresses and texts of people."""

# Object: (type id, scope, created, cursor, default properties, properties by type).
_ENGAGEMENT = {"datetime": "hs_timestamp", "string": "hubspot_owner_id hs_object_source"}
_OBJECTS: dict[str, tuple[str, str, str, str, str, dict[str, str]]] = {
    "companies": ("0-2", "crm.objects.companies.read", "createdate", "hs_lastmodifieddate",
        "name domain", {
        "string": "name domain country city hubspot_owner_id hs_parent_company_id",
        "enumeration": "industry lifecyclestage",
        "number": "numberofemployees annualrevenue num_associated_deals total_revenue",
        "datetime": "closedate hs_v2_date_entered_customer",
        "bool": "hs_current_customer",
    }),
    "contacts": ("0-1", "crm.objects.contacts.read", "createdate", "lastmodifieddate",
        "email firstname lastname", {
        "string": "email firstname lastname phone hubspot_owner_id associatedcompanyid "
                  "hs_calculated_merged_vids",
        "enumeration": "lifecyclestage hs_lead_status hs_analytics_source hs_additional_emails",
        "bool": "hs_email_optout",
        "datetime": "closedate hs_sa_first_engagement_date hs_v2_date_entered_lead "
                    "hs_v2_date_entered_marketingqualifiedlead "
                    "hs_v2_date_entered_salesqualifiedlead hs_v2_date_entered_opportunity "
                    "hs_v2_date_entered_customer hs_lifecyclestage_lead_date",
    }),
    "deals": ("0-3", "crm.objects.deals.read", "createdate", "hs_lastmodifieddate",
        "dealname amount closedate dealstage pipeline", {
        "string": "dealname hubspot_owner_id closed_lost_reason",
        "enumeration": "dealstage pipeline dealtype deal_currency_code hs_analytics_source "
                       "hs_manual_forecast_category",
        "number": "amount amount_in_home_currency hs_deal_stage_probability days_to_close",
        "bool": "hs_is_closed hs_is_closed_won",
        "datetime": "closedate hs_v2_date_entered_current_stage",
    }),
    "tickets": ("0-5", "tickets", "createdate", "hs_lastmodifieddate",
        "subject content hs_pipeline hs_pipeline_stage hs_ticket_priority", {
        "string": "subject content hubspot_owner_id hubspot_team_id",
        "enumeration": "hs_pipeline hs_pipeline_stage hs_ticket_priority hs_ticket_category "
                       "source_type",
        "number": "time_to_close time_to_first_agent_reply",
        "datetime": "closed_date first_agent_reply_date hs_last_closed_date",
    }),
    "line_items": ("0-8", "crm.objects.line_items.read", "createdate", "hs_lastmodifieddate",
        "quantity amount price hs_product_id", {
        "string": "name hs_product_id hs_line_item_currency_code",
        "number": "quantity price amount hs_cost_of_goods_sold hs_mrr hs_arr",
        "enumeration": "recurringbillingfrequency",
        "date": "hs_recurring_billing_start_date hs_recurring_billing_end_date",
    }),
    "products": ("0-7", "crm.objects.products.read", "createdate", "hs_lastmodifieddate",
        "name price", {
        "string": "name hs_sku",
        "enumeration": "hs_product_type recurringbillingfrequency",
        "number": "price hs_cost_of_goods_sold",
    }),
    "orders": ("0-123", "crm.objects.orders.read", "hs_createdate", "hs_lastmodifieddate", "", {
        "string": "hs_external_order_status hs_external_order_id",
        "enumeration": "hs_currency_code hs_pipeline_stage",
        "number": "hs_total_price hs_tax hs_shipping_cost hs_refund_amount",
        "datetime": "hs_external_created_date",
    }),
    "subscriptions": ("0-69", "crm.objects.subscriptions.read", "hs_createdate",
        "hs_lastmodifieddate", "", {
        "string": "hs_product_id",
        "enumeration": "hs_status hs_recurring_billing_frequency hs_currency_code",
        "number": "hs_recurring_revenue hs_mrr quantity",
        "date": "hs_recurring_billing_start_date hs_recurring_billing_end_date",
    }),
    "leads": ("0-136", "crm.objects.leads.read", "hs_createdate", "hs_lastmodifieddate", "", {
        "string": "hs_lead_name hubspot_owner_id",
        "enumeration": "hs_pipeline hs_pipeline_stage hs_lead_type",
    }),
    "feedback_submissions": ("0-19", "crm.objects.feedback_submissions.read", "hs_createdate",
        "hs_lastmodifieddate", "", {
        "string": "hs_survey_id hs_survey_name hs_content hs_contact_id hs_ticket_id",
        "enumeration": "hs_survey_type hs_survey_channel hs_response_group",
        "number": "hs_value",
        "datetime": "hs_submission_timestamp",
    }),
    "calls": ("0-48", "crm.objects.contacts.read", "hs_createdate", "hs_lastmodifieddate", "", {
        **_ENGAGEMENT, "number": "hs_call_duration",
        "enumeration": "hs_call_direction hs_call_disposition hs_call_status hs_call_body",
    }),
    "emails": ("0-49", "crm.objects.contacts.read", "hs_createdate", "hs_lastmodifieddate", "", {
        **_ENGAGEMENT, "enumeration": "hs_email_direction hs_email_status hs_email_subject "
                                      "hs_email_text",
    }),
    "meetings": ("0-47", "crm.objects.contacts.read", "hs_createdate", "hs_lastmodifieddate", "", {
        "string": "hubspot_owner_id hs_object_source hs_meeting_body",
        "datetime": "hs_timestamp hs_meeting_start_time hs_meeting_end_time",
        "enumeration": "hs_meeting_outcome",
    }),
    "tasks": ("0-27", "crm.objects.contacts.read", "hs_createdate", "hs_lastmodifieddate", "", {
        "string": "hubspot_owner_id hs_object_source hs_task_body",
        "datetime": "hs_timestamp hs_task_completion_date",
        "enumeration": "hs_task_status hs_task_type",
    }),
    "notes": ("0-46", "crm.objects.contacts.read", "hs_createdate", "hs_lastmodifieddate", "", {
        **_ENGAGEMENT, "enumeration": "hs_note_body",
    }),
    "communications": ("0-18", "crm.objects.contacts.read", "hs_createdate",
        "hs_lastmodifieddate", "", {
        **_ENGAGEMENT, "enumeration": "hs_communication_channel_type hs_communication_body",
    }),
    "goal_targets": ("0-74", "crm.objects.goals.read", "hs_createdate", "hs_lastmodifieddate", "", {
        "string": "hs_goal_name hs_assignee_user_id hubspot_owner_id hs_assignee_team_id "
                  "hubspot_team_id hs_kpi_object_type_id hs_kpi_property_name "
                  "hs_kpi_filter_groups hs_kpi_time_period_property",
        "enumeration": "hs_goal_type hs_kpi_metric_type hs_pipeline_ids "
                       "hs_goal_target_currency_code",
        "number": "hs_target_amount hs_kpi_value",
        "datetime": "hs_start_datetime hs_end_datetime",
    }),
    "forecasts": ("0-170", "crm.objects.forecasts.read", "hs_createdate", "hs_lastmodifieddate",
        "", {
        "string": "hs_created_by_user_id hubspot_owner_id hs_team_id hs_deal_pipeline_id hs_year "
                  "hs_milestone hs_fiscal_month hs_fiscal_quarter hs_forecast_fiscal_offset "
                  "hs_forecast_start_date hs_forecast_end_date",
        "number": "hs_amount",
    }),
    "users": ("0-115", "crm.objects.users.read", "hs_createdate", "hs_lastmodifieddate", "", {
        "string": "hs_email hs_given_name hs_family_name hs_job_title hs_internal_user_id",
    }),
}  # fmt: skip

_CALCULATED = frozenset(
    {"num_associated_deals", "total_revenue", "days_to_close", "time_to_close",
     "time_to_first_agent_reply", "hs_deal_stage_probability", "amount_in_home_currency",
     "hs_is_closed", "hs_is_closed_won", "hs_mrr", "hs_arr"}
)  # fmt: skip
_FIELD_TYPES = {
    "number": "number", "datetime": "date", "date": "date", "bool": "booleancheckbox",
    "enumeration": "select",
}  # fmt: skip


def property_of(name: str, kind: str, *, is_own: bool = False) -> Property:
    """A property with the field type that goes with its type."""
    is_calculated = name in _CALCULATED or name.startswith("hs_v2_date_entered")
    return Property(
        name,
        kind,
        _FIELD_TYPES.get(kind, "text"),
        is_calculated=is_calculated,
        is_own=is_own,
        is_null_in_search=name in _CALCULATED,
    )


def own_properties(names: Iterable[str], kind: str) -> list[Property]:
    """Custom properties of one type."""
    return [property_of(name, kind, is_own=True) for name in names]


def standard_objects() -> dict[str, ObjectStore]:
    stores = {}
    for name, (type_id, scope, created, cursor, defaults, kinds) in _OBJECTS.items():
        known = [property_of(each, kind) for kind, names in kinds.items() for each in names.split()]
        stores[name] = ObjectStore(
            name, type_id, scope, known, defaults=defaults.split(), cursor=cursor, created=created
        )
    return stores
