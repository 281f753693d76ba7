"""Forecasts: what an owner expects to sell in a period, however the org divides it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from connectors.salesforce.sites import Site, load_of, on
from simulators.salesforce import SalesforceSimulator


class Forecasting:
    """An org with one seller, who will win 100 in March."""

    def __init__(self, salesforce: SalesforceSimulator) -> None:
        self.org = org = salesforce.org
        self.owner = org.create("User", UserType="Standard", IsActive=True)
        self.revenue, self.overlay = (org.create("ForecastingType") for _ in range(2))
        start, end = date(2026, 3, 1), date(2026, 3, 31)
        self.period = org.create("Period", Type="Month", StartDate=start, EndDate=end)

    def show_items_only(self) -> None:
        self.org.remove_object("ForecastingSubmissionItem", "ForecastingSubmission")

    def item(self, amount: int, category: str = "Commit", **fields: Any) -> str:
        return self.org.create("ForecastingItem", **{
            "OwnerId": self.owner, "PeriodId": self.period, "ForecastingTypeId": self.revenue,
            "ForecastCategoryName": category, "IsAmount": True, "ForecastAmount": amount,
            "OwnerOnlyAmount": amount, **fields,
        })  # fmt: skip

    def submit(self, at: datetime, *amounts: int | None, **fields: Any) -> str:
        """The first of the items of a submission."""
        submission = self.org.create("ForecastingSubmission", stamp=at, **{
            "ForecastOwnerId": self.owner, "PeriodId": self.period,
            "ForecastingTypeId": self.revenue, **fields,
        })  # fmt: skip
        items = [
            self.org.create(
                "ForecastingSubmissionItem",
                stamp=at,
                ForecastingSubmissionId=submission,
                ForecastingItemCategory="CommitForecast",
                Amount=amount,
            )
            for amount in amounts
        ]
        return items[0]

    def win(self) -> None:
        account = self.org.create("Account", OwnerId=self.owner)
        deal = {"Amount": 100, "CloseDate": date(2026, 3, 15), "IsClosed": True, "IsWon": True}
        self.org.create("Opportunity", AccountId=account, OwnerId=self.owner, **deal)


@pytest.fixture
def forecasting(salesforce: SalesforceSimulator, site: Site) -> Forecasting:
    site.only = ("forecasts", "opportunities", "users", "accounts")
    return Forecasting(salesforce)


def accuracy(site: Site) -> float:
    site.later(days=90)
    site.synced()
    found = site.project.query(["sales_forecast_accuracy"], period="2026-03").to_pylist()
    return float(next(row["value"] for row in found if not row["variant"]))


def amounts(site: Site) -> list[tuple[str, str, float]]:
    found = site.rows("forecasts", "id", "forecast_category", "forecast_amount", "is_deleted")
    return [
        (name, category, float(amount)) for name, category, amount, is_gone in found if not is_gone
    ]


@pytest.mark.parametrize("hidden", [(), ("OwnerOnlyAmount",), ("ForecastingItemCategory",)])
def test_items_of_product_families_are_one_forecast(
    site: Site, salesforce: SalesforceSimulator, forecasting: Forecasting, hidden: tuple[str, ...]
) -> None:
    forecasting.show_items_only()
    if hidden:
        salesforce.org.hide("ForecastingItem", *hidden)
    first, _, third = (
        forecasting.item(60),
        forecasting.item(40),
        forecasting.item(30, "Pipeline"),
    )
    told = load_of(site.synced(), "forecasts").notices
    assert not [notice for notice in told if not any(name in notice for name in hidden)]
    day = f"{site.salesforce.clock():%Y-%m-%d}"
    known = [(f"{first}:{day}", "commit", 100), (f"{third}:{day}", "pipeline", 30)]
    assert amounts(site) == known
    forecasting.win()
    assert accuracy(site) == 1.0


def test_submissions_of_territories_are_one_forecast(site: Site, forecasting: Forecasting) -> None:
    forecasting.org.add_fields("ForecastingSubmission", "Territory2Id")
    north = forecasting.submit(on(2026, 1, 2), 60, Territory2Id="0MI1")
    south = forecasting.submit(on(2026, 1, 3), 50, Territory2Id="0MI2")
    again = forecasting.submit(on(2026, 1, 4), 40, Territory2Id="0MI2")
    wrong = forecasting.submit(on(2026, 1, 5), 900, Territory2Id="0MI2")
    forecasting.org.delete(wrong)
    assert load_of(site.synced(), "forecasts").notices == ()
    assert amounts(site) == [
        (north, "commit", 60), (south, "commit", 110), (again, "commit", 100),
    ]  # fmt: skip
    forecasting.win()
    assert accuracy(site) == 1.0


def test_a_submission_takes_the_place_of_the_one_before(
    site: Site, forecasting: Forecasting
) -> None:
    first = forecasting.submit(on(2026, 1, 2), 60, 20)
    second = forecasting.submit(on(2026, 1, 4), 70, 30)
    site.synced()
    assert amounts(site) == [(first, "commit", 80), (second, "commit", 100)]
    forecasting.win()
    assert accuracy(site) == 1.0


@pytest.mark.parametrize("is_left_out", [False, True])
def test_managers_who_submit_for_their_team_are_left_out_by_a_condition(
    site: Site, forecasting: Forecasting, is_left_out: bool
) -> None:
    manager = forecasting.org.create("User", UserType="Standard", IsActive=True)
    forecasting.submit(on(2026, 1, 2), 100)
    forecasting.submit(on(2026, 1, 3), 100, ForecastOwnerId=manager)
    if is_left_out:
        condition = f"ForecastingSubmission.ForecastOwnerId NOT IN ('{manager}')"
        site.datasets = {"forecasts": {"where": condition}}
    forecasting.win()
    assert accuracy(site) == (1.0 if is_left_out else 0.0)


def test_items_of_a_submission_are_one_forecast_whenever_each_was_written(
    site: Site, forecasting: Forecasting
) -> None:
    first = forecasting.submit(on(2026, 1, 2, 9, 0, 0), 60)
    records = forecasting.org.objects["ForecastingSubmissionItem"].records
    late = {name: records[first][name] for name in ("ForecastingSubmissionId",
                                                    "ForecastingItemCategory")}  # fmt: skip
    at = on(2026, 1, 2, 9, 0, 1)
    forecasting.org.create("ForecastingSubmissionItem", stamp=at, Amount=40, **late)
    again = forecasting.submit(on(2026, 1, 3), 70)
    site.synced()
    assert amounts(site) == [(first, "commit", 100), (again, "commit", 70)]
    assert site.rows("forecasts", "submitted_at") == [(at,), (on(2026, 1, 3),)]


def test_forecasts_of_quantities_are_no_forecasts_of_amounts(
    site: Site, forecasting: Forecasting
) -> None:
    revenue = forecasting.submit(on(2026, 1, 2), 100)
    forecasting.submit(on(2026, 1, 2), None, ForecastingTypeId=forecasting.overlay)
    assert load_of(site.synced(), "forecasts").notices == ()
    assert amounts(site) == [(revenue, "commit", 100)]


@pytest.mark.parametrize("submitted", [True, False])
def test_forecasts_of_several_types_are_never_added_and_told(
    site: Site, forecasting: Forecasting, submitted: bool
) -> None:
    both = (forecasting.revenue, forecasting.overlay)
    if submitted:
        for amount, kind in zip((100, 7), both, strict=True):
            forecasting.submit(on(2026, 1, 2), amount, ForecastingTypeId=kind)
    else:
        forecasting.show_items_only()
        for amount, kind in zip((100, 7), both, strict=True):
            forecasting.item(amount, ForecastingTypeId=kind)
    told, *further = load_of(site.synced(), "forecasts").notices
    assert "forecasts of more than one forecast type are stated for the same time" in told
    assert [text for text in further if "write the condition now" not in text] == []
    assert len(further) == (not submitted)
    field = f"{'ForecastingSubmission.' if submitted else ''}ForecastingTypeId"
    condition = f"{field} = '{forecasting.revenue}'"
    assert f'where: "{condition}" (or {forecasting.overlay})' in told
    assert [amount for _, _, amount in amounts(site)] == [100, 7]
    site.datasets = {"forecasts": {"where": condition}}
    notices = load_of(site.synced(), "forecasts").notices
    assert [text for text in notices if not text.startswith("`where:` changed")] == []
    assert len(notices) == (not submitted)  # of items, those of earlier days leave
    forecasting.win()
    assert accuracy(site) == 1.0


def test_who_is_told_to_choose_a_forecast_type_is_told_which_rows_that_costs(
    site: Site, forecasting: Forecasting
) -> None:
    forecasting.show_items_only()
    for amount, kind in ((100, forecasting.revenue), (7, forecasting.overlay)):
        forecasting.item(amount, ForecastingTypeId=kind)
    first = f"{site.salesforce.clock():%Y-%m-%d}"
    site.synced()
    for _ in range(2):
        last = f"{site.salesforce.clock():%Y-%m-%d}"
        site.later(days=1)
        _, told = load_of(site.synced(), "forecasts").notices
    assert f"the 4 rows of 2 earlier days ({first} to {last}) leave for good" in told
    assert len(amounts(site)) == 6
    _, told = load_of(site.synced(full=True), "forecasts").notices
    assert f"the 4 rows of 2 earlier days ({first} to {last}) leave for good" in told
    assert len(amounts(site)) == 6
    site.datasets = {"forecasts": {"where": f"ForecastingTypeId = '{forecasting.revenue}'"}}
    site.synced()
    today = f"{site.salesforce.clock():%Y-%m-%d}"
    assert [(name[-10:], amount) for name, _, amount in amounts(site)] == [(today, 100)]
