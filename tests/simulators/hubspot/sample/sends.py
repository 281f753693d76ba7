"""The e-mails among the sends of the sample, as marketing e-mails and the log of their events."""

from __future__ import annotations

from typing import Any

from simulators.hubspot.records import iso
from simulators.hubspot.sample.world import Row, World

BY_MAIL = ("email", "newsletter")
_EVENTS = {"delivered_at": "DELIVERED", "opened_at": "OPEN", "clicked_at": "CLICK",
           "complained_at": "SPAMREPORT"}  # fmt: skip


def is_in_log(row: Row, channels: dict[str, Any]) -> bool:
    """Whether a send stands in the log: e-mails to contacts do. Leads have no address of their own,
    and the log holds nothing that was deleted."""
    by_mail = channels.get(row["campaign_id"]) in BY_MAIL
    return by_mail and bool(row.get("contact_id")) and not row.get("is_deleted")


def add_sends(world: World) -> None:
    """A marketing e-mail for each campaign by mail, and what became of each send."""
    channels = {row["id"]: row["channel"] for row in world.rows["campaigns"]}
    log_ids: dict[str, str] = {}
    for number, row in enumerate(world.rows["campaigns"]):
        if row["channel"] not in BY_MAIL:
            continue
        log_ids[row["id"]] = str(80_000 + number)
        world.account.emails.append(
            {
                "id": str(90_000 + number),
                "name": row["name"],
                "type": "BATCH_EMAIL",
                "isTransactional": False,
                "campaign": world.ids["campaigns", row["id"]],
                "allEmailCampaignIds": [log_ids[row["id"]]],
                "createdAt": iso(row["updated_at"]),
                "updatedAt": iso(row["updated_at"]),
            }
        )
    for row in world.rows["campaign_members"]:
        if is_in_log(row, channels):
            _add_send(world, row, log_ids[row["campaign_id"]])


def _add_send(world: World, row: Row, log_id: str) -> None:
    log, who = world.account.log, f"{row['contact_id']}@example.com"
    sent = log.add("SENT", who, log_id, row["sent_at"])
    for column, kind in _EVENTS.items():
        if row.get(column):
            log.add(kind, who, log_id, row[column], of=sent, filteredEvent=False)
    if row.get("bounced_at"):
        told = {"category": "UNKNOWN_USER", "status": "5.1.1", "response": "no such user"}
        log.add("BOUNCE", who, log_id, row["bounced_at"], of=sent, **told)
    if row.get("unsubscribed_at"):
        told = {"portalSubscriptionStatus": "UNSUBSCRIBED", "source": "SOURCE_RECIPIENT"}
        log.add("STATUSCHANGE", who, log_id, row["unsubscribed_at"], of=sent, **told)
