"""Win-back, cohorts, loyalty, references and silence for every model of customers.

The spells are those of `customer_models`, the figures those of `retention_recount`: plain loops
over the raw rows of the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import NONE, Facts
from crmetrics.testing.projects import load_tables, write_project
from metrics.comparing import assert_same
from metrics.customer_models import MODELS, ZONE, Raw, Spells, is_refunded, joined
from metrics.recounts import Answers, known
from metrics.retention_recount import FIGURES, cohort_cells
from metrics.retention_world import Spell, World, account_value, groups

NOW = datetime(2030, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
NAMES = [
    "active_customers",
    "customer_retention_rate",
    "customer_churn_rate.event_dated",
    "win_back_rate",
    "win_back_rate.still_active_90d",
    "loyalty_retention_lift",
    "referenceability_rate",
    "referenceability_rate.of_asked",
    "referenceability_rate.referral_rate",
    "time_since_last_interaction",
    "time_since_last_interaction.lapsed_share",
]
TABLE = {"": NAMES, "segment": NAMES, "country": NAMES}
BOUGHT = ["active_customers", "customer_retention_rate", "referenceability_rate"]
COHORTS = {by: ["cohort_retention"] for by in ("k", "k, segment")}
OTHER_MODELS = [model for model in MODELS if model[0] != "subscription"]


class Customers(World):
    """Customers whose spells were counted elsewhere."""

    def __init__(self, facts: Facts, spells: Spells) -> None:
        super().__init__(facts)
        self.__dict__["spells"] = {
            account: [(start, end or date.max) for start, end in spans]
            for account, spans in spells.items()
        }

    def of(self, column: str) -> dict[str, World]:
        """The customers of each value of a column of their account."""
        names = {account: account_value(self.facts, account, column) for account in self.spells}
        parts: dict[str, World] = {}
        for name in groups(names.values()):
            spells: dict[str, list[Spell]] = {
                account: own for account, own in self.spells.items() if names[account] == name
            }
            parts[name] = Customers(self.facts, spells)  # type: ignore[arg-type]
        return parts


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=7, scale=0.5)


@pytest.fixture(scope="module")
def raw(crm: SampleCrm) -> Raw:
    return Raw(crm)


@pytest.fixture(scope="module")
def project(crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    folder = tmp_path_factory.mktemp("models")
    load_tables(folder, crm.tables)

    @cache
    def settled(model: str, source: str) -> Project:
        settings = {"customer_model": model, "orders_from": source}
        reporting = {"timezone": str(ZONE)}
        write_project(folder, {}, packs=("retention",), settings=settings, reporting=reporting)
        return Project(folder, environ={}, now=lambda: NOW)

    return settled


@pytest.fixture(scope="module")
def customers(crm: SampleCrm, raw: Raw) -> Callable[[str, str], Customers]:
    facts = Facts(crm.records, crm.start, crm.end, timezone=str(ZONE))
    return cache(lambda model, source: Customers(facts, raw.spells(model, source)))


def _assert_same(found: Mapping[Any, Any], expected: Mapping[Any, Any], what: object) -> None:
    """Equal; nothing in a group may be a row that is absent."""
    if "active_customers" in str(what):
        found = {key: value or None for key, value in found.items()}
        expected = {key: value or None for key, value in expected.items()}
    assert_same(known(found), known(expected), what)


@pytest.mark.parametrize(("model", "source"), OTHER_MODELS)
@pytest.mark.parametrize("by", TABLE)
def test_figures_of_customers_are_those_of_the_model(
    model: str,
    source: str,
    by: str,
    project: Callable[..., Project],
    customers: Callable[..., Customers],
) -> None:
    world = customers(model, source)
    spans = world.facts.spans()[-18:]
    asked = Answers(project(model, source), spans[0].start, spans[-1].end, TABLE)
    parts: Mapping[str, World] = world.of(by) if by else {"": world}
    compared = 0
    for kpi in NAMES:
        expected = {
            (span.start, *([name] if by else [])): FIGURES[kpi](part, span)
            for name, part in parts.items()
            for span in spans
        }
        if known(expected):
            _assert_same(asked.of(kpi, by), expected, (kpi, model, source, by))
            compared += 1
    # Nobody is lost for good but in the model that knows of ends.
    assert compared >= len(NAMES) - 2


@pytest.mark.parametrize(("model", "source"), OTHER_MODELS)
@pytest.mark.parametrize("by", COHORTS)
def test_cohorts_are_those_of_the_model(
    model: str,
    source: str,
    by: str,
    project: Callable[..., Project],
    customers: Callable[..., Customers],
) -> None:
    world = customers(model, source)
    spans = [span for span in world.facts.spans() if span.start >= date(2024, 1, 1)]
    asked = Answers(project(model, source), spans[0].start, spans[-1].end, COHORTS)
    parts: Mapping[str, World] = world.of("segment") if "segment" in by else {"": world}
    expected = {
        (span.start, k, *filter(None, [name])): value
        for name, part in parts.items()
        for span in spans
        for k, value in cohort_cells(part, span, NOW.date()).items()
    }
    _assert_same(asked.of("cohort_retention", by), expected, (model, source, by))


def test_customers_of_a_product_bought_it_within_the_purchase_days(
    project: Callable[..., Project], customers: Callable[..., Customers], raw: Raw
) -> None:
    """An order without lines is one of no product."""
    facts = customers("purchase", "orders").facts
    lines: dict[str, set[str]] = {}
    for row in facts.live.rows("order_items"):
        lines.setdefault(row["order_id"], set()).add(row["product_id"] or NONE)
    bought: dict[str, dict[str, list[tuple[date, date | None]]]] = {}
    for order in raw.orders("orders"):
        if not is_refunded(order):
            for product in lines.get(order["id"], {NONE}):
                own = bought.setdefault(product, {}).setdefault(order["account_id"], [])
                own.append((order["day"], order["day"] + YEAR))
    spans = facts.spans()[-12:]
    asked = Answers(
        project("purchase", "orders"), spans[0].start, spans[-1].end, {"product_id": BOUGHT}
    )
    for kpi in BOUGHT:
        expected: dict[Any, float | None] = {}
        for product, accounts in bought.items():
            part = Customers(facts, {account: joined(own) for account, own in accounts.items()})
            expected |= {(span.start, product): FIGURES[kpi](part, span) for span in spans}
        _assert_same(asked.of(kpi, "product_id"), expected, (kpi, "product_id"))
