"""The fields that connectors read are those that the documentation names for a column.

`core/crmetrics/canonical/columns.csv` says where a column comes from in Salesforce and in HubSpot;
pages are written from it. A connector reads fields of its own choice, so the two are held together
here: a field that a connector reads as it is stands in the origin, or below with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from crmetrics.datasets import canonical_datasets
from crmetrics_hubspot import mapping as hubspot
from crmetrics_salesforce.every_stream import EVERY_STREAM

MADE = ("true", "ReachedMql", "ReachedSql", "ReachedDisqualified")
FIELD = re.compile(r"[A-Za-z]\w*(?:\.\w+)?")
EVERYWHERE = ("id", "is_deleted", "updated_at")

SALESFORCE_OTHERWISE: Mapping[tuple[str, str, str], str] = {
    ("opportunities", "pipeline", "RecordType.Name"): "its name, not its id",
    ("subscriptions", "subscription_id", "Id"): "an Asset without states is its own subscription",
    ("subscriptions", "start_date", "PurchaseDate"): "an Asset without states has only this day",
    ("activities", "ended_at", "EndDateTime"): "an Event knows its end",
    ("activities", "ended_at", "CallEndDateTime"): "the origin has no verified name",
    ("activities", "hold_seconds", "TotalHoldDuration"): "the origin has no verified name",
    ("activities", "hold_seconds", "CallerHoldTime"): "the origin has no verified name",
}
HUBSPOT_OTHERWISE: Mapping[tuple[str, str, str], str] = {
    ("forecasts", "owner_id", "forecast_owner"): "the owner, else the one behind the creator",
    ("forecasts", "period_start", "forecast_first_day"): "the day that the forecast names itself",
    ("forecasts", "period_end", "forecast_end_day"): "the day that the forecast names itself",
    ("forecasts", "forecast_amount", "hs_amount"): "the origin has no verified name",
    ("leads", "campaign_id", "first_touch_campaign"): "campaigns name their contacts, not contacts",
    ("leads", "disqualified_at", "unqualified_at"): "found in the property history",
    ("orders", "ordered_at", "hs_createdate"): "where no outside shop gave its own day",
    ("quotas", "owner_id", "goal_owner"): "the owner, else the one behind hs_assignee_user_id",
    ("quotas", "kpi_id", "goal_kpi"): "by what the goal says that it measures",
    ("quotas", "period_start", "goal_first_day"): "the day of hs_start_datetime in UTC",
    ("quotas", "period_end", "goal_end_day"): "the day behind hs_end_datetime in UTC",
    ("survey_responses", "user_id", "owner_of_ticket"): "the owner of the associated ticket",
    ("survey_responses", "case_id", "hs_ticket_id"): "where the token does not reach tickets",
}
HUBSPOT = {
    "accounts": hubspot.COMPANIES,
    "contacts": hubspot.CONTACTS,
    "leads": hubspot.LEADS_OF_CONTACTS,
    "opportunities": hubspot.DEALS,
    "products": hubspot.PRODUCTS,
    "orders": hubspot.ORDERS,
    "order_items": hubspot.LINES_OF_ORDERS,
    "opportunity_items": hubspot.LINES_OF_DEALS,
    "cases": hubspot.TICKETS,
    "survey_responses": hubspot.SURVEYS,
    "quotas": hubspot.GOALS,
    "forecasts": hubspot.FORECASTS,
}
ADDED_BY_THE_CONNECTOR = re.compile(r"associated_\w+|\w+_label|company_currency|stage_\w+|null")
NEWER_STAGE_DATE = (
    "hs_v2_date_entered_"  # of the same stage as the origin's hs_lifecyclestage_*_date
)


def entries(entry: str | tuple[str, ...]) -> Iterable[str]:
    return (entry,) if isinstance(entry, str) else entry


def test_salesforce() -> None:
    used = set()
    compared = 0
    for stream in EVERY_STREAM:
        for column, entry in stream.fields.items():
            origin = canonical_datasets()[stream.dataset].column(column).salesforce
            for field in entries(entry):
                is_plain = FIELD.fullmatch(field) and field not in stream.extras
                if column in EVERYWHERE or field in MADE or not is_plain or stream.relation:
                    continue
                compared += 1
                if not re.search(rf"\b{re.escape(field)}\b", origin):
                    used.add((stream.dataset, column, field))
    assert used == set(SALESFORCE_OTHERWISE), used ^ set(SALESFORCE_OTHERWISE)
    assert compared > 100


def test_hubspot() -> None:
    used = set()
    compared = 0
    for dataset, columns in HUBSPOT.items():
        for column, entry in columns.items():
            if column in EVERYWHERE or column not in canonical_datasets()[dataset]:
                continue
            origin = canonical_datasets()[dataset].column(column).hubspot
            for field in entries(entry):
                is_added = ADDED_BY_THE_CONNECTOR.fullmatch(field)
                if not FIELD.fullmatch(field) or is_added or field.startswith(NEWER_STAGE_DATE):
                    continue
                compared += 1
                if not re.search(rf"\b{re.escape(field)}\b", origin):
                    used.add((dataset, column, field))
    assert used == set(HUBSPOT_OTHERWISE), used ^ set(HUBSPOT_OTHERWISE)
    assert compared > 40
