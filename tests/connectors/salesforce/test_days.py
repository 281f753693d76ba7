"""Days and instants in zones on both sides of UTC; expected values are written by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.salesforce.orgs import Connect
from connectors.salesforce.sites import Site, on
from simulators.salesforce import SalesforceSimulator

ZONES = ("America/Los_Angeles", "UTC", "Asia/Tokyo")
ACTIVE = {"Status": "Activated", "StatusCode": "Activated"}


@pytest.fixture
def revenue(tmp_path: Path, salesforce: SalesforceSimulator) -> Site:
    """A project with the KPIs of revenue, in June 2026."""
    salesforce.clock.now = on(2026, 6, 20, 8)
    return Site(tmp_path / "acme", salesforce, packs=("revenue",), only=("orders", "accounts"))


def in_zone(site: Site, zone: str) -> Site:
    site.more = {"reporting": {"timezone": zone, "currency": "USD"}}
    return site


def monthly(site: Site, *kpis: str) -> list[tuple[str, int, Any]]:
    """KPI, month and value of January and February 2026, without variants."""
    found = site.project.query(
        list(kpis), start=date(2026, 1, 1), end=date(2026, 3, 1), grain="month"
    )
    return [
        (row["kpi"], row["period_start"].month, row["value"])
        for row in found.to_pylist()
        if row["variant"] in (None, "", "default")
    ]


def ordered(salesforce: SalesforceSimulator, *, total: float, day: date, **values: Any) -> str:
    return salesforce.org.create(
        "Order", TotalAmount=total, EffectiveDate=day, **{**ACTIVE, **values}
    )


@pytest.mark.parametrize("zone", ZONES)
def test_a_refund_is_of_its_day_in_the_reporting_zone(
    salesforce: SalesforceSimulator, revenue: Site, zone: str
) -> None:
    account = salesforce.org.create("Account")
    order = ordered(salesforce, total=100, day=date(2026, 1, 10), AccountId=account)
    ordered(salesforce, total=-40, day=date(2026, 2, 1), OriginalOrderId=order,
            IsReductionOrder=True)  # fmt: skip
    ordered(salesforce, total=7, day=date(2026, 2, 1), AccountId=account)
    revenue.later(hours=2)
    in_zone(revenue, zone).synced()
    assert monthly(revenue, "revenue") == [
        ("revenue", 1, 100), ("revenue", 2, 7 - 40),
    ]  # fmt: skip
    began = {"America/Los_Angeles": on(2026, 2, 1, 8), "Asia/Tokyo": on(2026, 1, 31, 15)}
    [(at,)] = [row for row in revenue.rows("orders", "refunded_at") if row[0] is not None]
    assert at == began.get(zone, on(2026, 2, 1))


@pytest.mark.parametrize("is_hidden", [False, True])
def test_only_reductions_that_count_as_orders_are_refunds(
    salesforce: SalesforceSimulator, revenue: Site, is_hidden: bool
) -> None:
    if is_hidden:
        salesforce.org.hide("Order", "StatusCode")
    account = salesforce.org.create("Account")
    order = ordered(salesforce, total=100, day=date(2026, 1, 10), AccountId=account)
    made = [
        ordered(salesforce, total=-amount, day=date(2026, 2, amount), OriginalOrderId=order,
                IsReductionOrder=True, Status=status, StatusCode=status)
        for amount, status in ((1, "Activated"), (20, "Draft"), (4, "Cancelled"))
    ]  # fmt: skip

    def refunded() -> list[tuple[float, datetime]]:
        revenue.later(hours=2)
        revenue.synced()
        return [(float(a), at) for a, at in revenue.rows("orders", "refunded_amount, refunded_at")]

    assert refunded() == [(1, on(2026, 2, 1))]
    salesforce.org.update(made[1], **ACTIVE)
    assert refunded() == [(21, on(2026, 2, 20))]
    salesforce.org.update(made[1], Status="Cancelled", StatusCode="Cancelled")
    assert refunded() == [(1, on(2026, 2, 1))]


# --- periods of subscriptions -------------------------------------------------------------------


def state_periods(salesforce: SalesforceSimulator, border: datetime) -> None:
    """A subscription of 100 that goes on at 100, or at 130, after the border."""
    for mrr in (100, 130):
        asset = salesforce.org.create("Asset", AccountId=salesforce.org.create("Account"))
        for start, end, amount in (
            (border - timedelta(days=365), border - timedelta(seconds=1), 100),
            (border, border + timedelta(days=365) - timedelta(seconds=1), mrr),
        ):
            salesforce.org.create("AssetStatePeriod", AssetId=asset, StartDate=start, EndDate=end,
                                  Mrr=amount, Quantity=1)  # fmt: skip


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("border", [on(2026, 2, 1), on(2026, 2, 1, 8), on(2026, 1, 31, 15)])
def test_periods_that_follow_each_other_neither_overlap_nor_leave_a_gap(
    salesforce: SalesforceSimulator, revenue: Site, zone: str, border: datetime
) -> None:
    state_periods(salesforce, border)
    revenue.only = ("subscriptions", "accounts")
    revenue.later(hours=2)
    in_zone(revenue, zone).synced()
    day = border.astimezone(ZoneInfo(zone)).date()
    found = revenue.rows("subscriptions", "start_date", "end_date")
    assert {end for start, end in found if start < day} == {day}
    assert sorted(start for start, _ in found)[2:] == [day, day]
    january = 230 if day.month == 1 else 200  # the last day of a month counts
    assert monthly(revenue, "mrr") == [("mrr", 1, january), ("mrr", 2, 230)]


def test_an_org_whose_days_are_those_of_utc_can_say_so(
    salesforce: SalesforceSimulator, revenue: Site
) -> None:
    state_periods(salesforce, on(2026, 2, 1))
    revenue.only = ("subscriptions", "accounts")
    revenue.datasets = {
        "subscriptions": {
            "columns": {
                "start_date": "timezone('UTC', StartDate)::date",
                "end_date": "timezone('UTC', EndDate + interval 1 second)::date",
            }
        }
    }
    revenue.later(hours=2)
    in_zone(revenue, "America/Los_Angeles").synced()
    assert monthly(revenue, "mrr") == [("mrr", 1, 200), ("mrr", 2, 230)]


# --- subscriptions out of assets ----------------------------------------------------------------


def test_products_of_competitors_are_no_subscriptions(
    salesforce: SalesforceSimulator, site: Site
) -> None:
    salesforce.org.remove_object("AssetStatePeriod")
    salesforce.org.add_fields("Asset", "Mrr__c:double")
    ours, theirs = (
        salesforce.org.create("Asset", PurchaseDate=date(2026, 1, 1), Mrr__c=10,
                              IsCompetitorProduct=is_theirs)
        for is_theirs in (False, True)
    )  # fmt: skip
    site.only, site.datasets = ("subscriptions",), {"subscriptions": {"columns": {"mrr": "Mrr__c"}}}
    site.later(hours=2)
    site.synced()
    assert site.ids("subscriptions") == [ours]
    salesforce.org.update(ours, IsCompetitorProduct=True)
    salesforce.org.update(theirs, IsCompetitorProduct=False)
    site.later(hours=2)
    site.synced()
    assert site.ids("subscriptions") == [theirs]


def test_assets_are_read_where_nobody_shows_whose_they_are(
    salesforce: SalesforceSimulator, site: Site
) -> None:
    salesforce.org.remove_object("AssetStatePeriod")
    salesforce.org.hide("Asset", "IsCompetitorProduct")
    asset = salesforce.org.create("Asset", PurchaseDate=date(2026, 1, 1))
    site.only = ("subscriptions",)
    site.later(hours=2)
    site.synced()
    assert site.ids("subscriptions") == [asset]


# --- what earlier versions loaded ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "is_same"), [("orders", False), ("subscriptions", False), ("accounts", True)]
)
def test_rows_that_earlier_versions_made_otherwise_are_read_again(
    connect: Connect, dataset: str, is_same: bool
) -> None:
    """A dataset whose definition is another than that of its last read is read whole."""
    before = '["acme.my.salesforce.com", {}, null]'
    assert (connect(domain="acme.my.salesforce.com").definition(dataset) == before) == is_same
