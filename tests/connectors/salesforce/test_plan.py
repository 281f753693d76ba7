"""`crmetrics plan` says what a run would cost, without asking the org."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.salesforce.orgs import Connect, connector_to, fill
from connectors.salesforce.sites import Site
from crmetrics.datasets import canonical_datasets
from crmetrics.engine import Project
from simulators.salesforce import SalesforceSimulator


def test_the_plan_shows_estimated_calls_and_makes_none(
    salesforce: SalesforceSimulator, tmp_path: Path
) -> None:
    fill(salesforce.org)
    app = salesforce.login.app
    (tmp_path / "crmetrics.yaml").write_text(
        "version: 1\nproject: p\nsources:\n  crm:\n    connector: salesforce\n"
        f"    base_url: {salesforce.base_url}\n"
        f"    auth: {{flow: client_credentials, client_id: {app.client_id}, "
        f"client_secret: {app.client_secret}}}\nmetrics: {{packs: [sales]}}\n"
    )
    project = Project(tmp_path, now=lambda: salesforce.clock())
    first = project.plan()
    assert salesforce.calls == []
    assert first.calls > 0
    assert first.estimates["crm", "opportunities"].basis.startswith("at least")
    project.sync()
    used = salesforce.used
    later = project.plan()
    assert salesforce.used == used
    assert later.estimates["crm", "opportunities"].basis == "changes only"


def test_an_estimate_is_near_what_a_run_takes(salesforce: SalesforceSimulator, site: Site) -> None:
    fill(salesforce.org)
    connector = connector_to(salesforce)
    known = canonical_datasets()
    site.only = tuple(supply.dataset for supply in connector.datasets())

    def estimated(rows: int | None) -> int:
        found = [
            connector.estimate(n, known[n].column_names, rows=rows, is_incremental=bool(rows))
            for n in site.only
        ]
        return sum(estimate.calls for estimate in found if estimate is not None)

    for rows in (None, 10):
        used = salesforce.used
        site.sync()
        assert estimated(rows) == pytest.approx(salesforce.used - used, rel=0.15)
        site.later(hours=2)


def test_many_rows_cost_a_job_and_its_pages_and_few_cost_pages(connect: Connect) -> None:
    bulk = connect(bulk_from=10_000, page_rows=50_000)
    many = bulk.estimate("products", ["name"], rows=200_001, is_incremental=False)
    few = bulk.estimate("products", ["name"], rows=4_001, is_incremental=False)
    by_query = connect(transport="rest").estimate(
        "products", ["name"], rows=200_001, is_incremental=False
    )
    assert many is not None and few is not None and by_query is not None
    assert "200,001 rows by a bulk job" in many.basis
    assert many.calls < 25
    assert few.calls == 4  # describe, and three pages
    assert by_query.calls == 102
