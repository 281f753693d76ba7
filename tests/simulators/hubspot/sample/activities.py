"""Calls, e-mails, meetings, tasks, notes and chats."""

from __future__ import annotations

from typing import Any

from simulators.hubspot.sample.world import Row, World

_KINDS = {"call": "calls", "email": "emails", "meeting": "meetings", "task": "tasks",
          "note": "notes", "chat": "communications"}  # fmt: skip
_TIES = (
    ("companies", "accounts", "account_id"),
    ("contacts", "contacts", "contact_id"),
    ("leads", "leads", "lead_id"),
    ("deals", "opportunities", "opportunity_id"),
    ("tickets", "cases", "case_id"),
)


def add_activities(world: World) -> None:
    for row in world.rows["activities"]:
        kind = _KINDS[row["activity_type"]]
        record = world.add(kind, "activities", row, _values(world, kind, row))
        for other, dataset, key in _TIES:
            world.tie(kind, record, other, dataset, row.get(key))


def _values(world: World, kind: str, row: Row) -> dict[str, Any]:
    direction, is_done = row.get("direction"), row.get("is_completed", True)
    values: dict[str, Any] = {
        "hs_timestamp": row["occurred_at"],
        "hubspot_owner_id": world.id_of("users", row.get("user_id")),
        "hs_object_source": "AUTOMATION_PLATFORM" if row.get("is_automated") else "CRM_UI",
        "is_done": is_done,
        "touch_result": row.get("outcome"),
        "touch_direction": direction,
        "contact_group": row.get("interaction_id"),
        "ended_on": row.get("ended_at"),
    }
    if kind == "calls":
        talk = row.get("talk_seconds")
        values["hs_call_direction"] = direction.upper() if direction else None
        values["hs_call_duration"] = None if talk is None else int(talk * 1000)
        values["hs_call_body"] = "A text"
        values |= {"hold_s": row.get("hold_seconds"), "wrap_s": row.get("wrap_seconds"),
                   "queue_s": row.get("queue_seconds")}  # fmt: skip
    if kind == "emails":
        values["hs_email_direction"] = {"inbound": "INCOMING_EMAIL", "outbound": "EMAIL"}.get(
            direction or ""
        )
        values["hs_email_subject"] = "A subject"
    if kind == "tasks":
        values["hs_task_status"] = "COMPLETED" if is_done else "NOT_STARTED"
    return values
