"""The pack `retention`: contract, worked examples, and the sample CRM recounted by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import NONE, Facts, Span, last_days
from crmetrics.testing.projects import load_tables, write_project
from metrics import retention_recount as recount
from metrics.recounts import Answers, known, recounted, together
from metrics.retention_recount import FIGURES
from metrics.retention_world import (
    ONE_DAY,
    World,
    account_value,
    family_of,
    first_campaigns,
    first_sources,
    groups,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ZONE = "America/New_York"


class TestRetentionPack(PackContract):
    @pytest.fixture
    def pack(self) -> MetricPack:
        return MetricPack.from_package("crmetrics_retention")


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    """With a case behind every third answer to an NPS survey."""
    crm = SampleCrm(seed=7)
    cases = [row["id"] for row in crm.records["cases"]]
    answers = [row for row in crm.records["survey_responses"] if row["survey_type"] == "nps"]
    for number, row in enumerate(answers[::3]):
        row["case_id"] = cases[number % len(cases)]
    return crm


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


PRODUCT_KPIS = [
    name
    for name in FIGURES
    if name.startswith(("active_", "customer_", "referenceability", "gross_", "net_rev"))
]
SCORES = [name for name in FIGURES if name.startswith("net_promoter_score")]
SILENCES = [name for name in FIGURES if name.startswith("time_since_last_interaction")]
WIN_BACKS = [name for name in FIGURES if name.startswith("win_back_rate")]
IN_TOTAL = {"": list(FIGURES)}
BY_ACCOUNT = {
    "segment": list(FIGURES),
    "country": [*(name for name in PRODUCT_KPIS if not name.endswith("average")), *SCORES],
    "owner_id": [
        "active_customers",
        "customer_retention_rate",
        "net_revenue_retention",
        *SILENCES,
    ],
    "cohort_month": [
        "active_customers",
        "customer_churn_rate",
        "customer_churn_rate.event_dated",
    ],
    "campaign_id": WIN_BACKS,
    "industry": ["referenceability_rate", "referenceability_rate.of_asked"],
    "first_order_month": ["repeat_purchase_rate"],
}
BY_PRODUCT = {
    "product_id": PRODUCT_KPIS,
    "family": [
        "gross_revenue_retention",
        "gross_revenue_retention.churn_rate",
        "net_revenue_retention",
        "repeat_purchase_rate",
        "repeat_purchase_rate.cohort",
    ],
}
BY_VALUE = {"value_band": [*SILENCES, "net_promoter_score", "net_promoter_score.by_revenue"]}
BY_MEMBERSHIP = {"is_loyalty_member": ["repeat_purchase_rate"]}
BY_MONTHS_SINCE_LOSS = {"months_since_loss": WIN_BACKS}
BY_REASON = {name: ["customer_churn_rate"] for name in ("churn_reason", "cancel_reason")}
BY_ANSWER = {
    "channel": SCORES,
    "product_id": ["nps_by_product"],
    "product_id, segment": ["nps_by_product"],
    "family": ["nps_by_product.by_family"],
    "family, segment": ["nps_by_product.by_family"],
}
COHORTS = ["cohort_retention", "cohort_retention.revenue"]
OF_COHORTS = {"k": COHORTS, "k, segment": COHORTS, "k, lead_source": COHORTS}
SEEN_ON = date(2025, 11, 15)
OF_WEEKS = {by: ["cohort_retention.weekly"] for by in OF_COHORTS}


@pytest.fixture(scope="module")
def monthly(project: Project, crm: SampleCrm) -> Answers:
    return Answers(project, crm.start, crm.end, together(IN_TOTAL, BY_REASON))


@pytest.fixture(scope="module")
def answers(project: Project, world: World) -> Answers:
    """Of the last twelve months."""
    spans = _year(world)
    tables = (BY_ACCOUNT, BY_PRODUCT, BY_VALUE, BY_MEMBERSHIP, BY_MONTHS_SINCE_LOSS, BY_ANSWER)
    return Answers(project, spans[0].start, spans[-1].end, together(*tables))


@recounted(IN_TOTAL)
def test_a_kpi_equals_the_recount_of_the_sample_in_every_month(
    kpi: str, by: str, monthly: Answers, world: World
) -> None:
    expected = {(span.start,): FIGURES[kpi](world, span) for span in world.facts.spans()}
    _assert_same(monthly.of(kpi, by), expected, kpi)


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


def _year(world: World) -> list[Span]:
    spans: list[Span] = world.facts.spans()
    return spans[-12:]


def _by_account(world: World, of: Callable[[str | None], str]) -> dict[str, World]:
    names = groups(of(account) for account in [*world.facts.live.by_id("accounts"), None])
    return {
        name: World(world.facts, accounts=lambda account, name=name: of(account) == name)
        for name in names
    }


@pytest.fixture(scope="module")
def parts(world: World) -> Callable[[str], Mapping[str, World]]:
    """The customers of each group of a dimension."""
    facts = world.facts
    looked_up = {
        "cohort_month": lambda: {a: f"{spells[0][0]:%Y-%m}" for a, spells in world.spells.items()},
        "campaign_id": lambda: first_campaigns(facts),
        "lead_source": lambda: first_sources(facts, facts.instant(SEEN_ON)),
        "first_order_month": lambda: {
            account: f"{facts.local_day(rows[0]['ordered_at']):%Y-%m}"
            for account, rows in world.orders.items()
        },
    }

    @cache
    def of(dimension: str) -> Mapping[str, World]:
        if dimension in looked_up:
            names = looked_up[dimension]()
            return _by_account(world, lambda account: names.get(account or "", NONE))
        return _by_account(world, lambda account: account_value(facts, account, dimension))

    return of


Parts = Callable[[str], Mapping[str, World]]


def _compare(
    kpi: str, by: str, answers: Answers, worlds: Mapping[str, World], spans: list[Span]
) -> None:
    expected = {
        (span.start, name): FIGURES[kpi](part, span)
        for name, part in worlds.items()
        for span in spans
    }
    found = answers.of(kpi, by)
    if kpi.startswith("active_customers"):
        # A group without customers at either edge has no row; its count is no number there.
        expected = {key: value or None for key, value in expected.items()}
        found = {key: value or None for key, value in found.items()}
    _assert_same(found, expected, (kpi, by))


@recounted(BY_ACCOUNT)
def test_groups_of_accounts_equal_the_recount(
    kpi: str, by: str, answers: Answers, parts: Parts, world: World
) -> None:
    _compare(kpi, by, answers, parts(by), _year(world))


@recounted(BY_PRODUCT)
def test_products_and_families_equal_the_recount_of_their_segments(
    kpi: str, by: str, answers: Answers, world: World, product_parts: Parts
) -> None:
    _compare(kpi, by, answers, product_parts(by), _year(world))


@pytest.fixture(scope="module")
def product_parts(world: World) -> Parts:
    """The customers of each product, or product family."""

    @cache
    def of(dimension: str) -> Mapping[str, World]:
        products = [*world.facts.live.by_id("products"), None]

        def name_of(product: str | None) -> str:
            if dimension == "product_id":
                return product or NONE
            return family_of(world.facts, product)

        names = groups(
            name_of(key) for key in [*products, *(row["product_id"] for row in world.segments)]
        )
        return {
            name: World(world.facts, products=lambda product, name=name: name_of(product) == name)
            for name in names
        }

    return of


@recounted(BY_VALUE)
def test_bands_of_value_equal_the_recount(
    kpi: str, by: str, answers: Answers, world: World, bands: Callable[[Span], Any]
) -> None:
    expected = {
        (span.start, band): FIGURES[kpi](part, span)
        for span in _year(world)
        for band, part in bands(span).items()
    }
    _assert_same(answers.of(kpi, by), expected, (kpi, by))


@pytest.fixture(scope="module")
def bands(world: World) -> Callable[[Span], Mapping[str, World]]:
    """The accounts of each band of value at the end of a month."""

    @cache
    def of(span: Span) -> Mapping[str, World]:
        values = world.value_bands(span)
        return {
            band: World(
                world.facts, accounts=lambda a, band=band: values.get(a or "", NONE) == band
            )
            for band in {NONE, *values.values()}
        }

    return of


@recounted(BY_MEMBERSHIP)
def test_buyers_by_membership_equal_the_recount(
    kpi: str, by: str, answers: Answers, world: World
) -> None:
    expected: dict[Any, float | None] = {}
    for span in _year(world):
        is_member = recount._members(world, last_days(span, 365).start)
        for wanted in (True, False):
            part = World(
                world.facts,
                accounts=lambda a, w=wanted, m=is_member: m(a or "") == w,
            )
            expected[span.start, str(wanted).lower()] = FIGURES[kpi](part, span)
    _assert_same(answers.of(kpi, by), expected)


@recounted(BY_MONTHS_SINCE_LOSS)
def test_lost_customers_by_months_since_loss_equal_the_recount(
    kpi: str, by: str, answers: Answers, world: World
) -> None:
    expected: dict[Any, Any] = {}
    for span in _year(world):
        former = recount.former_customers(world, span)
        ages = {}
        for account, lost in former.items():
            months = (span.start.year - lost.year) * 12 + span.start.month - lost.month
            ages[account] = months - (span.start.day < lost.day)
        for age in set(ages.values()):
            part = World(world.facts, accounts=lambda a, g=age, ages=ages: ages.get(a) == g)
            expected[span.start, str(age)] = FIGURES[kpi](part, span)
    _assert_same(answers.of(kpi, by), expected)


@recounted(BY_REASON)
def test_the_reasons_of_the_lost_add_up_to_the_rate(
    kpi: str, by: str, world: World, monthly: Answers
) -> None:
    latest: dict[str, Any] = {}
    for row in sorted(
        world.segments, key=lambda r: (r["start_date"], r["end_date"] or date.max, r["id"])
    ):
        latest[row["account_id"]] = row["cancel_reason"]
    accounts = world.facts.live.by_id("accounts")

    def reason_of(account: str) -> str:
        if by == "churn_reason":
            return accounts.get(account, {}).get("churn_reason") or NONE
        return latest.get(account) or NONE

    expected: dict[Any, float] = {}
    sums: dict[Any, float] = {}
    for span in world.facts.spans():
        opening, closing = world.on(span.start - ONE_DAY), world.on(span.end - ONE_DAY)
        for account in opening - closing:
            key = span.start, reason_of(account)
            expected[key] = expected.get(key, 0) + 1 / len(opening)
    found = known(monthly.of(kpi, by))
    _assert_same(found, expected)
    for (start, _), value in found.items():
        sums[(start,)] = sums.get((start,), 0) + value
    whole = monthly.of(kpi)
    _assert_same(sums, {key: value for key, value in whole.items() if key in sums})


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


@recounted(BY_ANSWER)
def test_one_answer_per_contact_counts_in_each_group(
    kpi: str, by: str, answers: Answers, world: World
) -> None:
    names = [name.strip() for name in by.split(",")]

    def key_of(row: Mapping[str, Any]) -> tuple[str, ...]:
        values = {
            "channel": row.get("channel") or NONE,
            "product_id": row.get("product_id") or NONE,
            "family": family_of(world.facts, row.get("product_id")),
            "segment": account_value(world.facts, row.get("account_id"), "segment"),
        }
        return tuple(values[name] for name in names)

    figure = FIGURES.get(kpi, recount.nps)
    expected: dict[Any, float | None] = {}
    for key in {key_of(row) for row in world.facts.live.rows("survey_responses")}:
        part = replace(world, answers_where=lambda row, key=key: key_of(row) == key)
        for span in _year(world):
            expected[span.start, *key] = figure(part, span)
    _assert_same(answers.of(kpi, by), expected, (kpi, by))


# --- cohorts -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohorts(project: Project, crm: SampleCrm) -> Answers:
    start, end = crm.start, date(2025, 11, 1)
    return Answers(project, start, end, OF_COHORTS, as_of=str(SEEN_ON))


@recounted(OF_COHORTS)
def test_cohorts_equal_the_recount_up_to_the_last_complete_cell(
    kpi: str, by: str, cohorts: Answers, world: World, parts: Parts
) -> None:
    cells = recount.cohort_revenue if kpi.endswith("revenue") else recount.cohort_cells
    dimension = by.removeprefix("k").strip(", ")
    expected = {
        (span.start, k, *filter(None, [name])): value
        for name, part in (parts(dimension) if dimension else {"": world}).items()
        for span in world.facts.spans()
        if span.end <= SEEN_ON
        for k, value in cells(part, span, SEEN_ON).items()
    }
    _assert_same(cohorts.of(kpi, by), expected, (kpi, by))


@recounted(OF_WEEKS)
def test_cohorts_of_weeks_equal_the_recount(
    kpi: str, by: str, project: Project, world: World, parts: Parts
) -> None:
    monday = date(2024, 9, 2)
    spans = [Span(monday + 7 * ONE_DAY * n, monday + 7 * ONE_DAY * (n + 1)) for n in range(60)]
    asked = Answers(project, monday, spans[-1].end, OF_WEEKS, grain="week", as_of=str(SEEN_ON))
    dimension = by.removeprefix("k").strip(", ")
    expected = {
        (span.start, k, *filter(None, [name])): value
        for name, part in (parts(dimension) if dimension else {"": world}).items()
        for span in spans
        for k, value in recount.cohort_cells(part, span, SEEN_ON, weekly=True).items()
    }
    _assert_same(asked.of(kpi, by), expected, (kpi, by))


# --- identities (Q5) -----------------------------------------------------------------------------


def test_the_identities_of_retention_hold_in_every_month(monthly: Answers) -> None:
    for month, kept in monthly.of("customer_retention_rate").items():
        gross = monthly.of("gross_revenue_retention")[month]
        net = monthly.of("net_revenue_retention")[month]
        lost = monthly.of("customer_churn_rate")[month]
        if kept is None or gross is None or net is None or lost is None:
            continue
        assert kept + lost == pytest.approx(1)
        assert gross <= 1
        assert net >= gross
