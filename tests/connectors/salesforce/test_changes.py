"""What changed since the last read: late commits, ties, deletes, merges, formulas."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from connectors.salesforce.sites import Site, load_of
from simulators.salesforce import Org, SalesforceSimulator


def accounts(salesforce: SalesforceSimulator, count: int) -> list[str]:
    """Accounts whose industry is their number, created an hour before now."""
    ids = [salesforce.org.create("Account", Industry=f"{n:03}") for n in range(count)]
    salesforce.clock.advance(3600)
    return ids


def deals(salesforce: SalesforceSimulator, count: int) -> list[str]:
    return [
        salesforce.org.create(
            "Opportunity",
            Name=f"Deal {number}",
            StageName="Proposal",
            Amount=100 + number,
            CloseDate=date(2026, 3, 31),
        )
        for number in range(count)
    ]


def test_a_first_read_gives_every_record_once(site: Site, salesforce: SalesforceSimulator) -> None:
    ids = accounts(salesforce, 25)
    salesforce.rest.batch_cap, salesforce.rest.varies_pages = 4, True
    site.synced()
    assert site.ids("accounts") == sorted(ids)
    assert site.rows("accounts", "industry") == [(f"{number:03}",) for number in range(25)]


def test_a_second_read_asks_for_changes_only(site: Site, salesforce: SalesforceSimulator) -> None:
    ids = accounts(salesforce, 25)
    site.synced()
    site.later(hours=3)
    salesforce.org.update(ids[3], Industry="999")
    [added] = accounts(salesforce, 1)
    site.later(minutes=30)
    salesforce.queries.clear()
    report = site.synced()
    assert load_of(report, "accounts").fetched == 2
    assert (ids[3], "999") in site.rows("accounts", "id", "industry")
    assert added in site.ids("accounts")
    assert any("SystemModstamp >=" in query for query in salesforce.queries)


def test_an_idle_source_moves_the_window_on(site: Site, salesforce: SalesforceSimulator) -> None:
    accounts(salesforce, 3)
    for _ in range(3):
        site.synced()
        site.later(hours=7)
    report = site.synced()
    assert load_of(report, "accounts").fetched == 0
    newest = [q for q in salesforce.queries if "FROM Account " in q][-1]
    assert "SystemModstamp >= 2026-01-12T22:" in newest


@pytest.mark.parametrize("minutes_before", [0, 3, 14])
def test_a_late_commit_is_not_lost(
    site: Site, salesforce: SalesforceSimulator, minutes_before: int
) -> None:
    """Its transaction got its stamp before the first read, and was committed after it."""
    accounts(salesforce, 3)
    site.later(hours=1)
    site.synced()
    stamp = salesforce.org.now() - timedelta(minutes=minutes_before)
    late = salesforce.org.create("Account", stamp=stamp, Name="late")
    site.later(hours=1)
    site.synced()
    assert late in site.ids("accounts")


def test_records_with_one_stamp_across_page_borders_all_arrive(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    ids = accounts(salesforce, 40)
    site.synced()
    site.later(days=1)
    for number, identity in enumerate(ids):
        salesforce.org.update(identity, Industry=str(1000 + number))
    site.later(hours=1)
    salesforce.rest.batch_cap = 7
    # While the third page is on its way, a record of a later one and one of an earlier one change.
    changing = [ids[2], ids[35]]
    salesforce.faults.before(
        lambda: [salesforce.org.update(identity, Industry="5") for identity in changing] and None,
        on="/query/",
        skip=1,
    )
    site.synced()
    site.later(hours=1)
    site.synced()
    found = dict(site.rows("accounts", "id", "industry"))
    expected = {identity: str(1000 + number) for number, identity in enumerate(ids)}
    assert found == {**expected, ids[2]: "5", ids[35]: "5"}


def test_a_record_in_the_bin_is_deleted_and_may_come_back(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    ids = accounts(salesforce, 3)
    site.synced()
    site.later(hours=1)
    salesforce.org.delete(ids[1])
    site.later(hours=1)
    site.synced()
    assert site.ids("accounts") == [ids[0], ids[2]]
    assert (ids[1], True) in site.rows("accounts", "id", "is_deleted")
    salesforce.org.undelete(ids[1])
    site.later(hours=1)
    site.synced()
    assert site.ids("accounts") == ids


def test_a_purged_record_is_deleted(site: Site, salesforce: SalesforceSimulator) -> None:
    ids = accounts(salesforce, 3)
    site.synced()
    site.later(hours=1)
    salesforce.org.purge(ids[0])
    site.later(hours=1)
    site.synced()
    assert site.ids("accounts") == ids[1:]


def test_a_purge_that_no_log_shows_any_more_is_found(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    ids = accounts(salesforce, 3)
    site.synced()
    site.later(hours=1)
    salesforce.org.purge(ids[0])
    site.later(days=20)
    site.synced()
    assert site.ids("accounts") == ids[1:]


def test_a_log_of_deletions_that_was_purged_early_is_not_trusted(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    ids = accounts(salesforce, 3)
    site.synced()
    site.later(hours=1)
    salesforce.org.purge(ids[0])
    site.later(hours=4)
    salesforce.org.log_begins = salesforce.org.now() - timedelta(hours=2)
    site.synced()
    assert site.ids("accounts") == ids[1:]


def test_deletions_behind_the_covered_date_come_with_the_next_read(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    ids = accounts(salesforce, 3)
    site.synced()
    site.later(hours=1)
    salesforce.rest.covered_lag = timedelta(hours=3)
    salesforce.org.purge(ids[0])
    hidden = salesforce.org.deletions.pop()
    site.later(minutes=10)
    site.synced()
    salesforce.org.deletions.append(hidden)
    salesforce.rest.covered_lag = timedelta(0)
    site.later(hours=6)
    site.synced()
    assert site.ids("accounts") == ids[1:]


def test_children_of_a_deleted_deal_go_with_it(site: Site, salesforce: SalesforceSimulator) -> None:
    site.only = ("opportunities", "opportunity_items")
    [deal, other] = deals(salesforce, 2)
    for owner in (deal, other):
        salesforce.org.create("OpportunityLineItem", OpportunityId=owner, Quantity=1, TotalPrice=5)
    site.synced()
    assert len(site.ids("opportunity_items")) == 2
    site.later(hours=1)
    salesforce.org.delete(deal)
    salesforce.org.empty_bin()
    site.later(hours=1)
    site.synced()
    assert site.ids("opportunities") == [other]
    assert len(site.ids("opportunity_items")) == 1


def test_the_loser_of_a_merge_names_its_survivor(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("accounts", "opportunities")
    org = salesforce.org
    survivor, loser = org.create("Account", Name="A"), org.create("Account", Name="B")
    deal = org.create("Opportunity", AccountId=loser, StageName="Proposal")
    site.synced()
    site.later(hours=1)
    org.merge(survivor, loser)
    site.later(hours=1)
    site.synced()
    rows = site.rows("accounts", "id", "is_deleted", "merged_into_id")
    assert rows == sorted([(survivor, False, None), (loser, True, survivor)])
    assert site.rows("opportunities", "id", "account_id") == [(deal, survivor)]


def test_a_merge_stays_known_when_the_bin_is_emptied(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("accounts",)
    org = salesforce.org
    survivor, loser = org.create("Account", Name="A"), org.create("Account", Name="B")
    site.synced()
    site.later(hours=1)
    org.merge(survivor, loser)
    site.later(hours=1)
    site.synced()
    org.empty_bin()
    site.later(hours=1)
    site.synced()
    assert (loser, True, survivor) in site.rows("accounts", "id", "is_deleted", "merged_into_id")


def test_the_history_of_a_deal_becomes_stays(site: Site, salesforce: SalesforceSimulator) -> None:
    site.only = ("opportunity_stage_history",)
    org = salesforce.org
    for number, (label, is_closed, is_won) in enumerate(
        [("Proposal", False, False), ("Negotiation", False, False), ("Closed Won", True, True)]
    ):
        org.create("OpportunityStage", MasterLabel=label, ApiName=label, SortOrder=number,
                   IsClosed=is_closed, IsWon=is_won, IsActive=True)  # fmt: skip
    [deal] = deals(salesforce, 1)
    start = salesforce.org.now()
    steps = [("Proposal", 100), ("Proposal", 120), ("Negotiation", 120), ("Closed Won", 110)]
    for day, (stage, amount) in enumerate(steps):
        at = start + timedelta(days=day)
        org.create("OpportunityHistory", stamp=at, OpportunityId=deal, StageName=stage,
                   Amount=amount, Probability=50, CloseDate=date(2026, 3, 31))  # fmt: skip
    site.later(days=5)
    site.synced()
    rows = site.rows(
        "opportunity_stage_history", "entered_at", "exited_at", "stage", "amount", "is_won",
        "probability", "stay_id",
    )  # fmt: skip
    entered = [start + timedelta(days=day) for day in range(4)]
    assert [row[0] for row in rows] == entered
    assert [row[1] for row in rows] == [*entered[1:], None]
    assert [(row[2], int(row[3])) for row in rows] == steps
    assert [row[4] for row in rows] == [False, False, False, True]
    assert {row[5] for row in rows} == {0.5}
    stays = [row[6] for row in rows]
    assert stays[0] == stays[1]
    assert len(set(stays)) == 3


def test_a_new_step_ends_the_one_before_it(site: Site, salesforce: SalesforceSimulator) -> None:
    site.only = ("opportunity_stage_history",)
    org = salesforce.org
    [deal] = deals(salesforce, 1)
    first = org.create("OpportunityHistory", OpportunityId=deal, StageName="Proposal")
    site.synced()
    site.later(days=1)
    second_at = org.now()
    second = org.create("OpportunityHistory", OpportunityId=deal, StageName="Negotiation")
    site.later(hours=1)
    site.synced()
    rows = site.rows("opportunity_stage_history", "id", "exited_at")
    assert rows == sorted([(first, second_at), (second, None)])


def histories(site: Site, salesforce: SalesforceSimulator, source: str) -> dict[str, list[str]]:
    """Two deals or cases with two rows of history each; id of the record -> ids of its rows."""
    org, name = salesforce.org, "Case" if source == "CaseHistory" else "Opportunity"
    if source == "OpportunityFieldHistory":
        org.hide("OpportunityHistory")
    dataset = "case_status_history" if name == "Case" else "opportunity_stage_history"
    site.only, site.packs = (dataset,), ("sales", "service")
    made = [org.create(name, **{"Status" if name == "Case" else "StageName": "b"}) for _ in "123"]
    salesforce.clock.advance(3600)
    for record in made:
        if source == "OpportunityHistory":
            for stage in "ab":
                org.create(source, OpportunityId=record, StageName=stage)
        else:
            field = "Status" if name == "Case" else "StageName"
            org.create(source, **{f"{name}Id": record}, Field=field, OldValue="a", NewValue="b")
    salesforce.clock.advance(3600)
    site.synced()
    column = "case_id" if name == "Case" else "opportunity_id"
    rows = site.rows(dataset, column, "id")
    assert len(rows) == 6
    return {record: [row for owner, row in rows if owner == record] for record in made}


HISTORIES = pytest.mark.parametrize(
    "source", ["OpportunityHistory", "OpportunityFieldHistory", "CaseHistory"]
)


@HISTORIES
@pytest.mark.parametrize("way", ["the log", "20 days", "a log that begins later"])
def test_the_history_of_a_record_that_was_purged_leaves_with_it(
    site: Site, salesforce: SalesforceSimulator, source: str, way: str
) -> None:
    rows = histories(site, salesforce, source)
    gone, recycled, kept = rows
    salesforce.org.purge(gone)
    salesforce.org.delete(recycled)
    # What hung on it leaves no entry of its own.
    salesforce.org.deletions = [e for e in salesforce.org.deletions if e.id in (gone, recycled)]
    site.later(days=20 if way == "20 days" else 0, hours=2)
    if way == "a log that begins later":
        salesforce.org.log_begins = salesforce.org.now() - timedelta(hours=1)
    report = site.synced()
    [dataset] = site.only
    assert site.ids(dataset) == sorted(rows[kept])
    assert load_of(report, dataset).deleted == 2
    salesforce.org.undelete(recycled)
    site.later(hours=2)
    site.synced()
    assert site.ids(dataset) == sorted([*rows[recycled], *rows[kept]])


@HISTORIES
def test_looking_for_purged_owners_costs_a_call_when_nothing_was_deleted(
    site: Site, salesforce: SalesforceSimulator, source: str
) -> None:
    histories(site, salesforce, source)
    site.later(hours=2)
    seen = len(salesforce.calls)
    site.synced()
    owner = "Case" if source == "CaseHistory" else "Opportunity"
    calls = [call.line for call in salesforce.calls[seen:]]
    assert len([line for line in calls if f"/{owner}/deleted" in line]) == 1
    assert not [line for line in calls if "Id IN" in line]


def test_a_membership_in_the_bin_is_not_the_first_campaign(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("leads",)
    org = salesforce.org
    first, second = org.create("Campaign", Name="A"), org.create("Campaign", Name="B")
    lead = org.create("Lead", Status="New")
    member = org.create("CampaignMember", LeadId=lead, CampaignId=first)
    site.later(hours=1)
    org.create("CampaignMember", LeadId=lead, CampaignId=second)
    site.later(hours=1)
    site.synced()
    assert site.rows("leads", "campaign_id") == [(first,)]
    org.delete(member)
    site.later(hours=1)
    site.synced()
    assert site.rows("leads", "campaign_id") == [(second,)]


@pytest.mark.parametrize("way", ["the log", "20 days", "the bin", "read whole before"])
def test_a_membership_that_was_purged_is_not_the_first_campaign(
    site: Site, salesforce: SalesforceSimulator, way: str
) -> None:
    site.only = ("leads",)
    org = salesforce.org
    first, second = org.create("Campaign", Name="A"), org.create("Campaign", Name="B")
    both, one, none = (org.create("Lead", Status="New") for _ in range(3))
    gone = [org.create("CampaignMember", LeadId=lead, CampaignId=first) for lead in (both, one)]
    site.later(hours=1)
    org.create("CampaignMember", LeadId=both, CampaignId=second)
    site.later(hours=1)
    site.synced()
    if way == "the bin":
        org.delete(gone[0])
        site.later(hours=1)
        site.synced()
    if way == "read whole before":
        site.synced(full=True)
    for member in gone:
        org.purge(member)
    site.later(days=20 if way == "20 days" else 0, hours=1)
    report = site.synced()
    assert site.rows("leads", "id", "campaign_id") == [(both, second), (one, None), (none, None)]
    assert load_of(report, "leads").fetched == 2


class Surveyed:
    """An invitation with two answers, and one without."""

    def __init__(self, org: Org) -> None:
        nps, csat = (org.create("SurveyQuestion", Name=name) for name in ("NPS", "CSAT"))
        self.asked, self.silent = (org.create("SurveyInvitation") for _ in range(2))
        at = {"CompletionDateTime": org.now()}
        self.response = org.create("SurveyResponse", InvitationId=self.asked, **at)
        self.answers = [
            org.create("SurveyQuestionResponse", InvitationId=self.asked, QuestionId=question,
                       NumberValue=score)
            for question, score in ((nps, 9), (csat, 4))
        ]  # fmt: skip


def answered(site: Site) -> list[tuple[str, str, float | None, bool]]:
    columns = ("id", "survey_type", "score", "responded_at is not null", "is_deleted")
    return [row[:4] for row in site.rows("survey_responses", *columns) if not row[4]]


@pytest.mark.parametrize("days", [1, 20])
def test_what_was_purged_of_surveys_leaves_with_the_next_day(
    site: Site, salesforce: SalesforceSimulator, days: int
) -> None:
    site.only = ("survey_responses",)
    made = Surveyed(salesforce.org)
    site.later(hours=1)
    site.synced()
    assert answered(site) == [
        (made.asked, "nps", 9, True),
        (f"{made.asked}:2", "csat", 4, True),
        (made.silent, "csat", None, False),
    ]
    for name in (made.answers[0], made.response, made.silent):
        salesforce.org.purge(name)
    site.later(days=days)
    site.synced()
    assert answered(site) == [(made.asked, "csat", 4, False)]
    salesforce.org.purge(made.asked)
    site.later(days=days)
    report = site.synced()
    assert (answered(site), load_of(report, "survey_responses").deleted) == ([], 1)
    salesforce.org.create("SurveyInvitation")
    site.later(hours=1)
    assert load_of(site.synced(), "survey_responses").fetched == 1  # within the day, changes only


@pytest.mark.parametrize("hidden", [False, True])
def test_answers_of_surveys_in_the_bin_are_none(
    site: Site, salesforce: SalesforceSimulator, hidden: bool
) -> None:
    site.only = ("survey_responses",)
    made = Surveyed(salesforce.org)
    if hidden:
        for name in ("SurveyResponse", "SurveyQuestionResponse"):
            salesforce.org.hide(name, "IsDeleted")
    site.later(hours=1)
    site.synced()
    for name in (made.response, made.answers[1]):
        salesforce.org.delete(name)
    site.later(days=1)
    site.synced()
    rest = [(made.silent, "csat", None, False)]
    if hidden:  # then nothing tells them apart
        assert answered(site) == [
            (made.asked, "nps", 9, True), (f"{made.asked}:2", "csat", 4, True), *rest,
        ]  # fmt: skip
    else:
        assert answered(site) == [(made.asked, "nps", 9, False), *rest]


def test_looking_for_purged_members_costs_a_call_when_nothing_was_deleted(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("leads",)
    org = salesforce.org
    lead = org.create("Lead", Status="New")
    org.create("CampaignMember", LeadId=lead, CampaignId=org.create("Campaign", Name="A"))
    site.later(hours=1)
    site.synced()
    site.later(hours=1)
    seen = len(salesforce.calls)
    assert load_of(site.synced(), "leads").fetched == 0
    calls = [call.line for call in salesforce.calls[seen:]]
    assert len([line for line in calls if "/CampaignMember/deleted" in line]) == 1


@pytest.mark.parametrize("left", [0, 15])
def test_a_refund_that_was_purged_is_none(
    site: Site, salesforce: SalesforceSimulator, left: int
) -> None:
    site.only = ("orders",)
    org = salesforce.org
    placed = {"EffectiveDate": date(2026, 1, 5), "Status": "Activated", "StatusCode": "A"}
    order = org.create("Order", TotalAmount=100, IsReductionOrder=False, **placed)
    taken = {"IsReductionOrder": True, "OriginalOrderId": order, **placed}
    reduction = org.create("Order", TotalAmount=-40, **taken)
    if left:
        org.create("Order", TotalAmount=-left, **taken)
    site.later(hours=1)
    site.synced()
    assert site.rows("orders", "refunded_amount") == [(40 + left,)]
    org.purge(reduction)
    site.later(hours=1)
    site.synced()
    assert site.rows("orders", "id", "refunded_amount") == [(order, left or None)]


def test_a_record_that_no_longer_meets_the_condition_of_its_dataset_leaves_it(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    ids = accounts(salesforce, 3)
    site.datasets = {"accounts": {"where": "Industry != 'none'"}}
    site.synced()
    assert site.ids("accounts") == ids
    salesforce.org.update(ids[1], Industry="none")
    site.later(hours=1)
    site.synced()
    assert site.ids("accounts") == [ids[0], ids[2]]
    salesforce.org.update(ids[1], Industry="again")
    site.later(hours=1)
    site.synced()
    assert site.ids("accounts") == ids


def test_a_cost_that_is_taken_back_is_no_spend(site: Site, salesforce: SalesforceSimulator) -> None:
    site.only = ("marketing_spend",)
    campaign = salesforce.org.create("Campaign", Name="Fair", ActualCost=100)
    site.later(hours=1)
    site.synced()
    assert site.ids("marketing_spend") == [campaign]
    salesforce.org.update(campaign, ActualCost=None)
    site.later(hours=1)
    site.synced()
    assert site.ids("marketing_spend") == []


def test_a_user_left_when_that_was_first_seen(site: Site, salesforce: SalesforceSimulator) -> None:
    site.only = ("users",)
    user = salesforce.org.create("User", Username="ann", IsActive=True, UserType="Standard")
    site.synced()
    site.later(hours=1)
    left = salesforce.org.now()
    salesforce.org.update(user, IsActive=False)
    for _ in range(3):
        site.later(hours=20)
        site.synced()
        assert (user, left) in site.rows("users", "id", "deactivated_at")
        salesforce.org.update(user, Department="None")


def test_a_formula_is_refreshed_although_no_stamp_moves(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("accounts",)
    org = salesforce.org
    org.add_fields("Account", "Band__c:string=")
    site.datasets = {"accounts": {"columns": {"segment": "Band__c"}}}
    account = org.create("Account", Name="A", Band__c="small")
    site.synced()
    site.later(hours=1)
    org.recalculate(account, Band__c="large")
    site.later(days=8)
    site.synced()
    assert site.rows("accounts", "segment") == [("large",)]


@pytest.mark.parametrize(
    "rule",
    ["Score__c > 1", "Parent.Industry = 'x'", "account.parent.Industry = 'x'",
     "Id IN (SELECT ParentId FROM Account WHERE Industry = 'child')"],
    ids=["a formula", "a parent", "a parent with its object", "a subquery"],
)  # fmt: skip
def test_rules_over_what_changes_without_a_stamp_are_evaluated_anew(
    site: Site, salesforce: SalesforceSimulator, rule: str
) -> None:
    salesforce.org.add_fields("Account", "Score__c:double=")
    parent, child, other = (salesforce.org.create("Account", Score__c=0) for _ in range(3))
    salesforce.org.recalculate(child, ParentId=parent)
    salesforce.clock.advance(3600)
    site.datasets = {"accounts": {"is_test": rule}}
    site.synced()
    assert site.rows("accounts", "is_test") == [(False,)] * 3
    site.later(hours=1)
    for name in (parent, child, other):
        salesforce.org.recalculate(name, Score__c=5)
    salesforce.org.recalculate(parent, Industry="x")
    salesforce.org.recalculate(child, Industry="child")
    report = site.synced()
    assert any("up to 1 h old" in notice for notice in load_of(report, "accounts").notices)
    site.later(days=1)
    report = site.synced()
    assert any("change without a trace" in notice for notice in load_of(report, "accounts").notices)
    met = {"S": {parent, child, other}, "P": {child}, "a": {child}, "I": {parent}}[rule[0]]
    assert {name for name, is_test in site.rows("accounts", "id", "is_test") if is_test} == met


@pytest.mark.parametrize("rule", ["Score__c = 0", "Parent.Industry = null"])
def test_records_leave_a_condition_over_what_changes_without_a_stamp(
    site: Site, salesforce: SalesforceSimulator, rule: str
) -> None:
    salesforce.org.add_fields("Account", "Score__c:double=")
    first, second, third = (salesforce.org.create("Account", Score__c=0) for _ in range(3))
    salesforce.org.recalculate(second, ParentId=first)
    salesforce.clock.advance(3600)
    site.datasets = {"accounts": {"where": rule}}
    site.synced()
    assert site.ids("accounts") == [first, second, third]
    salesforce.org.recalculate(first, Industry="x")
    salesforce.org.recalculate(second, Score__c=5)
    site.later(days=1, hours=1)
    site.synced()
    assert site.ids("accounts") == [first, third]


def test_a_rule_over_plain_fields_reads_nothing_anew(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    salesforce.org.add_fields("Account", "Last_Call__c:date Today__c")
    accounts(salesforce, 5)
    site.datasets = {
        "accounts": {
            "is_test": "Industry = 'Parent.x TODAY' AND Last_Call__c = null",
            "where": "Today__c = null AND CreatedDate > 2020-01-01T00:00:00Z",
        }
    }
    site.synced()
    site.later(days=3)
    assert load_of(site.synced(), "accounts").fetched == 0


@pytest.mark.parametrize("what", ["field", "object"])
def test_what_becomes_visible_is_read_with_its_past(
    site: Site, salesforce: SalesforceSimulator, what: str
) -> None:
    site.only = ("activities",)
    task = salesforce.org.create("Task", CallDisposition="Reached")
    event = salesforce.org.create("Event", StartDateTime=salesforce.clock())
    salesforce.clock.advance(3600)
    salesforce.org.hide(*(("Event",) if what == "object" else ("Task", "CallDisposition")))
    site.synced()
    salesforce.org.show(*(("Event",) if what == "object" else ("Task", "CallDisposition")))
    site.later(hours=2)
    report = site.synced()
    rows = site.rows("activities", "id", "outcome")
    assert rows == [(task, "reached"), (event, None)]
    told = "Event" if what == "object" else "outcome of Task"
    notices = load_of(report, "activities").notices
    assert any(f"read whole, because {told} could not be read before" in n for n in notices)
    site.later(hours=2)
    assert load_of(site.synced(), "activities").fetched == 0
    salesforce.org.hide(*(("Event",) if what == "object" else ("Task", "CallDisposition")))
    site.later(hours=2)
    load = load_of(site.sync(), "activities")  # although another object gives such a column too
    assert load.failed
    assert "could be read before and cannot any more" in str(load.error)
    assert site.rows("activities", "id", "outcome") == rows


def test_a_second_choice_that_gives_way_to_the_first_is_told(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("opportunity_stage_history",)
    [deal] = deals(salesforce, 1)
    salesforce.org.create("OpportunityHistory", OpportunityId=deal, StageName="Proposal")
    salesforce.clock.advance(3600)
    salesforce.org.hide("OpportunityHistory", "StageName")
    site.synced()
    [before] = site.ids("opportunity_stage_history")
    salesforce.org.show("OpportunityHistory", "StageName")
    site.later(hours=2)
    told = load_of(site.synced(), "opportunity_stage_history").notices
    assert "rows of Opportunity leave: OpportunityHistory takes their place." in told
    [after] = site.ids("opportunity_stage_history")
    assert before != after


def test_rules_that_change_are_applied_to_what_was_read_before(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    first = salesforce.org.create("Account", Name="TEST one", Industry="a")
    second = salesforce.org.create("Account", Name="two", Industry="b")
    site.datasets = {"accounts": {"is_test": "Name LIKE 'DEMO%'"}}
    site.synced()
    assert site.rows("accounts", "id", "is_test") == [(first, False), (second, False)]
    site.datasets = {"accounts": {"is_test": "Name LIKE 'TEST%'", "where": "Industry = 'a'"}}
    site.synced()
    assert site.ids("accounts") == [first]
    assert (first, True) in site.rows("accounts", "id", "is_test")


def test_meanings_of_statuses_that_change_are_applied_to_what_was_read_before(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only, site.packs = ("case_status_history",), ("service",)
    salesforce.org.create("Case", Status="Weird")
    salesforce.clock.advance(3600)
    site.synced()
    assert site.rows("case_status_history", "status_category") == [("open",)]
    site.source = {"case_statuses": {"Weird": "solved"}}
    site.synced()
    assert site.rows("case_status_history", "status_category") == [("solved",)]


def test_nothing_of_another_org_stays_when_the_domain_changes(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.source = {"domain": "acme--uat.sandbox.my.salesforce.com"}
    tried = salesforce.org.create("Account")
    salesforce.clock.advance(3600)
    site.synced()
    del salesforce.org.objects["Account"].records[tried]
    real = salesforce.org.create("Account")
    site.source = {"domain": "acme.my.salesforce.com"}
    site.synced()
    assert site.ids("accounts") == [real]
