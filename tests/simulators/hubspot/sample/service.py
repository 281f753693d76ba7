"""Tickets with their history, the messages of their conversations, survey answers."""

from __future__ import annotations

from typing import Any

from simulators.hubspot.account import Pipeline, Stage
from simulators.hubspot.records import iso
from simulators.hubspot.sample.world import Row, World, versions

STAGES = {"new": "1", "open": "2", "waiting": "3", "third party": "4", "solved": "5"}
_CHANNELS = {"web": "FORM"}
_SURVEYS = {"nps": ("NPS", "Recommend us?"), "csat": ("CSAT", "How was it?"),
            "resolution": ("CUSTOM", "Was it solved?"),
            "review": ("CUSTOM", "Reviews")}  # fmt: skip


def add_tickets(world: World) -> None:
    stages = [
        Stage(
            identity,
            label.capitalize(),
            {
                "ticketState": "CLOSED" if label == "solved" else "OPEN",
                "isClosed": str(label == "solved").lower(),
            },
        )
        for label, identity in STAGES.items()
    ]
    world.account.pipelines["tickets"] = [Pipeline("0", "Support", stages)]
    history: dict[str, list[Row]] = {}
    for row in world.rows["case_status_history"]:
        history.setdefault(row["case_id"], []).append(row)
    for row in world.rows["cases"]:
        record = world.add("tickets", "cases", row, _values(world, row), created="created_at")
        rows = history.get(row["id"], [])
        record.history["hs_pipeline_stage"] = versions(
            [(r["entered_at"], STAGES[r["status"]]) for r in rows]
        )
        world.tie("tickets", record, "companies", "accounts", row["account_id"], (26, "Primary"))
        world.tie("tickets", record, "contacts", "contacts", row["contact_id"])
    world.merge("tickets", "cases", keeps_oldest=False)


def _values(world: World, row: Row) -> dict[str, Any]:
    return {
        "subject": "A subject",
        "content": "A text",
        "hs_pipeline": "0",
        "hs_pipeline_stage": STAGES[row["status"]],
        "hs_ticket_priority": row["priority"].upper(),
        "hs_ticket_category": row["category"],
        "source_type": _CHANNELS.get(row["channel"], row["channel"].upper()),
        "hubspot_owner_id": world.id_of("users", row["owner_id"]),
        "hubspot_team_id": world.ids.get(("teams", row["team"])),
        "closed_date": row.get("closed_at"),
        "first_agent_reply_date": row.get("first_response_at"),
        "product_ref": world.id_of("products", row["product_id"]),
        "was_escalated": row.get("is_escalated", False),
        "escalated_on": row.get("escalated_at"),
        "opened_by_agent": row["is_created_by_agent"],
        "is_spam_ticket": row["is_spam"],
    }


def add_messages(world: World) -> None:
    """One conversation per ticket; merged tickets bring none of their own."""
    losers = {row["id"] for row in world.rows["cases"] if row.get("merged_into_id")}
    threads: dict[str, list[Row]] = {}
    for row in world.rows["case_messages"]:
        if row["case_id"] not in losers:
            threads.setdefault(row["case_id"], []).append(row)
    for number, (case, rows) in enumerate(threads.items(), start=70_000):
        messages = [_message(world, row) for row in rows]
        world.account.threads[str(number)] = {
            "createdAt": messages[0]["createdAt"],
            "latestMessageTimestamp": max(message["createdAt"] for message in messages),
            "associations": {"associatedTicketId": world.ids["cases", case]},
            "messages": messages,
        }


def _message(world: World, row: Row) -> dict[str, Any]:
    actor = {"customer": "V-1", "bot": "B-1", "system": "S-hubspot"}.get(row["author_type"])
    if actor is None:
        actor = f"A-{world.ids.get(('user ids', row['user_id'] or ''), '0')}"
    return {
        "id": row["id"],
        "type": "MESSAGE" if row.get("is_public", True) else "COMMENT",
        "direction": "INCOMING" if row["author_type"] == "customer" else "OUTGOING",
        "createdAt": iso(row["sent_at"]),
        "createdBy": actor,
        "senders": [{"actorId": actor, "name": "A name"}],
        "text": "A text that nobody should keep",
        "archived": False,
    }


def add_surveys(world: World) -> None:
    """Answers only: HubSpot keeps no invitations."""
    for row in world.rows["survey_responses"]:
        if row["responded_at"] is None:
            continue
        kind, name = _SURVEYS[row["survey_type"]]
        record = world.add(
            "feedback_submissions",
            "survey_responses",
            row,
            {
                "hs_survey_type": kind,
                "hs_survey_name": name,
                "hs_survey_id": str(1 + list(_SURVEYS).index(row["survey_type"])),
                "hs_value": row["score"],
                "hs_survey_channel": (row["channel"] or "").upper(),
                "hs_submission_timestamp": row["responded_at"],
                "hs_contact_id": world.id_of("contacts", row.get("contact_id")),
                "hs_ticket_id": world.id_of("cases", row.get("case_id")),
                "product_ref": world.id_of("products", row.get("product_id")),
            },
        )
        world.tie("feedback_submissions", record, "companies", "accounts", row.get("account_id"))
        world.tie("feedback_submissions", record, "tickets", "cases", row.get("case_id"))
