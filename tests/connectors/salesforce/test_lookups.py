"""What a stage, a status or a queue means holds for all rows: none keeps what it meant before."""

from __future__ import annotations

from datetime import date

from connectors.salesforce.sites import Site, load_of
from simulators.salesforce import SalesforceSimulator


def _deals(salesforce: SalesforceSimulator) -> str:
    """Two deals in an open stage; the id of the stage."""
    org = salesforce.org
    stage = org.create("OpportunityStage", ApiName="A", MasterLabel="A", IsClosed=False)
    for _ in range(2):
        deal = org.create("Opportunity", StageName="A", Amount=5, CloseDate=date(2026, 3, 1))
        org.create(
            "OpportunityHistory",
            OpportunityId=deal,
            StageName="A",
            Amount=5,
            CloseDate=date(2026, 3, 1),
        )
    salesforce.clock.advance(3 * 3600)
    return stage


def test_deals_follow_their_stage_when_it_is_closed_and_opened_again(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("opportunities", "opportunity_stage_history", "accounts", "users")
    stage = _deals(salesforce)

    def value() -> list[float | None]:
        found = site.project.query(["sales_pipeline_value"], period="2026-01", grain="month")
        return [row["value"] for row in found.to_pylist()]

    site.synced()
    assert value() == [10.0]
    salesforce.org.update(stage, IsClosed=True)
    site.later(days=3)
    report = site.synced()
    assert value() == [0.0]
    [told] = [n for n in load_of(report, "opportunity_stage_history").notices if "Stage" in n]
    assert told.startswith("read whole, because OpportunityStage changed since the last read")
    salesforce.org.update(stage, IsClosed=False)
    site.later(hours=1)
    site.synced()
    assert value() == [10.0]


def test_nothing_is_read_again_when_no_meaning_changed(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("opportunity_stage_history",)
    _deals(salesforce)
    assert load_of(site.synced(), "opportunity_stage_history").fetched == 2
    site.later(hours=3)
    salesforce.queries.clear()
    report = load_of(site.synced(), "opportunity_stage_history")
    assert (report.fetched, report.notices) == (0, ())
    assert len([q for q in salesforce.queries if "FROM OpportunityStage" in q]) == 1


def test_cases_carry_the_new_name_of_their_queue(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only, site.packs = ("cases",), ("service",)
    queue = salesforce.org.create("Group", Name="Tier 1", Type="Queue")
    salesforce.org.create("Case", Status="New", OwnerId=queue)
    salesforce.clock.advance(3 * 3600)
    site.synced()
    assert site.rows("cases", "team") == [("Tier 1",)]
    salesforce.org.update(queue, Name="First line")
    site.later(hours=3)
    site.synced()
    assert site.rows("cases", "team") == [("First line",)]


def test_a_status_that_comes_to_mean_closed_solves_the_stays_of_the_past(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only, site.packs = ("case_status_history",), ("service",)
    status = salesforce.org.create("CaseStatus", ApiName="Parked", MasterLabel="Parked")
    salesforce.org.create("Case", Status="Parked")
    salesforce.clock.advance(3 * 3600)
    site.synced()
    assert site.rows("case_status_history", "status_category") == [("open",)]
    salesforce.org.update(status, IsClosed=True)
    site.later(hours=3)
    site.synced()
    assert site.rows("case_status_history", "status_category") == [("solved",)]


def test_a_lookup_that_comes_into_sight_gives_its_meaning_to_rows_read_before(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only, site.packs = ("case_status_history",), ("service",)
    salesforce.org.create("CaseStatus", ApiName="Parked", MasterLabel="Parked", IsClosed=True)
    salesforce.org.create("Case", Status="Parked")
    salesforce.clock.advance(3 * 3600)
    salesforce.org.hide("CaseStatus")
    site.synced()
    assert site.rows("case_status_history", "status_category") == [("open",)]
    salesforce.org.show("CaseStatus")
    site.later(hours=3)
    site.synced()
    assert site.rows("case_status_history", "status_category") == [("solved",)]
