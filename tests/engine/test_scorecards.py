"""The scorecards of docs/user.md: the jobs that stand there, run as they stand."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from crmetrics.engine import Project
from crmetrics.testing import load_tables, read_tables, write_project

PACKS = ("service", "adoption", "retention")
TABLES = """
@accounts
id,created_at
A,2025-01-01
B,2025-01-01
@subscriptions
account_id,start_date,end_date,mrr
A,2025-01-01,,10
B,2025-01-01,2026-01-20,10
@users
id,role,team,created_at
u1,service,desk,2025-01-01
u2,service,desk,2025-01-01
@cases
id,account_id,owner_id,channel,created_at,closed_at,status,is_closed,is_escalated
1,A,u1,email,2026-01-02T00:00:00Z,2026-01-03T00:00:00Z,solved,true,false
2,A,u1,email,2026-01-02T00:00:00Z,2026-01-03T00:00:00Z,solved,true,true
3,B,u2,email,2026-01-02T00:00:00Z,2026-01-03T00:00:00Z,solved,true,false
@case_status_history
case_id,status,status_category,entered_at,exited_at
1,solved,solved,2026-01-03T00:00:00Z,
2,solved,solved,2026-01-03T00:00:00Z,
3,solved,solved,2026-01-03T00:00:00Z,2026-01-04T00:00:00Z
3,open,open,2026-01-04T00:00:00Z,
@case_messages
case_id,sent_at,author_type
1,2026-01-02T10:00:00Z,agent
@activities
activity_type,account_id,case_id,user_id,occurred_at,talk_seconds
call,A,1,u1,2026-01-22T00:00:00Z,100
call,B,3,u2,2026-01-02T00:00:00Z,300
@survey_responses
survey_type,account_id,contact_id,case_id,user_id,score,scale_min,scale_max,responded_at
csat,A,c1,1,u1,5,1,5,2026-01-05
csat,B,c2,3,u2,1,1,5,2026-01-05
nps,A,c1,,,9,0,10,2026-01-05
nps,B,c2,,,7,0,10,2026-01-05
@opportunities
id,created_at,close_date,is_closed,is_won
9,2025-01-01,2025-02-01,true,true
@leads
id,created_at
l,2025-01-01
"""


@pytest.fixture
def results(repo: Path, tmp_path: Path) -> Any:
    """`results(job)`: (KPI, agent) -> (value, numerator) of a job of the page."""
    page = (repo / "docs" / "user.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    sections = [yaml.safe_load(block).get("jobs", {}) for block in blocks]
    (jobs,) = (jobs for jobs in sections if "agents" in jobs)
    write_project(tmp_path, {}, packs=PACKS, sections={"jobs": jobs})
    load_tables(tmp_path, read_tables(TABLES))
    project = Project(tmp_path, environ={}, now=lambda: datetime(2026, 2, 1, tzinfo=UTC))

    def run(job: str) -> dict[tuple[str, str], tuple[float, float | None]]:
        rows = project.run(job).results.to_pylist()
        return {
            (row["kpi"], dict(row["segment"]).get("user_id", "")): (row["value"], row["numerator"])
            for row in rows
            if row["period_start"].month == 1
        }

    return run


def test_the_health_of_customers_stands_on_one_page(results: Any) -> None:
    values = {name: value for (name, _), (value, _) in results("health").items()}
    assert values == {
        "csat": 0.5,
        "net_promoter_score": 50,
        "customer_churn_rate": 0.5,
        "time_since_last_interaction": 10,
    }


def test_each_agent_has_a_block(results: Any) -> None:
    found = results("agents")
    blocks = {
        agent: {name: value for (name, of), (value, _) in found.items() if of == agent}
        for agent in ("u1", "u2")
    }
    assert blocks["u1"] == {
        "employee_productivity": 2,
        "average_handle_time": 100,
        "first_contact_resolution_rate": 0.5,
        "reopen_rate": 0,
        "escalation_rate": 0.5,
        "csat": 1,
    }
    assert blocks["u2"] == {
        "employee_productivity": 1,
        "average_handle_time": 300,
        "first_contact_resolution_rate": 0,
        "reopen_rate": 1,
        "escalation_rate": 0,
        "csat": 0,
    }
    closed = {agent: n for (name, agent), (_, n) in found.items() if name.startswith("employee")}
    assert {agent: closed[agent] for agent in blocks} == {"u1": 2, "u2": 1}
