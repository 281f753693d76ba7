"""What makes a customer, and what stands for orders: every KPI that depends on it obeys.

The expected figures are counted here from the raw rows of the sample CRM, with nothing of the
product: three models of customers, and won deals in the place of orders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project
from metrics.customer_models import (
    MODELS,
    ZONE,
    Raw,
    Row,
    Spells,
    active,
    is_refunded,
    local_day,
    share,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
MONTHS = [date(2023 + n // 12, n % 12 + 1, 1) for n in range(37)]
PERIODS = list(pairwise(MONTHS))


def customer_figures(
    spells: Spells, start: date, end: date, has: Callable[[str], bool]
) -> dict[str, float | None]:
    opening = {a for a in active(spells, start - ONE_DAY) if has(a)}
    closing = {a for a in active(spells, end - ONE_DAY) if has(a)}
    return {
        "active_customers": len(closing),
        "active_customers.average": (len(opening) + len(closing)) / 2,
        "customer_retention_rate": share(len(opening & closing), len(opening)),
        "customer_churn_rate": share(len(opening - closing), len(opening)),
        "new_customers": sum(
            start <= min(spans)[0] < end for account, spans in spells.items() if has(account)
        ),
        "new_customers.include_reactivated": sum(
            any(start <= since < end for since, _ in spans)
            for account, spans in spells.items()
            if has(account)
        ),
    }


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=7)


@pytest.fixture(scope="module")
def raw(crm: SampleCrm) -> Raw:
    return Raw(crm)


@pytest.fixture(scope="module")
def project(crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    folder = tmp_path_factory.mktemp("models")
    load_tables(folder, crm.tables)

    def settled(**settings: Any) -> Project:
        write_project(
            folder,
            {},
            packs=("sales", "retention", "revenue", "marketing", "roi"),
            settings=settings,
            reporting={"timezone": str(ZONE)},
        )
        return Project(folder, environ={}, now=lambda: NOW)

    return settled


def _asked(project: Project, kpis: list[str], *by: str) -> dict[tuple[Any, ...], Any]:
    """(KPI, first day of the month, values of the dimensions) -> value."""
    table = project.query(kpis, start=MONTHS[0], end=MONTHS[-1], grain="month", by=list(by))
    return {
        (
            f"{row['kpi']}.{row['variant']}".rstrip("."),
            row["period_start"],
            *(dict(row["segment"])[name] for name in by),
        ): row["value"]
        for row in table.to_pylist()
    }


def _assert_same(found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
    """Equal; a group without rows is absent, where the recount has none or nothing of nothing."""
    assert any(expected.values())
    for key, value in expected.items():
        if key not in found:
            assert not value, key
        else:
            assert found[key] == pytest.approx(value, rel=1e-9, abs=1e-9), key


@pytest.mark.parametrize(("model", "source"), MODELS)
@pytest.mark.parametrize("by", ["", "segment"])
def test_customers_are_those_of_the_model(
    model: str, source: str, by: str, project: Callable[..., Project], raw: Raw
) -> None:
    spells = raw.spells(model, source)
    groups = sorted({raw.segment(account) for account in spells}) if by else [""]
    expected: dict[tuple[Any, ...], Any] = {}
    for start, end in PERIODS:
        for group in groups:

            def has(account: str, group: str = group) -> bool:
                return not group or raw.segment(account) == group

            for kpi, value in customer_figures(spells, start, end, has).items():
                expected[(kpi, start, group) if by else (kpi, start)] = value
    asked = project(customer_model=model, orders_from=source)
    kpis = list(dict.fromkeys(key[0] for key in expected))
    _assert_same(_asked(asked, kpis, *filter(None, [by])), expected)


@pytest.mark.parametrize(("model", "source"), MODELS)
def test_acquisition_costs_are_spread_over_the_customers_of_the_model(
    model: str, source: str, project: Callable[..., Project], raw: Raw
) -> None:
    asked = project(customer_model=model, orders_from=source)
    spells = raw.spells(model, source)
    table = asked.query(
        ["customer_acquisition_cost"], start=MONTHS[0], end=MONTHS[-1], grain="month"
    )
    for row, (start, end) in zip(table.to_pylist(), PERIODS, strict=True):
        new = customer_figures(spells, start, end, lambda account: True)["new_customers"]
        assert (row["denominator"] or 0) == new


def test_the_field_model_says_that_its_ends_are_not_recorded(
    project: Callable[..., Project],
) -> None:
    asked = project(customer_model="field")
    (row,) = asked.query(["customer_churn_rate"], period="2025-06").to_pylist()
    assert row["status"] == "not_reproducible"


# --- what stands for orders ----------------------------------------------------------------------


def _order_figures(raw: Raw, source: str, start: date, end: date) -> dict[str, float | None]:
    orders = raw.orders(source)
    placed = [o for o in orders if start <= o["day"] < end]
    kept = [o for o in placed if not is_refunded(o)]
    revenue = 0.0
    for order in orders:
        for amount, at in (
            (order["total_amount"], order["day"]),
            (_negative(order["refunded_amount"]), _refund_day(order)),
        ):
            value = raw.usd(amount, order["currency"], order["day"])
            if at is not None and start <= at < end:
                revenue += value or 0.0
    year = [o for o in orders if end - timedelta(days=365) <= o["day"] < end]
    buyers: dict[str, int] = {}
    for order in year:
        if order["account_id"] and not is_refunded(order):
            buyers[order["account_id"]] = buyers.get(order["account_id"], 0) + 1
    return {
        "revenue": revenue,
        "average_deal_size.average_order_value": share(revenue, len(kept)),
        "repeat_purchase_rate": share(sum(n > 1 for n in buyers.values()), len(buyers)),
        "items_per_order": _basket(raw, source, placed),
    }


def _negative(amount: Any) -> Any:
    return -amount if amount else None


def _refund_day(order: Row) -> date | None:
    if not order["refunded_amount"]:
        return None
    return local_day(order["refunded_at"]) if order["refunded_at"] else order["day"]


def _basket(raw: Raw, source: str, placed: list[dict[str, Any]]) -> float | None:
    dataset, key = {
        "orders": ("order_items", "order_id"),
        "opportunities": ("opportunity_items", "opportunity_id"),
    }[source]
    wanted = {order["id"] for order in placed}
    lines = [
        line
        for line in raw.tables[dataset]
        if line[key] in wanted
        and not line["is_deleted"]
        and not line["is_test"]
        and line["quantity"] is not None
    ]
    return share(sum(float(x["quantity"]) for x in lines), len({x[key] for x in lines}))


@pytest.mark.parametrize("source", ["orders", "opportunities"])
def test_orders_are_those_of_the_setting(
    source: str, project: Callable[..., Project], raw: Raw
) -> None:
    asked = project(orders_from=source)
    expected = {
        (kpi, start): value
        for start, end in PERIODS
        for kpi, value in _order_figures(raw, source, start, end).items()
    }
    _assert_same(_asked(asked, list(dict.fromkeys(key[0] for key in expected))), expected)


@pytest.mark.parametrize("source", ["orders", "opportunities"])
def test_campaign_orders_are_those_of_the_setting(
    source: str, project: Callable[..., Project], raw: Raw
) -> None:
    asked = project(orders_from=source)
    orders = sorted(raw.orders(source), key=lambda order: (order["day"], order["id"]))
    expected: dict[tuple[Any, ...], int] = {}
    for order in orders:
        if order["campaign_id"] and not is_refunded(order) and MONTHS[0] <= order["day"]:
            key = (order["day"].year, order["day"].month)
            expected[key] = expected.get(key, 0) + 1
    table = asked.query(["campaign_orders"], start=MONTHS[0], end=MONTHS[-1], grain="month")
    found: dict[tuple[Any, ...], int] = {}
    for row in table.to_pylist():
        key = (row["period_start"].year, row["period_start"].month)
        found[key] = found.get(key, 0) + int(row["value"] or 0)
    found = {key: count for key, count in found.items() if count}
    last = (MONTHS[-1].year, MONTHS[-1].month)
    assert found == {key: count for key, count in expected.items() if key < last}


def test_won_deals_make_customers_where_they_stand_for_orders(tmp_path: Path) -> None:
    settings = {"orders_from": "opportunities"}
    write_project(tmp_path, {}, packs=("retention",), settings=settings)
    tables = """
@opportunities
id,account_id,created_at,close_date,is_closed,is_won,amount
1,A,2025-01-01,2025-02-01,true,true,10
2,B,2025-01-01,2025-02-01,true,false,10
"""
    load_tables(tmp_path, read_tables(tables))
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    rows = project.query(["active_customers"], start="2025-01-01", end="2025-04-01").to_pylist()
    assert [row["value"] for row in rows] == [None, 1, 1]
    assert rows[0]["status"] == "missing_dataset"


def test_a_plan_with_won_deals_for_orders_asks_for_no_orders(tmp_path: Path) -> None:
    deals = "@opportunities\nid,account_id,created_at,close_date,is_closed,is_won,amount\n"
    write_project(
        tmp_path,
        dict(read_tables(deals + "1,A,2025-01-01,2025-02-01,true,true,10\n")),
        packs=("retention",),
        settings={"orders_from": "opportunities"},
        sections={"jobs": {"customers": {"kpis": ["active_customers"], "sinks": []}}},
    )
    plan = Project(tmp_path, environ={}, now=lambda: NOW).plan("customers")
    assert plan.out_of_reach == ()
    assert [read.dataset for read in plan.plan.reads] == ["opportunities"]
