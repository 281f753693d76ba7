"""The pack `retention`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import NONE, Facts, Span, last_days
from crmetrics.testing.projects import load_tables, write_project
from metrics import retention_recount as recount
from metrics.retention_recount import FIGURES
from metrics.retention_world import (
    ONE_DAY,
    World,
    account_value,
    family_of,
    first_campaigns,
    groups,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ZONE = "America/New_York"
Found = Mapping[str, Mapping[Any, Any]]


class TestRetentionPack(PackContract):
    @pytest.fixture
    def pack(self) -> MetricPack:
        return MetricPack.from_package("crmetrics_retention")


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=7)


@pytest.fixture(scope="module")
def world(crm: SampleCrm) -> World:
    return World(Facts(crm.records, crm.start, crm.end, timezone=ZONE))


@pytest.fixture(scope="module")
def project(crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory) -> Project:
    directory = tmp_path_factory.mktemp("retention")
    write_project(directory, {}, packs=("retention",), reporting={"timezone": ZONE})
    load_tables(directory, crm.tables)
    return Project(directory, environ={}, now=lambda: NOW)


def _ask(
    project: Project, kpis: list[str], start: date, end: date, *by: str, grain: str = "month"
) -> dict[str, dict[Any, Any]]:
    """KPI -> (start of the period, values of `by`) -> value; without `by` the start alone."""
    table = project.query(kpis, start=start, end=end, grain=grain, by=list(by))
    found: dict[str, dict[Any, Any]] = {}
    for row in table.to_pylist():
        name = f"{row['kpi']}.{row['variant']}".rstrip(".")
        segment = dict(row["segment"])
        if by and not segment:
            continue
        key = (row["period_start"], *(segment[name] for name in by)) if by else row["period_start"]
        found.setdefault(name, {})[key] = row["value"]
    return found


def _assert_same(found: Mapping[Any, Any], expected: Mapping[Any, Any], what: object = "") -> None:
    """Equal numbers; a null counts as an absent row."""
    found = {key: value for key, value in found.items() if value is not None}
    expected = {key: value for key, value in expected.items() if value is not None}
    assert expected, f"the recount of {what} says nothing"
    assert found.keys() == expected.keys(), what
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9), what


@pytest.fixture(scope="module")
def monthly(project: Project, crm: SampleCrm) -> Found:
    return _ask(project, list(FIGURES), crm.start, crm.end)


@pytest.mark.parametrize("kpi", FIGURES)
def test_a_kpi_equals_the_recount_of_the_sample_in_every_month(
    kpi: str, monthly: Found, world: World
) -> None:
    expected = {span.start: FIGURES[kpi](world, span) for span in world.facts.spans()}
    _assert_same(monthly[kpi], expected, kpi)


def test_years_equal_the_recount(project: Project, crm: SampleCrm, world: World) -> None:
    found = _ask(project, list(FIGURES), crm.start, crm.end, grain="year")
    for kpi, figure in FIGURES.items():
        expected = {span.start: figure(world, span) for span in world.facts.spans("year")}
        _assert_same(found[kpi], expected, kpi)


def test_many_short_periods_equal_the_recount(project: Project, world: World) -> None:
    # More readings than a list per account holds: the vectors are joined to the days instead.
    spans = [
        Span(date(2025, 6, 1) + ONE_DAY * n, date(2025, 6, 2) + ONE_DAY * n) for n in range(85)
    ]
    names = [
        "customer_retention_rate",
        "gross_revenue_retention",
        "net_promoter_score.by_revenue",
        "time_since_last_interaction",
    ]
    found = _ask(project, names, spans[0].start, spans[-1].end, grain="day")
    for name in names:
        _assert_same(found[name], {s.start: FIGURES[name](world, s) for s in spans}, name)


# --- groups --------------------------------------------------------------------------------------


def _compare(
    project: Project,
    worlds: Mapping[str, World],
    kpis: list[str],
    dimension: str,
    spans: list[Span],
) -> None:
    found = _ask(project, kpis, spans[0].start, spans[-1].end, dimension)
    for kpi in kpis:
        expected = {
            (span.start, name): FIGURES[kpi](part, span)
            for name, part in worlds.items()
            for span in spans
        }
        rows = found[kpi]
        if kpi.startswith("active_customers"):
            # A group without customers at either edge has no row; its count is no number there.
            expected = {key: value or None for key, value in expected.items()}
            rows = {key: value or None for key, value in rows.items()}
        _assert_same(rows, expected, (kpi, dimension))


def _by_account(world: World, of: Callable[[str | None], str]) -> dict[str, World]:
    names = groups(of(account) for account in [*world.facts.live.by_id("accounts"), None])
    return {
        name: World(world.facts, accounts=lambda account, name=name: of(account) == name)
        for name in names
    }


def _year(world: World) -> list[Span]:
    spans: list[Span] = world.facts.spans()
    return spans[-12:]


def test_segments_equal_the_recount(project: Project, world: World) -> None:
    parts = _by_account(world, lambda account: account_value(world.facts, account, "segment"))
    _compare(project, parts, list(FIGURES), "segment", _year(world))


def test_countries_equal_the_recount(project: Project, world: World) -> None:
    parts = _by_account(world, lambda account: account_value(world.facts, account, "country"))
    names = [name for name in PRODUCT_KPIS if not name.endswith("average")]
    names += ["net_promoter_score"]
    _compare(project, parts, names, "country", _year(world)[-4:])


PRODUCT_KPIS = [
    name
    for name in FIGURES
    if name.startswith(("active_", "customer_", "referenceability", "gross_", "net_rev"))
]


def test_products_equal_the_recount_of_their_segments(project: Project, world: World) -> None:
    products = groups(row["product_id"] or NONE for row in world.segments)
    parts = {
        name: World(world.facts, products=lambda product, name=name: (product or NONE) == name)
        for name in products
    }
    _compare(project, parts, PRODUCT_KPIS, "product_id", _year(world))


def test_families_equal_the_recount_of_their_products(project: Project, world: World) -> None:
    parts = {
        name: World(
            world.facts,
            products=lambda product, name=name: family_of(world.facts, product) == name,
        )
        for name in groups(
            family_of(world.facts, key) for key in [*world.facts.live.by_id("products"), None]
        )
    }
    names = [
        "gross_revenue_retention",
        "gross_revenue_retention.churn_rate",
        "net_revenue_retention",
        "repeat_purchase_rate",
        "repeat_purchase_rate.cohort",
    ]
    _compare(project, parts, names, "family", _year(world))


def test_owners_first_months_and_first_campaigns_equal_the_recount(
    project: Project, world: World
) -> None:
    spans = _year(world)[-3:]
    campaigns = first_campaigns(world.facts)
    months = {a: f"{spells[0][0]:%Y-%m}" for a, spells in world.spells.items()}
    dimensions: dict[str, tuple[Callable[[str | None], str], list[str]]] = {
        "owner_id": (
            lambda account: account_value(world.facts, account, "owner_id"),
            [
                "active_customers",
                "customer_retention_rate",
                "net_promoter_score",
                "time_since_last_interaction",
                "net_revenue_retention",
            ],
        ),
        "cohort_month": (
            lambda account: months.get(account or "", NONE),
            ["active_customers", "customer_churn_rate", "customer_churn_rate.event_dated"],
        ),
        "campaign_id": (lambda account: campaigns.get(account or "", NONE), ["win_back_rate"]),
        "industry": (
            lambda account: account_value(world.facts, account, "industry"),
            ["referenceability_rate", "referenceability_rate.of_asked"],
        ),
    }
    for dimension, (of, names) in dimensions.items():
        _compare(project, _by_account(world, of), names, dimension, spans)


def test_bands_of_value_equal_the_recount(project: Project, world: World) -> None:
    names = ["time_since_last_interaction", "net_promoter_score", "net_promoter_score.by_revenue"]
    spans = _year(world)[-4:]
    found = _ask(project, names, spans[0].start, spans[-1].end, "value_band")
    expected: dict[str, dict[Any, Any]] = {name: {} for name in names}
    for span in spans:
        bands = world.value_bands(span)
        for band in {NONE, *bands.values()}:
            part = World(
                world.facts,
                accounts=lambda account, bands=bands, band=band: (
                    bands.get(account or "", NONE) == band
                ),
            )
            for name in names:
                expected[name][span.start, band] = FIGURES[name](part, span)
    for name in names:
        _assert_same(found[name], expected[name], name)


def test_buyers_by_first_month_and_membership_equal_the_recount(
    project: Project, world: World
) -> None:
    spans = _year(world)[-3:]
    first = {
        a: f"{world.facts.local_day(rows[0]['ordered_at']):%Y-%m}"
        for a, rows in world.orders.items()
    }
    parts = _by_account(world, lambda account: first.get(account or "", NONE))
    _compare(project, parts, ["repeat_purchase_rate"], "first_order_month", spans)
    found = _ask(
        project, ["repeat_purchase_rate"], spans[0].start, spans[-1].end, "is_loyalty_member"
    )
    expected: dict[Any, float | None] = {}
    for span in spans:
        is_member = recount._members(world, last_days(span, 365).start)
        for wanted in (True, False):
            part = World(
                world.facts,
                accounts=lambda a, w=wanted, m=is_member: m(a or "") == w,
            )
            expected[span.start, str(wanted).lower()] = recount.repeat_purchase(part, span)
    _assert_same(found["repeat_purchase_rate"], expected)


def test_lost_customers_by_months_since_loss_equal_the_recount(
    project: Project, world: World
) -> None:
    spans = _year(world)
    found = _ask(project, ["win_back_rate"], spans[0].start, spans[-1].end, "months_since_loss")
    expected: dict[Any, Any] = {}
    for span in spans:
        former = recount.former_customers(world, span)
        ages = {}
        for account, lost in former.items():
            months = (span.start.year - lost.year) * 12 + span.start.month - lost.month
            ages[account] = months - (span.start.day < lost.day)
        for age in set(ages.values()):
            part = World(world.facts, accounts=lambda a, g=age, ages=ages: ages.get(a) == g)
            expected[span.start, str(age)] = recount.win_back(part, span)
    _assert_same(found["win_back_rate"], expected)


@pytest.mark.parametrize("reason", ["churn_reason", "cancel_reason"])
def test_the_reasons_of_the_lost_add_up_to_the_rate(
    reason: str, project: Project, world: World, monthly: Found
) -> None:
    spans = world.facts.spans()
    latest: dict[str, Any] = {}
    for row in sorted(
        world.segments, key=lambda r: (r["start_date"], r["end_date"] or date.max, r["id"])
    ):
        latest[row["account_id"]] = row["cancel_reason"]
    accounts = world.facts.live.by_id("accounts")

    def reason_of(account: str) -> str:
        if reason == "churn_reason":
            return accounts.get(account, {}).get("churn_reason") or NONE
        return latest.get(account) or NONE

    found = _ask(project, ["customer_churn_rate"], spans[0].start, spans[-1].end, reason)
    expected: dict[Any, float] = {}
    sums: dict[date, float] = {}
    for span in spans:
        opening, closing = world.on(span.start - ONE_DAY), world.on(span.end - ONE_DAY)
        for account in opening - closing:
            key = span.start, reason_of(account)
            expected[key] = expected.get(key, 0) + 1 / len(opening)
    _assert_same(found["customer_churn_rate"], expected)
    for (start, _), value in found["customer_churn_rate"].items():
        sums[start] = sums.get(start, 0) + value
    _assert_same(
        sums,
        {start: value for start, value in monthly["customer_churn_rate"].items() if start in sums},
    )


def test_reasons_within_segments_share_the_customers_of_the_segment(
    project: Project, world: World
) -> None:
    span = Span(date(2025, 1, 1), date(2026, 1, 1))
    found = _ask(
        project,
        ["customer_churn_rate"],
        span.start,
        span.end,
        "segment",
        "churn_reason",
        grain="year",
    )["customer_churn_rate"]
    sums: dict[str, float] = {}
    for (_, segment, _), value in found.items():
        sums[segment] = sums.get(segment, 0) + value
    parts = _by_account(world, lambda account: account_value(world.facts, account, "segment"))
    expected = {name: recount.churn(part, span) or None for name, part in parts.items()}
    _assert_same(sums, expected)


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kpi", "dimensions", "key_of"),
    [
        ("net_promoter_score", ("channel",), lambda facts, row: (row.get("channel") or NONE,)),
        ("nps_by_product", ("product_id",), lambda facts, row: (row.get("product_id") or NONE,)),
        (
            "nps_by_product.by_family",
            ("family",),
            lambda facts, row: (family_of(facts, row.get("product_id")),),
        ),
        (
            "nps_by_product",
            ("product_id", "segment"),
            lambda facts, row: (
                row.get("product_id") or NONE,
                account_value(facts, row.get("account_id"), "segment"),
            ),
        ),
    ],
)
def test_one_answer_per_contact_counts_in_each_group(
    kpi: str, dimensions: tuple[str, ...], key_of: Any, project: Project, world: World
) -> None:
    spans = world.facts.spans("quarter")
    asked = [name for name in dimensions if name not in ("product_id", "family")]
    table = project.query(
        [kpi],
        start=spans[0].start,
        end=spans[-1].end,
        grain="quarter",
        by=asked or ([dimensions[0]] if dimensions[0] == "channel" else []),
    )
    found = {
        (row["period_start"], *(dict(row["segment"])[name] for name in dimensions)): row["value"]
        for row in table.to_pylist()
    }
    keys = {key_of(world.facts, row) for row in world.facts.live.rows("survey_responses")}
    expected: dict[Any, float | None] = {}
    for key in keys:
        part = replace(world, answers_where=lambda row, key=key: key_of(world.facts, row) == key)
        for span in spans:
            expected[span.start, *key] = recount.nps(part, span)
    _assert_same(found, expected, (kpi, dimensions))


# --- cohorts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["", "revenue", "weekly"])
def test_cohorts_equal_the_recount_up_to_the_last_complete_cell(
    variant: str, project: Project, world: World
) -> None:
    as_of = date(2025, 11, 15)
    if variant == "weekly":
        spans = [
            Span(date(2024, 9, 2) + 7 * ONE_DAY * n, date(2024, 9, 9) + 7 * ONE_DAY * n)
            for n in range(60)
        ]
    else:
        spans = [span for span in world.facts.spans() if span.end <= as_of]
    name = f"cohort_retention.{variant}".rstrip(".")
    table = project.query(
        [name],
        start=spans[0].start,
        end=spans[-1].end,
        as_of="2025-11-15",
        grain="week" if variant == "weekly" else "month",
    )
    found = {
        (row["period_start"], dict(row["segment"])["k"]): row["value"]
        for row in table.to_pylist()
        if row["segment"]
    }
    expected: dict[Any, float | None] = {}
    for span in spans:
        if variant == "revenue":
            cells = recount.cohort_revenue(world, span, as_of)
        else:
            cells = recount.cohort_cells(world, span, as_of, weekly=variant == "weekly")
        expected |= {(span.start, k): value for k, value in cells.items()}
    _assert_same(found, expected, name)


def test_cohorts_of_a_segment_equal_the_recount(project: Project, world: World) -> None:
    as_of = date(2026, 1, 1)
    spans = world.facts.spans("quarter")
    table = project.query(
        ["cohort_retention"],
        start=spans[0].start,
        end=spans[-1].end,
        grain="quarter",
        by=["segment"],
        as_of="2026-01-01",
    )
    found = {
        (row["period_start"], dict(row["segment"])["segment"], dict(row["segment"])["k"]): row[
            "value"
        ]
        for row in table.to_pylist()
        if "segment" in dict(row["segment"])
    }
    parts = _by_account(world, lambda account: account_value(world.facts, account, "segment"))
    expected = {
        (span.start, name, k): value
        for name, part in parts.items()
        for span in spans
        for k, value in recount.cohort_cells(part, span, as_of).items()
    }
    _assert_same(found, expected)


# --- identities (Q5) -----------------------------------------------------------------------------


def test_the_identities_of_retention_hold_in_every_month(monthly: Found) -> None:
    for start, kept in monthly["customer_retention_rate"].items():
        gross = monthly["gross_revenue_retention"][start]
        if kept is None or gross is None:
            continue
        assert kept + monthly["customer_churn_rate"][start] == pytest.approx(1)
        assert gross <= 1
        assert monthly["net_revenue_retention"][start] >= gross
