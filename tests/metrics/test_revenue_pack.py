"""The pack `revenue`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import Span, months_later
from crmetrics.testing.projects import load_tables, write_project
from metrics.comparing import name_of
from metrics.recounts import Answers, recounted
from metrics.revenue_recount import ALL, Group, Recount

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ZONE = "America/New_York"
START = date(2025, 1, 1)
PARTS_OF_ORDERS = [
    "revenue",
    "cost_of_goods_sold",
    "cost_of_goods_sold.ratio",
    "gross_margin",
    "gross_margin.amount",
    "upsell_rate",
    "upsell_rate.amount",
    "cross_sell_rate",
]
ORDER_FIGURES = [
    *PARTS_OF_ORDERS,
    "revenue.constant_currency",
    "items_per_order",
    "items_per_order.distinct_products",
]
OF_SEGMENTS = [
    "mrr",
    "mrr.arr",
    "mrr.committed",
    "mrr.constant_currency",
    "revenue.recurring",
    "net_new_mrr.quick_ratio",
    "average_revenue_per_user",
    "average_revenue_per_user.period_average",
    "average_revenue_per_user.per_seat",
    "customer_lifetime_value",
    "upsell_rate.subscription",
    "revenue_forecast.run_rate",
    "product_migration_rate",
    "product_migration_rate.downgrade_rate",
]
OF_CUSTOMERS = [
    "customer_lifetime_value.gross_margin",
    "customer_lifetime_value.historical",
    "customer_lifetime_value.observed_lifespan",
    "upsell_rate.by_opportunity_type",
    "cross_sell_rate.families_per_customer",
]
BY_FIGURE = {
    **{by: [*ORDER_FIGURES, *OF_SEGMENTS, *OF_CUSTOMERS] for by in ("", "segment", "country")},
    "family": [*PARTS_OF_ORDERS, *OF_SEGMENTS],
}
MOVEMENTS = {
    by: ["net_new_mrr", "net_new_mrr.gross_movements"]
    for by in ("movement", "movement, segment", "movement, family")
}
SPANS = [Span(months_later(START, n), months_later(START, n + 1)) for n in range(12)]
AHEAD = {
    by: ["revenue_forecast", "revenue_forecast.calibrated"]
    for by in ("", "segment", "team", "forecast_category")
}


class TestRevenuePack(PackContract):
    @pytest.fixture
    def pack(self) -> MetricPack:
        return MetricPack.from_package("crmetrics_revenue")

    @pytest.fixture
    def companions(self) -> Sequence[MetricPack]:
        return (
            MetricPack.from_package("crmetrics_sales"),
            MetricPack.from_package("crmetrics_retention"),
        )


# --- the sample CRM ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=7)


@pytest.fixture(scope="module")
def recount(crm: SampleCrm) -> Recount:
    return Recount(crm, timezone=ZONE, as_of=date(2029, 12, 31))


@pytest.fixture(scope="module")
def project(crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory) -> Project:
    directory = tmp_path_factory.mktemp("revenue")
    write_project(directory, {}, packs=("revenue",), reporting={"timezone": ZONE})
    load_tables(directory, crm.tables)
    return Project(directory, environ={}, now=lambda: NOW)


def _settled(project: Project, directory: Path, **settings: Any) -> Project:
    """The same warehouse under other settings."""
    write_project(
        directory,
        {},
        packs=("revenue",),
        reporting={"timezone": ZONE},
        settings=settings,
        sections={"warehouse": str(project.engine_settings.path)},
    )
    return Project(directory, environ={}, now=lambda: NOW)


def _asked(project: Project, kpis: Sequence[str], by: str = "") -> list[dict[str, Any]]:
    dimensions = [by] if by else []
    table = project.query(kpis, start=START, end=SPANS[-1].end, grain="month", by=dimensions)
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        row["name"] = name_of(row)
        row["segment"] = dict(row["segment"])
    return rows


@pytest.fixture(scope="module")
def answers(project: Project) -> Answers:
    return Answers(project, START, SPANS[-1].end, BY_FIGURE)


def _is_same(value: float | None, expected: float | None) -> bool:
    if value is None or expected is None:
        return value is expected
    return bool(value == pytest.approx(expected, rel=1e-7, abs=1e-5))


def _assert_equal(
    rows: Sequence[Mapping[str, Any]], expected: Mapping[tuple[str, date, str], float | None],
    by: str = "",
) -> None:  # fmt: skip
    """Every row has the recounted value, and no counted group is absent."""
    found = {
        (row["name"], row["period_start"], row["segment"].get(by, "")): row["value"] for row in rows
    }
    assert len(found) == len(rows)
    assert found.keys() <= expected.keys()
    absent = {key: expected[key] for key in expected.keys() - found.keys()}
    assert not {key: value for key, value in absent.items() if value}
    wrong = {
        key: (value, expected[key])
        for key, value in found.items()
        if not _is_same(value, expected[key])
    }
    assert not wrong


def _expected(recount: Recount, figures: str, by: str = "") -> dict[Any, float | None]:
    groups = [ALL]
    if by == "family":
        families = {recount.family(row["id"]) for row in recount.live.rows("products")}
        groups = [Group("family", name) for name in sorted({*families, "(none)"})]
    elif by:
        values = {row.get(by) or "(none)" for row in recount.live.rows("accounts")}
        groups = [Group(by, name) for name in sorted({*values, "(none)"})]
    return {
        (name, span.start, group.value): value
        for group in groups
        for span in SPANS
        for name, value in getattr(recount, figures)(span, group).items()
    }


@pytest.fixture(scope="module")
def expected_by(recount: Recount) -> Callable[[str, str], dict[Any, float | None]]:
    """The recounted figures by a dimension: (KPI, month, group) -> value."""
    return cache(lambda figures, by: _expected(recount, figures, by))


@recounted(BY_FIGURE)
def test_every_figure_equals_the_recount(
    kpi: str, by: str, answers: Answers, expected_by: Callable[[str, str], Any]
) -> None:
    figures = "order_figures" if kpi in ORDER_FIGURES else "subscription_figures"
    expected = {
        (month, *([group] if by else [])): value
        for (name, month, group), value in expected_by(figures, by).items()
        if name == kpi
    }
    found = answers.of(kpi, by)
    assert any(expected.values()), "the recount says nothing"
    assert found.keys() <= expected.keys()
    # What is nothing in a group may be a row that is absent.
    assert not any(expected[key] for key in expected.keys() - found.keys())
    wrong = {k: (v, expected[k]) for k, v in found.items() if not _is_same(v, expected[k])}
    assert not wrong


@recounted(MOVEMENTS)
def test_the_movements_of_mrr_equal_the_recount(
    kpi: str, by: str, project: Project, recount: Recount
) -> None:
    group_by = by.removeprefix("movement").strip(", ")
    found: dict[tuple[date, str, str], float] = {}
    for row in _asked(project, [kpi], group_by):
        segment = row["segment"]
        key = (row["period_start"], segment.get(group_by, ""), segment.get("movement", ""))
        found[key] = row["value"]
    groups = {group for _, group, _ in found}
    expected = {
        (span.start, group, movement): amount
        for span in SPANS
        for group in groups
        for movement, amount in recount.movements(
            span, Group(group_by, group) if group_by else ALL, daily=kpi.endswith("gross_movements")
        ).items()
    }
    kept = {key: value for key, value in expected.items() if key in found or abs(value) > 1e-5}
    assert found == pytest.approx(kept, rel=1e-7, abs=1e-4)
    kinds = {movement for *_, movement in found}
    assert {"", "new", "expansion", "contraction", "churn", "currency"} <= kinds


def test_the_net_is_the_difference_of_two_published_values(project: Project) -> None:
    rows = _asked(project, ["mrr", "net_new_mrr", "net_new_mrr.gross_movements"])
    mrr = {row["period_start"]: row["value"] for row in rows if row["name"] == "mrr"}
    for name in ("net_new_mrr", "net_new_mrr.gross_movements"):
        for earlier, later in pairwise(SPANS):
            own = [r for r in rows if r["name"] == name and r["period_start"] == later.start]
            (net,) = [r["value"] for r in own if not r["segment"]]
            assert net == pytest.approx(mrr[later.start] - mrr[earlier.start])
            assert net == pytest.approx(sum(r["value"] for r in own if r["segment"]))


@pytest.mark.parametrize("by", ["", "segment"])
def test_the_purchase_model_equals_the_recount(
    by: str, project: Project, recount: Recount, tmp_path: Path
) -> None:
    other = _settled(project, tmp_path, customer_model="purchase")
    expected = _expected(recount, "purchase_figures", by)
    names = list(dict.fromkeys(name for name, _, _ in expected))
    _assert_equal(_asked(other, names, by), expected, by)


def test_the_ledger_stands_for_the_cost_of_the_lines(
    project: Project, crm: SampleCrm, recount: Recount, tmp_path: Path
) -> None:
    other = _settled(project, tmp_path, cogs_from="ledger")
    rows = _asked(other, ["cost_of_goods_sold", "gross_margin", "gross_margin.amount"])
    for row in rows:
        span = Span(row["period_start"], months_later(row["period_start"], 1))
        cost = sum(
            float(item["amount"])
            for item in crm.records["expenses"]
            if item["category"] == "cogs" and item["expense_date"] in span
        )
        revenue = recount.revenue(span, ALL)
        expected = {
            "cost_of_goods_sold": cost,
            "gross_margin": (revenue - cost) / revenue if revenue > 0 else None,
            "gross_margin.amount": revenue - cost,
        }
        assert row["value"] == pytest.approx(expected[row["name"]])


def test_what_is_left_out_is_counted(project: Project, recount: Recount) -> None:
    rows = _asked(project, ["cost_of_goods_sold", "gross_margin", "items_per_order"])
    keys: dict[str, tuple[str, Callable[[Span], float]]] = {
        "cost_of_goods_sold": ("uncosted_revenue", lambda s: recount.cost(s, ALL)[1]),
        "gross_margin": ("uncosted_revenue", lambda s: recount.margin(s, ALL)[2]),
        "items_per_order": ("orders_without_lines", lambda s: recount.baskets(s, ALL)[2]),
    }
    for row in rows:
        name, count = keys[row["name"]]
        span = Span(row["period_start"], months_later(row["period_start"], 1))
        assert dict(row["coverage"]).get(name, 0) == pytest.approx(count(span), abs=1e-5)


@recounted(AHEAD)
def test_the_forecast_equals_the_recount_seen_from_the_export(
    kpi: str, by: str, project: Project, crm: SampleCrm, recount: Recount
) -> None:
    as_of = recount.local_day(crm.exported_at)
    spans = [Span(months_later(crm.end, n), months_later(crm.end, n + 1)) for n in range(-2, 3)]
    asked: dict[str, Any] = {"start": spans[0].start, "end": spans[-1].end, "as_of": str(as_of)}
    rows = project.query([kpi], **asked, grain="month", by=[by] if by else []).to_pylist()
    for row in rows:
        group = Group(by, dict(row["segment"])[by]) if by else ALL
        (span,) = (span for span in spans if span.start == row["period_start"])
        default, calibrated, overdue = recount.forecast(span, as_of, group)
        expected = calibrated if row["variant"] else default
        assert row["value"] == pytest.approx(expected), (span, group)
        assert dict(row["coverage"]).get("overdue", 0) == overdue
        assert "is_projection" in row["flags"]
        assert row["status"] != "partial"
    total = sum(row["value"] for row in rows)
    figures = [recount.forecast(span, as_of, ALL) for span in spans]
    assert total == pytest.approx(
        sum(f[1] if kpi.endswith("calibrated") else f[0] for f in figures)
    )
