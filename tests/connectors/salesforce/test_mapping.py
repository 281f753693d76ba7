"""Canonical values out of Salesforce's fields; expected values are written by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.salesforce.orgs import Connect, connector_to, rows_of
from crmetrics.testing import CollectingRequest
from simulators.salesforce import SalesforceSimulator

NINE = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


# What is wanted -> what is selected, written by hand; Id and the stamp of change are always.
SELECTED = [
    ("opportunities", ["amount"], {}, "Opportunity: Amount"),
    ("opportunities", ["closed_at", "is_won"], {},
     "Opportunity: IsClosed IsWon; OpportunityHistory: OpportunityId StageName CreatedDate"),
    ("opportunities", ["pipeline"], {"pipeline": "upper(Region__c)"}, "Opportunity: Region__c"),
    ("leads", ["status"], {}, "Lead: Status"),
    ("leads", ["campaign_id"], {},
     "Lead: ; CampaignMember: LeadId CampaignId CreatedDate IsDeleted"),
    ("users", ["team"], {}, "User: UserRoleId; UserRole: Name"),
    ("cases", ["priority", "created_at"], {}, "Case: Priority CreatedDate"),
    ("accounts", [], {}, "Account: "),
]  # fmt: skip


@pytest.mark.parametrize("transport", ["rest", "bulk"])
@pytest.mark.parametrize(("dataset", "columns", "mapping", "expected"), SELECTED)
def test_only_fields_behind_the_wanted_columns_are_selected(
    salesforce: SalesforceSimulator,
    connect: Connect,
    transport: str,
    dataset: str,
    columns: list[str],
    mapping: dict[str, str],
    expected: str,
) -> None:
    salesforce.org.add_fields("Opportunity", "Region__c")
    rows_of(connect(transport=transport), dataset, ["id", *columns], mapping=mapping)
    found: dict[str, set[str]] = {}
    for name, field in salesforce.selected:
        found.setdefault(name, set()).add(field)
    listed = dict(part.split(":") for part in expected.replace(" ", ",").split(";,"))
    wanted = {name: set(fields.split(",")) - {""} for name, fields in listed.items()}
    assert {n: f - {"Id", "SystemModstamp"} for n, f in found.items()} == wanted


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("Prospect", "prospect"),
        ("Customer - Direct", "customer"),
        ("Customer - Channel", "customer"),
        ("Former Customer", "former_customer"),
        ("Technology Partner", "partner"),
        ("Press", "other"),
        (None, None),
    ],
)
def test_types_of_accounts(
    salesforce: SalesforceSimulator, connect: Connect, value: str | None, kind: str | None
) -> None:
    salesforce.org.create("Account", Type=value)
    (row,) = rows_of(connect(), "accounts", ["account_type"])
    assert row["account_type"] == kind


def test_a_deal(salesforce: SalesforceSimulator, connect: Connect) -> None:
    org = salesforce.org
    account = org.create("Account")
    pipeline = org.create("RecordType", Name="Renewals", SobjectType="Opportunity")
    deal = org.create(
        "Opportunity", AccountId=account, RecordTypeId=pipeline, StageName="Commit",
        Type="Existing Customer - Upgrade", Amount=1234.56, Probability=75,
        ForecastCategory="Forecast", CloseDate=date(2026, 3, 31), stamp=NINE,
    )  # fmt: skip
    (row,) = rows_of(connect(), "opportunities")
    assert row["id"] == deal
    assert (row["account_id"], row["pipeline"]) == (account, "Renewals")
    assert (row["opportunity_type"], row["forecast_category"]) == ("expansion", "commit")
    assert (row["amount"], row["probability"]) == (Decimal("1234.5600"), 0.75)
    assert (row["close_date"], row["closed_at"]) == (date(2026, 3, 31), None)
    assert (row["created_at"], row["updated_at"]) == (NINE, NINE)
    assert (row["is_closed"], row["is_won"], row["is_deleted"]) == (False, False, False)


def history(
    salesforce: SalesforceSimulator, deal: str, *steps: tuple[str, float, int]
) -> list[str]:
    """Rows of OpportunityHistory: stage, amount, hours after nine."""
    return [
        salesforce.org.create(
            "OpportunityHistory", OpportunityId=deal, StageName=stage, Amount=amount,
            Probability=50, CloseDate=date(2026, 2, 1), stamp=NINE + hours * HOUR,
        )
        for stage, amount, hours in steps
    ]  # fmt: skip


def stages(salesforce: SalesforceSimulator) -> None:
    for label, closed, won in (("Open", 0, 0), ("Talk", 0, 0), ("Won", 1, 1), ("Lost", 1, 0)):
        salesforce.org.create(
            "OpportunityStage", ApiName=label, MasterLabel=label, IsClosed=bool(closed),
            IsWon=bool(won),
        )  # fmt: skip


def test_the_stage_log_has_a_row_per_change_and_an_id_per_stay(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    stages(salesforce)
    deal = salesforce.org.create("Opportunity", StageName="Open", IsClosed=False)
    a, b, c, d, e = history(
        salesforce, deal,
        ("Open", 10, 0), ("Open", 20, 1), ("Talk", 20, 2), ("Open", 20, 3), ("Won", 20, 4),
    )  # fmt: skip
    rows = rows_of(connect(), "opportunity_stage_history")
    assert [(row["id"], row["stay_id"], row["stage"], int(row["amount"])) for row in rows] == [
        (a, a, "Open", 10),
        (b, a, "Open", 20),
        (c, c, "Talk", 20),
        (d, d, "Open", 20),
        (e, e, "Won", 20),
    ]
    assert [row["entered_at"] for row in rows] == [NINE + n * HOUR for n in range(5)]
    assert [row["exited_at"] for row in rows] == [*(NINE + n * HOUR for n in range(1, 5)), None]
    assert [(row["is_closed"], row["is_won"]) for row in rows] == [(False, False)] * 4 + [
        (True, True)
    ]
    assert {row["probability"] for row in rows} == {0.5}


def test_a_new_row_of_the_log_ends_the_one_before(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    stages(salesforce)
    deal = salesforce.org.create("Opportunity", StageName="Open")
    other = salesforce.org.create("Opportunity", StageName="Open")
    first, second = history(salesforce, deal, ("Open", 1, 0), ("Talk", 1, 1))
    history(salesforce, other, ("Open", 1, 0))
    (third,) = history(salesforce, deal, ("Won", 1, 2))
    rows = rows_of(
        connect(), "opportunity_stage_history", since=NINE + 2 * HOUR, until=NINE + 3 * HOUR
    )
    assert [(row["id"], row["exited_at"]) for row in rows] == [
        (first, NINE + HOUR),
        (second, NINE + 2 * HOUR),
        (third, None),
    ]


def test_without_the_log_of_deals_their_field_history_gives_it(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    stages(salesforce)
    org = salesforce.org
    org.hide("OpportunityHistory")
    moved = org.create("Opportunity", StageName="Won", Amount=30, Probability=100,
                       CloseDate=date(2026, 2, 1), stamp=NINE)  # fmt: skip
    quiet = org.create("Opportunity", StageName="Open", Amount=5, stamp=NINE)
    for field, old, new, hours in (
        ("StageName", "Open", "Talk", 1), ("Amount", "10", "30", 2), ("Probability", "20", "50", 2),
        ("StageName", "Talk", "Won", 3), ("Probability", "50", "100", 3), ("Owner", "a", "b", 4),
    ):  # fmt: skip
        org.create("OpportunityFieldHistory", OpportunityId=moved, Field=field, OldValue=old,
                   NewValue=new, CreatedDate=NINE + hours * HOUR)  # fmt: skip
    rows = rows_of(connect(), "opportunity_stage_history")
    told = [
        (r["stage"], int(r["amount"]), r["probability"], r["entered_at"], r["exited_at"])
        for r in sorted(rows, key=lambda r: r["entered_at"])
        if r["opportunity_id"] == moved
    ]
    assert told == [
        ("Open", 10, 0.2, NINE, NINE + HOUR),
        ("Talk", 10, 0.2, NINE + HOUR, NINE + 2 * HOUR),
        ("Talk", 30, 0.5, NINE + 2 * HOUR, NINE + 3 * HOUR),
        ("Won", 30, 1.0, NINE + 3 * HOUR, None),
    ]
    assert {r["close_date"] for r in rows if r["opportunity_id"] == moved} == {date(2026, 2, 1)}
    assert len({r["stay_id"] for r in rows if r["opportunity_id"] == moved}) == 3
    (other,) = [r for r in rows if r["opportunity_id"] == quiet]
    assert (other["stage"], other["entered_at"], other["exited_at"]) == ("Open", NINE, None)
    assert [r["is_won"] for r in rows].count(True) == 1


def test_a_deal_is_closed_when_it_entered_the_stage_that_it_is_in(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    org = salesforce.org
    won = org.create("Opportunity", StageName="Won", IsClosed=True, IsWon=True)
    history(salesforce, won, ("Open", 1, 0), ("Lost", 1, 1), ("Won", 1, 2), ("Won", 9, 3))
    reopened = org.create("Opportunity", StageName="Open", IsClosed=False)
    history(salesforce, reopened, ("Won", 1, 0), ("Open", 1, 1))
    silent = org.create("Opportunity", StageName="Won", IsClosed=True, IsWon=True)
    rows = {row["id"]: row["closed_at"] for row in rows_of(connect(), "opportunities")}
    assert rows == {won: NINE + 2 * HOUR, reopened: None, silent: None}


def test_without_the_stage_log_a_deal_is_closed_at_its_last_change_of_stage(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.hide("OpportunityHistory")
    salesforce.org.create("Opportunity", StageName="Won", IsClosed=True, LastStageChangeDate=NINE)
    (row,) = rows_of(connect(), "opportunities", ["closed_at"])
    assert row["closed_at"] == NINE


def test_stays_of_a_case_begin_with_a_status_that_has_no_record(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    org = salesforce.org
    org.create("CaseStatus", ApiName="Done", MasterLabel="Done", IsClosed=True)
    org.create("CaseStatus", ApiName="Fresh", MasterLabel="Fresh", IsDefault=True)
    moved = org.create("Case", Status="Done", IsClosed=True, stamp=NINE)
    quiet = org.create("Case", Status="Waiting on Customer", stamp=NINE)
    changes = (("Fresh", "In Work", 1), ("In Work", "On Hold", 2), ("On Hold", "Done", 3))
    for old, new, hours in changes:
        org.create("CaseHistory", CaseId=moved, Field="Status", OldValue=old, NewValue=new,
                   CreatedDate=NINE + hours * HOUR)  # fmt: skip
    org.create("CaseHistory", CaseId=moved, Field="Owner", NewValue="x", CreatedDate=NINE)
    rows = rows_of(connect(), "case_status_history")
    told = {
        case: [
            (row["status"], row["status_category"], row["entered_at"], row["exited_at"])
            for row in sorted(rows, key=lambda row: row["entered_at"])
            if row["case_id"] == case
        ]
        for case in (moved, quiet)
    }
    assert told[moved] == [
        ("Fresh", "new", NINE, NINE + HOUR),
        ("In Work", "open", NINE + HOUR, NINE + 2 * HOUR),
        ("On Hold", "on_hold", NINE + 2 * HOUR, NINE + 3 * HOUR),
        ("Done", "solved", NINE + 3 * HOUR, None),
    ]
    assert told[quiet] == [("Waiting on Customer", "pending", NINE, None)]


def test_statuses_of_cases_mean_what_the_project_file_says(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.create("Case", Status="Ask Bob")
    (row,) = rows_of(connect(case_statuses={"Ask Bob": "on_hold"}), "case_status_history")
    assert row["status_category"] == "on_hold"


def test_an_escalation_is_remembered_after_it_is_over(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    case = salesforce.org.create("Case", Status="New", IsEscalated=False)
    for value, hours in (("true", 1), ("false", 2), ("true", 3)):
        salesforce.org.create("CaseHistory", CaseId=case, Field="IsEscalated", NewValue=value,
                              CreatedDate=NINE + hours * HOUR)  # fmt: skip
    (row,) = rows_of(connect(), "cases", ["is_escalated", "escalated_at"])
    assert (row["is_escalated"], row["escalated_at"]) == (True, NINE + HOUR)


def test_a_lead(salesforce: SalesforceSimulator, connect: Connect) -> None:
    org = salesforce.org
    first, second = org.create("Campaign", Name="A"), org.create("Campaign", Name="B")
    lead = org.create(
        "Lead", Status="Junk", ConvertedDate=date(2026, 1, 9), FirstCallDateTime=NINE + HOUR,
        FirstEmailDateTime=NINE,
    )  # fmt: skip
    org.create("CampaignMember", LeadId=lead, CampaignId=second, stamp=NINE + HOUR)
    org.create("CampaignMember", LeadId=lead, CampaignId=first, stamp=NINE)
    for status, hours in (("Nurture", 1), ("Qualified", 2), ("Qualified", 5), ("Junk", 6)):
        org.create("LeadHistory", LeadId=lead, Field="Status", NewValue=status,
                   CreatedDate=NINE + hours * HOUR)  # fmt: skip
    meanings = {"Qualified": "mql", "Junk": "disqualified"}
    (row,) = rows_of(connect(lead_statuses=meanings), "leads")
    assert row["campaign_id"] == first
    assert (row["mql_at"], row["disqualified_at"]) == (NINE + 2 * HOUR, NINE + 6 * HOUR)
    assert row["sql_at"] is None
    assert row["first_response_at"] == NINE
    assert row["converted_at"] == datetime(2026, 1, 9, tzinfo=UTC)


def test_reductions_are_refunds_of_their_order_and_no_orders(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    org = salesforce.org
    order = org.create("Order", Status="Activated", StatusCode="Activated", TotalAmount=100,
                       EffectiveDate=date(2026, 1, 2), stamp=NINE)  # fmt: skip
    for amount, day in ((-10, 8), (-5.5, 9)):
        org.create("Order", IsReductionOrder=True, OriginalOrderId=order, TotalAmount=amount,
                   EffectiveDate=date(2026, 1, day), stamp=NINE + HOUR)  # fmt: skip
    (row,) = rows_of(connect(), "orders")
    assert (row["total_amount"], row["refunded_amount"]) == (Decimal(100), Decimal("15.5"))
    assert row["refunded_at"] == datetime(2026, 1, 9, tzinfo=UTC)
    # The order itself did not change: it comes because its reductions did.
    (again,) = rows_of(connect(), "orders", since=NINE + HOUR, until=NINE + 2 * HOUR)
    assert again == row


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("Draft", "Draft", "draft"),
        ("Activated", "Activated", "placed"),
        ("Paid", "Activated", "paid"),
        ("Storniert", "Canceled", "cancelled"),
        ("Expired", "Expired", "cancelled"),
    ],
)
def test_statuses_of_orders(
    salesforce: SalesforceSimulator, connect: Connect, status: str, code: str, expected: str
) -> None:
    salesforce.org.create("Order", Status=status, StatusCode=code)
    (row,) = rows_of(connect(), "orders", ["status"])
    assert row["status"] == expected


def test_a_subscription_ends_the_day_after_its_last_instant(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    org = salesforce.org
    account, product = org.create("Account"), org.create("Product2")
    asset = org.create("Asset", AccountId=account, Product2Id=product)
    org.create("AssetStatePeriod", AssetId=asset, Mrr=9.99, Quantity=3,
               StartDate=datetime(2026, 1, 1, tzinfo=UTC),
               EndDate=datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC))  # fmt: skip
    (row,) = rows_of(connect(), "subscriptions")
    assert (row["start_date"], row["end_date"]) == (date(2026, 1, 1), date(2026, 2, 1))
    assert (row["subscription_id"], row["account_id"], row["product_id"]) == (
        asset, account, product,
    )  # fmt: skip
    assert (row["mrr"], row["quantity"]) == (Decimal("9.99"), 3.0)


def test_without_state_periods_subscriptions_come_from_assets(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.remove_object("AssetStatePeriod")
    salesforce.org.create("Asset", InstallDate=date(2026, 1, 1), UsageEndDate=date(2026, 1, 31),
                          Price=120)  # fmt: skip
    (row,) = rows_of(connect(), "subscriptions", mapping={"mrr": "Price / 12"})
    assert (row["start_date"], row["end_date"], row["mrr"]) == (
        date(2026, 1, 1), date(2026, 2, 1), Decimal(10),
    )  # fmt: skip


def test_activities_come_from_four_objects_and_none_is_counted_twice(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    org = salesforce.org
    contact, lead, case = org.create("Contact"), org.create("Lead"), org.create("Case")
    call = org.create("Task", WhoId=contact, WhatId=case, TaskSubtype="Call", CallType="Inbound",
                      IsClosed=True, CompletedDateTime=NINE, CallDurationInSeconds=61)  # fmt: skip
    mail = org.create("Task", WhoId=lead, TaskSubtype="Email", ActivityDate=date(2026, 1, 7))
    org.create("EmailMessage", ActivityId=mail, MessageDate=NINE)
    org.create("EmailMessage", ParentId=case, MessageDate=NINE)
    plain = org.create("EmailMessage", Incoming=True, MessageDate=NINE)
    meeting = org.create("Event", StartDateTime=NINE, EndDateTime=NINE + HOUR)
    voice = org.create("VoiceCall", CallType="Outbound", CallStartDateTime=NINE,
                       CallAcceptDateTime=NINE + timedelta(seconds=12))  # fmt: skip
    rows = {row["id"]: row for row in rows_of(connect(), "activities")}
    assert {name: row["activity_type"] for name, row in rows.items()} == {
        call: "call", mail: "email", plain: "email", meeting: "meeting", voice: "call",
    }  # fmt: skip
    assert {name: row["direction"] for name, row in rows.items()} == {
        call: "inbound", mail: "outbound", plain: "inbound", meeting: None, voice: "outbound",
    }  # fmt: skip
    assert (rows[call]["contact_id"], rows[call]["case_id"]) == (contact, case)
    assert (rows[call]["talk_seconds"], rows[call]["occurred_at"]) == (61.0, NINE)
    assert (rows[mail]["lead_id"], rows[mail]["contact_id"]) == (lead, None)
    assert rows[mail]["occurred_at"] == datetime(2026, 1, 7, tzinfo=UTC)
    assert rows[meeting]["ended_at"] == NINE + HOUR
    assert rows[voice]["queue_seconds"] == 12.0


def multi_currency(reporting: str, *, dated: bool) -> list[tuple[str, date, float]]:
    with SalesforceSimulator(is_multi_currency=True) as salesforce:
        org = salesforce.org
        org.create("CurrencyType", IsoCode="USD", ConversionRate=1.0, IsCorporate=True)
        org.create("CurrencyType", IsoCode="EUR", ConversionRate=0.8)
        org.create("CurrencyType", IsoCode="GBP", ConversionRate=0.5)
        rates = [("EUR", date(2026, 1, 1), 0.5), ("EUR", date(2026, 2, 1), 0.8),
                 ("GBP", date(2026, 1, 15), 0.4)]  # fmt: skip
        for code, day, rate in rates if dated else []:
            org.create("DatedConversionRate", IsoCode=code, StartDate=day, ConversionRate=rate)
        if not dated:
            org.remove_object("DatedConversionRate")
        connector = connector_to(salesforce)
        object.__setattr__(connector.context, "currency", reporting)
        with CollectingRequest("exchange_rates") as request:
            rows: list[Any] = request.collect(connector.read(request)).to_pylist()
        connector.close()
    return sorted((r["currency"], r["valid_from"], round(r["rate"], 9)) for r in rows)


def test_rates_are_stated_against_the_corporate_currency_and_turned_round() -> None:
    assert multi_currency("USD", dated=True) == [
        ("EUR", date(2026, 1, 1), 2.0),
        ("EUR", date(2026, 2, 1), 1.25),
        ("GBP", date(2026, 1, 15), 2.5),
    ]


def test_rates_into_another_currency_than_the_corporate_one_are_crossed() -> None:
    assert multi_currency("EUR", dated=True) == [
        ("GBP", date(2026, 1, 15), 1.25),  # 0.5 / 0.4
        ("GBP", date(2026, 2, 1), 2.0),  # the euro has moved: 0.8 / 0.4
        ("USD", date(2026, 1, 1), 0.5),
        ("USD", date(2026, 2, 1), 0.8),
    ]


def test_without_dated_rates_the_present_ones_hold_for_ever() -> None:
    assert multi_currency("USD", dated=False) == [
        ("EUR", date(1900, 1, 1), 1.25),
        ("GBP", date(1900, 1, 1), 2.0),
    ]


def test_surveys_answered_and_not(salesforce: SalesforceSimulator, connect: Connect) -> None:
    org = salesforce.org
    contact = org.create("Contact", AccountId=org.create("Account"))
    survey = org.create("Survey", Name="NPS 2026")
    question = org.create("SurveyQuestion", Name="Would you recommend us?")
    other = org.create("SurveyQuestion", Name="How satisfied are you?")
    asked = org.create("SurveyInvitation", SurveyId=survey, ContactId=contact, stamp=NINE)
    silent = org.create("SurveyInvitation", SurveyId=survey, stamp=NINE)
    org.create("SurveyResponse", InvitationId=asked, CompletionDateTime=NINE + HOUR)
    for name, score in ((question, 9), (other, 4)):
        org.create("SurveyQuestionResponse", InvitationId=asked, QuestionId=name, NumberValue=score)
    rows = rows_of(connect(), "survey_responses")
    assert [
        (r["id"], r["survey_type"], r["score"], r["scale_min"], r["scale_max"], r["responded_at"])
        for r in rows
    ] == [
        (asked, "nps", 9.0, 0.0, 10.0, NINE + HOUR),
        (f"{asked}:2", "csat", 4.0, 1.0, 5.0, NINE + HOUR),
        (silent, "nps", None, 0.0, 10.0, None),
    ]
    assert rows[0]["sent_at"] == NINE


def test_a_user_left_when_that_was_first_seen(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    user = salesforce.org.create("User", Username="u", IsActive=False, UserType="Standard",
                                 stamp=NINE)  # fmt: skip
    connector = connect()
    with CollectingRequest("users") as request:
        rows = {row["id"]: row for row in request.collect(connector.read(request)).to_pylist()}
        assert rows[user]["deactivated_at"] == NINE
        assert rows[salesforce.org.user]["deactivated_at"] is None
        salesforce.org.update(user, Department="Elsewhere", stamp=NINE + HOUR)
        with request.following(since=NINE) as later:
            again = {r["id"]: r for r in later.collect(connector.read(later)).to_pylist()}
    assert again[user]["deactivated_at"] == NINE


def test_custom_fields_and_expressions_of_the_project_file(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.add_fields("Account", "Segment__c:picklist Size__c:int Since__c:date")
    salesforce.org.create("Account", Segment__c="gold", Size__c=23, Since__c=date(2020, 5, 6))
    mapping = {
        "segment": "Segment__c",
        "industry": "case when Size__c > 20 then 'large' else 'small' end",
        "customer_since_at": "Since__c",
    }
    (row,) = rows_of(connect(), "accounts", mapping=mapping)
    assert (row["segment"], row["industry"]) == ("gold", "large")
    assert row["customer_since_at"] == datetime(2020, 5, 6, tzinfo=UTC)


def test_a_dataset_can_come_from_an_object_of_ones_own(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.add_object("Nps__c", "a01", "Score__c:double Answered__c:datetime")
    made = salesforce.org.create("Nps__c", Score__c=8, Answered__c=NINE)
    columns = {"survey_type": "'nps'", "score": "Score__c", "responded_at": "Answered__c"}
    connector = connect(datasets={"survey_responses": {"object": "Nps__c", "columns": columns}})
    (row,) = rows_of(connector, "survey_responses", mapping=columns)
    assert (row["id"], row["survey_type"], row["score"]) == (made, "nps", 8.0)
    assert row["responded_at"] == NINE


@pytest.mark.parametrize("transport", ["rest", "bulk"])
@pytest.mark.parametrize(
    ("text", "expected"), [("industry", "Retail"), ("upper(INDUSTRY)", "RETAIL")]
)
def test_a_field_may_be_written_in_any_case(
    salesforce: SalesforceSimulator, connect: Connect, transport: str, text: str, expected: str
) -> None:
    salesforce.org.create("Account", Industry="Retail")
    (row,) = rows_of(
        connect(transport=transport),
        "accounts",
        ["segment", "industry"],
        mapping={"segment": text},
    )
    assert (row["segment"], row["industry"]) == (expected, "Retail")


@pytest.mark.parametrize("transport", ["rest", "bulk"])
def test_a_field_of_a_parent_may_be_written_in_any_case(
    salesforce: SalesforceSimulator, connect: Connect, transport: str
) -> None:
    account = salesforce.org.create("Account", Industry="Retail")
    salesforce.org.create("Opportunity", AccountId=account, StageName="New")
    (row,) = rows_of(
        connect(transport=transport),
        "opportunities",
        ["pipeline"],
        mapping={"pipeline": "account.industry"},
    )
    assert row["pipeline"] == "Retail"
