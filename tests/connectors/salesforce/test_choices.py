"""Columns that come from whichever field the org shows: what happens when that changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from connectors.salesforce.orgs import connector_to
from connectors.salesforce.sites import Site, load_of
from crmetrics.engine.loading import SyncReport
from crmetrics.testing import CollectingRequest
from simulators.salesforce import SalesforceSimulator

STAMP = datetime(2026, 1, 5, tzinfo=UTC)
BY_HAND = datetime(2025, 12, 1, tzinfo=UTC)

# dataset: (object, field of the first choice, column, by the second choice, by the first)
CHOICES = {
    "activities": ("Task", "CompletedDateTime", "occurred_at", BY_HAND, STAMP),
    "marketing_spend": ("Campaign", "CurrencyIsoCode", "currency", None, "GBP"),
    "orders": ("Order", "StatusCode", "status", "placed", "cancelled"),
}


@pytest.fixture
def salesforce() -> Iterator[SalesforceSimulator]:
    """An org of several currencies with a call, a campaign and a cancelled order."""
    with SalesforceSimulator(is_multi_currency=True, currency="EUR") as simulator:
        org = simulator.org
        org.create("Task", Status="Completed", IsClosed=True, TaskSubtype="Call",
                   CompletedDateTime=STAMP, ActivityDate=BY_HAND.date(), stamp=STAMP)  # fmt: skip
        org.create("Campaign", Name="Fair", ActualCost=100, CurrencyIsoCode="GBP", stamp=STAMP,
                   StartDate=date(2026, 1, 1), EndDate=date(2026, 1, 31))  # fmt: skip
        org.create("Order", Status="Abgebrochen", StatusCode="Canceled", TotalAmount=100,
                   EffectiveDate=STAMP.date(), stamp=STAMP)  # fmt: skip
        simulator.clock.advance(7200)
        yield simulator


@pytest.fixture
def site(tmp_path: Path, salesforce: SalesforceSimulator) -> Site:
    return Site(tmp_path / "acme", salesforce, only=tuple(CHOICES))


def notices(report: SyncReport, dataset: str) -> str:
    return " ".join(load_of(report, dataset).notices)


@pytest.mark.parametrize("dataset", CHOICES)
def test_a_field_that_is_granted_later_is_read_for_old_records_too(
    site: Site, salesforce: SalesforceSimulator, dataset: str
) -> None:
    name, field, column, weaker, better = CHOICES[dataset]
    site.only = (dataset,)
    salesforce.org.hide(name, field)
    site.synced()
    assert site.rows(dataset, column) == [(weaker,)]
    salesforce.org.show(name, field)
    site.later(hours=2)
    report = site.synced()
    assert site.rows(dataset, column) == [(better,)]
    told = notices(report, dataset)
    assert f"what {column} of {name} comes from" in told
    assert "could not be read before" in told
    site.later(hours=2)
    assert "could not be read before" not in notices(site.synced(), dataset)


@pytest.mark.parametrize("dataset", CHOICES)
def test_a_field_that_is_revoked_later_is_an_error_and_no_other_meaning(
    site: Site, salesforce: SalesforceSimulator, dataset: str
) -> None:
    name, field, column, weaker, better = CHOICES[dataset]
    site.only = (dataset,)
    site.synced()
    salesforce.org.hide(name, field)
    salesforce.org.update(next(iter(salesforce.org.objects[name].records)), IsDeleted=False)
    site.later(hours=2)
    error = str(site.sync().error)
    assert f"{column} could be read before and cannot any more: {name}.{field} is missing" in error
    assert site.rows(dataset, column) == [(better,)]
    site.synced(full=True)  # which accepts the loss
    assert site.rows(dataset, column) == [(weaker,)]
    site.later(hours=2)
    site.synced()


def test_what_a_column_came_from_is_not_known_of_a_read_that_kept_names_only(
    salesforce: SalesforceSimulator,
) -> None:
    connector = connector_to(salesforce)
    columns, since = ["id", "status", "total_amount"], salesforce.clock()
    before = {"given": {"Order": columns}}
    with CollectingRequest("orders", columns=columns, state=before, since=since) as first:
        assert first.collect(connector.read(first))["status"].to_pylist() == ["cancelled"]
        [told] = [notice for notice in first.notices if "read whole" in notice]
        assert "what status of Order comes from" in told
        assert "total_amount" not in told
        with first.following(since=salesforce.clock()) as later:
            assert later.collect(connector.read(later)).num_rows == 0


@pytest.mark.parametrize("dataset", CHOICES)
def test_check_warns_of_a_hidden_field_in_whose_place_others_are_read(
    salesforce: SalesforceSimulator, dataset: str
) -> None:
    name, field, column, *_ = CHOICES[dataset]
    connector = connector_to(salesforce)
    lines = {line.subject: line for line in connector.check()}
    assert lines[f"{dataset} ({name})"].state == "ok"
    salesforce.org.hide(name, field)
    lines = {line.subject: line for line in connector_to(salesforce).check()}
    line = lines[f"{dataset} ({name})"]
    columns, _, why = line.message.partition(" from other fields than usual: ")
    assert (line.state, column in columns) == ("warning", True)
    assert why == f"{name}.{field} is missing or hidden from the user."
    assert f"read access to the fields of {name}" in line.fix
    assert not line.lacks  # the column is there, and so are its KPIs


def test_a_read_tells_of_a_hidden_field_in_whose_place_others_are_read(
    salesforce: SalesforceSimulator,
) -> None:
    salesforce.org.hide("Order", "StatusCode")
    columns = ["status", "total_amount", "refunded_amount"]
    with CollectingRequest("orders", columns=columns) as request:
        request.collect(connector_to(salesforce).read(request))
        assert [notice for notice in request.notices if "StatusCode" in notice] == [
            "other fields than usual fill status, refunded_amount of Order: Order.StatusCode is "
            "missing or hidden from the user."
        ]
