"""Users, accounts, contacts, leads, campaigns and who they reached.

Every person has a name, an e-mail address and a phone, so that a test can see whether anybody asks.
"""

from __future__ import annotations

from typing import Any

from simulators.salesforce.sample.world import Row, World, titled

_PROFILES = {
    "sales": "Sales User",
    "marketing": "Marketing User",
    "service": "Service User",
    "admin": "System Administrator",
    "other": "Read Only",
}
ROBOT = "usr-mailer"
"""The user that sends what nobody else has sent."""

SECRET_TEXT = "Confidential-Words"
"""Part of every name, address and text of a person in the sample org."""


def person(name: str) -> dict[str, Any]:
    return {
        "Name": f"{SECRET_TEXT} {name}",
        "FirstName": SECRET_TEXT,
        "LastName": name,
        "Email": f"{name}@{SECRET_TEXT.lower()}.example",
        "Phone": f"+1 555 {SECRET_TEXT} {name}",
    }


def add_users(world: World) -> None:
    """The staff in roles named after their teams; a user cannot be deleted, only be absent."""
    for row in world.rows["users"]:
        if row.get("is_deleted"):
            world.id_of("users", row["id"])
            continue
        team, role = row["team"], row["role"]
        is_machine = row.get("user_type") == "integration"
        profile = "Integration" if is_machine else _PROFILES[role]
        named = person(row["id"])
        world.add(
            "users",
            row,
            {
                **named,
                "Username": named["Email"],
                "IsActive": row.get("deactivated_at") is None,
                "UserRoleId": world.once("UserRole", team, Name=team) if team else None,
                "ProfileId": world.once("Profile", profile, Name=profile),
                "UserType": "Standard",
                "Crm_Role__c": role,
                "Seat_Kind__c": row.get("user_type", "human"),
                "Has_Seat__c": row.get("is_licensed", True),
                "Left_At__c": row.get("deactivated_at"),
            },
            created=row["created_at"],
        )


def owner_id(world: World, name: str | None) -> str | None:
    """The id of a user, or of the queue."""
    if name is not None and name.startswith("queue-"):
        world.ids["users", name] = world.once("Group", name, Name=name, Type="Queue")
    return world.id_of("users", name)


def add_accounts(world: World) -> None:
    for row in world.rows["accounts"]:
        referable = row.get("is_referenceable")
        world.add(
            "accounts",
            row,
            {
                "Name": f"{SECRET_TEXT} {row['id']}",
                "Phone": f"+1 555 {SECRET_TEXT}",
                "Description": f"{SECRET_TEXT} notes",
                "Type": titled(row["account_type"]),
                "Segment__c": row["segment"],
                "Industry": row["industry"],
                "BillingCountry": row["country"],
                "OwnerId": owner_id(world, row["owner_id"]),
                "ParentId": world.live_reference("accounts", row.get("parent_account_id")),
                "Customer_Since__c": row.get("customer_since_at"),
                "Agreed_To_Refer__c": None if referable is None else "Yes" if referable else "No",
                "Loyalty_Joined__c": row.get("loyalty_joined_at"),
                "Churn_Reason__c": row.get("churn_reason"),
                "MasterRecordId": world.id_of("accounts", row.get("merged_into_id")),
            },
            created=row["created_at"],
        )


def add_contacts(world: World) -> None:
    for row in world.rows["contacts"]:
        world.add(
            "contacts",
            row,
            {
                **person(row["id"]),
                "AccountId": world.live_reference("accounts", row["account_id"]),
                "OwnerId": owner_id(world, row["owner_id"]),
                "Lifecycle_Stage__c": row["lifecycle_stage"],
                "HasOptedOutOfEmail": row["email_opted_out"],
                "MasterRecordId": world.id_of("contacts", row.get("merged_into_id")),
            },
            created=row["created_at"],
        )


def add_leads(world: World) -> None:
    for row in world.rows["leads"]:
        converted = row.get("converted_at")
        world.add(
            "leads",
            row,
            {
                **person(row["id"]),
                "Company": f"{SECRET_TEXT} Ltd",
                "LeadSource": row["lead_source"],
                "Status": titled(row["status"]),
                "Segment__c": row["segment"],
                "OwnerId": owner_id(world, row["owner_id"]),
                "Campaign__c": world.id_of("campaigns", row.get("campaign_id")),
                "Account__c": world.live_reference("accounts", row.get("account_id")),
                "Qualified_By_Marketing__c": row.get("mql_at"),
                "Accepted_By_Sales__c": row.get("sql_at"),
                "Disqualified_At__c": row.get("disqualified_at"),
                "IsConverted": converted is not None,
                "ConvertedDate": converted.date() if converted else None,
                "Converted_At__c": converted,
                "ConvertedAccountId": _converted_account(world, row) if converted else None,
                "ConvertedOpportunityId": world.id_of(
                    "opportunities", row.get("converted_opportunity_id")
                ),
                "Became_Customer__c": row.get("became_customer_at"),
                "First_Response__c": row.get("first_response_at"),
                "Referred_By__c": world.live_reference(
                    "accounts", row.get("referred_by_account_id")
                ),
                "MasterRecordId": world.id_of("leads", row.get("merged_into_id")),
            },
            created=row["created_at"],
        )


def _converted_account(world: World, row: Row) -> str | None:
    return world.live_reference("accounts", row.get("account_id"))


def add_campaigns(world: World) -> None:
    for row in world.rows["campaigns"]:
        world.add(
            "campaigns",
            row,
            {
                "Name": row["name"],
                "Type": row["channel"],
                "StartDate": row["start_date"],
                "EndDate": row["end_date"],
                "BudgetedCost": row["budgeted_cost"],
            },
        )


def add_campaign_members(world: World) -> None:
    for row in world.rows["campaign_members"]:
        responded = row.get("responded_at")
        world.add(
            "campaign_members",
            row,
            {
                "FirstName": SECRET_TEXT,
                "Email": f"{row['id']}@{SECRET_TEXT.lower()}.example",
                "CampaignId": world.id_of("campaigns", row["campaign_id"]),
                "LeadId": world.live_reference("leads", row.get("lead_id")),
                "ContactId": world.live_reference("contacts", row.get("contact_id")),
                "Status": "Responded" if responded else "Sent",
                "HasResponded": responded is not None,
                "FirstRespondedDate": responded.date() if responded else None,
                "Delivered__c": row.get("delivered_at"),
                "Bounced__c": row.get("bounced_at"),
                "Opened__c": row.get("opened_at"),
                "Clicked__c": row.get("clicked_at"),
                "Responded__c": responded,
                "Unsubscribed__c": row.get("unsubscribed_at"),
                "Complained__c": row.get("complained_at"),
            },
            created=row["sent_at"],
        )


def add_logins(world: World) -> None:
    """Logins only: what users did to records is told by the records themselves."""
    for row in world.rows["user_activity"]:
        if row["activity_type"] == "login":
            is_success = row.get("is_success", True)
            world.add(
                "user_activity",
                row,
                {
                    "UserId": world.id_of("users", row["user_id"]),
                    "LoginTime": row["occurred_at"],
                    "LoginType": "Application",
                    "Status": "Success" if is_success else "Invalid Password",
                    "SourceIp": SECRET_TEXT,
                },
            )
