"""Days and instants in zones on both sides of UTC; expected values are written by hand."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

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
