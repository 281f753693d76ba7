"""From Salesforce's fields to canonical columns: activities, cases, users."""

from __future__ import annotations

from crmetrics_salesforce.history import (
    CASE_ESCALATION,
    CASE_HISTORY,
    CASE_HISTORY_BASE,
    CASE_HISTORY_COMPANIONS,
    LEFT_AT,
    WAS_ESCALATED,
)
from crmetrics_salesforce.mapping import COMMON, MERGED, OWNED
from crmetrics_salesforce.streams import Companion, Entry, Extra, Stream

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

SERVICE_STREAMS: tuple[Stream, ...] = (
    Stream(
        "activities",
        "Task",
        {
            **COMMON,
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
            **COMMON,
            **_WHO,
            **_related("WhatId"),
            "activity_type": "'meeting'",
            "occurred_at": ("coalesce(StartDateTime, ActivityDateTime)", "ActivityDateTime"),
            "ended_at": "EndDateTime",
            "user_id": "OwnerId",
            "account_id": "AccountId",
            "is_completed": "StartDateTime <= now()",
        },
        ripens="StartDateTime",
    ),
    Stream(
        "activities",
        "EmailMessage",
        {
            **COMMON,
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
            **COMMON,
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
            **OWNED,
            **MERGED,
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
            "is_escalated": (
                "IsEscalated or EscalatedAt is not null or WasEscalated",
                "IsEscalated",
            ),
            "escalated_at": "EscalatedAt",
        },
        extras={
            "EscalatedAt": CASE_ESCALATION,
            "WasEscalated": WAS_ESCALATED,
            "QueueName": _QUEUE_NAME,
        },
        remembered=("is_escalated", "escalated_at"),
    ),
    Stream(
        "case_status_history",
        "Case",
        {
            "id": "RowId",
            "is_deleted": "IsDeleted",
            "case_id": "Id",
            "status": "RowStatus",
            "status_category": "StatusCategory",
            "entered_at": "EnteredAt",
            "exited_at": "ExitedAt",
        },
        relation=CASE_HISTORY,
        base=CASE_HISTORY_BASE,
        if_shown=("ClosedDate", "IsClosedOnCreate", "SystemModstamp"),
        companions=CASE_HISTORY_COMPANIONS,
        extras={
            name: Extra("")
            for name in ("RowId", "RowStatus", "StatusCategory", "EnteredAt", "ExitedAt")
        },
        removals="none",
        belongs_to=("Case", "case_id"),
        remembered=("case_id", "status", "status_category", "entered_at"),
    ),
    Stream(
        "case_messages",
        "EmailMessage",
        {
            **COMMON,
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
            **COMMON,
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
            "is_deleted": "false",  # a user that comes again after leaving `where:` is back
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
        forgets=True,
    ),
)
