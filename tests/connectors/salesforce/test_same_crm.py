"""The generated CRM served by Salesforce gives what the same CRM gives from files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from connectors.salesforce.sites import Site
from crmetrics.engine import Project
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.live import LiveRecords
from crmetrics.testing.data.tables import to_table, write_csv
from simulators.salesforce import SalesforceSimulator
from simulators.salesforce.sample import as_salesforce_keeps, serve_sample
from simulators.salesforce.sample.mapping import COLUMNS
from simulators.salesforce.sample.people import SECRET_TEXT
from simulators.salesforce.sample.world import World
from simulators.service import Clock

NOW = datetime(2026, 1, 20, 8, tzinfo=UTC)
PACKS = ("sales", "leads", "retention", "revenue", "marketing", "service", "adoption", "roi")
FROM_FILES = (
    "marketing_spend", "web_sessions", "training_enrollments", "expenses", "benefits",
)  # fmt: skip
"""What no Salesforce holds: both projects read it from files."""
MONTHLY = ("quota_attainment", "pipeline_coverage", "sales_forecast_accuracy")
"""Plans are for months: by quarter some of these have no value."""
NAMELESS = ("opportunity_stage_history", "case_status_history")
"""Their rows have ids of the connector's own making."""


SUPPLIED = [
    "won_amount",
    "new_customers",
    "win_rate",
    "sales_velocity",
    "average_deal_size",
    "sales_cycle_length",
    "stage_duration",
    "sales_pipeline_value",
    "pipeline_coverage",
    "sales_forecast_accuracy",
    "sales_growth_rate",
    "quota_attainment",
    "leads_created",
    "lead_conversion_rate",
    "lead_to_customer_rate",
    "conversion_rate",
    "lead_response_time",
    "lead_source_effectiveness",
    "revenue_per_lead",
    "cost_per_lead",
    "qualified_lead_rate",
    "sales_accepted_lead_rate",
    "prospect_response_rate",
    "unresponsive_prospects",
    "repeat_purchase_rate",
    "time_since_last_interaction",
    "win_back_rate",
    "loyalty_retention_lift",
    "referenceability_rate",
    "net_promoter_score",
    "nps_by_product",
    "active_customers",
    "customer_retention_rate",
    "customer_churn_rate",
    "cohort_retention",
    "gross_revenue_retention",
    "net_revenue_retention",
    "revenue",
    "mrr",
    "net_new_mrr",
    "average_revenue_per_user",
    "customer_lifetime_value",
    "cost_of_goods_sold",
    "gross_margin",
    "items_per_order",
    "upsell_rate",
    "cross_sell_rate",
    "product_migration_rate",
    "revenue_forecast",
    "marketing_roi",
    "campaign_orders",
    "total_marketing_spend",
    "campaign_response_rate",
    "campaign_volume",
    "unsubscribe_rate",
    "disengaged_contacts",
    "first_response_time",
    "average_handle_time",
    "first_contact_resolution_rate",
    "resolution_time",
    "csat",
    "case_volume",
    "case_backlog",
    "customer_wait_time",
    "escalation_rate",
    "reopen_rate",
    "survey_response_rate",
    "user_adoption_rate",
    "user_activity_frequency",
    "employee_productivity",
    "goal_attainment",
]
"""KPIs for which an org as that of the sample has everything."""
NOT_SUPPLIED = {
    "abandonment_rate": "web_sessions",
    "cost_per_case": "expenses",
    "training_completion_rate": "training_enrollments",
    "data_completeness_rate": "the setting required_fields names no dataset",
    "customer_acquisition_cost": "expenses",
    "ltv_to_cac_ratio": "expenses",
    "crm_roi": "benefits",
    "expense_to_revenue_ratio": "expenses",
    "cost_savings": "benefits",
    "customer_profitability": "expenses",
}
"""KPIs that need more than an org, and what: both projects read that from files."""


@dataclass
class Both:
    """The same CRM as a project over Salesforce and as a project over files."""

    salesforce: Project
    files: Project
    world: World
    simulator: SalesforceSimulator

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Id in Salesforce -> id of the generator."""
        return {identity: name for (_, name), identity in self.world.ids.items()}

    def named(self, value: Any) -> Any:
        return self.names.get(value, value) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    crm = SampleCrm(seed=11, scale=0.15, start=date(2025, 1, 1))
    folder = tmp_path_factory.mktemp("same")
    kept = as_salesforce_keeps(crm.records)
    tables = {name: to_table(crm.datasets[name], rows) for name, rows in kept.items()}
    write_csv(tables, folder / "files" / "data")
    with SalesforceSimulator(clock=Clock(NOW), is_multi_currency=True) as simulator:
        world = serve_sample(simulator.org, crm)
        finance = {name: _with_ids(tables[name], world) for name in FROM_FILES}
        write_csv(finance, folder / "salesforce" / "data")
        csv = {"connector": "csv", "path": "data"}
        over = Site(folder / "salesforce", simulator, datasets=COLUMNS, packs=PACKS)
        over.source = {"bulk_from": 1000}
        over.sources = {"finance": csv}
        beside = Site(folder / "files", simulator, packs=PACKS, sources={"crm": csv})
        beside.has_salesforce = False
        for site in (over, beside):
            report = site.project.sync()
            assert report.error is None, report.error
        yield Both(over.project, beside.project, world, simulator)


def _with_ids(table: pa.Table, world: World) -> pa.Table:
    """The references of a file of finance as they are in this company: ids of Salesforce."""
    for column, dataset in (("campaign_id", "campaigns"), ("user_id", "users")):
        if column in table.column_names:
            ids = [world.id_of(dataset, name) for name in table.column(column).to_pylist()]
            place = table.column_names.index(column)
            table = table.set_column(place, column, pa.array(ids, pa.string()))
    return table


# --- records ---------------------------------------------------------------------------------


def stored(project: Project, dataset: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(project.engine_settings.path), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        found = connection.execute(f"select * from crm.{dataset}")
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def live(project: Project, datasets: Iterable[str]) -> LiveRecords:
    """The records of a warehouse as KPIs see them, by loops that know nothing of the engine."""
    return LiveRecords({name: stored(project, name) for name in datasets})


def test_every_record_that_counts_is_the_same(both: Both) -> None:
    datasets = both.files.registry.datasets
    ours, theirs = (live(p, datasets) for p in (both.salesforce, both.files))
    told = {}
    for name, dataset in datasets.items():
        if name == "exchange_rates":
            continue
        columns = [
            c.name for c in dataset.columns
            if c.name not in ("source", "updated_at", "is_deleted", "merged_into_id")
            and not (name in NAMELESS and c.name in ("id", "stay_id"))
        ]  # fmt: skip
        found = Counter(tuple(both.named(r[c]) for c in columns) for r in ours.rows(name))
        expected = Counter(tuple(r[c] for c in columns) for r in theirs.rows(name))
        if found != expected:
            told[name] = _difference(columns, found - expected, expected - found)
        assert expected, f"the sample holds no {name}"
    assert not told, "\n".join(f"{name}: {text}" for name, text in told.items())


def _difference(columns: list[str], more: Counter[Any], less: Counter[Any]) -> str:
    """How many rows differ, and the first two side by side, column by column."""
    text = f"{more.total()} rows more, {less.total()} rows less"
    for ours, theirs in zip(sorted(more, key=str), sorted(less, key=str), strict=False):
        pairs = zip(columns, ours, theirs, strict=True)
        return f"{text}; " + ", ".join(f"{c}: {a!r} is not {b!r}" for c, a, b in pairs if a != b)
    return f"{text}; {[*more, *less][0]}"


def test_rates_are_the_same(both: Both) -> None:
    found, expected = (
        {(r["currency"], r["valid_from"]): r["rate"] for r in stored(project, "exchange_rates")}
        for project in (both.salesforce, both.files)
    )
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-12)
    assert {currency for currency, _ in found} - {"USD"} == {currency for currency, _ in expected}


# --- KPIs ------------------------------------------------------------------------------------


def answers(both: Both, project: Project, kpis: list[str], **asked: Any) -> dict[Any, Any]:
    found = {}
    for row in project.query(kpis, **asked).to_pylist():
        segment = tuple(
            sorted((k, " ".join(both.named(w) for w in str(v).split())) for k, v in row["segment"])
        )
        key = row["kpi"], row["variant"], row["period_start"], segment
        found[key] = row["status"], row["value"], row["numerator"], row["denominator"], row["n"]
    return found


def assert_same(found: dict[Any, Any], expected: dict[Any, Any]) -> None:
    assert found.keys() == expected.keys()
    told = []
    for key, (status, *values) in expected.items():
        ours, *numbers = found[key]
        same = ours == status and all(map(_is_same, numbers, values))
        if not same:
            told.append(f"{key}: {found[key]} is not {expected[key]}")
    assert not told, f"{len(told)} of {len(expected)} differ:\n" + "\n".join(told[:20])


def _is_same(ours: Any, theirs: Any) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return math.isclose(float(ours), float(theirs), rel_tol=1e-9, abs_tol=1e-9)


def test_the_plan_says_which_kpis_an_org_supplies(both: Both, tmp_path: Path) -> None:
    alone = Site(tmp_path, both.simulator, datasets=COLUMNS, packs=PACKS).project.plan()
    assert {gap.kpi: gap.what for gap in alone.out_of_reach} == NOT_SUPPLIED
    assert set(alone.kpis) - set(NOT_SUPPLIED) == set(SUPPLIED)


@pytest.mark.slow
def test_every_kpi_has_the_same_value(both: Both) -> None:
    kpis = [*SUPPLIED, *NOT_SUPPLIED]
    assert set(kpis) == set(both.files.catalog.kpis)
    asked = {"period": "2025-Q4", "grain": "quarter"}
    found, expected = (
        answers(both, project, kpis, **asked) for project in (both.salesforce, both.files)
    )
    assert_same(found, expected)
    known = {kpi for (kpi, *_), (_, value, *_) in expected.items() if value is not None}
    assert set(SUPPLIED) - known <= set(MONTHLY), "these have no value to compare"


def test_plans_have_the_same_values_in_every_month(both: Both) -> None:
    asked = {"start": date(2025, 1, 1), "end": date(2026, 1, 1), "grain": "month"}
    found, expected = (
        answers(both, project, list(MONTHLY), **asked) for project in (both.salesforce, both.files)
    )
    assert_same(found, expected)
    known = {kpi for (kpi, *_), (_, value, *_) in expected.items() if value is not None}
    assert known == set(MONTHLY)


@pytest.mark.parametrize("dimension", ["owner.team", "account.segment", "owner_id"])
def test_groups_have_the_same_values(both: Both, dimension: str) -> None:
    kpis = ["won_amount", "win_rate", "sales_pipeline_value", "average_deal_size"]
    asked = {"period": "2025", "grain": "year", "by": [dimension]}
    found, expected = (
        answers(both, project, kpis, **asked) for project in (both.salesforce, both.files)
    )
    assert len(expected) > 8
    assert_same(found, expected)


# --- privacy ---------------------------------------------------------------------------------

PERSONAL = {
    "Contact": {"Name", "FirstName", "LastName", "Email", "Phone", "MobilePhone", "Title"},
    "Lead": {"Name", "FirstName", "LastName", "Email", "Phone", "MobilePhone", "Title", "Company"},
    "User": {"Name", "FirstName", "LastName", "Email", "Phone", "Username", "Alias", "Title"},
    "Name": {"Name", "FirstName", "LastName", "Email", "Phone", "Username", "Alias", "Title"},
    "CampaignMember": {"FirstName", "LastName", "Email", "Phone", "CompanyOrAccount"},
    "Case": {"Subject", "Description", "SuppliedName", "SuppliedEmail", "SuppliedPhone",
             "ContactEmail", "ContactPhone"},
    "CaseComment": {"CommentBody"},
    "EmailMessage": {"FromAddress", "FromName", "ToAddress", "CcAddress", "Subject", "TextBody",
                     "HtmlBody"},
    "Task": {"Subject", "Description"},
    "Event": {"Subject", "Description", "Location"},
    "VoiceCall": {"FromPhoneNumber", "ToPhoneNumber"},
    "LoginHistory": {"SourceIp"},
    "SurveyQuestionResponse": {"ResponseValue", "ResponseShortText"},
    "SurveyResponse": {"IpAddress", "Latitude", "Longitude"},
    "Account": {"Name", "Phone", "Website", "Description", "BillingStreet", "BillingAddress"},
    "Opportunity": {"Name", "Description", "NextStep"},
}  # fmt: skip


def test_nothing_personal_is_ever_requested(both: Both) -> None:
    asked = {(name, field) for name, fields in PERSONAL.items() for field in fields}
    assert both.simulator.selected & asked == set()
    assert len(both.simulator.selected) > 100


def test_nothing_personal_is_on_disk(both: Both) -> None:
    for path in both.salesforce.directory.rglob("*"):
        if path.is_file():
            assert SECRET_TEXT.encode() not in path.read_bytes(), path
