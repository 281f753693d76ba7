"""Connectors to a simulated org that do not sleep, and what they read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crmetrics.datasets import canonical_datasets
from crmetrics.plugin import ConnectorContext, SourceStorage
from crmetrics.testing import CollectingRequest
from crmetrics_salesforce.connector import SalesforceConnector
from simulators.salesforce import Org, SalesforceSimulator

Connect = Callable[..., SalesforceConnector]


class Quick(SalesforceConnector):
    """The connector with a clock that only remembers how long it was asked to wait."""

    def __init__(self, config: Any, context: ConnectorContext) -> None:
        super().__init__(config, context)
        self.pauses: list[float] = []
        self.sleep = self.pauses.append  # type: ignore[method-assign]


def connector_to(
    simulator: SalesforceSimulator,
    *,
    storage: SourceStorage | None = None,
    folder: Path | None = None,
    **options: Any,
) -> Quick:
    """A connector by client credentials, unless `auth` says otherwise."""
    app = simulator.login.app
    auth = {
        "flow": "client_credentials",
        "client_id": app.client_id,
        "client_secret": app.client_secret,
    }
    config = Quick.Config.model_validate({"base_url": simulator.base_url, "auth": auth, **options})
    context = ConnectorContext(
        "crm",
        folder or Path(),
        datasets=canonical_datasets(),
        storage=storage or SourceStorage(),
        trial=lambda name, mapping: CollectingRequest(name, mapping=mapping),
    )
    connector = Quick(config, context)
    connector.now_s = lambda: simulator.clock().timestamp()  # type: ignore[method-assign]
    return connector


def rows_of(
    connector: SalesforceConnector, dataset: str, columns: Sequence[str] | None = None, **more: Any
) -> list[dict[str, Any]]:
    """What a read gives, by id."""
    with CollectingRequest(dataset, columns=columns, **more) as request:
        found = request.collect(connector.read(request)).to_pylist()
    return sorted(found, key=lambda row: row.get("id") or "")


def fill(org: Org) -> dict[str, str]:
    """A few records of every object that a dataset comes from; object -> the id of one."""
    made: dict[str, str] = {}

    def add(name: str, **values: Any) -> str:
        made[name] = org.create(name, **values)
        return made[name]

    at = datetime(2026, 1, 5, 9, tzinfo=UTC)
    day = at.date()
    user = add("User", Username="ann@acme.example", Name="Ann", UserType="Standard", IsActive=True)
    if "CurrencyType" in org.objects:  # multi-currency orgs only
        add("CurrencyType", IsoCode="USD", ConversionRate=1.0, IsActive=True, IsCorporate=True)
        add("DatedConversionRate", IsoCode="EUR", StartDate=day, ConversionRate=0.8)
    account = add("Account", Type="Customer - Direct", Industry="Retail", OwnerId=user)
    contact = add("Contact", AccountId=account, OwnerId=user)
    lead = add("Lead", Status="Qualified", LeadSource="Web", OwnerId=user)
    add("LeadHistory", LeadId=lead, Field="Status", NewValue="Qualified")
    campaign = add("Campaign", Name="Fair", Type="Trade Show", ActualCost=100, StartDate=day)
    add("CampaignMember", CampaignId=campaign, LeadId=lead)
    add("OpportunityStage", ApiName="Won", MasterLabel="Won", IsClosed=True, IsWon=True)
    deal = add("Opportunity", AccountId=account, StageName="Won", Amount=10.5, IsClosed=True,
               IsWon=True, CloseDate=day, Type="New Customer", Probability=100)  # fmt: skip
    add("OpportunityHistory", OpportunityId=deal, StageName="Won", Amount=10.5, CloseDate=day)
    product = add("Product2", Name="Widget", Family="Hardware")
    add("OpportunityLineItem", OpportunityId=deal, Product2Id=product, Quantity=2, TotalPrice=10.5)
    order = add("Order", AccountId=account, OpportunityId=deal, EffectiveDate=day,
                Status="Activated", StatusCode="Activated", TotalAmount=10.5)  # fmt: skip
    add("Order", IsReductionOrder=True, OriginalOrderId=order, TotalAmount=-2.5, EffectiveDate=day)
    add("OrderItem", OrderId=order, Product2Id=product, Quantity=2, TotalPrice=10.5)
    asset = add("Asset", AccountId=account, Product2Id=product)
    add("AssetStatePeriod", AssetId=asset, StartDate=at, EndDate=at, Mrr=5, Quantity=1)
    add("Task", WhoId=contact, WhatId=deal, OwnerId=user, TaskSubtype="Call", CallType="Inbound",
        Status="Completed", IsClosed=True, ActivityDate=day)  # fmt: skip
    add("Event", WhoId=lead, OwnerId=user, StartDateTime=at, EndDateTime=at)
    add("VoiceCall", OwnerId=user, CallType="Inbound", CallStartDateTime=at, CallAcceptDateTime=at)
    case = add("Case", AccountId=account, ContactId=contact, Status="Closed", IsClosed=True,
               ClosedDate=at, Origin="Phone", OwnerId=user)  # fmt: skip
    add("CaseStatus", ApiName="Closed", MasterLabel="Closed", IsClosed=True)
    add("CaseHistory", CaseId=case, Field="Status", OldValue="New", NewValue="Closed")
    add("EmailMessage", RelatedToId=deal, Incoming=True, MessageDate=at)
    add("EmailMessage", ParentId=case, Incoming=False, MessageDate=at)
    add("CaseComment", ParentId=case, IsPublished=True)
    add("LoginHistory", UserId=user, LoginTime=at, Status="Success")
    period = add("Period", Type="Month", StartDate=day, EndDate=day)
    add("ForecastingQuota", QuotaOwnerId=user, QuotaAmount=100, PeriodId=period, IsAmount=True)
    submission = add("ForecastingSubmission", ForecastOwnerId=user, PeriodId=period)
    add("ForecastingSubmissionItem", ForecastingSubmissionId=submission, Amount=5,
        ForecastingItemCategory="CommitForecast")  # fmt: skip
    survey = add("Survey", Name="NPS")
    invitation = add("SurveyInvitation", SurveyId=survey, ContactId=contact)
    add("SurveyResponse", InvitationId=invitation, SurveyId=survey, CompletionDateTime=at)
    question = add("SurveyQuestion", Name="How likely are you to recommend us?")
    add("SurveyQuestionResponse", InvitationId=invitation, QuestionId=question, NumberValue=9)
    return made
