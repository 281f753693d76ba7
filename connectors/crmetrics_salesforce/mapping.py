"""From Salesforce's fields to canonical columns: accounts, sales, orders, campaigns."""

from __future__ import annotations

from collections.abc import Mapping

from crmetrics_salesforce.history import (
    CLOSED_AT,
    LEAD_CAMPAIGN,
    ORDER_STATUS,
    REFUNDS,
    STAGE_HISTORY,
    STAGE_HISTORY_BASE,
    STAGES,
)
from crmetrics_salesforce.streams import ORG_CURRENCY, Entry, Extra, Stream

COMMON: Mapping[str, Entry] = {"id": "Id", "is_deleted": "IsDeleted"}
OWNED: Mapping[str, Entry] = {**COMMON, "owner_id": "OwnerId", "created_at": "CreatedDate"}
MERGED: Mapping[str, Entry] = {"merged_into_id": "MasterRecordId"}
# An org with one currency has no such field.
_MONEY: Mapping[str, Entry] = {"currency": ("CurrencyIsoCode", ORG_CURRENCY)}

_ACCOUNT_TYPE = (
    "case when Type is null then null when Type ilike '%former%' then 'former_customer' "
    "when Type ilike '%customer%' then 'customer' when Type ilike '%prospect%' then 'prospect' "
    "when Type ilike '%partner%' then 'partner' else 'other' end"
)
_DEAL_TYPE = (
    "case when Type is null then null when Type ilike '%renew%' then 'renewal' "
    "when Type ilike 'new%' then 'new_business' "
    "when regexp_matches(Type, 'expan|upgrade|upsell|add-on|existing', 'i') "
    "then 'expansion' else 'other' end"
)
_FORECAST_CATEGORY = (
    "case ForecastCategory when 'Pipeline' then 'pipeline' when 'BestCase' then 'best_case' "
    "when 'MostLikely' then 'most_likely' when 'Forecast' then 'commit' "
    "when 'Closed' then 'closed' when 'Omitted' then 'omitted' end"
)
STREAMS: tuple[Stream, ...] = (
    Stream(
        "accounts",
        "Account",
        {
            **OWNED,
            **MERGED,
            "account_type": _ACCOUNT_TYPE,
            "industry": "Industry",
            "country": "BillingCountry",
            "parent_account_id": "ParentId",
        },
    ),
    Stream(
        "contacts",
        "Contact",
        {
            **OWNED,
            **MERGED,
            "account_id": "AccountId",
            "email_opted_out": "HasOptedOutOfEmail",
        },
    ),
    Stream(
        "leads",
        "Lead",
        {
            **OWNED,
            **MERGED,
            "lead_source": "LeadSource",
            "campaign_id": "FirstCampaign",
            "account_id": "ConvertedAccountId",
            "status": "Status",
            "mql_at": "ReachedMql",
            "sql_at": "ReachedSql",
            "disqualified_at": "ReachedDisqualified",
            "converted_at": "ConvertedDate",
            "converted_opportunity_id": "ConvertedOpportunityId",
            "first_response_at": (
                "least(FirstCallDateTime, FirstEmailDateTime)",
                "FirstCallDateTime",
                "FirstEmailDateTime",
            ),
        },
        extras={"FirstCampaign": LEAD_CAMPAIGN},
        remembered=("mql_at", "sql_at", "disqualified_at"),
    ),
    Stream(
        "opportunities",
        "Opportunity",
        {
            **OWNED,
            **_MONEY,
            "account_id": "AccountId",
            "campaign_id": "CampaignId",
            "pipeline": "RecordType.Name",
            "stage": "StageName",
            "opportunity_type": _DEAL_TYPE,
            "lead_source": "LeadSource",
            "amount": "Amount",
            "probability": "Probability / 100",
            "forecast_category": _FORECAST_CATEGORY,
            "is_closed": "IsClosed",
            "is_won": "IsWon",
            "close_date": "CloseDate",
            "closed_at": ("ClosedAt", "case when IsClosed then LastStageChangeDate end"),
        },
        extras={"ClosedAt": CLOSED_AT},
    ),
    Stream(
        "opportunity_stage_history",
        "OpportunityHistory",
        {
            **COMMON,
            "opportunity_id": "OpportunityId",
            "stay_id": "StayId",
            "stage": "StageName",
            "entered_at": "CreatedDate",
            "exited_at": "ExitedAt",
            "is_closed": "StageIsClosed",
            "is_won": "StageIsWon",
            "amount": "Amount",
            "probability": "Probability / 100",
            "close_date": "CloseDate",
        },
        relation=STAGE_HISTORY,
        base=STAGE_HISTORY_BASE,
        companions=(STAGES,),
        extras={name: Extra("") for name in ("StayId", "ExitedAt", "StageIsClosed", "StageIsWon")},
        group="OpportunityId",
        removals="none",
        belongs_to=("Opportunity", "opportunity_id"),
    ),
    Stream(
        "opportunity_items",
        "OpportunityLineItem",
        {
            **COMMON,
            **_MONEY,
            "opportunity_id": "OpportunityId",
            "product_id": "Product2Id",
            "quantity": "Quantity",
            "total_amount": "TotalPrice",
        },
    ),
    Stream(
        "products",
        "Product2",
        {**COMMON, **_MONEY, "name": "Name", "family": "Family"},
    ),
    Stream(
        "orders",
        "Order",
        {
            **COMMON,
            **_MONEY,
            "account_id": "AccountId",
            "opportunity_id": "OpportunityId",
            "campaign_id": '"Opportunity.CampaignId"',
            "ordered_at": (
                "coalesce(ActivatedDate, EffectiveDate::timestamptz)",
                "EffectiveDate::timestamptz",
            ),
            "status": ORDER_STATUS,
            "total_amount": "TotalAmount",
            "refunded_amount": ("RefundedAmount", "RefundedAmountWithoutCode"),
            "refunded_at": ("RefundedDay::timestamptz", "RefundedDayWithoutCode::timestamptz"),
        },
        extras=REFUNDS,
        where="IsReductionOrder = false",
    ),
    Stream(
        "order_items",
        "OrderItem",
        {
            **COMMON,
            "order_id": "OrderId",
            "product_id": "Product2Id",
            "quantity": "Quantity",
            "total_amount": "TotalPrice",
        },
    ),
    Stream(
        "subscriptions",
        "AssetStatePeriod",
        {
            **COMMON,
            **_MONEY,
            "subscription_id": "AssetId",
            "account_id": '"Asset.AccountId"',
            "product_id": '"Asset.Product2Id"',
            "start_date": "StartDate::date",
            # The last second of service; the canonical end is the first day without. The next
            # period starts a second later: one instant, and so one day in every zone.
            "end_date": "(EndDate + interval 1 second)::date",
            "mrr": "Mrr",
            "quantity": "Quantity",
        },
    ),
    Stream(
        "subscriptions",
        "Asset",
        {
            **COMMON,
            **_MONEY,
            "subscription_id": "Id",
            "account_id": "AccountId",
            "product_id": "Product2Id",
            "start_date": ("coalesce(InstallDate, PurchaseDate)", "PurchaseDate"),
            "end_date": "UsageEndDate + 1",
            "quantity": "Quantity",
        },
        instead_of="AssetStatePeriod",
        where_shown="IsCompetitorProduct = false",
    ),
    Stream(
        "campaigns",
        "Campaign",
        {
            **COMMON,
            **_MONEY,
            "name": "Name",
            "channel": "lower(replace(Type, ' ', '_'))",
            "start_date": "StartDate",
            "end_date": "EndDate",
            "budgeted_cost": "BudgetedCost",
        },
    ),
    Stream(
        "campaign_members",
        "CampaignMember",
        {
            **COMMON,
            "campaign_id": "CampaignId",
            "lead_id": "LeadId",
            "contact_id": "ContactId",
            "sent_at": "CreatedDate",
            "bounced_at": (
                'coalesce("Contact.EmailBouncedDate", "Lead.EmailBouncedDate")',
                '"Contact.EmailBouncedDate"',
                '"Lead.EmailBouncedDate"',
            ),
            "responded_at": "FirstRespondedDate",
        },
    ),
    Stream(
        "marketing_spend",
        "Campaign",
        {
            **COMMON,
            **_MONEY,
            "campaign_id": "Id",
            "spend_date": "null::date",
            "channel": "lower(replace(Type, ' ', '_'))",
            "amount": "ActualCost",
        },
        where="ActualCost != null",
    ),
)
