"""One unusual value stops nothing: it is null and told."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import rows
from crmetrics.testing import CollectingRequest
from simulators.hubspot import HubSpotSimulator, Pipeline, Stage

MADE = datetime(2025, 11, 3, 9, tzinfo=UTC)


@pytest.fixture
def selling(service: HubSpotSimulator) -> HubSpotSimulator:
    """An account with a sales pipeline."""
    meeting = Stage("101", "Meeting", {"isClosed": "false", "probability": "0.2"})
    service.account.pipelines["deals"] = [Pipeline("10", "Sales", [meeting])]
    return service


@pytest.mark.parametrize(
    "amount", ["100000000000000", "99999999999999.99996", "1e17", "1e18", "NaN", "-Infinity", "n/a"]
)
def test_an_amount_that_no_column_holds_is_null_and_told(
    selling: HubSpotSimulator, connect: Connect, amount: str
) -> None:
    deal = selling.account.create("deals", {"amount": amount, "dealstage": "101"}, at=MADE).id
    plain = selling.account.create("deals", {"amount": "-99999999999999.9999"}, at=MADE).id
    for dataset, key in (("opportunities", "id"), ("opportunity_stage_history", "opportunity_id")):
        with CollectingRequest(dataset, columns=(key, "amount")) as request:
            table = request.collect(connect(selling).read(request))
            notices = " ".join(request.notices)
        found = {row[key]: row["amount"] for row in table.to_pylist()}
        assert found[deal] is None
        assert f".amount: 1 values do not fit the property's type, such as '{amount}'" in notices
        if dataset == "opportunities":
            assert found[plain] == Decimal("-99999999999999.9999")


def test_an_order_too_large_for_a_column_stops_no_other(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    for total in ("123456789012345", "12"):
        selling.account.create("orders", {"hs_total_price": total}, at=MADE)
    found = rows(connect(selling), "orders", columns=("id", "total_amount"))
    assert [row["total_amount"] for row in found] == [None, 12]


@pytest.mark.parametrize("quantity", ["NaN", "inf", "1e400", "1e19"])
def test_a_number_that_nothing_can_be_counted_with_is_null_and_told(
    selling: HubSpotSimulator, connect: Connect, quantity: str
) -> None:
    selling.account.create("subscriptions", {"quantity": quantity}, at=MADE)
    with CollectingRequest("subscriptions", columns=("id", "quantity")) as request:
        (row,) = request.collect(connect(selling).read(request)).to_pylist()
        assert row["quantity"] is None
        assert f"such as '{quantity}'" in " ".join(request.notices)


@pytest.mark.parametrize("text", ["2026-01-15", "2026-01-15T00:00:00", "2026-01-15T01:00:00+01:00"])
def test_an_instant_without_a_time_or_a_zone_is_one_of_utc(
    selling: HubSpotSimulator, connect: Connect, text: str
) -> None:
    selling.account.create("deals", {"dealstage": "101", "closedate": text}, at=MADE)
    with CollectingRequest("opportunities", columns=("id", "close_date")) as request:
        (row,) = request.collect(connect(selling).read(request)).to_pylist()
        assert row["close_date"] == date(2026, 1, 15)
        assert not request.notices


@pytest.mark.parametrize(
    "text",
    ["9999-12-31T12:00:00Z", "0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "253402257600000"],
)
@pytest.mark.parametrize("zone", ["US/Eastern", "Asia/Tokyo"])
def test_a_close_date_that_stands_for_always_or_never_is_null_and_told(
    selling: HubSpotSimulator, connect: Connect, text: str, zone: str
) -> None:
    selling.account.time_zone = zone
    selling.account.create("deals", {"dealstage": "101", "closedate": text}, at=MADE)
    for choice in ("keep", "ignore"):
        with CollectingRequest("opportunities", columns=("id", "close_date")) as request:
            connector = connect(selling, default_close_date=choice)
            (row,) = request.collect(connector.read(request)).to_pylist()
            assert row["close_date"] is None
            assert (
                f"deals.closedate: 1 values do not fit the property's type, such as '{text}'"
                in (" ".join(request.notices))
            )


def test_a_goal_without_an_end_in_this_world_is_read_and_told(
    selling: HubSpotSimulator, connect: Connect
) -> None:
    for end in ("9999-12-31T23:59:59Z", "2025-12-31T23:59:59Z"):
        values = {"hs_goal_type": "sales_quota", "hs_target_amount": "5",
                  "hs_start_datetime": "2025-01-01T00:00:00Z", "hs_end_datetime": end}  # fmt: skip
        selling.account.create("goal_targets", values, at=MADE)
    with CollectingRequest("quotas") as request:
        found = request.collect(connect(selling).read(request)).to_pylist()
        told = [text for text in request.notices if "hs_end_datetime" in text]
    assert [row["period_end"] for row in found] == [None, date(2026, 1, 1)]
    assert [row["period_start"] for row in found] == [date(2025, 1, 1)] * 2
    assert len(told) == 1 and "goal_targets.hs_end_datetime: 1 values do not fit" in told[0]
