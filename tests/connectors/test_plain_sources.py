"""A CRM without one custom property: the KPIs that it gives are those that the docs promise.

`docs/sources.md` says per KPI what Salesforce and HubSpot supply by themselves and what has to be
mapped. Here both are read without any `columns:`: what the table calls missing is missing, by name
and not as a 0, and nothing else is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

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

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sources.md"
MISSING = ("missing_dataset", "missing_column")
OF_SPEND = ("marketing_roi", "cost_per_lead", "total_marketing_spend")
"""An org keeps what a campaign cost as one sum; the sample keeps it by day, outside the org."""

PACKS = ["sales", "leads", "retention", "revenue", "marketing", "service", "adoption", "roi"]


def promised(column: int) -> Mapping[str, str]:
    """KPI -> what the table says of a source (0 = Salesforce, 1 = HubSpot)."""
    rows = re.findall(r"^\| \[(\w+)\]\(kpis\.md#\w+\) \| (.*?) \| (.*?) \| yes \|$",
                      PAGE.read_text(encoding="utf-8"), re.MULTILINE)  # fmt: skip
    return {kpi: cells[column] for kpi, *cells in rows}


def load(folder: Path, source: Mapping[str, Any], crm: SampleCrm) -> Project:
    folder.mkdir(exist_ok=True)
    document = {
        "version": 1,
        "project": "plain",
        "reporting": {"timezone": "UTC", "currency": "USD"},
        "sources": {"crm": {**source, "datasets": {}}},
        "metrics": {"packs": PACKS, "settings": {"customer_model": "subscription"}},
    }
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    now = crm.exported_at + timedelta(hours=1)
    project = Project(folder, environ={}, now=lambda: now)
    project.sync()
    return project


def given(project: Project, crm: SampleCrm) -> dict[str, set[str]]:
    """KPI -> the statuses of its last months."""
    found: dict[str, set[str]] = {}
    kpis = list(project.catalog.kpis)
    start = add_months(crm.end, -2)
    for row in project.query(kpis, grain="month", start=start, end=crm.end).to_pylist():
        found.setdefault(row["kpi"], set()).add(row["status"])
    return found


def require_as_promised(
    project: Project, crm: SampleCrm, cells: Mapping[str, str], beyond: set[str]
) -> None:
    """beyond: KPIs that ask for a setting, or for records that the sample lacks in this source."""
    statuses = given(project, crm)
    assert len(cells) > 75 and set(statuses) == set(cells)
    missing = {kpi for kpi, found in statuses.items() if found & set(MISSING)} - beyond
    lacking = {kpi for kpi, cell in cells.items() if not cell.startswith("yes")} - beyond
    assert missing == lacking


def test_hubspot(tmp_path: Path) -> None:
    crm = SampleCrm(scale=0.05)
    limits = Limits(per_ten_s=1_000_000, searches_per_s=1_000_000, per_day=None)
    with HubSpotSimulator(limits=limits) as service:
        service.clock.now = crm.exported_at
        serve_sample(service.account, crm)
        source = source_section(service.base_url, service.token)
        project = load(tmp_path, source, crm)
    require_as_promised(project, crm, promised(1), {"data_completeness_rate"})


def test_salesforce(tmp_path: Path) -> None:
    crm = SampleCrm(scale=0.05)
    crm.records = as_salesforce_keeps(crm.records)
    with SalesforceSimulator(is_multi_currency=True) as salesforce:
        fill_org(salesforce.org, crm)
        project = load(tmp_path, salesforce_section(salesforce), crm)
    require_as_promised(project, crm, promised(0), {"data_completeness_rate", *OF_SPEND})
