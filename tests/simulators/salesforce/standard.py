"""The standard objects, with the fields of the object reference that reports are made of.

Persons' names, addresses and texts are there too, as in a real org: whoever asks for them is seen.
"""

from __future__ import annotations

from simulators.salesforce.schema import SObject, parse_fields, with_scale

AUDIT = (
    "Id:id IsDeleted:boolean CreatedDate:datetime CreatedById>User LastModifiedDate:datetime "
    "LastModifiedById>User SystemModstamp:datetime "
)
_STAMPED = "Id:id CreatedDate:datetime CreatedById>User LastModifiedDate:datetime " \
    "LastModifiedById>User SystemModstamp:datetime "  # fmt: skip
_HISTORY = "Id:id IsDeleted:boolean CreatedById>User CreatedDate:datetime Field:picklist " \
    "DataType:picklist OldValue:anyType NewValue:anyType "  # fmt: skip
_PERSON = "Name FirstName LastName Email:email Phone:phone MobilePhone:phone Title "

# Name -> key prefix, fields, parents.
_OBJECTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "Account": (
        "001",
        AUDIT + "Name Type:picklist ParentId>Account Industry:picklist AnnualRevenue:currency "
        "NumberOfEmployees:int OwnerId>User AccountSource:picklist LastActivityDate:date "
        "BillingStreet:textarea BillingCity BillingState BillingCountry BillingAddress:address "
        "Phone:phone Website:url Description:longtextarea MasterRecordId>Account",
        (),
    ),
    "Contact": (
        "003",
        AUDIT + _PERSON + "AccountId>Account LeadSource:picklist OwnerId>User "
        "LastActivityDate:date HasOptedOutOfEmail:boolean EmailBouncedDate:datetime "
        "MailingAddress:address Description:longtextarea MasterRecordId>Contact",
        (),
    ),
    "Lead": (
        "00Q",
        AUDIT + _PERSON + "Company Status:picklist LeadSource:picklist Rating:picklist "
        "Industry:picklist OwnerId>Group,User IsConverted:boolean ConvertedDate:date "
        "ConvertedAccountId>Account ConvertedContactId>Contact ConvertedOpportunityId>Opportunity "
        "HasOptedOutOfEmail:boolean EmailBouncedDate:datetime Address:address "
        "FirstCallDateTime:datetime FirstEmailDateTime:datetime Description:longtextarea "
        "MasterRecordId>Lead",
        (),
    ),
    "Opportunity": (
        "006",
        AUDIT + "AccountId>Account Name StageName:picklist Amount:currency Probability:percent "
        "ExpectedRevenue:currency= TotalOpportunityQuantity:double CloseDate:date Type:picklist "
        "LeadSource:picklist IsClosed:boolean IsWon:boolean ForecastCategory:picklist "
        "ForecastCategoryName:picklist CampaignId>Campaign OwnerId>User Pricebook2Id>Pricebook2 "
        "HasOpportunityLineItem:boolean FiscalYear:int FiscalQuarter:int LastActivityDate:date "
        "LastStageChangeDate:datetime PushCount:int NextStep Description:longtextarea "
        "RecordTypeId>RecordType ContactId>Contact",
        (),
    ),
    "OpportunityHistory": (
        "008",
        "Id:id IsDeleted:boolean CreatedById>User CreatedDate:datetime SystemModstamp:datetime "
        "OpportunityId>Opportunity StageName:picklist Amount:currency ExpectedRevenue:currency "
        "CloseDate:date Probability:percent ForecastCategory:picklist PrevAmount:currency "
        "PrevCloseDate:date",
        ("OpportunityId",),
    ),
    "OpportunityFieldHistory": (
        "017",
        _HISTORY + "OpportunityId>Opportunity",
        ("OpportunityId",),
    ),
    "OpportunityStage": (
        "01J",
        _STAMPED + "MasterLabel ApiName IsActive:boolean SortOrder:int IsClosed:boolean "
        "IsWon:boolean ForecastCategory:picklist ForecastCategoryName:picklist "
        "DefaultProbability:percent Description",
        (),
    ),
    "OpportunityLineItem": (
        "00k",
        AUDIT + "OpportunityId>Opportunity Product2Id>Product2 PricebookEntryId>PricebookEntry "
        "ProductCode Name Quantity:double UnitPrice:currency TotalPrice:currency "
        "ListPrice:currency ServiceDate:date Description",
        ("OpportunityId",),
    ),
    "OpportunityContactRole": (
        "00K",
        AUDIT + "OpportunityId>Opportunity ContactId>Contact Role:picklist IsPrimary:boolean",
        ("OpportunityId",),
    ),
    "Product2": (
        "01t",
        AUDIT + "Name ProductCode Family:picklist IsActive:boolean Description:longtextarea",
        (),
    ),
    "Campaign": (
        "701",
        AUDIT + "Name Type:picklist Status:picklist StartDate:date EndDate:date IsActive:boolean "
        "ActualCost:currency BudgetedCost:currency ExpectedRevenue:currency NumberSent:double "
        "NumberOfLeads:int NumberOfContacts:int NumberOfResponses:int ParentId>Campaign "
        "OwnerId>User Description:longtextarea",
        (),
    ),
    "CampaignMember": (
        "00v",
        AUDIT + "CampaignId>Campaign LeadId>Lead ContactId>Contact Status:picklist "
        "HasResponded:boolean FirstRespondedDate:date FirstName LastName Email:email Phone:phone "
        "CompanyOrAccount",
        ("CampaignId",),
    ),
    "Task": (
        "00T",
        AUDIT + "WhoId>Contact,Lead WhatId>Account,Opportunity,Case,Campaign,Order "
        "AccountId>Account OwnerId>Group,User Subject:combobox Status:picklist IsClosed:boolean "
        "Priority:picklist ActivityDate:date CallDurationInSeconds:int CallType:picklist "
        "CallDisposition CallObject TaskSubtype:picklist CompletedDateTime:datetime "
        "IsArchived:boolean Description:longtextarea",
        (),
    ),
    "Event": (
        "00U",
        AUDIT + "WhoId>Contact,Lead WhatId>Account,Opportunity,Case,Campaign,Order "
        "AccountId>Account OwnerId>Calendar,Group,User Subject:combobox ActivityDateTime:datetime "
        "StartDateTime:datetime EndDateTime:datetime DurationInMinutes:int EventSubtype:picklist "
        "IsArchived:boolean Location Description:longtextarea",
        (),
    ),
    "EmailMessage": (
        "02s",
        AUDIT + "ParentId>Case RelatedToId>Account,Opportunity,Case,Campaign,Order "
        "ActivityId>Task Incoming:boolean Status:picklist MessageDate:datetime FromAddress:email "
        "FromName ToAddress:longtextarea CcAddress:longtextarea Subject TextBody:longtextarea "
        "HtmlBody:longtextarea IsBounced:boolean IsPrivateDraft:boolean",
        ("ParentId",),
    ),
    "VoiceCall": (
        "0LQ",
        AUDIT + "OwnerId>Group,User UserId>User CallType:picklist "
        "CallStartDateTime:datetime CallEndDateTime:datetime CallAcceptDateTime:datetime "
        "CallDurationInSeconds:int RelatedRecordId>Case,Account,Contact,Lead,Opportunity "
        "FromPhoneNumber:phone ToPhoneNumber:phone CallDisposition CallerHoldTime:int "
        "AgentInteractionDuration:int TotalHoldDuration:int QueueName",
        (),
    ),
    "Case": (
        "500",
        AUDIT + "CaseNumber AccountId>Account ContactId>Contact OwnerId>Group,User "
        "Status:picklist Reason:picklist Origin:picklist Type:picklist Priority:picklist "
        "IsClosed:boolean ClosedDate:datetime IsEscalated:boolean IsClosedOnCreate:boolean "
        "ParentId>Case ProductId>Product2 MasterRecordId>Case RecordTypeId>RecordType Subject "
        "Description:longtextarea SuppliedName SuppliedEmail:email SuppliedPhone:phone "
        "ContactEmail:email ContactPhone:phone",
        (),
    ),
    "CaseHistory": ("017", _HISTORY + "CaseId>Case", ("CaseId",)),
    "LeadHistory": ("017", _HISTORY + "LeadId>Lead", ("LeadId",)),
    "CaseComment": (
        "00a",
        AUDIT + "ParentId>Case IsPublished:boolean CommentBody:longtextarea",
        ("ParentId",),
    ),
    "CaseStatus": (
        "01E",
        _STAMPED + "MasterLabel ApiName IsClosed:boolean IsDefault:boolean SortOrder:int",
        (),
    ),
    "LeadStatus": (
        "01Q",
        _STAMPED + "MasterLabel ApiName IsConverted:boolean IsDefault:boolean SortOrder:int",
        (),
    ),
    "User": (
        "005",
        _STAMPED + _PERSON + "Username Alias IsActive:boolean UserRoleId>UserRole "
        "ProfileId>Profile ManagerId>User Department UserType:picklist LastLoginDate:datetime "
        "ForecastEnabled:boolean TimeZoneSidKey:picklist",
        (),
    ),
    "UserRole": ("00E", _STAMPED + "Name DeveloperName ParentRoleId>UserRole", ()),
    "Profile": ("00e", _STAMPED + "Name UserType:picklist UserLicenseId>UserLicense", ()),
    "UserLicense": ("100", _STAMPED + "Name MasterLabel LicenseDefinitionKey", ()),
    "Group": ("00G", _STAMPED + "Name DeveloperName Type:picklist Email:email", ()),
    "Calendar": ("023", _STAMPED + "Name Type:picklist IsActive:boolean UserId>User", ()),
    "Name": (
        "00D",
        "Id:id Name FirstName LastName Alias Username Email:email Phone:phone Title "
        "Type:picklist IsActive:boolean UserRoleId>UserRole ProfileId>Profile",
        (),
    ),
    "RecordType": (
        "012",
        _STAMPED + "Name DeveloperName SobjectType:picklist IsActive:boolean",
        (),
    ),
    "LoginHistory": (
        "0Ya",
        "Id:id UserId>User LoginTime:datetime LoginType:picklist Status Application Browser "
        "Platform CountryIso SourceIp",
        (),
    ),
    "Order": (
        "801",
        AUDIT + "OrderNumber AccountId>Account OpportunityId>Opportunity ContractId>Contract "
        "OwnerId>User EffectiveDate:date EndDate:date Status:picklist StatusCode:picklist "
        "TotalAmount:currency ActivatedDate:datetime IsReductionOrder:boolean "
        "OriginalOrderId>Order Type:picklist BillingAddress:address Description:longtextarea",
        (),
    ),
    "OrderItem": (
        "802",
        AUDIT + "OrderId>Order Product2Id>Product2 Quantity:double UnitPrice:currency "
        "TotalPrice:currency ServiceDate:date EndDate:date Description",
        ("OrderId",),
    ),
    "Contract": (
        "800",
        AUDIT + "AccountId>Account Status:picklist StatusCode:picklist StartDate:date "
        "EndDate:date ContractTerm:int ActivatedDate:datetime OwnerId>User",
        (),
    ),
    "Asset": (
        "02i",
        AUDIT + "Name AccountId>Account ContactId>Contact Product2Id>Product2 Status:picklist "
        "Price:currency Quantity:double PurchaseDate:date InstallDate:date UsageEndDate:date "
        "IsCompetitorProduct:boolean LifecycleStartDate:datetime LifecycleEndDate:datetime",
        (),
    ),
    "AssetStatePeriod": (
        "1mS",
        AUDIT + "AssetStatePeriodNumber AssetId>Asset StartDate:datetime EndDate:datetime "
        "Mrr:currency Quantity:double Amount:currency",
        ("AssetId",),
    ),
    "SurveyInvitation": (
        "0Kc",
        AUDIT + "Name SurveyId>Survey ContactId>Contact LeadId>Lead UserId>User "
        "ParticipantId>Contact,Lead,User ResponseStatus:picklist IsDefault:boolean "
        "InviteExpiryDateTime:datetime",
        (),
    ),
    "Survey": ("0Kd", AUDIT + "Name DeveloperName ActiveVersionId>SurveyVersion", ()),
    "SurveyResponse": (
        "0Kf",
        AUDIT + "InvitationId>SurveyInvitation SurveyId>Survey SubmitterId>Contact,Lead,User "
        "CompletionDateTime:datetime Status:picklist IpAddress Latitude:double Longitude:double",
        (),
    ),
    "SurveyQuestion": (
        "0KX",
        AUDIT + "Name QuestionName:longtextarea QuestionType:picklist SurveyVersionId",
        (),
    ),
    "SurveyQuestionResponse": (
        "0Kh",
        AUDIT + "ResponseId>SurveyResponse QuestionId>SurveyQuestion InvitationId>SurveyInvitation "
        "IsNumericOrResponseValue Datatype:picklist ResponseValue:longtextarea "
        "ResponseShortText NumberValue:double DateValue:date",
        (),
    ),
    "ForecastingType": ("0Db", _STAMPED + "MasterLabel DeveloperName IsActive:boolean", ()),
    "ForecastingQuota": (
        "0J9",
        _STAMPED + "QuotaOwnerId>User QuotaAmount:currency QuotaQuantity:double StartDate:date "
        "PeriodId>Period ForecastingTypeId>ForecastingType IsAmount:boolean IsQuantity:boolean "
        "ProductFamily:picklist",
        (),
    ),
    "ForecastingItem": (
        "0J4",
        _STAMPED + "OwnerId>User PeriodId>Period ForecastingTypeId>ForecastingType "
        "ForecastCategoryName:picklist ForecastingItemCategory:picklist ForecastAmount:currency "
        "OwnerOnlyAmount:currency IsAmount:boolean IsQuantity:boolean ParentForecastingItemId",
        (),
    ),
    "ForecastingSubmission": (
        "0Jz",
        AUDIT + "ForecastOwnerId>User PeriodId>Period ForecastingTypeId>ForecastingType "
        "SubmissionNote:longtextarea",
        (),
    ),
    "ForecastingSubmissionItem": (
        "0Jy",
        AUDIT + "ForecastingSubmissionId>ForecastingSubmission ForecastingItemCategory:picklist "
        "Amount:currency Quantity:double",
        ("ForecastingSubmissionId",),
    ),
    "Period": (
        "026",
        "Id:id Type:picklist StartDate:date EndDate:date Number:int IsForecastPeriod:boolean "
        "FullyQualifiedLabel PeriodLabel:picklist SystemModstamp:datetime",
        (),
    ),
    "CurrencyType": (
        "01L",
        _STAMPED + "IsoCode:picklist ConversionRate:double DecimalPlaces:int IsActive:boolean "
        "IsCorporate:boolean",
        (),
    ),
    "DatedConversionRate": (
        "04w",
        _STAMPED + "IsoCode:picklist ConversionRate:double StartDate:date NextStartDate:date",
        (),
    ),
    "Organization": (
        "00D",
        _STAMPED + "Name FiscalYearStartMonth:int UsesStartDateAsFiscalYearName:boolean "
        "DefaultLocaleSidKey:picklist TimeZoneSidKey:picklist IsSandbox:boolean "
        "OrganizationType:picklist InstanceName",
        (),
    ),
}
_NO_BULK = frozenset({"CaseStatus"})
_NOT_QUERYABLE = frozenset({"Name"})
_NOT_REPLICATEABLE = frozenset({"CaseStatus", "LeadStatus", "OpportunityStage", "Period",
                                "CurrencyType", "DatedConversionRate", "LoginHistory",
                                "ForecastingItem", "Organization", "UserLicense"})  # fmt: skip
_MONEY = frozenset({"Account", "Contact", "Lead", "Opportunity", "OpportunityHistory", "Campaign",
                    "OpportunityLineItem", "Product2", "CampaignMember", "Task", "Event", "Case",
                    "Order", "OrderItem", "Contract", "Asset", "AssetStatePeriod", "User",
                    "ForecastingQuota", "ForecastingItem",
                    "ForecastingSubmissionItem"})  # fmt: skip


def standard_objects(*, is_multi_currency: bool = False) -> dict[str, SObject]:
    """Fresh, empty standard objects; multi-currency orgs have CurrencyIsoCode on nearly all."""
    made = {}
    for name, (prefix, text, parents) in _OBJECTS.items():
        if is_multi_currency and name in _MONEY:
            text += " CurrencyIsoCode:picklist"
        if is_multi_currency and name == "Organization":
            text += " DefaultCurrencyIsoCode:picklist"
        fields = parse_fields(text)
        if "ConversionRate" in fields:
            fields["ConversionRate"] = with_scale(fields["ConversionRate"], 6)
        made[name] = SObject(
            name,
            prefix,
            fields,
            parents=parents,
            is_bulk=name not in _NO_BULK,
            is_queryable=name not in _NOT_QUERYABLE,
            is_replicateable=name not in _NOT_REPLICATEABLE,
        )
    if not is_multi_currency:
        for name in ("CurrencyType", "DatedConversionRate"):
            del made[name]
    return made
