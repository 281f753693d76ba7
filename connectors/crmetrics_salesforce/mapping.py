"""From Salesforce's fields to canonical columns."""

from __future__ import annotations

from collections.abc import Mapping

from crmetrics_salesforce.history import (
    CASE_ESCALATION,
    CASE_HISTORY,
    CASE_HISTORY_BASE,
    CASE_HISTORY_COMPANIONS,
    CLOSED_AT,
    LEAD_CAMPAIGN,
    LEFT_AT,
    REFUNDS,
    STAGE_HISTORY,
    STAGE_HISTORY_BASE,
    STAGES,
)
from crmetrics_salesforce.streams import Companion, Entry, Extra, Stream

_COMMON: Mapping[str, Entry] = {"id": "Id", "is_deleted": "IsDeleted"}
_OWNED: Mapping[str, Entry] = {**_COMMON, "owner_id": "OwnerId", "created_at": "CreatedDate"}
_MERGED: Mapping[str, Entry] = {"merged_into_id": "MasterRecordId"}
# An org with one currency has no such field; null is the reporting currency.
_MONEY: Mapping[str, Entry] = {"currency": ("CurrencyIsoCode", "null::varchar")}

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
_ORDER_STATUS = (
    "case when lower(Status) in ('placed', 'paid', 'fulfilled', 'cancelled', 'draft') "
    "then lower(Status) when StatusCode ilike 'D%' then 'draft' "
    "when regexp_matches(StatusCode, '^C|^E', 'i') then 'cancelled' else 'placed' end"
)
_WHO = {
    "contact_id": "case when starts_with(WhoId, '003') then WhoId end",
    "lead_id": "case when starts_with(WhoId, '00Q') then WhoId end",
}


def _related(name: str) -> dict[str, Entry]:
    """Ids of the records that an activity is about, told apart by their key prefix."""
    return {
        "opportunity_id": f"case when starts_with({name}, '006') then {name} end",
        "case_id": f"case when starts_with({name}, '500') then {name} end",
    }


_SUBTYPE = (
    "case TaskSubtype when 'Call' then 'call' when 'Email' then 'email' "
    "when 'ListEmail' then 'email' when 'Cadence' then 'task' else 'task' end"
)
_TASK_DIRECTION = (
    "case when CallType = 'Inbound' then 'inbound' when CallType is not null then 'outbound' "
    "when TaskSubtype in ('Email', 'ListEmail') then 'outbound' end"
)
_USER_ROLE = (
    "case when regexp_matches({0}, 'admin|integration', 'i') then 'admin' "
    "when regexp_matches({0}, 'market', 'i') then 'marketing' "
    "when regexp_matches({0}, 'service|support|agent', 'i') then 'service' "
    "when regexp_matches({0}, 'sales|account|rep', 'i') then 'sales' else 'other' end"
)
_QUEUES = Companion("queues", "Group", ("Id", "Name", "Type"), where="Type = 'Queue'")
_QUEUE_NAME = Extra("q.Name", "left join queues q on q.Id = m.OwnerId", ("OwnerId",), (_QUEUES,))

STREAMS: tuple[Stream, ...] = (
    Stream(
        "accounts",
        "Account",
        {
            **_OWNED,
            **_MERGED,
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
            **_OWNED,
            **_MERGED,
            "account_id": "AccountId",
            "email_opted_out": "HasOptedOutOfEmail",
        },
    ),
    Stream(
        "leads",
        "Lead",
        {
            **_OWNED,
            **_MERGED,
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
    ),
    Stream(
        "opportunities",
        "Opportunity",
        {
            **_OWNED,
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
            **_COMMON,
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
    ),
    Stream(
        "opportunity_items",
        "OpportunityLineItem",
        {
            **_COMMON,
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
        {**_COMMON, **_MONEY, "name": "Name", "family": "Family"},
    ),
    Stream(
        "orders",
        "Order",
        {
            **_COMMON,
            **_MONEY,
            "account_id": "AccountId",
            "opportunity_id": "OpportunityId",
            "campaign_id": '"Opportunity.CampaignId"',
            "ordered_at": (
                "coalesce(ActivatedDate, EffectiveDate::timestamptz)",
                "EffectiveDate::timestamptz",
            ),
            "status": (_ORDER_STATUS, _ORDER_STATUS.replace("StatusCode", "Status")),
            "total_amount": "TotalAmount",
            "refunded_amount": "RefundedAmount",
            "refunded_at": "RefundedAt",
        },
        extras=REFUNDS,
        where="IsReductionOrder = false",
    ),
    Stream(
        "order_items",
        "OrderItem",
        {
            **_COMMON,
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
            **_COMMON,
            **_MONEY,
            "subscription_id": "AssetId",
            "account_id": '"Asset.AccountId"',
            "product_id": '"Asset.Product2Id"',
            "start_date": "StartDate::date",
            # The last instant of service; the canonical end is the first day without.
            "end_date": "EndDate::date + 1",
            "mrr": "Mrr",
            "quantity": "Quantity",
        },
    ),
    Stream(
        "subscriptions",
        "Asset",
        {
            **_COMMON,
            **_MONEY,
            "subscription_id": "Id",
            "account_id": "AccountId",
            "product_id": "Product2Id",
            "start_date": ("coalesce(InstallDate, PurchaseDate)", "PurchaseDate"),
            "end_date": "UsageEndDate + 1",
            "quantity": "Quantity",
        },
        instead_of="AssetStatePeriod",
    ),
    Stream(
        "campaigns",
        "Campaign",
        {
            **_COMMON,
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
            **_COMMON,
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
            **_COMMON,
            **_MONEY,
            "campaign_id": "Id",
            "spend_date": "null::date",
            "channel": "lower(replace(Type, ' ', '_'))",
            "amount": "ActualCost",
        },
        where="ActualCost != null",
    ),
    Stream(
        "activities",
        "Task",
        {
            **_COMMON,
            **_WHO,
            **_related("WhatId"),
            "activity_type": _SUBTYPE,
            "direction": (_TASK_DIRECTION, "case when CallType = 'Inbound' then 'inbound' end"),
            # A task that was done says when; a planned one only for which day.
            "occurred_at": (
                "coalesce(CompletedDateTime, ActivityDate::timestamptz, CreatedDate)",
                "coalesce(ActivityDate::timestamptz, CreatedDate)",
            ),
            "interaction_id": "CallObject",
            "user_id": "OwnerId",
            "account_id": "AccountId",
            "is_completed": "IsClosed",
            "is_automated": "TaskSubtype = 'ListEmail'",
            "outcome": "lower(replace(CallDisposition, ' ', '_'))",
            "talk_seconds": "CallDurationInSeconds",
        },
    ),
    Stream(
        "activities",
        "Event",
        {
            **_COMMON,
            **_WHO,
            **_related("WhatId"),
            "activity_type": "'meeting'",
            "occurred_at": ("coalesce(StartDateTime, ActivityDateTime)", "ActivityDateTime"),
            "ended_at": "EndDateTime",
            "user_id": "OwnerId",
            "account_id": "AccountId",
            "is_completed": "StartDateTime <= now()",
        },
    ),
    Stream(
        "activities",
        "EmailMessage",
        {
            **_COMMON,
            **_related("RelatedToId"),
            "activity_type": "'email'",
            "direction": "case when Incoming then 'inbound' else 'outbound' end",
            "occurred_at": "coalesce(MessageDate, CreatedDate)",
            "user_id": "case when not Incoming then CreatedById end",
            "account_id": "case when starts_with(RelatedToId, '001') then RelatedToId end",
            "is_completed": "true",
        },
        # A case's e-mails are its messages; one with an activity is counted as that task.
        where="ParentId = null AND ActivityId = null",
    ),
    Stream(
        "activities",
        "VoiceCall",
        {
            **_COMMON,
            **_related("RelatedRecordId"),
            "activity_type": "'call'",
            "direction": "case when CallType ilike 'in%' then 'inbound' else 'outbound' end",
            "occurred_at": "coalesce(CallStartDateTime, CreatedDate)",
            "ended_at": "CallEndDateTime",
            "user_id": ("coalesce(UserId, OwnerId)", "OwnerId"),
            "contact_id": "case when starts_with(RelatedRecordId, '003') then RelatedRecordId end",
            "lead_id": "case when starts_with(RelatedRecordId, '00Q') then RelatedRecordId end",
            "account_id": "case when starts_with(RelatedRecordId, '001') then RelatedRecordId end",
            "is_completed": "true",
            "outcome": "lower(replace(CallDisposition, ' ', '_'))",
            "talk_seconds": "CallDurationInSeconds",
            "hold_seconds": ("TotalHoldDuration", "CallerHoldTime"),
            "queue_seconds": "epoch(CallAcceptDateTime - CallStartDateTime)",
        },
    ),
    Stream(
        "cases",
        "Case",
        {
            **_OWNED,
            **_MERGED,
            "account_id": "AccountId",
            "contact_id": "ContactId",
            "team": "QueueName",
            "product_id": "ProductId",
            "channel": "lower(Origin)",
            "category": ("coalesce(Type, Reason)", "Type", "Reason"),
            "priority": "lower(Priority)",
            "status": "Status",
            "is_closed": "IsClosed",
            "closed_at": "ClosedDate",
            "is_escalated": ("IsEscalated or EscalatedAt is not null", "IsEscalated"),
            "escalated_at": "EscalatedAt",
        },
        extras={"EscalatedAt": CASE_ESCALATION, "QueueName": _QUEUE_NAME},
    ),
    Stream(
        "case_status_history",
        "Case",
        {
            "id": "RowId",
            "is_deleted": "IsDeleted",
            "case_id": "Id",
            "status": "RowStatus",
            "status_category": "Category",
            "entered_at": "EnteredAt",
            "exited_at": "ExitedAt",
        },
        relation=CASE_HISTORY,
        base=CASE_HISTORY_BASE,
        companions=CASE_HISTORY_COMPANIONS,
        extras={
            name: Extra("") for name in ("RowId", "RowStatus", "Category", "EnteredAt", "ExitedAt")
        },
        removals="none",
    ),
    Stream(
        "case_messages",
        "EmailMessage",
        {
            **_COMMON,
            "case_id": "ParentId",
            "sent_at": "coalesce(MessageDate, CreatedDate)",
            "author_type": "case when Incoming then 'customer' else 'agent' end",
            "user_id": "case when not Incoming then CreatedById end",
            "is_public": "true",
        },
        where="ParentId != null",
    ),
    Stream(
        "case_messages",
        "CaseComment",
        {
            **_COMMON,
            "case_id": "ParentId",
            "sent_at": "CreatedDate",
            "author_type": (
                "case when \"CreatedBy.UserType\" = 'AutomatedProcess' then 'system' "
                "when \"CreatedBy.UserType\" in ('Standard', 'CloudIntegrationUser') then 'agent' "
                "when \"CreatedBy.UserType\" is null then 'agent' else 'customer' end",
                "'agent'",
            ),
            "user_id": "CreatedById",
            "is_public": "IsPublished",
        },
    ),
    Stream(
        "users",
        "User",
        {
            "id": "Id",
            "team": "UserRole.Name",
            "role": (
                _USER_ROLE.format('coalesce("Profile.Name", "UserRole.Name")'),
                _USER_ROLE.format('"Profile.Name"'),
                _USER_ROLE.format('"UserRole.Name"'),
            ),
            "user_type": "case when UserType = 'Standard' then 'human' else 'integration' end",
            "is_licensed": "UserType = 'Standard'",
            "created_at": "CreatedDate",
            "deactivated_at": "DeactivatedAt",
        },
        extras={"DeactivatedAt": LEFT_AT},
        removals="none",
    ),
    Stream(
        "user_activity",
        "LoginHistory",
        {
            "id": "Id",
            "user_id": "UserId",
            "activity_type": "'login'",
            "object_type": "null::varchar",
            "occurred_at": "LoginTime",
            "is_success": "Status = 'Success'",
        },
        removals="none",
    ),
)
