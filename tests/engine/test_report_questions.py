"""KPIs that a report shows by a dimension when its job names none (rule S5)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb

from crmetrics.engine import Project
from crmetrics.engine.planning import plan_job
from crmetrics.engine.running import RunReport

CONFIG = """
version: 1
project: acme
sources:
  crm: {connector: csv, path: data}
metrics: {packs: [retention]}
jobs:
  plain: {kpis: [customer_churn_rate, customer_retention_rate]}
  none: {kpis: [customer_churn_rate], by: []}
  other: {kpis: [customer_churn_rate], by: [country]}
"""

# Four customers at the opening of January: of three enterprises one leaves, the small one stays.
SUBSCRIPTIONS = """id,account_id,start_date,end_date,mrr
1,a,2025-01-01,,10
2,b,2025-01-01,,10
3,c,2025-01-01,2026-01-20,10
4,d,2025-01-01,,10
"""


def run(folder: Path, job: str, accounts: str) -> RunReport:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "crmetrics.yaml").write_text(CONFIG)
    (folder / "data" / "subscriptions.csv").write_text(SUBSCRIPTIONS)
    (folder / "data" / "accounts.csv").write_text(accounts)
    return project(folder).run(job)


def project(folder: Path) -> Project:
    return Project(folder, environ={}, now=lambda: datetime(2026, 2, 3, 8, tzinfo=UTC))


ACCOUNTS = "id,segment,country\na,ent,DE\nb,ent,DE\nc,ent,FR\nd,smb,FR\n"


def values(report: RunReport) -> dict[tuple[str, str], float | None]:
    rows = report.results.select(["kpi", "segment", "value"]).to_pylist()
    return {
        (row["kpi"], "/".join(str(value) for _, value in row["segment"])): row["value"]
        for row in rows
    }


def test_churn_is_reported_by_segment_where_the_job_names_no_groups(tmp_path: Path) -> None:
    report = run(tmp_path, "plain", ACCOUNTS)
    assert values(report) == {
        ("customer_churn_rate", ""): 0.25,
        ("customer_churn_rate", "ent"): 1 / 3,
        ("customer_churn_rate", "smb"): 0.0,
        ("customer_retention_rate", ""): 0.75,
    }
    churn, retention = report.message.kpis
    assert [one.dimensions for one in churn.breakdowns] == [("segment",)]
    assert retention.breakdowns == ()


def test_a_job_that_names_its_groups_or_none_is_taken_at_its_word(tmp_path: Path) -> None:
    assert set(values(run(tmp_path, "none", ACCOUNTS))) == {("customer_churn_rate", "")}
    assert set(values(run(tmp_path, "other", ACCOUNTS))) == {
        ("customer_churn_rate", ""),
        ("customer_churn_rate", "DE"),
        ("customer_churn_rate", "FR"),
    }


def test_a_query_gives_what_was_asked_for(tmp_path: Path) -> None:
    run(tmp_path, "none", ACCOUNTS)
    rows = project(tmp_path).query(["customer_churn_rate"], period="2026-01")
    assert rows.column("segment").to_pylist() == [[]]


def test_accounts_without_segments_leave_the_total_alone(tmp_path: Path) -> None:
    report = run(tmp_path, "plain", "id,country\na,DE\nb,DE\nc,FR\nd,FR\n")
    assert set(values(report)) == {("customer_churn_rate", ""), ("customer_retention_rate", "")}
    assert report.exit_code == 0


def test_what_a_report_groups_by_itself_is_planned_for(tmp_path: Path) -> None:
    run(tmp_path, "plain", ACCOUNTS)
    reads = {
        read.dataset: set(read.columns) for read in plan_job(project(tmp_path), "plain").plan.reads
    }
    assert "segment" in reads["accounts"]


def test_a_later_report_withdraws_no_segment_of_the_month_before(tmp_path: Path) -> None:
    run(tmp_path, "plain", ACCOUNTS)
    later = Project(tmp_path, environ={}, now=lambda: datetime(2026, 3, 3, 8, tzinfo=UTC))
    report = later.run("plain")
    assert [outcome.period for outcome in report.outcomes] == []

    with duckdb.connect(
        str(tmp_path / ".crmetrics" / "warehouse.duckdb"), read_only=True
    ) as ledger:
        kept = ledger.execute(
            "select count(*) from meta.results where period_start = '2026-01-01' "
            "and valid_to is null and segment <> '{}'"
        ).fetchall()
    assert kept == [(2,)]
