"""How a project file reads the sample CRM from Salesforce: which custom fields hold what.

For HubSpot the simulator's sample says it itself (`simulators.hubspot.sample.source_section`).
"""

from __future__ import annotations

from typing import Any

from simulators.salesforce import SalesforceSimulator

_TEST = {"is_test": "Is_Test__c"}

SALESFORCE_COLUMNS: dict[str, dict[str, str]] = {
    "accounts": {
        **_TEST,
        "segment": "Segment__c",
        "customer_since_at": "Customer_Since__c",
        "is_referenceable": "Agreed_To_Refer__c = 'Yes'",
        "loyalty_joined_at": "Loyalty_Joined__c",
        "churn_reason": "Churn_Reason__c",
    },
    "contacts": {**_TEST, "lifecycle_stage": "Lifecycle_Stage__c"},
    "leads": {
        **_TEST,
        "segment": "Segment__c",
        "campaign_id": "Campaign__c",
        "account_id": "Account__c",
        "status": "lower(Status)",
        "mql_at": "Qualified_By_Marketing__c",
        "sql_at": "Accepted_By_Sales__c",
        "disqualified_at": "Disqualified_At__c",
        "converted_at": "Converted_At__c",
        "became_customer_at": "Became_Customer__c",
        "first_response_at": "First_Response__c",
        "referred_by_account_id": "Referred_By__c",
    },
    "opportunities": {**_TEST, "lost_reason": "Lost_Reason__c"},
    "products": {
        **_TEST,
        "tier_rank": "Tier_Rank__c",
        "unit_cost": "Unit_Cost__c",
        "currency": "Cost_Currency__c",
    },
    "orders": {
        **_TEST,
        "campaign_id": "Campaign__c",
        "refunded_amount": "Refunded_Amount__c",
        "refunded_at": "Refunded_At__c",
    },
    "order_items": {"unit_cost": "Unit_Cost__c"},
    "subscriptions": {
        **_TEST,
        "subscription_id": "Contract__c",
        "product_id": "Product__c",
        "cancel_reason": "Cancel_Reason__c",
        "is_trial": "Is_Trial__c",
    },
    "campaign_members": {
        **_TEST,
        "delivered_at": "Delivered__c",
        "bounced_at": "Bounced__c",
        "opened_at": "Opened__c",
        "clicked_at": "Clicked__c",
        "responded_at": "Responded__c",
        "unsubscribed_at": "Unsubscribed__c",
        "complained_at": "Complained__c",
    },
    "activities": {
        **_TEST,
        "activity_type": "Kind__c",
        "direction": "Direction__c",
        "occurred_at": "Happened_At__c",
        "ended_at": "Ended_At__c",
        "interaction_id": "Contact_Group__c",
        "lead_id": "Lead__c",
        "contact_id": "Contact__c",
        "opportunity_id": "Opportunity__c",
        "case_id": "Case__c",
        "is_completed": "Is_Done__c",
        "is_automated": "Is_Automated__c",
        "outcome": "Outcome__c",
        "talk_seconds": "Talk_Seconds__c",
        "hold_seconds": "Hold_Seconds__c",
        "wrap_seconds": "Wrap_Seconds__c",
        "queue_seconds": "Queue_Seconds__c",
    },
    "cases": {
        **_TEST,
        "team": "Team__c",
        "first_response_at": "First_Response__c",
        "escalated_at": "Escalated_At__c",
        "is_created_by_agent": "Opened_By_Agent__c",
        "is_spam": "Is_Spam__c",
    },
    "case_messages": {"author_type": "Author_Type__c"},
    "users": {
        **_TEST,
        "role": "Crm_Role__c",
        "user_type": "Seat_Kind__c",
        "is_licensed": "Has_Seat__c",
        "deactivated_at": "Left_At__c",
    },
    "quotas": {"kpi_id": "Kpi__c"},
}


def salesforce_section(salesforce: SalesforceSimulator) -> dict[str, Any]:
    """The source of a project file that reads the sample org whole."""
    app = salesforce.login.app
    return {
        "connector": "salesforce",
        "base_url": salesforce.base_url,
        "auth": {
            "flow": "client_credentials",
            "client_id": app.client_id,
            "client_secret": app.client_secret,
        },
        "case_statuses": {
            "new": "new",
            "open": "open",
            "waiting": "pending",
            "third party": "on_hold",
            "solved": "solved",
        },
        "datasets": {name: {"columns": map_} for name, map_ in SALESFORCE_COLUMNS.items()},
    }
