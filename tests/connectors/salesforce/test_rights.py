"""What the user may not see, what nobody may see, and what `check` says about it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.salesforce.orgs import Connect, fill, rows_of
from crmetrics.engine import Project
from crmetrics.errors import SourceError, UnavailableError
from crmetrics.testing import CollectingRequest
from simulators.salesforce import SalesforceSimulator

PERSONAL = {
    "FirstName", "LastName", "Email", "Phone", "MobilePhone", "Username", "Subject", "Description",
    "TextBody", "HtmlBody", "CommentBody", "FromAddress", "ToAddress", "SuppliedEmail",
    "SuppliedName", "ContactEmail", "FromPhoneNumber", "SourceIp", "IpAddress", "ResponseValue",
    "BillingStreet", "Title", "CompanyOrAccount", "Company", "NextStep", "SubmissionNote",
}  # fmt: skip
PERSONS = ("Contact", "Lead", "User", "CampaignMember", "Account", "Case", "Opportunity")


def test_no_name_address_or_text_of_a_person_is_ever_requested(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    fill(salesforce.org)
    connector = connect(lead_statuses={"Qualified": "mql"})
    for supply in connector.datasets():
        if supply.dataset != "exchange_rates":  # of which an org with one currency has none
            rows_of(connector, supply.dataset)
    assert not {field for _, field in salesforce.selected if field in PERSONAL}
    assert not {name for name, field in salesforce.selected if field == "Name" and name in PERSONS}


@pytest.mark.parametrize(
    ("dataset", "field"),
    [
        ("contacts", "Email"), ("leads", "Phone"), ("cases", "Subject"), ("contacts", "LastName"),
        ("opportunities", "Description"), ("contacts", "Owner.Email"), ("accounts", "Owner.Name"),
        ("accounts", "LastName"), ("accounts", "ShippingStreet"),
    ],
)  # fmt: skip
def test_the_project_file_cannot_ask_for_them_either(
    salesforce: SalesforceSimulator, connect: Connect, dataset: str, field: str
) -> None:
    fill(salesforce.org)
    salesforce.org.add_fields("Account", "LastName ShippingStreet:textarea")
    column = (
        "priority"
        if dataset == "cases"
        else "pipeline"
        if dataset == "opportunities"
        else ("industry" if dataset == "accounts" else "owner_id")
    )
    connector = connect()
    with CollectingRequest(dataset, mapping={column: field}) as request:
        request.collect(connector.read(request))
        assert any("personal" in n or "never read" in n for n in request.notices)
        assert all(column not in batch.schema.names for batch in request.batches)


def test_an_owner_is_a_person_although_it_may_be_a_queue(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    fill(salesforce.org)
    rows = rows_of(connect(), "leads", ["status"], mapping={"status": "Owner.Name"})
    assert [row["status"] for row in rows] == [None]
    assert not {(name, field) for name, field in salesforce.selected if field == "Name"}


def test_behind_an_owner_of_several_kinds_lies_what_all_have(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = fill(salesforce.org)
    role = salesforce.org.create("UserRole", Name="EMEA")
    salesforce.org.recalculate(made["User"], UserRoleId=role, Department="Sales")
    queue = salesforce.org.create("Group", Type="Queue")
    salesforce.org.create("Lead", OwnerId=queue)
    mapping = {"status": "Owner.UserRole.Name", "lead_source": "owner.type"}
    rows = rows_of(connect(), "leads", list(mapping), mapping=mapping)
    assert [(r["status"], r["lead_source"]) for r in rows] == [("EMEA", "User"), (None, "Queue")]
    mapping = {"status": "Owner.Department"}  # which a query refuses, although users have it
    with CollectingRequest("leads", columns=["status"], mapping=mapping) as request:
        request.collect(connect().read(request))
        assert any(
            "Lead.Owner is a Group or User, and no query gives Department" in n
            for n in request.notices
        )


def test_test_records_are_found_by_salesforce_itself(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    org = salesforce.org
    inside = org.create("Contact", Email="ann@acme.example")
    outside = org.create("Contact", Email="bob@customer.example")
    rule = {"contacts": {"is_test": "Email LIKE '%@acme.example'"}}
    rows = rows_of(connect(datasets=rule), "contacts", ["is_test"])
    assert {row["id"]: row["is_test"] for row in rows} == {inside: True, outside: False}
    chosen = [query.partition(" FROM ")[0] for query in salesforce.queries]
    assert not [text for text in chosen if "Email" in text]


def test_spam_is_found_by_a_rule_and_records_can_be_left_out(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    org = salesforce.org
    spam = org.create("Case", Origin="Email", Type="Junk")
    good = org.create("Case", Origin="Email")
    org.create("Case", Origin="Robot")
    rule = {"cases": {"is_spam": "Type = 'Junk'", "where": "Origin != 'Robot'"}}
    rows = rows_of(connect(datasets=rule), "cases", ["is_spam"])
    assert {row["id"]: row["is_spam"] for row in rows} == {spam: True, good: False}


# --- what is missing -------------------------------------------------------------------------


def test_a_hidden_field_takes_its_column_and_nothing_else(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.hide("Opportunity", "Amount")
    salesforce.org.create("Opportunity", StageName="Open", Amount=5)
    with CollectingRequest("opportunities", columns=["stage", "amount"]) as request:
        table = request.collect(connect().read(request))
        assert table["stage"].to_pylist() == ["Open"]
        assert all("amount" not in batch.schema.names for batch in request.batches)
        assert any("Opportunity.Amount is missing or hidden" in n for n in request.notices)


def test_a_field_that_disappears_is_an_error_and_no_stale_column(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.create("Opportunity", StageName="Open", Amount=5)
    connector = connect()
    with CollectingRequest("opportunities", columns=["amount"]) as request:
        request.collect(connector.read(request))
        salesforce.org.hide("Opportunity", "Amount")
        later = connect()
        since = datetime(2026, 1, 1, tzinfo=UTC)
        with (
            request.following(since=since) as second,
            pytest.raises(
                SourceError, match=r"amount could be read before.*Opportunity.Amount.*sync --full"
            ),
        ):
            second.collect(later.read(second))


@pytest.mark.parametrize("way", ["hidden", "removed"])
def test_an_object_that_is_not_there_is_unavailable_and_not_empty(
    salesforce: SalesforceSimulator, connect: Connect, way: str
) -> None:
    if way == "hidden":
        salesforce.org.hide("Campaign")
    else:
        salesforce.org.remove_object("Campaign")
    with pytest.raises(UnavailableError, match=r"no Campaign, or hides it"):
        rows_of(connect(), "campaigns")


def project(salesforce: SalesforceSimulator, folder: Path, packs: str = "[sales]") -> Project:
    app = salesforce.login.app
    (folder / "crmetrics.yaml").write_text(
        "version: 1\nproject: p\nreporting: {timezone: UTC, currency: USD}\n"
        "sources:\n  crm:\n    connector: salesforce\n"
        f"    base_url: {salesforce.base_url}\n"
        f"    auth: {{flow: client_credentials, client_id: {app.client_id}, "
        f"client_secret: {app.client_secret}}}\nmetrics: {{packs: {packs}}}\n"
    )
    return Project(folder, now=lambda: salesforce.clock())


def test_check_names_missing_objects_and_fields_with_the_kpis_out_of_reach(
    salesforce: SalesforceSimulator, tmp_path: Path
) -> None:
    fill(salesforce.org)
    salesforce.org.hide("ForecastingQuota")
    salesforce.org.hide("Opportunity", "Amount")
    found = {result.subject: result for result in project(salesforce, tmp_path).check()}
    deals = found["source crm: opportunities (Opportunity)"]
    assert deals.state == "warning"
    assert "about 1 rows; without amount" in deals.message
    assert "Out of reach: " in deals.message
    assert "won_amount" in deals.message
    assert "read access to the fields of Opportunity" in deals.fix
    quotas = found["source crm: quotas (ForecastingQuota)"]
    assert "has no ForecastingQuota, or hides it" in quotas.message
    assert "quota_attainment" in quotas.message
    assert found["source crm: accounts (Account)"].state == "ok"
    assert not [result for result in found.values() if result.state == "error"]


CASES = {
    "CaseHistory": "escalated_at; is_escalated from other fields than usual",
    "Group": "team",
}


@pytest.mark.parametrize("companion", CASES)
def test_check_has_a_line_for_an_object_that_only_completes_another(
    salesforce: SalesforceSimulator, tmp_path: Path, companion: str
) -> None:
    fill(salesforce.org)
    found = {result.subject: result for result in project(salesforce, tmp_path).check()}
    assert found[f"source crm: cases ({companion})"].state == "ok"
    assert "rows" in found[f"source crm: cases ({companion})"].message
    salesforce.org.hide(companion)
    found = {result.subject: result for result in project(salesforce, tmp_path).check()}
    line = found[f"source crm: cases ({companion})"]
    assert line.state == "warning"
    assert line.message.startswith(f"not there; without {CASES[companion]}: {companion} is missing")
    assert line.fix == f"Give the user read access to {companion}, or switch the feature on."
    assert found["source crm: cases (Case)"].state == "ok"


def test_a_hidden_companion_is_not_told_as_a_missing_main_object(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    fill(salesforce.org)
    salesforce.org.hide("CaseHistory")
    with pytest.raises(UnavailableError) as failure:
        rows_of(connect(), "case_status_history")
    assert "CaseHistory is missing or hidden from the user, and case_status_history" in str(
        failure.value
    )
    assert "no Case," not in str(failure.value)
    found = {result.subject: result for result in connect().check()}
    line = found["case_status_history (CaseHistory)"]
    assert "read access to CaseHistory" in line.fix
    assert line.lacks == {"case_status_history": ()}


def test_an_object_whose_field_is_hidden_is_told_with_that_field(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    fill(salesforce.org)
    salesforce.org.hide("LoginHistory", "LoginTime")
    salesforce.org.hide("OpportunityHistory", "StageName")
    salesforce.org.hide("OpportunityFieldHistory")
    with pytest.raises(UnavailableError, match=r"OpportunityHistory.StageName is missing or hid"):
        rows_of(connect(), "opportunity_stage_history")


@pytest.mark.parametrize(
    "text",
    [
        "UPPER(Industry)", "Coalesce(Industry, 'NONE')", "CASE WHEN Industry = 'A' THEN 'B' END",
        "upper(Parent.Industry)", 'UPPER("Parent.Industry")', "CAST(NumberOfEmployees AS VARCHAR)",
        "'Fixed'",
    ],
)  # fmt: skip
def test_check_and_read_agree_on_a_mapping_that_works(
    salesforce: SalesforceSimulator, connect: Connect, text: str
) -> None:
    salesforce.org.create("Account", Industry="A", NumberOfEmployees=5)
    connector = connect(datasets={"accounts": {"columns": {"segment": text}}})
    lines = [result for result in connector.check() if result.subject.startswith("accounts ")]
    assert [(line.subject, line.state) for line in lines] == [("accounts (Account)", "ok")]
    with CollectingRequest("accounts", columns=["segment"], mapping={"segment": text}) as request:
        request.collect(connector.read(request))
        assert request.notices == []


@pytest.mark.parametrize(
    ("text", "state", "told"),
    [
        ("UPPER(Indstry)", "warning", "Account.Indstry is missing or hidden from the user"),
        ("uper(Industry)", "error", "uper does not exist"),
        ("max(Industry)", "error", "max is an aggregate over many records"),
        ('"Close Date"', "error", "'Close Date' can be no field of Salesforce"),
        ("coalesce(\"Close Date\", '')", "error", "'Close Date' can be no field of Salesforce"),
        ("upper(Owner.Name)", "warning", "User.Name is personal, and never read"),
    ],
)
def test_check_tells_what_a_read_would_meet_in_a_mapping(
    salesforce: SalesforceSimulator, connect: Connect, text: str, state: str, told: str
) -> None:
    salesforce.org.create("Account", Industry="A")
    connector = connect(datasets={"accounts": {"columns": {"segment": text}}})
    lines = [result for result in connector.check() if result.subject.startswith("accounts ")]
    worst = [line for line in lines if line.state == state]
    assert len(worst) == 1
    assert told in worst[0].message
    assert len([line for line in lines if line.state != "ok"]) == 1


def test_check_asks_the_org_whether_it_understands_the_rules(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.create("Contact", Email="ann@acme.example")
    rules = {"is_test": "Email LIKE '%@acme.example'", "where": "Email LIKES 'x'"}
    found = {r.subject: r for r in connect(datasets={"contacts": rules}).check()}
    assert found["contacts (is_test)"].message == "about 1 rows of Contact"
    assert found["contacts (where)"].state == "error"
    assert "MALFORMED_QUERY" in found["contacts (where)"].message


def test_an_object_with_too_many_rows_to_count_is_in_order(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    fill(salesforce.org)
    salesforce.faults.answer(
        400, b'[{"errorCode":"QUERY_TIMEOUT","message":"x"}]', on="COUNT.* FROM Task", times=None
    )
    found = {result.subject: result for result in connect().check()}
    assert found["activities (Task)"].message.startswith("too many rows to count")
    assert not [result for result in found.values() if result.state == "error"]


def test_what_the_org_lacks_fails_nothing_and_one_refusal_fails_one_dataset(
    salesforce: SalesforceSimulator, tmp_path: Path
) -> None:
    fill(salesforce.org)
    salesforce.org.remove_object("Campaign", "CampaignMember")
    salesforce.faults.answer(
        400,
        b'[{"errorCode":"INVALID_FIELD","message":"broken"}]',
        on="queryAll.*FROM Product2",
        times=None,
    )
    report = project(salesforce, tmp_path, "[sales, leads, marketing]").sync()
    status = {loaded.dataset: loaded.status for loaded in report.reports}
    assert status["campaigns"] == status["campaign_members"] == "absent"
    assert status["products"] == "failed"
    assert [name for name, state in status.items() if state == "failed"] == ["products"]
    assert "INVALID_FIELD" in str(report.error)
    assert any("campaigns is not there" in note for note in report.notes())


def test_an_object_that_disappears_after_it_was_loaded_is_a_failure(
    salesforce: SalesforceSimulator, tmp_path: Path
) -> None:
    fill(salesforce.org)
    opened = project(salesforce, tmp_path)
    opened.sync()
    salesforce.org.hide("Product2")
    salesforce.clock.advance(3600)
    report = opened.sync()
    (products,) = [loaded for loaded in report.reports if loaded.dataset == "products"]
    assert products.failed


# --- formulas ----------------------------------------------------------------------------------


def test_formulas_are_read_anew_when_they_are_due_and_their_age_is_told(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.add_fields("Account", "Score__c:double=")
    made = salesforce.org.create("Account", Score__c=1)
    mapping = {"segment": "Score__c::int::varchar"}
    connector = connect(refresh_formulas=6 * 3600)
    with CollectingRequest("accounts", columns=["segment"], mapping=mapping) as first:
        first.collect(connector.read(first))
        salesforce.org.recalculate(made, Score__c=2)  # and no stamp moves
        for hours, expected in ((1, []), (7, ["2"])):
            began = first.started + timedelta(hours=hours)
            with first.following(since=datetime(2026, 2, 1, tzinfo=UTC)) as later:
                later.intake.started = began
                rows = later.collect(connector.read(later)).to_pylist()
                assert [row["segment"] for row in rows] == expected
                assert any("Account.Score__c" in notice for notice in later.notices)
                assert any("1 h old" in n for n in later.notices) == (hours == 1)


def test_fields_of_parents_are_read_anew_when_they_are_due_and_their_age_is_told(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    org = salesforce.org
    old, new = org.create("Campaign"), org.create("Campaign")
    deal = org.create("Opportunity", StageName="Open", CampaignId=old)
    org.create("Order", OpportunityId=deal, Status="Draft")
    connector = connect(refresh_formulas=6 * 3600)
    with CollectingRequest("orders", columns=["campaign_id"]) as first:
        first.collect(connector.read(first))
        assert not first.notices
        org.update(deal, CampaignId=new)  # which moves no stamp of the order
        for hours, expected in ((1, []), (7, [new])):
            with first.following(since=datetime(2026, 2, 1, tzinfo=UTC)) as later:
                later.intake.started = first.started + timedelta(hours=hours)
                rows = later.collect(connector.read(later)).to_pylist()
                assert [row["campaign_id"] for row in rows] == expected
                [told] = [n for n in later.notices if "Order.Opportunity.CampaignId" in n]
                assert ("are up to 1 h old" in told) == (hours == 1)
                assert ("read whole, because" in told) == (hours == 7)


# --- deletions ---------------------------------------------------------------------------------


def test_records_gone_for_good_are_told_by_the_log_of_deletions(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    org = salesforce.org
    kept, gone = org.create("Account"), org.create("Account")
    org.purge(gone)
    since = salesforce.clock() - timedelta(days=1)
    with CollectingRequest("accounts", columns=["id"], since=since) as request:
        request.intake.started = salesforce.clock() + timedelta(hours=1)
        request.collect(connect().read(request))
        assert [name for deletion in request.deleted for name in deletion.ids] == [gone]
        assert request.retained is None
        assert kept != gone


@pytest.mark.parametrize("why", ["old", "purged log", "not logged"])
def test_where_the_log_does_not_reach_the_ids_are_compared(
    salesforce: SalesforceSimulator, connect: Connect, why: str
) -> None:
    org = salesforce.org
    kept, gone = org.create("Account"), org.create("Account")
    org.purge(gone)
    days = 40 if why == "old" else 2
    if why == "purged log":
        org.log_begins = salesforce.clock() - timedelta(hours=1)
    if why == "not logged":
        org.objects["Account"].is_replicateable = False
    since = salesforce.clock() - timedelta(days=days)
    with CollectingRequest("accounts", columns=["id"], since=since) as request:
        request.intake.started = salesforce.clock() + timedelta(hours=1)
        request.collect(connect().read(request))
        assert request.retained == [kept]


@pytest.mark.parametrize("hidden", [(), ("User",), ("User", "Contact", "Lead", "Account")])
@pytest.mark.parametrize(
    ("dataset", "column", "field"),
    [
        ("cases", "category", "Owner.Name"),
        ("cases", "category", "owner.name"),
        ("cases", "category", "Owner.CommunityNickname"),
        ("cases", "category", "LastModifiedBy.SenderName"),
        ("cases", "category", "LastModifiedBy.FederationIdentifier"),
        ("cases", "category", "Contact.AssistantName"),
        ("cases", "category", "Contact.ReportsTo.Name"),
        ("activities", "outcome", "Who.Name"),
        ("activities", "outcome", "Who.NameOrAlias"),
        ("activities", "outcome", "What.FirstName"),
        ("users", "role", "CommunityNickname"),
        ("users", "role", "SenderName"),
        ("users", "role", "FederationIdentifier"),
        ("contacts", "account_id", "AssistantName"),
    ],
)
def test_no_name_of_a_person_is_requested_through_any_relation(
    salesforce: SalesforceSimulator,
    connect: Connect,
    hidden: tuple[str, ...],
    dataset: str,
    column: str,
    field: str,
) -> None:
    org = salesforce.org
    org.add_fields("Contact", "AssistantName")
    org.add_fields("User", "CommunityNickname SenderName FederationIdentifier")
    fill(org)
    for name in hidden:
        org.hide(name)
    connector = connect(transport="rest")
    with (
        suppress(UnavailableError),  # users, when users are hidden
        CollectingRequest(dataset, columns=["id", column], mapping={column: field}) as request,
    ):
        request.collect(connector.read(request))
    wanted = field.rpartition(".")[2].lower()
    selects = [query.partition(" FROM ")[0].lower().split() for query in salesforce.queries]
    last_parts = {name.strip(",").rpartition(".")[2] for words in selects for name in words}
    assert wanted not in last_parts
