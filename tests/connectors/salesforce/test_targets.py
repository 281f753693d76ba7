"""Quotas: what an owner has to sell in a period, however the org divides it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from connectors.salesforce.sites import Site, load_of
from simulators.salesforce import SalesforceSimulator

JANUARY = (date(2026, 1, 1), date(2026, 1, 31))


class Selling:
    """An org with one seller, who won 100 in January."""

    def __init__(self, salesforce: SalesforceSimulator) -> None:
        self.org = salesforce.org
        self.owner = self.org.create("User", UserType="Standard", IsActive=True)
        account = self.org.create("Account", OwnerId=self.owner)
        deal = {"Amount": 100, "CloseDate": date(2026, 1, 15), "IsClosed": True, "IsWon": True}
        self.org.create("Opportunity", AccountId=account, OwnerId=self.owner, **deal)
        self.revenue, self.overlay = (self.org.create("ForecastingType") for _ in range(2))
        start, end = JANUARY
        self.period = self.org.create("Period", Type="Month", StartDate=start, EndDate=end)

    def quota(self, amount: int, **fields: Any) -> str:
        return self.org.create("ForecastingQuota", **{
            "QuotaOwnerId": self.owner, "QuotaAmount": amount, "PeriodId": self.period,
            "IsAmount": True, "StartDate": JANUARY[0], "ForecastingTypeId": self.revenue, **fields,
        })  # fmt: skip


@pytest.fixture
def selling(salesforce: SalesforceSimulator, site: Site) -> Selling:
    site.only = ("quotas", "opportunities", "users", "accounts")
    return Selling(salesforce)


def attainment(site: Site) -> float:
    found = site.project.query(["quota_attainment"], period="2026-01").to_pylist()
    return float(next(row["value"] for row in found if row["variant"] in (None, "", "default")))


def targets(site: Site) -> list[tuple[str, float]]:
    return [
        (name, float(amount))
        for name, amount, is_deleted in site.rows("quotas", "id", "target_amount", "is_deleted")
        if not is_deleted
    ]


def test_quotas_of_product_families_are_one_target(site: Site, selling: Selling) -> None:
    hardware = selling.quota(60, ProductFamily="Hardware")
    software = selling.quota(40, ProductFamily="Software")
    site.later(hours=2)
    load = load_of(site.synced(), "quotas")
    assert (targets(site), attainment(site)) == ([(hardware, 100)], 1.0)
    assert load.notices == ()
    selling.org.update(software, QuotaAmount=140)
    site.later(hours=2)
    site.synced()
    assert (targets(site), attainment(site)) == ([(hardware, 200)], 0.5)
    selling.org.purge(hardware)
    site.later(hours=2)
    site.synced()
    assert targets(site) == [(software, 140)]


def test_quotas_of_other_owners_and_months_stay_apart(site: Site, selling: Selling) -> None:
    other = selling.org.create("User", UserType="Standard", IsActive=True)
    start = date(2026, 2, 1)
    february = selling.org.create(
        "Period", Type="Month", StartDate=start, EndDate=date(2026, 2, 28)
    )
    made = [
        (selling.quota(50), 50),
        (selling.quota(60, QuotaOwnerId=other), 60),
        (selling.quota(70, PeriodId=february, StartDate=start), 70),
    ]
    site.later(hours=2)
    assert load_of(site.synced(), "quotas").notices == ()
    assert targets(site) == made


def test_quotas_of_several_forecast_types_are_never_added_and_told(
    site: Site, selling: Selling
) -> None:
    revenue = selling.quota(200)
    overlay = selling.quota(400, ForecastingTypeId=selling.overlay)
    site.later(hours=2)
    [told] = load_of(site.synced(), "quotas").notices
    assert "more than one forecast type are stated for the same time, for 1 owners" in told
    assert f"""where: "ForecastingTypeId = '{selling.revenue}'" (or {selling.overlay})""" in told
    assert targets(site) == [(revenue, 200), (overlay, 400)]
    site.datasets = {"quotas": {"where": f"ForecastingTypeId = '{selling.overlay}'"}}
    assert load_of(site.synced(), "quotas").notices == ()
    assert (targets(site), attainment(site)) == ([(overlay, 400)], 0.25)


@pytest.mark.parametrize("dated", [True, False])
def test_quotas_of_two_currencies_are_one_in_the_corporate_currency(
    tmp_path: Path, dated: bool
) -> None:
    with SalesforceSimulator(is_multi_currency=True) as salesforce:
        org, site = salesforce.org, Site(tmp_path / "acme", salesforce)
        for code, rate in (("USD", 1.0), ("EUR", 0.5)):
            org.create("CurrencyType", IsoCode=code, ConversionRate=rate, IsActive=True,
                       IsCorporate=code == "USD")  # fmt: skip
        if dated:
            org.create("DatedConversionRate", IsoCode="EUR", ConversionRate=0.25,
                       StartDate=date(2020, 1, 1), NextStartDate=date(9999, 12, 31))  # fmt: skip
        selling = Selling(salesforce)
        site.only = ("quotas", "opportunities", "users", "accounts", "exchange_rates")
        dollars = selling.quota(60, CurrencyIsoCode="USD", ProductFamily="Hardware")
        euros = selling.quota(20, CurrencyIsoCode="EUR", ProductFamily="Service")
        other = org.create("User", UserType="Standard", IsActive=True)
        alone = selling.quota(30, QuotaOwnerId=other, CurrencyIsoCode="EUR")
        site.later(hours=2)
        assert load_of(site.synced(), "quotas").notices == ()
        rows = site.rows("quotas", "id", "target_amount", "currency")
        assert rows == [(dollars, 100, "USD"), (alone, 30, "EUR")]
        org.purge(alone)
        site.later(hours=2)
        site.synced()
        assert attainment(site) == 1.0
        org.update(euros, CurrencyIsoCode="CHF")  # no rate is known of it
        site.later(hours=2)
        [told] = load_of(site.synced(), "quotas").notices
        assert "(such as CHF and USD)" in told


def test_quotas_of_two_currencies_are_never_added_without_a_rate_and_told(
    site: Site, salesforce: SalesforceSimulator, selling: Selling
) -> None:
    salesforce.org.add_fields("ForecastingQuota", "CurrencyIsoCode:picklist")
    dollars = selling.quota(60, CurrencyIsoCode="USD", ProductFamily="Hardware")
    selling.quota(40, CurrencyIsoCode="USD", ProductFamily="Software")
    euros = selling.quota(20, CurrencyIsoCode="EUR", ProductFamily="Service")
    site.later(hours=2)
    [told] = load_of(site.synced(), "quotas").notices
    assert "quotas in more than one currency are stated for the same time, for 1 owners" in told
    assert "(such as EUR and USD)" in told
    assert targets(site) == [(dollars, 100), (euros, 20)]
    selling.org.update(euros, CurrencyIsoCode="USD")
    site.later(hours=2)
    assert load_of(site.synced(), "quotas").notices == ()
    assert (targets(site), attainment(site)) == ([(dollars, 120)], pytest.approx(100 / 120))
