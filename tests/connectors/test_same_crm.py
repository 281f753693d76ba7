"""One CRM, whatever it comes from: the same KPIs, value for value.

The generated CRM is served as CSV files, as an org of a simulated Salesforce and as an account of a
simulated HubSpot, dirt included: deleted and test records, merges with chains, references to
nothing, a partner beside the buyer. Rates are those that Salesforce can keep, in all three.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.sample_sources import salesforce_section
from crmetrics.engine import Project
from crmetrics.periods import add_months
from crmetrics.testing import SampleCrm
from simulators.hubspot import HubSpotSimulator, Limits
from simulators.hubspot.sample import serve_sample, source_section
from simulators.salesforce import SalesforceSimulator
from simulators.salesforce.sample import as_salesforce_keeps
from simulators.salesforce.sample import serve_sample as fill_org

SAME = (
    # sales
    "won_amount", "new_customers", "win_rate", "sales_velocity", "average_deal_size",
    "sales_cycle_length", "stage_duration", "sales_pipeline_value", "pipeline_coverage",
    "sales_forecast_accuracy", "sales_growth_rate", "quota_attainment",
    # leads
    "leads_created", "lead_conversion_rate", "lead_to_customer_rate", "conversion_rate",
    "lead_response_time", "lead_source_effectiveness", "revenue_per_lead", "qualified_lead_rate",
    "sales_accepted_lead_rate", "prospect_response_rate", "unresponsive_prospects",
    # retention
    "active_customers", "customer_retention_rate", "customer_churn_rate", "cohort_retention",
    "gross_revenue_retention", "net_revenue_retention", "repeat_purchase_rate",
    "time_since_last_interaction", "win_back_rate", "loyalty_retention_lift",
    "net_promoter_score", "nps_by_product", "referenceability_rate",
    # revenue
    "revenue", "mrr", "net_new_mrr", "average_revenue_per_user", "customer_lifetime_value",
    "cost_of_goods_sold", "gross_margin", "items_per_order", "upsell_rate", "cross_sell_rate",
    "product_migration_rate", "revenue_forecast",
    # marketing
    "campaign_response_rate", "campaign_volume", "campaign_orders", "unsubscribe_rate",
    "disengaged_contacts",
    # service
    "first_response_time", "average_handle_time", "first_contact_resolution_rate",
    "resolution_time", "csat", "case_volume", "case_backlog", "customer_wait_time",
    "escalation_rate", "reopen_rate",
    # adoption, roi
    "user_adoption_rate", "user_activity_frequency", "data_completeness_rate",
    "employee_productivity", "goal_attainment",
)  # fmt: skip
"""KPIs whose data both systems can hold. The others need what no CRM keeps (expenses, benefits,
training, web sessions), or not both: invitations to surveys, spend by day or without campaign."""

NOT_IN = {"salesforce": {"nps_by_product"}, "hubspot": set[str]()}
"""The sample org keeps no product with an answer."""

BY = {"team": ("win_rate", "won_amount", "sales_cycle_length", "case_volume", "resolution_time"),
      "segment": ("won_amount", "customer_churn_rate", "mrr"),
      "lead_source": ("leads_created", "win_rate")}  # fmt: skip

SETTINGS: dict[str, Any] = {
    "customer_model": "subscription",
    "data_completeness_rate": {
        "required_fields": {
            "accounts": ["segment", "industry", "country"],
            "opportunities": ["amount", "close_date", "owner_id", "lead_source", "lost_reason"],
            "cases": ["product_id", "closed_at"],
        }
    },
}
PACKS = ["sales", "leads", "retention", "revenue", "marketing", "service", "adoption", "roi"]

Values = dict[tuple[Any, ...], Any]


@dataclass(frozen=True)
class Served:
    """A project that has loaded the CRM. names: id in its source -> id of the generator."""

    project: Project
    names: Mapping[str, str]

    def values(self, kpis: tuple[str, ...], crm: SampleCrm, by: tuple[str, ...] = ()) -> Values:
        """(KPI, period, segment) -> value, of the last eight months."""
        start = add_months(crm.end, -8)
        table = self.project.query(list(kpis), grain="month", start=start, end=crm.end, by=by)
        return {
            (row["kpi"], row["period_start"], *self._segment(row["segment"])): row["value"]
            for row in table.to_pylist()
        }

    def _segment(self, segment: Any) -> list[tuple[str, str | None]]:
        return sorted((name, self._own(value)) for name, value in dict(segment or {}).items())

    def _own(self, value: Any) -> Any:
        """A dimension's value with the generator's ids: `won_amount 1017` names an owner."""
        if not isinstance(value, str):
            return value
        return " ".join(self.names.get(word, word) for word in value.split(" "))


def open_project(
    folder: Path, source: Mapping[str, Any], crm: SampleCrm, zone: str = "UTC"
) -> Project:
    folder.mkdir(exist_ok=True, parents=True)
    document = {
        "version": 1,
        "project": "same",
        "reporting": {"timezone": zone, "currency": "USD"},
        "sources": {"crm": dict(source)},
        "metrics": {"packs": PACKS, "settings": SETTINGS},
    }
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    now = crm.exported_at + timedelta(hours=1)
    project = Project(folder, environ={}, now=lambda: now)
    report = project.sync()
    assert not report.failures, report.error
    return project


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    crm = SampleCrm(scale=0.1)
    crm.records = as_salesforce_keeps(crm.records)
    return crm


@pytest.fixture(scope="module")
def files(crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory) -> Served:
    return from_files(crm, tmp_path_factory.mktemp("csv"))


def from_files(crm: SampleCrm, folder: Path, zone: str = "UTC") -> Served:
    crm.write_csv(folder / "data")
    return Served(open_project(folder, {"connector": "csv", "path": "data"}, crm, zone), {})


def from_hubspot(crm: SampleCrm, folder: Path) -> Served:
    limits = Limits(per_ten_s=1_000_000, searches_per_s=1_000_000, per_day=None)
    with HubSpotSimulator(limits=limits) as service:
        service.clock.now = crm.exported_at
        world = serve_sample(service.account, crm)
        project = open_project(folder, source_section(service.base_url, service.token), crm)
    return Served(project, named(world.ids))


def from_salesforce(crm: SampleCrm, folder: Path, zone: str = "UTC") -> Served:
    with SalesforceSimulator(is_multi_currency=True) as salesforce:
        world = fill_org(salesforce.org, crm, zone=ZoneInfo(zone))
        project = open_project(folder, salesforce_section(salesforce), crm, zone)
    return Served(project, named(world.ids))


def named(ids: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """Id in the source -> id of the generator, of what dimensions show."""
    shown = ("products", "users", "campaigns", "accounts")
    return {own: name for (dataset, name), own in ids.items() if dataset in shown}


@pytest.fixture(scope="module", params=["salesforce", "hubspot"])
def system(
    request: pytest.FixtureRequest, crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Served]:
    """One of the two, loaded."""
    serve = {"salesforce": from_salesforce, "hubspot": from_hubspot}[request.param]
    return request.param, serve(crm, tmp_path_factory.mktemp(request.param))


def differences(one: Values, other: Values) -> dict[tuple[Any, ...], tuple[Any, Any]]:
    """Where two sets of values differ beyond the last digits of a float."""
    return {
        key: (one.get(key, "absent"), other.get(key, "absent"))
        for key in one.keys() | other.keys()
        if not _equal(one.get(key, "absent"), other.get(key, "absent"))
    }


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, str) or isinstance(other, str) or one is None or other is None:
        return bool(one == other)
    return abs(float(one) - float(other)) <= 1e-9 * max(1.0, abs(float(one)))


def test_there_are_enough_of_them() -> None:
    both = set(SAME) - NOT_IN["salesforce"] - NOT_IN["hubspot"]
    assert len(SAME) == len(set(SAME)) and len(both) >= 45


def test_a_system_gives_the_values_of_the_files(
    crm: SampleCrm, files: Served, system: tuple[str, Served]
) -> None:
    name, served = system
    kpis = tuple(kpi for kpi in SAME if kpi not in NOT_IN[name])
    expected = files.values(kpis, crm)
    assert not differences(expected, served.values(kpis, crm))
    filled = {kpi for (kpi, *_), value in expected.items() if value is not None}
    assert not set(kpis) - filled, "these would be equal whatever the system gave"


def test_an_org_west_of_utc_gives_the_values_of_the_files(crm: SampleCrm, tmp_path: Path) -> None:
    """Its days begin, as instants, eight hours later; files name days alone."""
    zone = "America/Los_Angeles"
    kpis = tuple(kpi for kpi in SAME if kpi not in NOT_IN["salesforce"])
    expected = from_files(crm, tmp_path / "files", zone).values(kpis, crm)
    found = from_salesforce(crm, tmp_path / "org", zone).values(kpis, crm)
    assert not differences(expected, found)
    assert not set(kpis) - {kpi for (kpi, *_), value in expected.items() if value is not None}


@pytest.mark.parametrize("dimension", BY)
def test_a_system_gives_the_groups_of_the_files(
    crm: SampleCrm, files: Served, system: tuple[str, Served], dimension: str
) -> None:
    kpis, by = BY[dimension], (dimension,)
    expected = files.values(kpis, crm, by)
    assert len({key[2:] for key in expected}) > 2
    assert not differences(expected, system[1].values(kpis, crm, by))
