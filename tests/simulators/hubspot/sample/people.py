"""Owners, users, companies, contacts, leads, campaigns and what they cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from simulators.hubspot.account import Campaign, Owner, Pipeline, Stage
from simulators.hubspot.records import ObjectStore, iso
from simulators.hubspot.sample.columns import FORMER_CUSTOMER, TOUCHES
from simulators.hubspot.sample.world import Row, World, noon, text
from simulators.hubspot.schema import own_properties

_LIFECYCLE = {"mql": "marketingqualifiedlead", "sql": "salesqualifiedlead"}
_ACCOUNT_STAGES = {"prospect": "lead", "partner": "other", "former_customer": FORMER_CUSTOMER}
LEAD_STAGES = {"new": "2001", "qualified": "2002", "accepted": "2003", "disqualified": "2004",
               "converted": "2005"}  # fmt: skip
_LEAD_DATES = {"mql_at": "2002", "sql_at": "2003", "disqualified_at": "2004",
               "converted_at": "2005"}  # fmt: skip


def add_users(world: World) -> None:
    """Owners with teams, leavers archived; the users object holds what owners lack."""
    teams: dict[str, tuple[str, str]] = {}
    account = world.account
    for number, row in enumerate(world.rows["users"]):
        owner_id = world.id_of("users", row["id"]) or ""
        user_id = 900_000 + number
        world.ids["user ids", row["id"]] = str(user_id)
        if row.get("is_deleted"):
            continue
        team = row.get("team")
        if team and team not in teams:
            teams[team] = (str(501 + len(teams)), team)
        account.owners[owner_id] = Owner(
            owner_id,
            user_id,
            teams.get(team),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            is_archived=row.get("deactivated_at") is not None,
            email=f"someone@{'test.' if row.get('is_test') else ''}example.com",
        )
        account.create(
            "users",
            {
                "hs_internal_user_id": str(user_id),
                "hs_email": "someone@example.com",
                "crm_role": row["role"],
                "seat_kind": row.get("user_type", "human"),
                "has_seat": text(row.get("is_licensed", True)),
            },
            at=row["created_at"],
        )
    queue = world.id_of("users", "queue-inbound") or ""
    account.owners[queue] = Owner(queue, None, type="QUEUE")
    world.ids.update({("teams", name): pair[0] for name, pair in teams.items()})


def add_companies(world: World) -> None:
    for row in world.rows["accounts"]:
        kind = row["account_type"]
        world.add(
            "companies",
            "accounts",
            row,
            {
                "name": f"Company {row['id']}",
                "lifecyclestage": _ACCOUNT_STAGES.get(kind, kind),
                "industry": row["industry"],
                "country": row["country"],
                "hubspot_owner_id": world.id_of("users", row["owner_id"]),
                "hs_parent_company_id": world.id_of("accounts", row.get("parent_account_id")),
                "business_segment": row["segment"],
                "customer_since": row.get("customer_since_at"),
                "agreed_to_refer": row.get("is_referenceable"),
                "loyalty_joined": row.get("loyalty_joined_at"),
                "churn_reason": row.get("churn_reason"),
            },
            created="created_at",
        )
    world.merge("companies", "accounts")


def add_contacts(world: World) -> None:
    for row in world.rows["contacts"]:
        stage = row["lifecycle_stage"]
        record = world.add(
            "contacts",
            "contacts",
            row,
            {
                "email": f"{row['id']}@example.com",
                "firstname": "Given",
                "lastname": "Name",
                # The id before a merge: what points to a merged company must find the new one.
                "associatedcompanyid": _former(world, row.get("account_id")),
                "hubspot_owner_id": world.id_of("users", row.get("owner_id")),
                "lifecyclestage": _LIFECYCLE.get(stage, stage),
                "hs_email_optout": row["email_opted_out"],
            },
            created="created_at",
        )
        world.tie(
            "contacts", record, "companies", "accounts", row.get("account_id"), (1, "Primary")
        )
    world.merge("contacts", "contacts")


def _former(world: World, name: str | None) -> str | None:
    return world.former_ids.get(("accounts", name or "")) or world.id_of("accounts", name)


def add_campaigns(world: World) -> None:
    """Campaigns with their dated spend; spend without a day or a campaign has no place."""
    spend: dict[str, list[Row]] = {}
    for row in world.rows["marketing_spend"]:
        if row["campaign_id"] and row["spend_date"]:
            spend.setdefault(row["campaign_id"], []).append(row)
    for number, row in enumerate(world.rows["campaigns"]):
        guid = f"0c1d2e3f-0000-4000-8000-{number:012d}"
        world.ids["campaigns", row["id"]] = guid
        values: dict[str, Any] = {
            "hs_name": row["name"],
            "hs_start_date": row["start_date"],
            "hs_end_date": row["end_date"],
            "hs_currency_code": row["currency"],
            "hs_budget_items_sum_amount": row["budgeted_cost"],
            "campaign_channel": row["channel"],
            "_updated_at": row["updated_at"],
        }
        world.account.campaigns[guid] = Campaign(
            guid,
            {name: text(value) for name, value in values.items()},
            row["currency"],
            text(row["budgeted_cost"]),
            [
                (f"{number}-{place}", "Spend", str(s["amount"]), noon(s["spend_date"]))
                for place, s in enumerate(spend.get(row["id"], []))
            ],
        )


def add_leads(world: World) -> None:
    """The leads object; stage dates tell when a lead was qualified, accepted, converted."""
    states = {"new": "NEW", "converted": "QUALIFIED", "disqualified": "UNQUALIFIED"}
    stages = [
        Stage(name, label.capitalize(), {"leadState": states.get(label, "IN_PROGRESS")})
        for label, name in LEAD_STAGES.items()
    ]
    world.account.pipelines["leads"] = [Pipeline("lead-pipeline-id", "Lead pipeline", stages)]
    for row in world.rows["leads"]:
        dates = {f"hs_v2_date_entered_{stage}": row.get(c) for c, stage in _LEAD_DATES.items()}
        record = world.add(
            "leads",
            "leads",
            row,
            {
                "hs_lead_name": "A name",
                "hs_pipeline": "lead-pipeline-id",
                "hs_pipeline_stage": LEAD_STAGES[row["status"]],
                "hubspot_owner_id": world.id_of("users", row["owner_id"]),
                "lead_origin": row["lead_source"],
                "lead_segment": row["segment"],
                "source_campaign": world.ids.get(("campaigns", row.get("campaign_id") or "")),
                "referring_company": _former(world, row.get("referred_by_account_id")),
                "first_answer": row.get("first_response_at"),
                "became_customer": row.get("became_customer_at"),
                **dates,
            },
            created="created_at",
        )
        world.tie("leads", record, "companies", "accounts", row.get("account_id"))
    world.merge("leads", "leads")


def tie_leads_to_deals(world: World) -> None:
    for row in world.live("leads"):
        record = world.account.objects["leads"].records[world.ids["leads", row["id"]]]
        deal = row.get("converted_opportunity_id")
        world.tie("leads", record, "deals", "opportunities", deal)


def add_touches(world: World) -> None:
    """Campaign members as a custom object: HubSpot has none of its own for them."""
    kinds = [p for kind, names in TOUCHES.items() for p in own_properties(names.split(), kind)]
    world.account.add_object(ObjectStore("touches", "2-4711", "crm.objects.custom.read", kinds))
    for row in world.rows["campaign_members"]:
        names = {
            "sent_at": "sent_on", "delivered_at": "delivered_on", "bounced_at": "bounced_on",
            "opened_at": "opened_on", "clicked_at": "clicked_on", "responded_at": "answered_on",
            "unsubscribed_at": "left_on", "complained_at": "complained_on",
        }  # fmt: skip
        world.add(
            "touches",
            "campaign_members",
            row,
            {
                "campaign_guid": world.ids["campaigns", row["campaign_id"]],
                "lead_ref": world.id_of("leads", row.get("lead_id")),
                "contact_ref": world.id_of("contacts", row.get("contact_id")),
                **{own: row.get(name) for name, own in names.items()},
            },
            created="sent_at",
        )


def add_user_activity(world: World) -> None:
    """Logins and audit logs, newest first, told by user id."""
    rows = sorted(world.rows["user_activity"], key=lambda row: row["occurred_at"], reverse=True)
    for row in rows:
        user = world.ids["user ids", row["user_id"]]
        if row["activity_type"] == "login":
            world.account.logins.append(
                {
                    "id": row["id"],
                    "userId": int(user),
                    "email": "someone@example.com",
                    "loginAt": iso(row["occurred_at"]),
                    "loginSucceeded": row.get("is_success", True),
                    "ipAddress": "192.0.2.1",
                    "userAgent": "browser",
                    "countryCode": "us",
                }
            )
            continue
        category, _, action = row["activity_type"].partition("_")
        world.account.audit_logs.append(
            {
                "id": row["id"],
                "category": "CRM_OBJECT" if category == "record" else "REPORT",
                "subCategory": row.get("object_type"),
                "action": {"created": "CREATE", "updated": "UPDATE"}.get(action, "PERFORM"),
                "targetObjectId": "1",
                "occurredAt": iso(row["occurred_at"]),
                "actingUser": {"userId": int(user), "userEmail": "someone@example.com"},
            }
        )


def add_rates(world: World) -> None:
    for row in world.rows["exchange_rates"]:
        rate = float(Decimal(row["rate"]))
        at = noon(row["valid_from"]).replace(hour=0)
        world.account.rates.append((row["currency"], world.account.currency, rate, at))
