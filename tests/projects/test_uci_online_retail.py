"""UCI Online Retail: cohorts by purchase, and the edges of the file."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from typing import Any

import pytest

from projects.opening import Opened, Opener

pytestmark = pytest.mark.shared
COHORT = "Retention of the 2010-12 cohort (customers whose first clean order is in that month)"


@pytest.fixture(scope="module")
def retail(open_project: Opener) -> Opened:
    return open_project("uci_online_retail")


@pytest.mark.parametrize("days", [28, 30, 31])
def test_cohorts_by_month(
    days: int, open_project: Opener, published: Callable[[str], dict[str, Any]]
) -> None:
    # Published is who ordered in a month. A customer who is gone after as many days as the month
    # has is active on its last day exactly if that is so.
    rows = open_project("uci_online_retail", {"PURCHASE_DAYS": str(days)}).ask(
        "cohort_retention", period="2010-12"
    )
    found = {int(row["segment"]["k"]): (row["numerator"], row["value"]) for row in rows}
    compared = 0
    for line in published("uci_online_retail")[COHORT]:
        k = line["month_index"]
        if monthrange(2010 + (11 + k) // 12, (11 + k) % 12 + 1)[1] == days:
            compared += 1
            assert found[k][0] == line["active"]
            assert found[k][1] == pytest.approx(line["retention"], rel=1e-12)
    assert compared == {28: 1, 30: 4, 31: 8}[days]


def test_customers_without_an_order_for_90_days(
    open_project: Opener, published: Callable[[str], dict[str, Any]]
) -> None:
    figures = published("uci_online_retail")
    project = open_project("uci_online_retail", {"PURCHASE_DAYS": "90"})
    (row,) = project.ask("active_customers", period="2011-12-09")
    gone = 1 - row["value"] / figures["clean customers"]
    known = figures["churned on 2011-12-10: no clean order in the 90 days before"]
    assert gone == pytest.approx(known, rel=1e-12)


def test_orders_are_invoices_and_not_their_lines(
    retail: Opened, published: Callable[[str], dict[str, Any]]
) -> None:
    figures = published("uci_online_retail")
    rows = retail.ask("revenue", start="2010-12-01", end="2012-01-01", grain="month")
    orders = {f"{row['period_start']:%Y-%m}": row["n"] for row in rows}
    assert orders == {line["m"]: line["orders"] for line in figures["Per month, clean sales"]}
    assert sum(orders.values()) == figures["clean orders"]
    revenue = sum(row["value"] for row in rows)
    average = figures["average order value, clean"]
    assert float(revenue) / sum(orders.values()) == pytest.approx(average, rel=1e-12)


def test_a_month_that_is_cut_off_is_partial(retail: Opened) -> None:
    rows = retail.ask("revenue", period="2011-12", as_of="2011-12-10")
    assert [row["status"] for row in rows] == ["partial"]
