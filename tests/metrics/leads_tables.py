"""Small tables of leads, activities and deals, and the answers that the engine gives for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crmetrics.engine import Project
from crmetrics.testing import load_tables, read_tables, write_project

NOW = datetime(2030, 1, 1, tzinfo=UTC)
Row = Mapping[str, Any]
Ask = Callable[..., list[dict[str, Any]]]

LEAD_KPIS = (
    "leads_created",
    "leads_created.net_new_accounts",
    "lead_conversion_rate",
    "lead_conversion_rate.event_dated",
    "lead_to_customer_rate",
    "lead_to_customer_rate.event_dated",
    "lead_response_time",
    "lead_response_time.within_target",
    "lead_response_time.business_hours",
    "revenue_per_lead",
    "cost_per_lead",
    "cost_per_lead.per_qualified_lead",
    "qualified_lead_rate",
    "qualified_lead_rate.qualified_leads",
    "sales_accepted_lead_rate",
    "prospect_response_rate",
    "unresponsive_prospects.share",
)

EVERYTHING = """
@leads
id,created_at,converted_at,converted_opportunity_id,account_id,mql_at,sql_at,became_customer_at
1,2026-01-05,2026-01-09,O1,A,2026-01-06,2026-01-07,
2,2026-01-06,,,,,,
@opportunities
id,is_closed,is_won,amount,close_date
O1,true,true,1000,2026-01-20
@accounts
id,created_at
A,2026-01-02
@subscriptions
account_id,start_date,mrr
A,2026-01-20,10
@activities
lead_id,direction,occurred_at
1,outbound,2026-01-05T01:00:00Z
2,outbound,2026-01-06T01:00:00Z
@marketing_spend
spend_date,amount
2026-01-03,100
"""


def asker(folder: Path) -> Ask:
    """`ask(tables, kpis, ...)`: rows of the answer for January 2026, or the period given.

    Projects are made in `folder`, one for each set of tables and settings. drop: columns that no
    source delivers, as `dataset.column`. also: datasets without rows.
    """
    made: dict[str, Project] = {}

    def query(
        text: str,
        *kpis: str,
        settings: Mapping[str, Any] | None = None,
        zone: str = "UTC",
        drop: tuple[str, ...] = (),
        also: tuple[str, ...] = (),
        **question: Any,
    ) -> list[dict[str, Any]]:
        key = repr((text, settings, zone, drop, also))
        if key not in made:
            made[key] = _project(folder / str(len(made)), text, settings, zone, drop, also)
        question = {"period": "2026-01", **question}
        return list(made[key].query(list(kpis), **question).to_pylist())

    return query


def _project(
    directory: Path,
    text: str,
    settings: Mapping[str, Any] | None,
    zone: str,
    drop: tuple[str, ...],
    also: tuple[str, ...],
) -> Project:
    write_project(directory, {}, packs=["leads"], settings=settings, reporting={"timezone": zone})
    tables = read_tables(text, also=also)
    for name in drop:
        dataset, _, column = name.partition(".")
        tables[dataset] = tables[dataset].drop_columns([column])
    load_tables(directory, tables)
    return Project(directory, environ={}, now=lambda: NOW)


def value_of(rows: list[dict[str, Any]]) -> Any:
    """The value of the only row."""
    (row,) = rows
    return row["value"]


def name_of(row: Row) -> str:
    """`kpi` or `kpi.variant`."""
    return f"{row['kpi']}.{row['variant']}".rstrip(".")


def counts_of(row: Row) -> dict[str, float]:
    """The coverage counts of a row by name."""
    return dict(row["coverage"])
