"""The custom fields of the sample org: what no standard field of Salesforce can hold."""

from __future__ import annotations

_ACTIVITY = (
    "Is_Test__c:boolean Kind__c:picklist Direction__c:picklist Outcome__c:picklist "
    "Happened_At__c:datetime Ended_At__c:datetime Contact_Group__c Is_Done__c:boolean "
    "Is_Automated__c:boolean Talk_Seconds__c:double Hold_Seconds__c:double "
    "Wrap_Seconds__c:double Queue_Seconds__c:double Lead__c>Lead Contact__c>Contact "
    "Opportunity__c>Opportunity Case__c>Case"
)

OWN: dict[str, str] = {
    "Account": "Is_Test__c:boolean Segment__c:picklist Customer_Since__c:datetime "
    "Agreed_To_Refer__c:picklist Loyalty_Joined__c:datetime Churn_Reason__c:picklist",
    "Contact": "Is_Test__c:boolean Lifecycle_Stage__c:picklist",
    "Lead": "Is_Test__c:boolean Segment__c:picklist Campaign__c>Campaign Account__c>Account "
    "Qualified_By_Marketing__c:datetime Accepted_By_Sales__c:datetime "
    "Disqualified_At__c:datetime Converted_At__c:datetime Became_Customer__c:datetime "
    "First_Response__c:datetime Referred_By__c>Account",
    "Opportunity": "Is_Test__c:boolean Lost_Reason__c:picklist",
    "Product2": "Is_Test__c:boolean Tier_Rank__c:int Unit_Cost__c:currency Cost_Currency__c",
    "Order": "Is_Test__c:boolean Campaign__c>Campaign Refunded_Amount__c:currency "
    "Refunded_At__c:datetime",
    "OrderItem": "Unit_Cost__c:currency",
    "AssetStatePeriod": "Is_Test__c:boolean Contract__c Product__c>Product2 "
    "Cancel_Reason__c:picklist Is_Trial__c:boolean",
    "CampaignMember": "Is_Test__c:boolean Delivered__c:datetime Bounced__c:datetime "
    "Opened__c:datetime Clicked__c:datetime Responded__c:datetime Unsubscribed__c:datetime "
    "Complained__c:datetime",
    "Task": _ACTIVITY,
    "Event": _ACTIVITY,
    "Case": "Is_Test__c:boolean Team__c:picklist First_Response__c:datetime "
    "Escalated_At__c:datetime Opened_By_Agent__c:boolean Is_Spam__c:boolean",
    "EmailMessage": "Author_Type__c:picklist",
    "CaseComment": "Author_Type__c:picklist",
    "SurveyInvitation": "Is_Test__c:boolean Sent_At__c:datetime Channel__c:picklist "
    "Account__c>Account Case__c>Case Agent__c>User Product__c>Product2",
    "User": "Is_Test__c:boolean Crm_Role__c:picklist Seat_Kind__c:picklist Has_Seat__c:boolean "
    "Left_At__c:datetime",
    "ForecastingQuota": "Kpi__c:picklist",
}
"""Custom fields by object, written as in `schema.parse_fields`."""
