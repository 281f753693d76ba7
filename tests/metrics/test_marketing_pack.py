"""The pack `marketing`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import share
from crmetrics.testing.projects import load_tables, write_project
from metrics.comparing import assert_same, name_of
from metrics.marketing_recount import ALWAYS_BY, FIGURES, Item, MarketingRecount, Rows, Value, added
from metrics.revenue_orders import ALL, OrderRecount

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ZONE = "America/New_York"
NONE = "(none)"


BY_GROUP: Mapping[str, tuple[str, ...]] = {
    "campaign_id": tuple(
        name
        for name in FIGURES
        if name.partition(".")[0] not in ("disengaged_contacts", "abandonment_rate")
        and name != "unsubscribe_rate.opted_out_share"
    ),
    "channel": tuple(
        name
        for name in FIGURES
        if name.partition(".")[0] != "disengaged_contacts"
        and name != "unsubscribe_rate.opted_out_share"
    ),
    "segment": tuple(
        name
        for name in FIGURES
        if name.partition(".")[0]
        in ("campaign_response_rate", "campaign_volume", "unsubscribe_rate", "disengaged_contacts")
    ),
    "lead_source": tuple(
        name
        for name in FIGURES
        if name.partition(".")[0] in ("campaign_response_rate", "disengaged_contacts")
    ),
    "last_engaged_month": ("disengaged_contacts", "disengaged_contacts.share"),
    "goal": tuple(name for name in FIGURES if name.startswith("abandonment_rate")),
}


class TestMarketingPack(PackContract):
    @pytest.fixture
    def pack(self) -> MetricPack:
        return MetricPack.from_package("crmetrics_marketing")

    @pytest.fixture
    def companions(self) -> Sequence[MetricPack]:
        return [MetricPack.from_package("crmetrics_revenue")]


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=7)


@pytest.fixture(scope="module")
def truth(crm: SampleCrm) -> MarketingRecount:
    return MarketingRecount(crm.records, crm.start, crm.end, timezone=ZONE)


@pytest.fixture(scope="module")
def project(crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory) -> Project:
    directory = tmp_path_factory.mktemp("marketing")
    write_project(directory, {}, packs=("marketing", "revenue"), reporting={"timezone": ZONE})
    load_tables(directory, crm.tables)
    return Project(directory, environ={}, now=lambda: NOW)


def _found(
    project: Project, crm: SampleCrm, names: Sequence[str], by: Sequence[str] = ()
) -> dict[str, dict[Any, Any]]:
    """KPI -> (period, group, ...) -> value, every month of the sample."""
    table = project.query(names, start=crm.start, end=crm.end, grain="month", by=list(by))
    found: dict[str, dict[Any, Any]] = {name: {} for name in names}
    for row in table.to_pylist():
        segment = dict(row["segment"])
        group = tuple(segment[name] for name in by if name in segment)
        if len(group) == len(by):  # a period without any group of its own has a row without one
            found[name_of(row)][row["period_start"], *group] = row["value"]
    return found


def _split(truth: MarketingRecount, rows: Rows, value: Value, *by: str) -> dict[Any, Any]:
    expected = {}
    for span in truth.spans():
        groups: dict[tuple[str, ...], list[Item]] = {}
        for item in truth.items(rows, span):
            groups.setdefault(tuple(item.groups[name] for name in by), []).append(item)
        for group, items in groups.items():
            expected[span.start, *group] = value(items)
    return expected


def test_every_kpi_equals_the_recount_in_every_month(
    project: Project, crm: SampleCrm, truth: MarketingRecount
) -> None:
    found = _found(project, crm, list(FIGURES))
    for name, (rows, value) in FIGURES.items():
        expected = {(span.start,): value(truth.items(rows, span)) for span in truth.spans()}
        assert_same(found[name], expected, name)


@pytest.mark.parametrize("group", list(BY_GROUP))
def test_groups_equal_the_recount_row_by_row(
    group: str, project: Project, crm: SampleCrm, truth: MarketingRecount
) -> None:
    found = _found(project, crm, BY_GROUP[group], [group])
    for name in BY_GROUP[group]:
        rows, value = FIGURES[name]
        assert_same(found[name], _split(truth, rows, value, group), (name, group))


def test_figures_with_a_dimension_of_their_own_equal_the_recount(
    project: Project, crm: SampleCrm, truth: MarketingRecount
) -> None:
    for name, (dimension, rows, value) in ALWAYS_BY.items():
        found = _found(project, crm, [name], [dimension])
        assert_same(found[name], _split(truth, rows, value, dimension), name)


def test_orders_by_channel_equal_the_recount_and_shares_are_of_all_orders(
    project: Project, crm: SampleCrm, truth: MarketingRecount
) -> None:
    by = ("customer_type", "channel")
    names = ["campaign_orders", "campaign_orders.amount", "campaign_orders.share"]
    found = _found(project, crm, names, ["channel", "customer_type"])
    for name in names[:2]:
        _, rows, value = ALWAYS_BY[name]
        expected = {
            (start, channel, kind): number
            for (start, kind, channel), number in _split(truth, rows, value, *by).items()
        }
        assert_same(found[name], expected, name)
    shares: dict[Any, float] = {}
    for (start, _, kind), number in found[names[2]].items():
        shares[start, kind] = shares.get((start, kind), 0) + number
    _, rows, value = ALWAYS_BY[names[2]]
    expected = _split(truth, rows, value, "customer_type")
    assert shares == pytest.approx({key: expected[key] for key in shares})


def test_returns_by_segment_are_set_against_the_whole_spend_and_add_up(
    project: Project, crm: SampleCrm, truth: MarketingRecount
) -> None:
    names = ["marketing_roi", "marketing_roi.first_touch", "marketing_roi.linear",
             "marketing_roi.lagged"]  # fmt: skip
    whole = _found(project, crm, names)
    split = _found(project, crm, names, ["segment"])
    for name in names:
        sums: dict[Any, float] = {}
        for (start, _), number in split[name].items():
            sums[(start,)] = sums.get((start,), 0) + number
        assert sums == pytest.approx({key: whole[name][key] for key in sums}), name
    for name in names:
        rows, _ = FIGURES[name]
        expected: dict[Any, float] = {}
        for span in truth.spans():
            items = truth.items(rows, span)
            spend = added(items, "spend")
            for item in items:
                if item.part.get("revenue") and spend > 0:
                    key = (span.start, item.groups["segment"])
                    expected[key] = expected.get(key, 0) + float(item.part["revenue"]) / spend
        found = {key: number for key, number in split[name].items() if number}
        assert found == pytest.approx(expected), name


def test_the_net_return_takes_the_gross_margin_of_the_same_month(
    project: Project, crm: SampleCrm, truth: MarketingRecount
) -> None:
    found = _found(project, crm, ["marketing_roi.net"])
    # The margin is recounted from the raw lines of the orders as well.
    sales = OrderRecount(crm, timezone=ZONE, as_of=date(2029, 12, 31))
    expected = {}
    for span in truth.spans():
        costed, cost, _ = sales.margin(span, ALL)
        items, margin = truth.returns(span), share(costed - cost, costed)
        revenue, spend = added(items, "revenue"), added(items, "spend")
        expected[(span.start,)] = None if margin is None else (revenue * margin - spend) / spend
    assert_same(found["marketing_roi.net"], expected)


def test_coverage_says_what_the_numbers_leave_out(
    project: Project, crm: SampleCrm, truth: MarketingRecount
) -> None:
    table = project.query(
        ["marketing_roi", "total_marketing_spend", "campaign_response_rate"],
        start=crm.start, end=crm.end, grain="month",
    )  # fmt: skip
    rows = {(row["kpi"], row["period_start"]): dict(row["coverage"]) for row in table.to_pylist()}
    undated = sum(
        float(truth.usd(row["amount"], row["currency"], date(2030, 1, 1)))
        for row in truth.live.rows("marketing_spend")
        if not truth._days_of(row)
    )
    assert undated > 0
    for span in truth.spans():
        spend = rows["total_marketing_spend", span.start]
        assert spend["undated_spend"] == pytest.approx(undated)
        returns = rows["marketing_roi", span.start]
        assert returns.get("unattributed_revenue", 0) == pytest.approx(truth.unattributed(span))
    early = sum(
        1
        for first in truth.first_sends
        for row in first["all"]
        if first["is_reached"] and row.get("responded_at")
        and row["responded_at"] < first["sent_at"]
        and truth.local_day(first["sent_at"]) >= crm.start
        and truth.local_day(first["sent_at"]) < crm.end
    )  # fmt: skip
    assert early > 0
    counted = sum(
        cover.get("invalid_duration", 0)
        for (kpi, _), cover in rows.items()
        if kpi == "campaign_response_rate"
    )
    assert counted == early
