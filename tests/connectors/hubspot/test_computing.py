"""Numbers that are computed from several properties: what no column holds is null and told."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.hubspot.conftest import Connect
from crmetrics.plugin import SourceError
from crmetrics.testing import CollectingRequest
from simulators.hubspot import HubSpotSimulator

MADE = datetime(2025, 11, 3, 9, tzinfo=UTC)


def read(connector: Any, dataset: str, **options: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """The records in the order of their ids, and the notices."""
    with CollectingRequest(dataset, **options) as request:
        found = request.collect(connector.read(request)).to_pylist()
        return sorted(found, key=lambda row: str(row["id"])), list(request.notices)


def lines(service: HubSpotSimulator, *each: dict[str, str]) -> list[str]:
    """Lines of an order."""
    order = service.account.create("orders", {}, at=MADE).id
    found = []
    for values in each:
        found.append(service.account.create("line_items", values, at=MADE).id)
        service.account.associate("line_items", found[-1], "orders", order)
    return found


def test_a_product_too_large_for_money_is_null_and_told(
    service: HubSpotSimulator, connect: Connect
) -> None:
    large, plain, exact = lines(
        service,
        {"price": "20000000000", "quantity": "5000"},
        {"price": "20", "quantity": "3"},
        {"amount": "99999999999999.9999", "price": "1", "quantity": "1"},
    )
    found, (told,) = read(connect(service), "order_items", columns=("id", "total_amount"))
    assert {row["id"]: row["total_amount"] for row in found} == {
        large: None, plain: 60, exact: Decimal("99999999999999.9999")
    }  # fmt: skip
    assert told.startswith("order_items.total_amount: 1 values cannot be computed from amount")
    assert f"such as that of record {large}; they are read as null" in told


def test_a_weekly_revenue_too_large_for_money_by_the_month_is_null_and_told(
    service: HubSpotSimulator, connect: Connect
) -> None:
    for revenue in ("99999999999999", "12"):
        values = {"hs_recurring_revenue": revenue, "hs_recurring_billing_frequency": "weekly"}
        service.account.create("subscriptions", values, at=MADE)
    found, (told,) = read(connect(service), "subscriptions", columns=("id", "mrr"))
    assert [row["mrr"] for row in found] == [None, 52]
    assert "subscriptions.mrr: 1 values" in told


def test_an_order_below_what_money_holds_is_null_and_told(
    service: HubSpotSimulator, connect: Connect
) -> None:
    values = {"hs_total_price": "-99999999999999", "hs_tax": "99999999999999"}
    service.account.create("orders", values, at=MADE)
    service.account.create("orders", {"hs_total_price": "10", "hs_tax": "2"}, at=MADE)
    found, (told,) = read(connect(service), "orders", columns=("id", "total_amount"))
    assert [row["total_amount"] for row in found] == [None, 8]
    assert "orders.total_amount: 1 values" in told


def test_a_number_that_cannot_be_read_is_not_taken_for_its_default(
    service: HubSpotSimulator, connect: Connect
) -> None:
    """Without a quantity a line is for one piece, without a tax an order has none."""
    values = (
        {"price": "20", "quantity": "many"},
        {"price": "20"},
        {"price": "20", "amount": "50", "quantity": "many"},
        {"price": "20", "quantity": ""},
    )
    unknown, single, given, cleared = lines(service, *values)
    found, told = read(connect(service), "order_items", columns=("id", "quantity", "total_amount"))
    assert {row["id"]: (row["quantity"], row["total_amount"]) for row in found} == {
        unknown: (None, None), single: (1, 20), given: (None, 50), cleared: (1, 20)
    }  # fmt: skip
    assert any("line_items.quantity: 2 values do not fit" in text for text in told)
    assert any("order_items.total_amount: 1 values cannot be computed" in text for text in told)
    for tax in ("n/a", "4", ""):
        service.account.create("orders", {"hs_total_price": "10", "hs_tax": tax}, at=MADE)
    found, _ = read(connect(service), "orders", columns=("id", "total_amount"))
    assert [row["total_amount"] for row in found[1:]] == [None, 6, 10]


def test_an_entry_of_the_project_file_that_fails_is_still_an_error(
    service: HubSpotSimulator, connect: Connect
) -> None:
    lines(service, {"price": "20000000000", "quantity": "5000", "name": "n/a"})
    mapping = {"unit_cost": "name::double"}
    with pytest.raises(SourceError, match="unit_cost"):
        read(connect(service), "order_items", mapping=mapping)
