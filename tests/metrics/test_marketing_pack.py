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
from metrics.comparing import assert_same
from metrics.marketing_recount import ALWAYS_BY, FIGURES, Item, MarketingRecount, Rows, Value, added
from metrics.recounts import Answers, dimensions, known, recounted, together
from metrics.revenue_orders import ALL, Group, OrderRecount

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ZONE = "America/New_York"
NONE = "(none)"


def _of(*kpis: str) -> list[str]:
    return [name for name in FIGURES if name.partition(".")[0] in kpis]


IN_TOTAL = {"": list(FIGURES)}
OF_CAMPAIGNS = _of(
    "marketing_roi", "campaign_response_rate", "campaign_volume", "unsubscribe_rate",
    "total_marketing_spend",
)  # fmt: skip
OF_CAMPAIGNS.remove("unsubscribe_rate.opted_out_share")
BY_GROUP: Mapping[str, list[str]] = {
    "campaign_id": OF_CAMPAIGNS,
    "channel": [*OF_CAMPAIGNS, *_of("abandonment_rate")],
    "segment": _of(
        "campaign_response_rate", "campaign_volume", "unsubscribe_rate", "disengaged_contacts"
    ),
    "lead_source": _of("campaign_response_rate", "disengaged_contacts"),
    "last_engaged_month": ["disengaged_contacts", "disengaged_contacts.share"],
    "goal": _of("abandonment_rate"),
    "lifecycle_stage": ["unsubscribe_rate.opted_out_share"],
}
RETURNS = {
    "segment": [name for name in FIGURES if name.startswith("marketing_roi")],
}
NET = {by: ["marketing_roi.net"] for by in ("", "campaign_id", "channel", "segment")}
LIFETIME = {
    by: ["marketing_roi.lifetime"]
    for by in ("campaign_id", "campaign_id, channel", "campaign_id, segment")
}
ORDERS = {
    by: ["campaign_orders", "campaign_orders.amount", "campaign_orders.share"]
    for by in ("customer_type", "customer_type, channel", "customer_type, campaign_id")
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


@pytest.fixture(scope="module")
def answers(project: Project, crm: SampleCrm) -> Answers:
    asked = together(IN_TOTAL, BY_GROUP, RETURNS, NET, LIFETIME, ORDERS)
    return Answers(project, crm.start, crm.end, asked)


def _split(truth: MarketingRecount, rows: Rows, value: Value, *by: str) -> dict[Any, Any]:
    expected = {}
    for span in truth.spans():
        groups: dict[tuple[str, ...], list[Item]] = {}
        for item in truth.items(rows, span):
            groups.setdefault(tuple(item.groups[name] for name in by), []).append(item)
        for group, items in groups.items():
            expected[span.start, *group] = value(items)
    return expected


@recounted(IN_TOTAL)
def test_every_kpi_equals_the_recount_in_every_month(
    kpi: str, by: str, answers: Answers, truth: MarketingRecount
) -> None:
    rows, value = FIGURES[kpi]
    expected = {(span.start,): value(truth.items(rows, span)) for span in truth.spans()}
    assert_same(answers.of(kpi, by), expected, kpi)


@recounted(BY_GROUP)
def test_groups_equal_the_recount_row_by_row(
    kpi: str, by: str, answers: Answers, truth: MarketingRecount
) -> None:
    rows, value = FIGURES[kpi]
    assert_same(answers.of(kpi, by), _split(truth, rows, value, by), (kpi, by))


@recounted(ORDERS)
def test_orders_equal_the_recount_and_shares_are_of_all_orders(
    kpi: str, by: str, answers: Answers, truth: MarketingRecount
) -> None:
    _, rows, value = ALWAYS_BY[kpi]
    names = dimensions(by)
    if not kpi.endswith("share"):
        assert_same(answers.of(kpi, by), _split(truth, rows, value, *names), (kpi, by))
        return
    expected: dict[Any, float] = {}
    for span in truth.spans():
        items = truth.items(rows, span)
        for item in items:
            if item.part.get("from_campaign"):
                kind = item.groups["customer_type"]
                of_kind = [other for other in items if other.groups["customer_type"] == kind]
                key = (span.start, *(item.groups[name] for name in names))
                expected[key] = expected.get(key, 0) + 1 / len(of_kind)
    found = {key: number for key, number in answers.of(kpi, by).items() if number}
    assert found == pytest.approx(expected), by


@recounted(RETURNS)
def test_returns_by_segment_are_set_against_the_whole_spend_and_add_up(
    kpi: str, by: str, answers: Answers, truth: MarketingRecount
) -> None:
    whole, split = answers.of(kpi), answers.of(kpi, by)
    sums: dict[Any, float] = {}
    for (start, _), number in split.items():
        sums[(start,)] = sums.get((start,), 0) + (number or 0)
    assert sums == pytest.approx({key: whole[key] for key in sums})
    rows, _ = FIGURES[kpi]
    expected: dict[Any, float] = {}
    for span in truth.spans():
        items = truth.items(rows, span)
        spend = added(items, "spend")
        for item in items:
            if item.part.get("revenue") and spend > 0:
                key = (span.start, item.groups[by])
                expected[key] = expected.get(key, 0) + float(item.part["revenue"]) / spend
    assert {key: number for key, number in split.items() if number} == pytest.approx(expected)


@recounted(LIFETIME)
def test_the_lifetime_of_campaigns_with_spend_equals_the_recount(
    kpi: str, by: str, answers: Answers, truth: MarketingRecount
) -> None:
    """By segment each one's revenue is set against the whole spend of the campaign."""
    _, rows, value = ALWAYS_BY[kpi]
    names = dimensions(by)
    if "segment" not in names:
        assert_same(answers.of(kpi, by), _split(truth, rows, value, *names), (kpi, by))
        return
    expected: dict[Any, float] = {}
    for span in truth.spans():
        items = truth.items(rows, span)
        for item in items:
            campaign = item.groups["campaign_id"]
            own = [other for other in items if other.groups["campaign_id"] == campaign]
            if item.part.get("revenue") and (spend := added(own, "spend")) > 0:
                key = (span.start, campaign, item.groups["segment"])
                expected[key] = expected.get(key, 0) + float(item.part["revenue"]) / spend
    assert {k: v for k, v in answers.of(kpi, by).items() if v} == pytest.approx(expected)


@recounted(NET)
def test_the_net_return_takes_the_gross_margin_of_the_same_month_and_group(
    kpi: str, by: str, answers: Answers, crm: SampleCrm, truth: MarketingRecount
) -> None:
    # The margin is recounted from the raw lines of the orders as well.
    sales = OrderRecount(crm, timezone=ZONE, as_of=date(2029, 12, 31))
    expected: dict[Any, float | None] = {}
    for span in truth.spans():
        items = truth.returns(span)
        names = {item.groups[by] for item in items if by in item.groups} if by else {""}
        if by == "segment":  # one with a margin alone has its part of the spend too
            names |= {truth.segment(account) for account in truth.live.by_id("accounts")}
        for name in names:
            costed, cost, _ = sales.margin(span, Group(by, name) if by else ALL)
            own = [item for item in items if item.groups.get(by, "") == name]
            margin = share(costed - cost, costed)
            # Spend has no account: in each segment it is the whole.
            revenue = added(own, "revenue")
            spend = added(items if by == "segment" else own, "spend")
            is_known = margin is not None and spend > 0
            key = (span.start, *([name] if by else []))
            expected[key] = (revenue * margin - spend) / spend if is_known else None  # type: ignore[operator]
    assert_same(known(answers.of(kpi, by)), known(expected), by)


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
