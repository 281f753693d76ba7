"""HubSpot's properties as canonical columns: each dataset against rows written by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import rows
from crmetrics.errors import SourceError
from crmetrics.testing import CollectingRequest
from simulators.hubspot import Campaign, HubSpotSimulator, Owner, Pipeline, Stage, property_of
from simulators.hubspot.sample.selling import SALES_QUOTA

MADE = datetime(2025, 11, 3, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(day: int, hour: int = 12, month: int = 11) -> datetime:
    return datetime(2025, month, day, hour, tzinfo=UTC)


@pytest.fixture
def selling(service: HubSpotSimulator) -> HubSpotSimulator:
    """An account with a sales and a support pipeline."""
    stages = [
        Stage("101", "Meeting", {"isClosed": "false", "probability": "0.2"}),
        Stage("102", "Won", {"isClosed": "true", "probability": "1.0"}),
        Stage("103", "Lost", {"isClosed": "true", "probability": "0.0"}),
    ]
    tickets = [
        Stage("1", "New", {"ticketState": "OPEN"}),
        Stage("2", "Waiting on contact", {"ticketState": "OPEN"}),
        Stage("3", "Waiting on us", {"ticketState": "OPEN"}),
        Stage("4", "Closed", {"ticketState": "CLOSED"}),
    ]
    service.account.pipelines = {
        "deals": [Pipeline("10", "Sales", stages)],
        "tickets": [Pipeline("0", "Support", tickets)],
    }
    return service


def one(connector: Any, dataset: str, *columns: str, **options: Any) -> dict[str, Any]:
    (row,) = rows(connector, dataset, columns=("id", *columns), **options)
    return {name: row[name] for name in columns}


# --- values --------------------------------------------------------------------------------------


def test_texts_become_typed_values_and_empty_ones_null(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    values = [
        ("43", "0.200000000000000011102230246251565404236316680908203125", "2025-11-30T10:00:00Z"),
        ("1,234.50", "", "1764497000123"),
        ("", None, ""),
        ("0.1", "1", "2025-11-30T10:00:00.846Z"),
    ]
    for amount, share, closing in values:
        selling.account.create(
            "deals",
            {
                "amount": amount,
                "hs_deal_stage_probability": share,
                "closedate": closing,
                "dealstage": "102",
                "pipeline": "10",
            },
            at=MADE,
        )
    found = rows(connect(selling), "opportunities", columns=("amount", "probability", "closed_at"))
    assert [row["amount"] for row in found] == [43, Decimal("1234.5"), None, Decimal("0.1")]
    assert [row["probability"] for row in found] == [0.2, 1.0, 1.0, 1.0]
    assert [row["closed_at"] for row in found] == [
        datetime(2025, 11, 30, 10, tzinfo=UTC),
        datetime(2025, 11, 30, 10, 3, 20, 123_000, tzinfo=UTC),
        None,
        datetime(2025, 11, 30, 10, 0, 0, 846_000, tzinfo=UTC),
    ]


def test_a_value_that_does_not_fit_its_type_is_reported_and_null(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    for amount in ("5", "n/a", "n/a", "7.25"):
        selling.account.create("deals", {"amount": amount}, at=MADE)
    with CollectingRequest("opportunities", columns=("amount",)) as request:
        found = request.collect(connect(selling).read(request))
        (notice,) = request.notices
    assert found["amount"].to_pylist() == [5, None, None, Decimal("7.25")]
    assert "deals.amount: 2 values do not fit" in notice and "'n/a'" in notice


def test_a_close_date_is_a_day_of_the_reporting_zone(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    values = {"closedate": "2025-11-30T23:30:00Z", "dealstage": "102", "pipeline": "10"}
    selling.account.create("deals", values, at=MADE)
    options = {"columns": ("id", "close_date")}
    (here,) = rows(connect(selling), "opportunities", **options)
    (there,) = rows(
        connect(selling, timezone="Europe/Berlin"),
        "opportunities",
        timezone="Europe/Berlin",
        **options,
    )
    assert (here["close_date"], there["close_date"]) == (date(2025, 11, 30), date(2025, 12, 1))


def test_ids_stay_text_though_hubspot_calls_them_numbers(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    store = selling.account.objects["feedback_submissions"]
    store.define(property_of("hs_contact_id", "number"))
    values = {"hs_contact_id": "90071992547409931", "hs_survey_type": "NPS", "hs_value": "9"}
    selling.account.create("feedback_submissions", values, at=MADE)
    assert one(connect(selling), "survey_responses", "contact_id") == {
        "contact_id": "90071992547409931"
    }


# --- deals ---------------------------------------------------------------------------------------


def test_deals_in_all_columns(selling: HubSpotSimulator, connect: Connect) -> None:
    account = selling.account
    company = account.create("companies", {}, at=MADE).id
    values = {
        "dealname": "Secret", "amount": "1000.55", "deal_currency_code": "EUR", "pipeline": "10",
        "dealstage": "102", "dealtype": "existingbusiness", "hubspot_owner_id": "7",
        "closedate": "2025-11-20T15:00:00Z", "hs_v2_date_entered_current_stage":
        "2025-11-21T08:00:00Z", "hs_is_closed": "true", "hs_is_closed_won": "true",
        "hs_deal_stage_probability": "1", "hs_manual_forecast_category": "BEST_CASE",
        "hs_analytics_source": "PAID_SEARCH",
    }  # fmt: skip
    deal = account.create("deals", values, at=MADE, changed=at(21)).id
    account.associate("deals", deal, "companies", company, [(5, "Primary")])
    (row,) = rows(connect(selling), "opportunities")
    known = {name: value for name, value in row.items() if value is not None}
    assert known == {
        "id": deal, "is_deleted": False, "updated_at": at(21), "account_id": company,
        "owner_id": "7", "pipeline": "Sales", "stage": "Won", "opportunity_type": "expansion",
        "lead_source": "PAID_SEARCH", "amount": Decimal("1000.55"), "currency": "EUR",
        "probability": 1.0, "forecast_category": "best_case", "is_closed": True, "is_won": True,
        "close_date": date(2025, 11, 20), "closed_at": at(21, 8), "created_at": MADE,
    }  # fmt: skip


def test_a_deal_in_a_stage_that_was_deleted_keeps_its_id_and_hubspots_own_flags(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    values = {"dealstage": "999", "pipeline": "10", "hs_is_closed": "true",
              "hs_is_closed_won": "true"}  # fmt: skip
    selling.account.create("deals", values, at=MADE)
    assert one(connect(selling), "opportunities", "stage", "is_closed", "is_won") == {
        "stage": "999", "is_closed": True, "is_won": True,
    }  # fmt: skip


def test_the_history_of_a_stage_that_was_deleted_says_whether_it_is_closed(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    values = {"dealstage": "998", "pipeline": "10"}
    deal = selling.account.create("deals", values, at=MADE).id
    now = {"dealstage": "999", "hs_is_closed": "true", "hs_is_closed_won": "true"}
    selling.account.update("deals", deal, at(5), **now)
    selling.account.update("deals", deal, at(6), amount="7")
    lost = selling.account.create("deals", {**values, "hs_is_closed": "true"}, at=MADE).id
    columns = ("opportunity_id", "stage", "is_closed", "is_won", "entered_at")
    found = rows(connect(selling), "opportunity_stage_history", columns=columns)
    found.sort(key=lambda row: (row["opportunity_id"], row["entered_at"]))
    assert [tuple(row[name] for name in columns[:4]) for row in found] == [
        (deal, "998", False, False),
        (deal, "999", True, True),
        (deal, "999", True, True),
        (lost, "998", True, False),
    ]


@pytest.mark.parametrize("dataset", ["orders", "subscriptions"])
def test_what_is_of_a_contact_alone_belongs_to_the_contacts_company(
    selling: HubSpotSimulator, connect: Connect, dataset: str
) -> None:
    account = selling.account
    one_company, other = (account.create("companies", {}, at=MADE).id for _ in range(2))
    contact = account.create("contacts", {}, at=MADE).id
    account.associate("contacts", contact, "companies", other, [(1, "Primary")])
    account.associate("contacts", contact, "companies", one_company)
    both, alone, none = (account.create(dataset, {}, at=MADE).id for _ in range(3))
    account.associate(dataset, both, "companies", one_company)
    for record in (both, alone):
        account.associate(dataset, record, "contacts", contact)
    found = rows(connect(selling), dataset, columns=("id", "account_id"))
    companies = {row["id"]: row["account_id"] for row in found}
    assert companies == {both: one_company, alone: other, none: None}


def test_a_deal_without_currency_is_in_the_companys(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    selling.account.currency = "CHF"
    selling.account.create("deals", {}, at=MADE)
    assert one(connect(selling), "opportunities", "currency") == {"currency": "CHF"}


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "Asia/Tokyo"])
def test_the_close_date_that_hubspot_sets_itself_is_told_or_left_out(
    selling: HubSpotSimulator, connect: Connect, zone: str
) -> None:
    # The account's day: 2025-11-30 23:00 in New York is 2025-12-01 in UTC.
    selling.account.time_zone = "America/New_York"
    for stage, closing in (("101", "2025-12-01T04:00:00Z"), ("101", "2025-11-20T12:00:00Z"),
                           ("102", "2025-11-30T12:00:00Z")):  # fmt: skip
        values = {"dealstage": stage, "pipeline": "10", "closedate": closing}
        selling.account.create("deals", values, at=MADE)
    with CollectingRequest("opportunities", columns=("close_date", "created_at", "is_closed")) as r:
        r.collect(connect(selling).read(r))
        (notice,) = r.notices
    assert "1 of 2 open deals" in notice and "default_close_date" in notice
    connector = connect(selling, default_close_date="ignore", timezone=zone)
    found = rows(connector, "opportunities", columns=("close_date",), timezone=zone)
    days = [row["close_date"] for row in found]
    assert days == [None, date(2025, 11, 20), date(2025, 11, 30)]


def test_the_stage_log_has_a_row_per_change_and_an_id_per_stay(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    account = selling.account
    values = {"dealstage": "101", "pipeline": "10", "amount": "100",
              "closedate": "2025-11-30T12:00:00Z"}  # fmt: skip
    deal = account.create("deals", values, at=at(3)).id
    account.update("deals", deal, at(5), amount="120")
    account.update("deals", deal, at(6), dealstage="102", closedate="1764547200000")
    account.update("deals", deal, at(8), dealstage="101")
    account.update("deals", deal, at(9), dealstage="103", amount="")
    found = rows(connect(selling), "opportunity_stage_history")
    assert [
        (r["entered_at"], r["exited_at"], r["stage"], r["amount"], r["close_date"].day)
        for r in found
    ] == [
        (at(3), at(5), "Meeting", 100, 30),
        (at(5), at(6), "Meeting", 120, 30),
        (at(6), at(8), "Won", 120, 1),
        (at(8), at(9), "Meeting", 120, 1),
        (at(9), None, "Lost", None, 1),
    ]
    assert [(r["is_closed"], r["is_won"], r["probability"]) for r in found] == [
        (False, False, 0.2), (False, False, 0.2), (True, True, 1.0), (False, False, 0.2),
        (True, False, 0.0),
    ]  # fmt: skip
    stays = [row["stay_id"] for row in found]
    assert stays[0] == stays[1] and len(set(stays)) == 4
    assert len({row["id"] for row in found}) == 5 and found[0]["opportunity_id"] == deal
    call = selling.seen("/deals.*propertiesWithHistory")[0]
    assert call.query["limit"] == "50"
    assert call.query["propertiesWithHistory"] == "dealstage,amount,closedate"


def test_only_the_history_that_kpis_read_is_asked_for(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    """And the same whatever is wanted of it: the spans do not depend on who asks."""
    selling.account.create("deals", {"dealstage": "101", "amount": "5"}, at=MADE)
    selling.account.create("tickets", {"hs_pipeline_stage": "1"}, at=MADE)
    for columns in (("stage",), ("stage", "amount", "close_date")):
        assert len(rows(connect(selling), "opportunity_stage_history", columns=columns)) == 1
    assert len(rows(connect(selling), "case_status_history", columns=("status",))) == 1
    asked = {
        (call.path.rpartition("/")[2], call.query["propertiesWithHistory"])
        for call in selling.seen("propertiesWithHistory")
    }
    assert asked == {("deals", "dealstage,amount,closedate"), ("tickets", "hs_pipeline_stage")}


def test_stays_of_no_length_keep_their_order(selling: HubSpotSimulator, connect: Connect) -> None:
    ticket = selling.account.create("tickets", {"hs_pipeline_stage": "1"}, at=at(3)).id
    selling.account.update("tickets", ticket, at(3), hs_pipeline_stage="4")
    selling.account.update("tickets", ticket, at(4), hs_pipeline_stage="3")
    found = rows(connect(selling), "case_status_history")
    assert [
        (r["status"], r["status_category"], r["entered_at"], r["exited_at"]) for r in found
    ] == [
        ("New", "new", at(3), at(3)),
        ("Closed", "solved", at(3), at(4)),
        ("Waiting on us", "open", at(4), None),
    ]
    assert len({row["id"] for row in found}) == 3


def test_own_ticket_stages_are_sorted_by_the_project_file(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    own = [Stage("71", "Start", {}), Stage("72", "At the vendor", {"ticketState": "OPEN"})]
    selling.account.pipelines["tickets"].append(Pipeline("7", "Own", own))
    selling.account.create("tickets", {"hs_pipeline_stage": "72"}, at=at(3))
    plain = one(connect(selling), "case_status_history", "status_category")
    named = connect(selling, ticket_stages={"At the vendor": "on_hold"})
    assert plain == {"status_category": "open"}
    assert one(named, "case_status_history", "status_category") == {"status_category": "on_hold"}


# --- tickets, activities, messages ---------------------------------------------------------------


def test_tickets_in_all_columns(selling: HubSpotSimulator, connect: Connect) -> None:
    account = selling.account
    account.owners["7"] = Owner("7", 70, ("5", "Support East"))
    contact = account.create("contacts", {}, at=MADE).id
    values = {
        "hs_pipeline": "0", "hs_pipeline_stage": "4", "hubspot_owner_id": "7",
        "hubspot_team_id": "5", "hs_ticket_priority": "HIGH", "hs_ticket_category": "BUG",
        "source_type": "FORM", "closed_date": "2025-11-05T10:00:00Z",
        "hs_last_closed_date": "2025-11-06T10:00:00Z",
        "first_agent_reply_date": "2025-11-03T10:30:00Z", "time_to_close": "1",
    }  # fmt: skip
    ticket = account.create("tickets", values, at=MADE, changed=at(6)).id
    account.associate("tickets", ticket, "contacts", contact)
    (row,) = rows(connect(selling), "cases")
    known = {name: value for name, value in row.items() if value is not None}
    assert known == {
        "id": ticket, "is_deleted": False, "updated_at": at(6), "contact_id": contact,
        "owner_id": "7", "team": "Support East", "channel": "web", "category": "BUG",
        "priority": "high", "status": "Closed", "is_closed": True, "created_at": MADE,
        "first_response_at": datetime(2025, 11, 3, 10, 30, tzinfo=UTC), "closed_at": at(6, 10),
    }  # fmt: skip


def test_an_open_ticket_has_no_end_though_it_was_closed_once(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    values = {"hs_pipeline_stage": "3", "closed_date": "2025-11-05T10:00:00Z"}
    selling.account.create("tickets", values, at=MADE)
    assert one(connect(selling), "cases", "is_closed", "closed_at") == {
        "is_closed": False,
        "closed_at": None,
    }


def test_a_ticket_in_a_stage_that_is_not_there_is_closed_as_hubspot_says(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    account = selling.account
    account.objects["tickets"].define(property_of("hs_is_closed", "bool"))
    ended = {"closed_date": "2025-11-05T10:00:00Z"}
    gone = {"hs_pipeline": "0", "hs_pipeline_stage": "99"}
    given: list[dict[str, str]] = [
        {**gone, **ended},
        {**gone, **ended, "hs_pipeline": "8"},
        {**gone, "hs_is_closed": "true"},
        {**gone, **ended, "hs_is_closed": "false"},
        gone,
        {"hs_pipeline": "0", "hs_pipeline_stage": "3", **ended},
    ]
    ids = [account.create("tickets", values, at=MADE).id for values in given]
    went_on = account.create("tickets", gone, at=MADE).id
    account.update("tickets", went_on, at(5), hs_pipeline_stage="4", **ended)
    with CollectingRequest("cases", columns=("status", "is_closed", "closed_at")) as request:
        found = request.collect(connect(selling).read(request)).to_pylist()
        (told,) = request.notices
    cases = {row["id"]: row for row in found}
    assert [cases[name]["is_closed"] for name in ids] == [True, True, True, False, False, False]
    ends = [cases[name]["closed_at"] for name in ids]
    assert ends == [at(5, 10), at(5, 10), None, None, None, None]
    assert cases[ids[0]]["status"] == "99"
    assert told.startswith("tickets: 5 are in a stage that no pipeline has")
    spans = rows(connect(selling), "case_status_history", columns=("case_id", "status_category"))
    categories = [(row["case_id"], row["status_category"]) for row in spans]
    words = ["solved", "solved", "solved", "open", "open", "open"]
    assert categories == [*zip(ids, words, strict=True), (went_on, "open"), (went_on, "solved")]


ENGAGEMENTS = {
    "calls": (
        {"hs_call_direction": "INBOUND", "hs_call_duration": "65500", "hs_call_status": "COMPLETED",
         "hs_call_disposition": "f240bbac-87c9-4f6e-bf70-924b57d47db7"},
        {"activity_type": "call", "direction": "inbound", "talk_seconds": 65.5,
         "outcome": "connected", "is_completed": True, "is_automated": False},
    ),
    "emails": (
        {"hs_email_direction": "INCOMING_EMAIL", "hs_object_source": "SEQUENCES"},
        {"activity_type": "email", "direction": "inbound", "outcome": "replied",
         "is_completed": True, "is_automated": True},
    ),
    "meetings": (
        {"hs_meeting_outcome": "SCHEDULED", "hs_meeting_end_time": "2025-11-09T10:00:00Z"},
        {"activity_type": "meeting", "outcome": "scheduled", "is_completed": False,
         "ended_at": datetime(2025, 11, 9, 10, tzinfo=UTC)},
    ),
    "tasks": (
        {"hs_task_status": "NOT_STARTED"},
        {"activity_type": "task", "is_completed": False},
    ),
    "notes": ({}, {"activity_type": "note"}),
    "communications": ({}, {"activity_type": "chat"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", ENGAGEMENTS)
def test_engagements_become_activities(
    selling: HubSpotSimulator, connect: Connect, kind: str
) -> None:
    given, wanted = ENGAGEMENTS[kind]
    account = selling.account
    values = {"hs_timestamp": "2025-11-09T09:00:00Z", "hubspot_owner_id": "7", **given}
    name = account.create(kind, values, at=MADE).id
    deal = account.create("deals", {}, at=MADE).id
    account.associate(kind, name, "deals", deal)
    found = one(connect(selling), "activities", "user_id", "opportunity_id", "occurred_at", *wanted)
    assert found == {"user_id": "7", "opportunity_id": deal, "occurred_at": at(9, 9), **wanted}


def test_engagements_of_one_number_do_not_overwrite_each_other(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    for kind in ("calls", "emails", "notes"):
        selling.account.create(kind, {}, record_id="77", at=MADE)
    found = rows(connect(selling), "activities", columns=("activity_type",))
    assert {row["id"] for row in found} == {"calls-77", "emails-77", "notes-77"}


def test_messages_of_tickets_come_from_emails_or_conversations(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    account = selling.account
    account.owners["7"] = Owner("7", 70)
    ticket = account.create("tickets", {}, at=MADE).id
    for direction in ("INCOMING_EMAIL", "EMAIL"):
        values = {"hs_email_direction": direction, "hubspot_owner_id": "7",
                  "hs_timestamp": "2025-11-03T09:00:00Z"}  # fmt: skip
        email = account.create("emails", values, at=MADE).id
        account.associate("emails", email, "tickets", ticket)
    account.create("emails", {"hs_email_direction": "EMAIL"}, at=MADE)  # of no ticket
    found = rows(connect(selling), "case_messages", columns=("case_id", "author_type"))
    assert [(r["case_id"], r["author_type"]) for r in found] == [
        (ticket, "customer"),
        (ticket, "agent"),
    ]
    message = {"id": "m1", "type": "COMMENT", "createdAt": "2025-11-03T10:00:00Z",
               "createdBy": "A-70", "text": "for colleagues"}  # fmt: skip
    account.threads["500"] = {
        "createdAt": "2025-11-03T09:00:00Z", "latestMessageTimestamp": "2025-11-03T10:00:00Z",
        "associations": {"associatedTicketId": ticket}, "messages": [message],
    }  # fmt: skip
    connector = connect(selling, case_messages_from=["conversations"])
    columns = ("case_id", "author_type", "user_id", "is_public", "sent_at")
    (row,) = rows(connector, "case_messages", columns=columns)
    assert row == {"id": "m1", "case_id": ticket, "author_type": "agent", "user_id": "7",
                   "is_public": False, "sent_at": at(3, 10)}  # fmt: skip


# --- revenue -------------------------------------------------------------------------------------


def test_line_items_belong_to_deals_or_orders(selling: HubSpotSimulator, connect: Connect) -> None:
    account = selling.account
    deal, order = account.create("deals", {}, at=MADE).id, account.create("orders", {}, at=MADE).id
    lines = [
        account.create("line_items", values, at=MADE).id
        for values in (
            {"quantity": "3", "amount": "29.97", "price": "9.99", "hs_product_id": "55"},
            {"quantity": "2", "price": "4.5", "hs_cost_of_goods_sold": "1.25"},
            {"quantity": "9", "amount": "1"},
        )
    ]
    account.associate("line_items", lines[0], "deals", deal)
    account.associate("line_items", lines[1], "orders", order)
    connector = connect(selling)
    columns = ("opportunity_id", "product_id", "quantity", "total_amount", "currency")
    assert one(connector, "opportunity_items", *columns) == {
        "opportunity_id": deal, "product_id": "55", "quantity": 3.0,
        "total_amount": Decimal("29.97"), "currency": "USD",
    }  # fmt: skip
    assert one(connector, "order_items", "order_id", "total_amount", "unit_cost") == {
        "order_id": order, "total_amount": 9, "unit_cost": Decimal("1.25"),
    }  # fmt: skip


def test_orders_are_net_of_tax_and_shipping(selling: HubSpotSimulator, connect: Connect) -> None:
    values = {
        "hs_total_price": "119.00",
        "hs_tax": "19.00",
        "hs_external_order_status": "Shipped",
        "hs_refund_amount": "10",
        "hs_external_created_date": "2025-11-04T12:00:00Z",
    }
    selling.account.create("orders", values, at=MADE)
    columns = ("total_amount", "refunded_amount", "status", "ordered_at", "currency")
    assert one(connect(selling), "orders", *columns) == {
        "total_amount": 100, "refunded_amount": 10, "status": "fulfilled", "ordered_at": at(4),
        "currency": "USD",
    }  # fmt: skip


@pytest.mark.parametrize(
    "frequency, mrr", [("monthly", 1200), ("annually", 100), ("quarterly", 400), ("weekly", 5200)]
)
def test_recurring_revenue_is_brought_to_a_month(
    selling: HubSpotSimulator, connect: Connect, frequency: str, mrr: int
) -> None:
    values = {"hs_recurring_revenue": "1200", "hs_recurring_billing_frequency": frequency,
              "hs_recurring_billing_start_date": "2025-11-01"}  # fmt: skip
    selling.account.create("subscriptions", values, at=MADE)
    found = one(connect(selling), "subscriptions", "mrr", "start_date", "is_trial")
    assert found == {"mrr": mrr, "start_date": date(2025, 11, 1), "is_trial": False}


def test_recurring_lines_of_won_deals_can_stand_for_subscriptions(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    account = selling.account
    company = account.create("companies", {}, at=MADE).id
    for stage in ("102", "103"):
        deal = account.create("deals", {"dealstage": stage, "pipeline": "10"}, at=MADE).id
        account.associate("deals", deal, "companies", company, [(5, "Primary")])
        values = {"hs_mrr": "50", "hs_recurring_billing_start_date": "2025-11-01"}
        line = account.create("line_items", values, at=MADE).id
        account.associate("line_items", line, "deals", deal)
    connector = connect(selling, subscriptions_from="line_items")
    assert one(connector, "subscriptions", "account_id", "mrr") == {
        "account_id": company,
        "mrr": 50,
    }


def test_a_recurring_line_of_a_contacts_deal_belongs_to_the_contacts_company(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    account = selling.account
    company = account.create("companies", {}, at=MADE).id
    contact = account.create("contacts", {}, at=MADE).id
    account.associate("contacts", contact, "companies", company, [(1, "Primary")])
    for tied in (True, False):
        deal = account.create("deals", {"dealstage": "102", "pipeline": "10"}, at=MADE).id
        line = account.create("line_items", {"hs_mrr": "50"}, at=MADE).id
        account.associate("line_items", line, "deals", deal)
        if tied:
            account.associate("deals", deal, "contacts", contact)
    connector = connect(selling, subscriptions_from="line_items")
    found = rows(connector, "subscriptions", columns=("id", "account_id"))
    assert [row["account_id"] for row in found] == [company, None]
    token = selling.grant("few", {"crm.objects.line_items.read", "crm.objects.deals.read"})
    connector = connect(selling, subscriptions_from="line_items", auth={"token": token})
    found = rows(connector, "subscriptions", columns=("id", "account_id"))
    assert [row["account_id"] for row in found] == [None, None]


# --- people and marketing ------------------------------------------------------------------------


def test_contacts_with_a_lead_date_are_leads(selling: HubSpotSimulator, connect: Connect) -> None:
    account = selling.account
    store = account.objects["contacts"]
    store.define(property_of("hs_lifecyclestage_marketingqualifiedlead_date", "datetime"))
    account.create("contacts", {"lifecyclestage": "subscriber"}, at=MADE)
    values = {
        "hs_v2_date_entered_lead": "2025-11-04T12:00:00Z", "hs_lead_status": "NEW",
        "hs_lifecyclestage_marketingqualifiedlead_date": "2025-11-05T12:00:00Z",
        "hs_v2_date_entered_marketingqualifiedlead": "2025-11-07T12:00:00Z",
        "lifecyclestage": "marketingqualifiedlead", "hs_analytics_source": "DIRECT_TRAFFIC",
    }  # fmt: skip
    lead = account.create("contacts", values, at=MADE).id
    account.update("contacts", lead, at(8), hs_lead_status="UNQUALIFIED")
    account.update("contacts", lead, at(9), hs_lead_status="OPEN")
    account.update("contacts", lead, at(10), hs_lead_status="UNQUALIFIED")
    columns = ("created_at", "mql_at", "sql_at", "disqualified_at", "lead_source", "status")
    assert one(connect(selling), "leads", *columns) == {
        "created_at": at(4), "mql_at": at(5), "sql_at": None, "disqualified_at": at(8),
        "lead_source": "DIRECT_TRAFFIC", "status": "UNQUALIFIED",
    }  # fmt: skip
    assert len(rows(connect(selling), "contacts", columns=("id",))) == 2


@pytest.mark.parametrize("new, old", [(5, 7), (7, 5), (5, None), (None, 5)])
def test_a_lifecycle_stage_begins_with_its_first_entry(
    selling: HubSpotSimulator, connect: Connect, new: int | None, old: int | None
) -> None:
    account = selling.account
    stage = "marketingqualifiedlead"
    names = {f"hs_v2_date_entered_{stage}": new, f"hs_lifecyclestage_{stage}_date": old}
    account.objects["contacts"].define(property_of(f"hs_lifecyclestage_{stage}_date", "datetime"))
    values = {name: f"2025-11-0{day}T12:00:00Z" if day else None for name, day in names.items()}
    account.create("contacts", values, at=MADE)
    assert one(connect(selling), "leads", "mql_at") == {"mql_at": at(5)}


def test_lead_stages_are_found_by_their_date_properties(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    account = selling.account
    stages = [Stage("3725360f-519b", "Sales ready", {"leadState": "IN_PROGRESS"}),
              Stage("66", "Won over", {"leadState": "QUALIFIED"})]  # fmt: skip
    account.pipelines["leads"] = [Pipeline("p", "Leads", stages)]
    hashed, plain = "hs_v2_date_entered_3725360f_519b_69491685", "hs_v2_date_entered_66"
    account.objects["leads"].define(property_of(hashed, "datetime"), property_of(plain, "datetime"))
    values = {"hs_pipeline_stage": "66", hashed: "2025-11-04T12:00:00Z",
              plain: "2025-11-06T12:00:00Z"}  # fmt: skip
    account.create("leads", values, at=MADE)
    connector = connect(selling, leads_from="leads", lead_stages={"sql_at": ["Sales ready"]})
    assert one(connector, "leads", "sql_at", "converted_at", "status") == {
        "sql_at": at(4), "converted_at": at(6), "status": "Won over",
    }  # fmt: skip


def test_users_are_owners_with_those_who_left_and_without_queues(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    account = selling.account
    account.owners |= {
        "7": Owner("7", 70, ("5", "East"), created_at=MADE),
        "8": Owner("8", 80, updated_at=at(20), is_archived=True),
        "9": Owner("9", None, type="QUEUE"),
    }
    account.logins.append({"id": "a", "userId": 70, "loginAt": "2025-11-09T09:00:00Z",
                           "loginSucceeded": False})  # fmt: skip
    account.audit_logs.append({"id": "b", "category": "CRM_OBJECT", "subCategory": "DEAL",
                               "action": "CREATE", "occurredAt": "2025-11-09T10:00:00Z",
                               "actingUser": {"userId": 80}})  # fmt: skip
    connector = connect(selling)
    found = rows(connector, "users", columns=("team", "deactivated_at"))
    assert [(r["id"], r["team"], r["deactivated_at"]) for r in found] == [
        ("7", "East", None),
        ("8", None, at(20)),
    ]
    done = rows(connector, "user_activity", columns=("user_id", "activity_type", "is_success"))
    assert [(r["user_id"], r["activity_type"], r["is_success"]) for r in done] == [
        ("7", "login", False),
        ("8", "record_created", True),
    ]


def test_what_one_did_who_left_and_came_back_is_of_the_owner_of_today(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    account = selling.account
    account.owners |= {
        "7": Owner("7", 70, ("5", "East")),
        "6": Owner("6", 70, ("5", "East until 2024"), is_archived=True),
    }
    login = {"id": "a", "userId": 70, "loginAt": "2025-11-09T09:00:00Z", "loginSucceeded": True}
    account.logins.append(login)
    assert [row["user_id"] for row in rows(connect(selling), "user_activity")] == ["7"]
    account.create("tickets", {"hubspot_team_id": "5"}, at=MADE)
    assert one(connect(selling), "cases", "team") == {"team": "East"}


def test_campaigns_and_their_spend(selling: HubSpotSimulator, connect: Connect) -> None:
    values = {"hs_name": "Fair", "hs_start_date": "2025-11-01", "hs_end_date": "1764460800000",
              "hs_budget_items_sum_amount": "5000", "hs_currency_code": "EUR"}  # fmt: skip
    spend = [("1", "Stand", "1200.50", at(3)), ("2", "Travel", "99.50", at(9))]
    selling.account.campaigns["c-1"] = Campaign("c-1", values, "EUR", "5000", spend)
    columns = ("name", "start_date", "end_date", "budgeted_cost", "currency")
    assert one(connect(selling), "campaigns", *columns) == {
        "name": "Fair", "start_date": date(2025, 11, 1), "end_date": date(2025, 11, 30),
        "budgeted_cost": 5000, "currency": "EUR",
    }  # fmt: skip
    columns = ("spend_date", "campaign_id", "amount", "currency")
    found = rows(connect(selling), "marketing_spend", columns=columns)
    assert [(r["spend_date"], r["amount"]) for r in found] == [
        (date(2025, 11, 3), Decimal("1200.5")),
        (date(2025, 11, 9), Decimal("99.5")),
    ]
    late = ("3", "Dinner", "10", datetime(2025, 11, 9, 23, 30, tzinfo=UTC))
    selling.account.campaigns["c-1"].spend = [late]
    for zone, day in (("UTC", 9), ("Europe/Berlin", 10)):
        (dinner,) = rows(connect(selling), "marketing_spend", columns=columns, timezone=zone)
        assert dinner["spend_date"] == date(2025, 11, day), zone
    selling.account.campaigns["c-1"].spend = spend
    spread = connect(selling, spend_dates="campaign")
    assert one(spread, "marketing_spend", "spend_date", "amount") == {
        "spend_date": None,
        "amount": 1300,
    }


def test_a_campaign_property_that_hubspot_refuses_is_named_before_the_call(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    with pytest.raises(SourceError, match="hs_created_at of campaigns"):
        rows(connect(selling), "campaigns", mapping={"channel": "hs_created_at"})


def test_survey_answers_have_their_scale(selling: HubSpotSimulator, connect: Connect) -> None:
    account = selling.account
    ticket = account.create("tickets", {"hubspot_owner_id": "7"}, at=MADE).id
    for kind, name, value in (("NPS", "Loyalty", "9"), ("CUSTOM", "Solved?", "1")):
        values = {
            "hs_survey_type": kind,
            "hs_survey_name": name,
            "hs_value": value,
            "hs_ticket_id": ticket,
            "hs_submission_timestamp": "2025-11-05T12:00:00Z",
        }
        answer = account.create("feedback_submissions", values, at=MADE).id
        account.associate("feedback_submissions", answer, "tickets", ticket)
    rule = {"Solved?": {"type": "resolution", "min": 0, "max": 1}}
    columns = ("survey_type", "score", "scale_min", "scale_max", "case_id", "user_id")
    found = rows(connect(selling, surveys=rule), "survey_responses", columns=columns)
    assert [tuple(row[name] for name in columns) for row in found] == [
        ("nps", 9.0, 0.0, 10.0, ticket, "7"),
        ("resolution", 1.0, 0.0, 1.0, ticket, "7"),
    ]


def test_goals_become_quotas_of_owners(selling: HubSpotSimulator, connect: Connect) -> None:
    selling.account.owners["7"] = Owner("7", 70)
    values = {**SALES_QUOTA, "hs_assignee_user_id": "70", "hs_target_amount": "5000",
              "hs_start_datetime": "2025-11-01T00:00:00Z",
              "hs_end_datetime": "2025-11-30T23:59:59.999Z"}  # fmt: skip
    selling.account.create("goal_targets", values, at=MADE)
    columns = ("owner_id", "kpi_id", "period_start", "period_end", "target_amount")
    assert one(connect(selling), "quotas", *columns) == {
        "owner_id": "7", "kpi_id": "won_amount", "period_start": date(2025, 11, 1),
        "period_end": date(2025, 12, 1), "target_amount": 5000,
    }  # fmt: skip


def test_rates_are_into_the_reporting_currency(selling: HubSpotSimulator, connect: Connect) -> None:
    account = selling.account
    account.rates = [
        ("EUR", "USD", 1.10, at(1)), ("EUR", "USD", 1.20, at(10)), ("GBP", "USD", 1.32, at(1)),
        ("USD", "EUR", 0.9, at(1)),
    ]  # fmt: skip
    found = rows(connect(selling), "exchange_rates")
    assert [(r["currency"], r["valid_from"].day, r["rate"]) for r in found] == [
        ("EUR", 1, 1.10), ("EUR", 10, 1.20), ("GBP", 1, 1.32),
    ]  # fmt: skip
    crossed = rows(connect(selling, currency="EUR"), "exchange_rates")
    assert {(r["currency"], r["valid_from"].day): round(r["rate"], 9) for r in crossed} == {
        ("USD", 1): round(1 / 1.10, 9), ("USD", 10): round(1 / 1.20, 9),
        ("GBP", 1): 1.2, ("GBP", 10): 1.1,
    }  # fmt: skip
    with pytest.raises(SourceError, match="no rate between them"):
        rows(connect(selling, currency="SEK"), "exchange_rates")
