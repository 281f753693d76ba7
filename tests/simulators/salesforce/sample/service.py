"""Cases with history, messages and comments; activities; surveys."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from simulators.salesforce.sample.people import ROBOT, SECRET_TEXT, owner_id
from simulators.salesforce.sample.world import Row, World

STATUSES = (
    # status, closed
    ("new", False),
    ("open", False),
    ("waiting", False),
    ("third party", False),
    ("solved", True),
)
_SUBTYPES = {"call": "Call", "email": "Email"}


def add_case_statuses(world: World) -> None:
    for number, (status, is_closed) in enumerate(STATUSES, 1):
        world.org.create(
            "CaseStatus",
            MasterLabel=status,
            ApiName=status,
            IsClosed=is_closed,
            IsDefault=status == "new",
            SortOrder=number,
        )


def add_cases(world: World) -> None:
    queue = world.once("Group", "cases", Name="Cases", Type="Queue")
    for row in world.rows["cases"]:
        world.add(
            "cases",
            row,
            {
                "CaseNumber": f"{len(world.org.objects['Case'].records) + 1:08d}",
                "Subject": f"{SECRET_TEXT} {row['id']}",
                "Description": f"{SECRET_TEXT} text",
                "SuppliedEmail": f"{row['id']}@{SECRET_TEXT.lower()}.example",
                "AccountId": world.live_reference("accounts", row["account_id"]),
                "ContactId": world.live_reference("contacts", row["contact_id"]),
                "OwnerId": owner_id(world, row["owner_id"]) or queue,
                "Team__c": row["team"],
                "ProductId": world.id_of("products", row["product_id"]),
                "Origin": row["channel"],
                "Type": row["category"],
                "Priority": row["priority"],
                "Status": row["status"],
                "IsClosed": row["is_closed"],
                "ClosedDate": row.get("closed_at"),
                "IsEscalated": row.get("is_escalated", False),
                "Escalated_At__c": row.get("escalated_at"),
                "First_Response__c": row.get("first_response_at"),
                "Opened_By_Agent__c": row["is_created_by_agent"],
                "Is_Spam__c": row["is_spam"],
                "MasterRecordId": world.id_of("cases", row.get("merged_into_id")),
            },
            created=row["created_at"],
        )


def add_case_history(world: World) -> None:
    """A `created` row without values, then the changes of the status: the first stay has no row."""
    rows = world.rows["case_status_history"]
    for case, group in groupby(sorted(rows, key=_story), key=lambda row: row["case_id"]):
        former: str | None = None
        for row in group:
            _add_change(world, case, row, former)
            former = row["status"]


def _story(row: Row) -> tuple[Any, ...]:
    # Some cases are new and solved at the same instant.
    return row["case_id"], row["entered_at"], row["exited_at"] is None, row["id"]


def _add_change(world: World, case: str, row: Row, former: str | None) -> None:
    is_first = former is None
    world.org.create(
        "CaseHistory",
        CaseId=world.id_of("cases", case),
        Field="created" if is_first else "Status",
        DataType="Text",
        OldValue=None if is_first else former,
        NewValue=None if is_first else row["status"],
        CreatedDate=row["entered_at"],
    )


def add_case_messages(world: World) -> None:
    robot = world.id_of("users", ROBOT)
    for row in world.rows["case_messages"]:
        author = row["author_type"]
        sender = world.id_of("users", row["user_id"]) or robot
        case = world.id_of("cases", row["case_id"])
        if not row["is_public"]:
            world.add(
                "case_messages",
                row,
                {"ParentId": case, "IsPublished": False, "CommentBody": f"{SECRET_TEXT} note",
                 "CreatedById": sender, "Author_Type__c": author},
                object="CaseComment",
                created=row["sent_at"],
            )  # fmt: skip
            continue
        world.add(
            "case_messages",
            row,
            {
                "ParentId": case,
                "Incoming": author == "customer",
                "MessageDate": row["sent_at"],
                "Status": "0" if author == "customer" else "3",
                "FromAddress": f"{SECRET_TEXT.lower()}@acme.example",
                "Subject": SECRET_TEXT,
                "TextBody": f"{SECRET_TEXT} body",
                "CreatedById": sender,
                "Author_Type__c": author,
            },
            created=row["sent_at"],
        )


def add_activities(world: World) -> None:
    """Meetings are events, all else is a task; custom fields of activities are on both."""
    for row in world.rows["activities"]:
        is_meeting = row["activity_type"] == "meeting"
        at, ended = row["occurred_at"], row.get("ended_at")
        is_done = row.get("is_completed", True)
        lead = world.live_reference("leads", row.get("lead_id"))
        contact = world.live_reference("contacts", row.get("contact_id"))
        deal = world.id_of("opportunities", row.get("opportunity_id"))
        case = world.live_reference("cases", row.get("case_id"))
        account = world.live_reference("accounts", row.get("account_id"))
        talk = row.get("talk_seconds")
        values: dict[str, Any] = {
            "Subject": f"{SECRET_TEXT} {row['activity_type']}",
            "Description": f"{SECRET_TEXT} text",
            "OwnerId": owner_id(world, row["user_id"]),
            "AccountId": account,
            "WhoId": lead or contact,
            "WhatId": case or deal or account,
            "Lead__c": lead,
            "Contact__c": contact,
            "Opportunity__c": deal,
            "Case__c": case,
            "Kind__c": row["activity_type"],
            "Direction__c": row.get("direction"),
            "Outcome__c": row.get("outcome"),
            "Happened_At__c": at,
            "Ended_At__c": ended,
            "Contact_Group__c": row.get("interaction_id"),
            "Is_Done__c": is_done,
            "Is_Automated__c": row.get("is_automated", False),
            "Talk_Seconds__c": talk,
            "Hold_Seconds__c": row.get("hold_seconds"),
            "Wrap_Seconds__c": row.get("wrap_seconds"),
            "Queue_Seconds__c": row.get("queue_seconds"),
        }
        if is_meeting:
            values |= {"ActivityDateTime": at, "StartDateTime": at, "EndDateTime": ended,
                       "EventSubtype": "Event"}  # fmt: skip
        else:
            values |= {
                "TaskSubtype": _SUBTYPES.get(row["activity_type"], "Task"),
                "ActivityDate": at.date(),
                "CompletedDateTime": at if is_done else None,
                "Status": "Completed" if is_done else "Not Started",
                "IsClosed": is_done,
                "CallType": (row.get("direction") or "").title() or None
                if row["activity_type"] == "call"
                else None,
                "CallDurationInSeconds": None if talk is None else int(talk),
            }
        world.add(
            "activities", row, values, object="Event" if is_meeting else "Task", created=at
        )  # fmt: skip


def add_surveys(world: World) -> None:
    """An invitation per row; the answer hangs on it, the question knows its scale by its name."""
    for row in world.rows["survey_responses"]:
        kind = row["survey_type"]
        survey = world.once("Survey", kind, Name=kind, DeveloperName=kind)
        question = world.once("SurveyQuestion", kind, Name=kind, QuestionType="Rating")
        contact = world.live_reference("contacts", row.get("contact_id"))
        sent, answered = row.get("sent_at"), row.get("responded_at")
        invitation = world.add(
            "survey_responses",
            row,
            {
                "Name": SECRET_TEXT,
                "SurveyId": survey,
                "ContactId": contact,
                "ParticipantId": contact,
                "ResponseStatus": "Completed" if answered else "NotStarted",
                "Sent_At__c": sent,
                "Channel__c": row.get("channel"),
                "Account__c": world.live_reference("accounts", row.get("account_id")),
                "Case__c": world.live_reference("cases", row.get("case_id")),
                "Agent__c": world.id_of("users", row.get("user_id")),
                "Product__c": world.id_of("products", row.get("product_id")),
            },
            created=sent or answered,
        )
        if answered is None:
            continue
        response = world.org.create(
            "SurveyResponse",
            stamp=answered,
            InvitationId=invitation,
            SurveyId=survey,
            SubmitterId=contact,
            CompletionDateTime=answered,
            Status="Completed",
        )
        world.org.create(
            "SurveyQuestionResponse",
            stamp=answered,
            ResponseId=response,
            InvitationId=invitation,
            QuestionId=question,
            NumberValue=row["score"],
            ResponseValue=SECRET_TEXT,
        )
