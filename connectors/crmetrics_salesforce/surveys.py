"""Answers to surveys, a row for each question that was answered by a number."""

from __future__ import annotations

from crmetrics_salesforce.streams import Companion, Extra, Stream

_SURVEY_TYPE = (
    "case when regexp_matches(QuestionName, 'nps|promoter|recommend', 'i') then 'nps' "
    "when regexp_matches(QuestionName, 'csat|satisf', 'i') then 'csat' "
    "when regexp_matches(QuestionName, 'ces|effort', 'i') then 'ces' "
    "when regexp_matches(QuestionName, 'resol|solved', 'i') then 'resolution' "
    "when QuestionName ilike '%review%' then 'review' else 'csat' end"
)

_ANSWERS = """(
    -- An invitation without an answer, or a row for each question that was answered by a number.
    with answered as (
        select q.InvitationId, q.Id, q.NumberValue, q.QuestionId,
            row_number() over (partition by q.InvitationId order by q.Id) as number
        from answers q
        where q.NumberValue is not null and not coalesce(q.IsDeleted::boolean, false)
    ),
    finished as (
        select InvitationId, max(CompletionDateTime) as at
        from responses
        where not coalesce(IsDeleted::boolean, false)
        group by InvitationId
    )
    select main.*,
        case when coalesce(answered.number, 1) = 1 then main.Id
            else main.Id || ':' || answered.number end as RowId,
        answered.NumberValue as Score,
        coalesce(questions.Name, surveys.Name) as QuestionName,
        finished.at as AnsweredAt
    from main
    left join answered on answered.InvitationId = main.Id
    left join finished on finished.InvitationId = main.Id
    left join questions on questions.Id = answered.QuestionId
    left join surveys on surveys.Id = main.SurveyId
)"""

SURVEY_STREAM = Stream(
    "survey_responses",
    "SurveyInvitation",
    {
        "id": "RowId",
        "is_deleted": "IsDeleted",
        "survey_type": _SURVEY_TYPE,
        "score": "Score",
        "scale_min": f"case when ({_SURVEY_TYPE}) in ('nps', 'resolution') then 0 else 1 end",
        "scale_max": f"case ({_SURVEY_TYPE}) when 'nps' then 10 when 'ces' then 7 "
        "when 'resolution' then 1 else 5 end",
        "sent_at": "CreatedDate",
        "responded_at": "AnsweredAt",
        "account_id": '"Contact.AccountId"',
        "contact_id": "ContactId",
    },
    relation=_ANSWERS,
    base=("Id", "SurveyId", "IsDeleted", "CreatedDate"),
    companions=(
        Companion(
            "responses",
            "SurveyResponse",
            ("Id", "InvitationId", "CompletionDateTime"),
            link="InvitationId",
            touches=True,
            if_shown=("IsDeleted",),
        ),
        Companion(
            "answers",
            "SurveyQuestionResponse",
            ("Id", "InvitationId", "QuestionId", "NumberValue"),
            link="InvitationId",
            touches=True,
            if_shown=("IsDeleted",),
        ),
        Companion("questions", "SurveyQuestion", ("Id", "Name")),
        Companion("surveys", "Survey", ("Id", "Name")),
    ),
    extras={name: Extra("") for name in ("RowId", "Score", "QuestionName", "AnsweredAt")},
    removals="none",
    is_renewed=True,
)
