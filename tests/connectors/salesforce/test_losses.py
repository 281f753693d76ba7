"""What is revoked after it was read, and what is granted after others stood in for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from connectors.salesforce.sites import Site, load_of, on
from crmetrics.engine.loading import SyncReport, sync
from simulators.salesforce import SalesforceSimulator

MARCH = (date(2026, 3, 1), date(2026, 3, 31))


@pytest.fixture
def salesforce() -> Iterator[SalesforceSimulator]:
    """An org of two currencies with a rate of the past, a quota in euros, a forecast both
    submitted and of today, a deal with a stage, and a subscription."""
    with SalesforceSimulator(is_multi_currency=True, currency="USD") as simulator:
        org = simulator.org
        org.create("CurrencyType", IsoCode="USD", ConversionRate=1.0, IsCorporate=True)
        org.create("CurrencyType", IsoCode="EUR", ConversionRate=0.5, IsCorporate=False)
        org.create("DatedConversionRate", IsoCode="EUR", ConversionRate=0.8,
                   StartDate=date(2025, 1, 1))  # fmt: skip
        kind, start, end = org.create("ForecastingType"), *MARCH
        month = org.create("Period", Type="Month", StartDate=start, EndDate=end)
        whose = {"PeriodId": month, "ForecastingTypeId": kind}
        org.create("ForecastingQuota", QuotaOwnerId=org.user, QuotaAmount=80, IsAmount=True,
                   StartDate=start, CurrencyIsoCode="EUR", **whose)  # fmt: skip
        submission = org.create("ForecastingSubmission", ForecastOwnerId=org.user, **whose)
        org.create("ForecastingSubmissionItem", ForecastingSubmissionId=submission,
                   ForecastingItemCategory="CommitForecast", Amount=100)  # fmt: skip
        org.create("ForecastingItem", OwnerId=org.user, ForecastCategoryName="Commit",
                   ForecastAmount=300, OwnerOnlyAmount=300, IsAmount=True, **whose)  # fmt: skip
        account, stamp = org.create("Account", Name="A"), on(2026, 1, 1)
        deal = {"StageName": "New", "Amount": 5, "stamp": stamp}
        opened = org.create("Opportunity", AccountId=account, **deal)
        org.create("OpportunityHistory", OpportunityId=opened, **deal)
        asset = org.create("Asset", AccountId=account, IsCompetitorProduct=False)
        org.create("AssetStatePeriod", AssetId=asset, StartDate=stamp, Mrr=5)
        org.create("Order", AccountId=account, Status="Abgebrochen", StatusCode="Canceled",
                   TotalAmount=100, IsReductionOrder=False)  # fmt: skip
        simulator.clock.advance(7200)
        yield simulator


@pytest.fixture
def site(tmp_path: Path, salesforce: SalesforceSimulator) -> Site:
    return Site(tmp_path / "acme", salesforce)


# dataset: (object, its fields or none for all of it, column, what is said, before, after)
REVOKED = {
    "exchange_rates": ("DatedConversionRate", (), "rate", "DatedConversionRate", 1.25, 2),
    "forecasts": ("ForecastingSubmissionItem", (), "forecast_amount",
                  "ForecastingSubmissionItem", 100, 300),
    "quotas": ("ForecastingQuota", ("CurrencyIsoCode",), "currency", "currency", "EUR", None),
}  # fmt: skip


@pytest.mark.parametrize("dataset", REVOKED)
def test_what_is_revoked_of_a_dataset_that_is_read_whole_is_an_error_until_that_is_accepted(
    site: Site, salesforce: SalesforceSimulator, dataset: str
) -> None:
    name, fields, column, told, before, after = REVOKED[dataset]
    site.only = (dataset,)
    site.synced()
    assert site.rows(dataset, column) == [(before,)]
    salesforce.org.hide(name, *fields)
    for _ in range(2):
        site.later(days=1)
        error = str(site.sync().error)
        assert f"{told} could be read before and cannot any more: {name}" in error
        assert "sync --full" in error
        assert site.rows(dataset, column) == [(before,)]
    site.later(days=1)
    site.synced(full=True)
    assert site.rows(dataset, column) == [(after,)]
    site.later(minutes=1)
    site.synced()
    assert site.rows(dataset, column) == [(after,)]
    salesforce.org.show(name, *fields)
    site.later(hours=1)
    site.synced()
    assert site.rows(dataset, column) == [(before,)]


def test_what_was_taken_away_leaves_a_dataset_that_is_read_whole(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("quotas",)
    further = salesforce.org.create(
        "ForecastingQuota", QuotaOwnerId=salesforce.org.user, QuotaAmount=5, IsAmount=True,
        StartDate=date(2026, 4, 1), CurrencyIsoCode="EUR",
    )  # fmt: skip
    for _ in range(2):
        site.synced()
        assert len(site.rows("quotas", "id")) == 2
        site.later(days=1)
    salesforce.org.purge(further)
    site.synced()
    assert site.rows("quotas", "target_amount") == [(80,)]


# dataset: (object, what stands in for it)
STOOD_IN = {
    "forecasts": ("ForecastingSubmissionItem", "ForecastingItem"),
    "opportunity_stage_history": ("OpportunityHistory", "Opportunity"),
    "subscriptions": ("AssetStatePeriod", "Asset"),
}


@pytest.mark.parametrize("dataset", STOOD_IN)
def test_rows_that_stood_in_leave_when_what_they_stood_for_is_granted(
    site: Site, salesforce: SalesforceSimulator, dataset: str
) -> None:
    name, substitute = STOOD_IN[dataset]
    site.only = (dataset,)
    salesforce.org.hide(name)
    site.synced()
    [(stood_in,)] = site.rows(dataset, "id")
    salesforce.org.show(name)
    site.later(hours=1)
    report = site.synced()
    [(granted,)] = site.rows(dataset, "id")
    assert granted != stood_in
    told = load_of(report, dataset).notices
    assert f"rows of {substitute} leave: {name} takes their place." in told
    site.later(days=1)
    assert not [n for n in load_of(site.synced(), dataset).notices if "take" in n]
    assert site.rows(dataset, "id") == [(granted,)]


def test_forecasts_of_earlier_days_stay_until_somebody_accepts_their_loss(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("forecasts",)
    org = salesforce.org
    [item] = org.objects["ForecastingItem"].records
    [submitted] = org.objects["ForecastingSubmissionItem"].records
    org.hide("ForecastingSubmissionItem")
    first = f"{item}:{salesforce.clock():%Y-%m-%d}"
    site.synced()
    org.show("ForecastingSubmissionItem")
    for day in range(2):
        site.later(days=1)
        notices = load_of(site.synced(), "forecasts").notices
        assert len(site.ids("forecasts")) == day + 2
        assert first in site.ids("forecasts")
        told = [text for text in notices if "ForecastingSubmissionItem can be read now" in text]
        assert len(told) == (day == 0)
        assert all("would leave for good" in text and "sync --full" in text for text in told)
    org.hide("ForecastingItem")
    site.later(days=1)
    assert "no ForecastingItem, or hides it" in str(site.sync().error)
    assert len(site.ids("forecasts")) == 3
    org.show("ForecastingItem")
    report = site.synced(full=True)
    assert site.ids("forecasts") == [submitted]
    told = load_of(report, "forecasts").notices
    assert "rows of ForecastingItem leave: ForecastingSubmissionItem takes their place." in told
    site.later(days=1)
    site.synced()
    assert site.ids("forecasts") == [submitted]


def test_forecasts_of_earlier_days_leave_with_their_rule_when_they_are_displaced(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("forecasts",)
    salesforce.org.hide("ForecastingSubmissionItem")
    site.synced()
    salesforce.org.show("ForecastingSubmissionItem")
    site.later(days=1)
    site.datasets = {"forecasts": {"where": "Id != null"}}
    site.synced()
    assert site.ids("forecasts") == [*salesforce.org.objects["ForecastingSubmissionItem"].records]


@pytest.mark.parametrize("begins_with", ["a further column", "a changed rule"])
def test_a_field_that_is_revoked_in_a_night_that_reads_all_anyway_is_the_same_error(
    site: Site, salesforce: SalesforceSimulator, begins_with: str
) -> None:
    site.only = ("orders",)

    def synced(*, wanted: bool) -> SyncReport:
        site.later(hours=1)
        site.salesforce.clock.advance(60)
        project = site.project
        columns = [c for c in project.registry.datasets["orders"].column_names
                   if wanted or c != "campaign_id"]  # fmt: skip
        return sync(project, (), needs={"orders": columns})

    is_rule = begins_with == "a changed rule"
    assert synced(wanted=is_rule).error is None
    salesforce.org.hide("Order", "StatusCode")
    if is_rule:
        site.datasets = {"orders": {"where": "TotalAmount > 0"}}
    assert "status could be read before and cannot any more" in str(synced(wanted=True).error)
    assert site.rows("orders", "status") == [("cancelled",)]
    site.synced(full=True)
    assert site.rows("orders", "status") == [("placed",)]


def test_who_names_another_object_has_lost_nothing(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("subscriptions",)
    site.synced()
    own = {"object": "Asset", "columns": {"account_id": "AccountId"}}
    site.datasets = {"subscriptions": own}
    site.later(days=1)
    site.synced()
    assert site.ids("subscriptions") == list(salesforce.org.objects["Asset"].records)
    site.datasets = {}
    site.later(days=1)
    site.synced()
    assert site.ids("subscriptions") == list(salesforce.org.objects["AssetStatePeriod"].records)


# dataset: (object, what rows are added or chosen by, object and field as hidden)
BESIDE = {
    "forecasts": ("ForecastingSubmissionItem.ForecastingSubmission.Territory2Id",
                  "ForecastingSubmission", "Territory2Id"),
    "subscriptions": ("Asset.IsCompetitorProduct", "Asset", "IsCompetitorProduct"),
}  # fmt: skip


@pytest.mark.parametrize("dataset", BESIDE)
def test_what_rows_are_added_or_chosen_by_is_missed_when_it_is_revoked(
    site: Site, salesforce: SalesforceSimulator, dataset: str
) -> None:
    told, name, field = BESIDE[dataset]
    org = salesforce.org
    org.add_fields("ForecastingSubmission", "Territory2Id")
    org.hide("AssetStatePeriod")
    theirs = org.create("Asset", AccountId=next(iter(org.objects["Account"].records)),
                        IsCompetitorProduct=True)  # fmt: skip
    site.only = (dataset,)
    site.later(hours=1)
    site.synced()
    rows = site.rows(dataset, "id")
    assert (theirs,) not in rows
    org.hide(name, field)
    site.later(days=1)
    assert f"{told} could be read before and cannot any more: {told}" in str(site.sync().error)
    assert site.rows(dataset, "id") == rows
    site.synced(full=True)
    assert ((theirs,) in site.rows(dataset, "id")) == (dataset == "subscriptions")
    org.show(name, field)
    site.later(hours=1)
    report = site.synced()
    assert site.ids(dataset) == [row[0] for row in rows]
    if dataset == "subscriptions":
        notice = "read whole, because IsCompetitorProduct of Asset could not be read before."
        assert notice in load_of(report, dataset).notices
    site.later(hours=1)
    assert not [n for n in load_of(site.synced(), dataset).notices if "not be read before" in n]


# --- an object that its dataset cannot do without ----------------------------------------------

# dataset: (object, what is created of it, a KPI that needs it)
NEEDED = {
    "campaign_members": ("CampaignMember", {}),
    "quotas": ("ForecastingQuota", {}),
    "user_activity": ("LoginHistory", {"LoginTime": on(2026, 1, 1)}),
}


def test_a_failure_for_another_reason_tells_nobody_of_a_loss(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("user_activity", "accounts")
    salesforce.org.create("LoginHistory", **NEEDED["user_activity"][1])
    site.later(hours=1)
    site.synced()
    before = site.rows("user_activity", "id")
    site.later(days=1)
    salesforce.faults.answer(403, on="LoginHistory", times=None)
    assert site.sync().error is not None
    salesforce.faults.clear()
    salesforce.org.hide("LoginHistory")
    assert "gives it up, for good" in str(site.sync(full=True).error)
    assert site.rows("user_activity", "id") == before


@pytest.mark.parametrize("dataset", NEEDED)
def test_who_was_told_of_a_loss_goes_on_without_by_full(
    site: Site, salesforce: SalesforceSimulator, dataset: str
) -> None:
    name, fields = NEEDED[dataset]
    site.only = (dataset, "accounts")
    if dataset != "quotas":
        salesforce.org.create(name, **fields)
    site.later(hours=1)
    site.synced()
    before = site.rows(dataset, "id")
    assert len(before) == 1
    salesforce.org.hide(name)
    site.later(days=1)
    error = str(site.sync(full=True).error)  # which nobody was told of before
    assert f"no {name}, or hides it" in error
    assert "`crmetrics sync --full` gives it up, for good, and goes on without" in error
    site.later(days=1)
    assert "gives it up" in str(site.sync().error)
    assert site.rows(dataset, "id") == before
    load = load_of(site.synced(full=True), dataset)
    assert load.status == "absent"
    assert load.notices == ("1 records of earlier reads have left: the source gives none now.",)
    assert site.rows(dataset, "id") == []
    site.later(days=1)
    assert load_of(site.synced(), dataset).status == "absent"
    salesforce.org.show(name)
    site.later(days=1)
    assert load_of(site.synced(), dataset).status == "ok"
    assert site.rows(dataset, "id") == before


def test_kpis_of_a_dataset_that_was_given_up_have_no_value(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("quotas", "opportunities", "users", "accounts")
    won = {"CloseDate": date(2026, 3, 5), "IsClosed": True, "IsWon": True, "Amount": 80}
    salesforce.org.create("Opportunity", OwnerId=salesforce.org.user, StageName="Won", **won)

    def attained() -> list[tuple[str, float | None]]:
        found = site.project.query(["quota_attainment"], period="2026-03").to_pylist()
        return [(row["status"], row["value"]) for row in found if not row["variant"]]

    site.only = (*site.only, "exchange_rates")
    site.later(days=90)
    site.synced()
    assert [status for status, _ in attained()] == ["ok"]
    salesforce.org.hide("ForecastingQuota")
    site.sync()
    site.synced(full=True)
    assert attained() == [("missing_dataset", None)]
