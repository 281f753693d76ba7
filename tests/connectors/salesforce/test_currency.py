"""The currency of amounts in orgs that have only one, whose records carry none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from connectors.salesforce.orgs import connector_to, fill, rows_of
from connectors.salesforce.sites import Site
from crmetrics.engine.loading import sync
from crmetrics.testing import CollectingRequest
from simulators.salesforce import SalesforceSimulator

WITH_AMOUNTS = (
    "opportunities", "opportunity_items", "products", "orders", "subscriptions", "campaigns",
    "marketing_spend", "quotas", "forecasts",
)  # fmt: skip
UNKNOWN = "the currency of its amounts is not known"


@pytest.fixture
def euros() -> Iterator[SalesforceSimulator]:
    """An org whose only currency is the euro."""
    with SalesforceSimulator(currency="EUR") as simulator:
        yield simulator


@pytest.fixture
def site(tmp_path: Path, euros: SalesforceSimulator) -> Site:
    return Site(tmp_path / "acme", euros)


def tell_by_record(salesforce: SalesforceSimulator) -> None:
    """The Connect API says nothing, and Organization has a field that not all have."""
    salesforce.rest.has_connect = False
    salesforce.org.add_fields("Organization", "DefaultCurrencyIsoCode:picklist")
    salesforce.org.update(salesforce.org.id, DefaultCurrencyIsoCode=salesforce.org.currency)


@pytest.mark.parametrize("told_by", ["Organization", "the Connect API"])
@pytest.mark.parametrize("dataset", WITH_AMOUNTS)
def test_amounts_of_an_org_with_one_currency_are_in_that(
    euros: SalesforceSimulator, dataset: str, told_by: str
) -> None:
    fill(euros.org)
    if told_by == "Organization":
        tell_by_record(euros)
    rows = rows_of(connector_to(euros), dataset)
    assert rows
    assert {row["currency"] for row in rows} == {"EUR"}


def test_an_org_with_several_currencies_tells_it_with_each_record() -> None:
    with SalesforceSimulator(is_multi_currency=True, currency="EUR") as org:
        org.org.create("Opportunity", StageName="Open", CurrencyIsoCode="GBP")
        org.org.create("Opportunity", StageName="Open", CurrencyIsoCode="JPY")
        rows = rows_of(connector_to(org), "opportunities")
        assert sorted(row["currency"] for row in rows) == ["GBP", "JPY"]
        assert not org.count("connect/organization")
        org.org.hide("Opportunity", "CurrencyIsoCode")
        with CollectingRequest("opportunities", columns=["currency"]) as request:
            request.collect(connector_to(org).read(request))
            [told] = [notice for notice in request.notices if UNKNOWN in notice]
            assert "several currencies, and CurrencyIsoCode is hidden" in told


@pytest.mark.parametrize("lacks", ["the field", "a right to the field", "the object"])
def test_where_nothing_tells_the_currency_that_is_said(
    euros: SalesforceSimulator, lacks: str
) -> None:
    if lacks == "the object":
        euros.org.hide("Organization")
    elif lacks == "a right to the field":
        tell_by_record(euros)
        euros.org.hide("Organization", "DefaultCurrencyIsoCode")
    euros.rest.has_connect = False
    euros.org.create("Opportunity", StageName="Open", Amount=5)
    connector = connector_to(euros)
    with CollectingRequest("opportunities", columns=["amount", "currency"]) as request:
        [row] = request.collect(connector.read(request)).to_pylist()
        assert row["currency"] is None
        [told] = [notice for notice in request.notices if UNKNOWN in notice]
    assert "neither the Connect API (connect/organization) nor Organization." in told
    assert "They are taken as USD" in told
    assert not euros.count("FROM.Organization")  # a field that is not there is not asked for
    assert "`columns: {currency: \"'EUR'\"}`" in told
    line = {found.subject: found for found in connector.check()}["currency"]
    assert (line.state, "taken as USD" in line.message) == ("warning", True)
    # What it says to write works, and then nothing has to be told.
    mapping = {"currency": "'EUR'"}
    columns = ["amount", "currency"]
    with CollectingRequest("opportunities", columns=columns, mapping=mapping) as mapped:
        [row] = mapped.collect(connector.read(mapped)).to_pylist()
        assert (row["currency"], mapped.notices) == ("EUR", [])


def test_who_does_not_ask_for_the_currency_pays_no_call_for_it(euros: SalesforceSimulator) -> None:
    euros.org.create("Opportunity", StageName="Open", Amount=5)
    rows_of(connector_to(euros), "opportunities", ["amount"])
    assert not euros.count("FROM.Organization|connect/organization")
    connector = connector_to(euros)
    for dataset in ("opportunities", "orders", "campaigns"):
        rows_of(connector, dataset)
    assert euros.count("connect/organization") == 1
    assert not euros.count("FROM.Organization")


def test_check_tells_the_currency(euros: SalesforceSimulator) -> None:
    lines = {found.subject: found for found in connector_to(euros).check()}
    assert lines["currency"].state == "ok"
    assert lines["currency"].message == (
        "amounts are in EUR, the only one of the org; reports in USD need rates, as the dataset "
        "exchange_rates"
    )
    assert not [line for line in lines.values() if "currency from other fields" in line.message]


# --- what it does to numbers -----------------------------------------------------------------


def won(site: Site) -> tuple[object, bool]:
    """What was won in December, and whether all of it could be converted."""
    rows = site.project.query(["won_amount"], period="2025-12").to_pylist()
    [found] = [row for row in rows if not row["variant"]]
    return found["value"], "missing_rate" not in dict(found["coverage"])


def test_euros_are_not_reported_as_dollars(site: Site, euros: SalesforceSimulator) -> None:
    euros.org.create(
        "Opportunity", StageName="Won", Amount=100, IsClosed=True, IsWon=True,
        CloseDate=date(2025, 12, 5), stamp=datetime(2025, 12, 5, tzinfo=UTC),
    )  # fmt: skip
    site.only = ("opportunities", "exchange_rates")
    euros.clock.advance(3600)
    site.sync()
    assert won(site) == (0.0, False)  # it was 100 dollars
    rates = site.directory / "rates"
    rates.mkdir()
    (rates / "exchange_rates.csv").write_text("currency,valid_from,rate\nEUR,2025-01-01,1.25\n")
    site.sources = {"rates": {"connector": "csv", "path": "rates"}}
    site.sync()
    assert won(site) == (125.0, True)


def test_what_was_read_without_the_currency_is_read_anew_when_it_is_known(
    site: Site, euros: SalesforceSimulator
) -> None:
    site.only = ("opportunities",)
    euros.rest.has_connect = False
    euros.org.create("Opportunity", StageName="Open", Amount=5)
    euros.clock.advance(3600)
    site.synced()
    assert site.rows("opportunities", "currency") == [(None,)]
    euros.rest.has_connect = True
    site.later(hours=1)
    [report] = site.synced().reports
    assert site.rows("opportunities", "currency") == [("EUR",)]
    assert any("the currency of the org is EUR and was another" in n for n in report.notices)
    # Refused once more, it is still known, also when all is read for a further column.
    euros.rest.has_connect = False
    euros.org.create("Opportunity", StageName="New", Amount=7)
    for columns in (("amount", "currency"), ("amount", "currency", "lead_source")):
        site.later(hours=1)
        sync(site.project, (), needs={"opportunities": columns})
        assert site.rows("opportunities", "currency") == [("EUR",), ("EUR",)]


def test_amounts_stay_in_the_currency_of_the_org_when_that_of_the_reports_changes(
    tmp_path: Path,
) -> None:
    with SalesforceSimulator(currency="USD") as dollars:
        site = Site(tmp_path / "acme", dollars, only=("opportunities",))
        dollars.rest.has_connect = False
        dollars.org.create("Opportunity", StageName="Open", Amount=5)
        dollars.clock.advance(3600)
        site.synced()
        dollars.rest.has_connect = True
        for reporting in ("USD", "EUR"):  # null would be 5 euros then
            site.more = {"reporting": {"timezone": "UTC", "currency": reporting}}
            site.later(hours=1)
            site.synced()
            assert site.rows("opportunities", "currency") == [("USD",)]
