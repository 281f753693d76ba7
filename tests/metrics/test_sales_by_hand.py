"""The pack `sales`: what the recount of the sample leaves out, by month and by dimensions.

The expected values are SQL by hand over the raw tables of the warehouse.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest

from crmetrics.engine import Project
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.projects import load_tables, write_project
from metrics.recounts import recounted

NOW = datetime(2030, 1, 1, tzinfo=UTC)
BY = ("", "lead_source", "opportunity_type", "pipeline")

DEALS = """
create temp view deals as
select * from (
  select *, row_number() over (partition by source, id order by updated_at desc nulls last) as place
  from crm.opportunities
)
where place = 1 and not is_deleted and not is_test;
create temp view rate_days as
select r.currency, d.day, arg_max(r.rate, r.valid_from) as rate
from crm.exchange_rates r
join (
  select unnest(generate_series(date '2022-01-01', date '2030-01-01', interval 1 day))::date as day
) d on r.valid_from <= d.day
where r.rate > 0
group by all;
create temp view decided as
select d.*, case when coalesce(d.currency, 'USD') = 'USD' then d.amount else d.amount * r.rate end
    as usd,
  case when coalesce(d.currency, 'USD') = 'USD' then d.amount else d.amount * n.rate end as usd_now
from deals d
left join rate_days r on r.currency = d.currency and r.day = d.close_date
left join rate_days n on n.currency = d.currency and n.day = date '2030-01-01'
where is_closed;
create temp view won as from decided where is_won;
create temp view month_ends as
select unnest(generate_series(date '2023-01-01', date '2025-12-01', interval 1 month))::date as day;
create temp view open_stays as
select m.day, d.lead_source, d.opportunity_type, h.stage, h.probability, h.close_date,
  case when coalesce(d.currency, 'USD') = 'USD' then h.amount else h.amount * r.rate end as usd
from month_ends m
join crm.opportunity_stage_history h
  on h.entered_at < m.day + interval 1 month
  and (h.exited_at is null or h.exited_at >= m.day + interval 1 month)
join deals d on d.id = h.opportunity_id
left join rate_days r
  on r.currency = d.currency and r.day = (m.day + interval 1 month - interval 1 day)::date
where not h.is_closed and d.forecast_category is distinct from 'omitted'
  and not h.is_deleted and not h.is_test;
create temp view gone as
select id from crm.accounts where merged_into_id is null and (is_deleted or is_test);
create temp view counted as
select o.*, coalesce(refunded_amount >= total_amount and refunded_amount > 0, false) as is_returned,
  case when coalesce(o.currency, 'USD') = 'USD' then 1 else r.rate end as rate
from crm.orders o
left join rate_days r on r.currency = o.currency and r.day = o.ordered_at::date
where not is_deleted and not is_test and status not in ('draft', 'cancelled')
  and account_id not in (select id from gone);
create temp view survivors as
with recursive steps as (
  select id, id as survivor from crm.accounts where merged_into_id is null
  union all
  select a.id, s.survivor from crm.accounts a join steps s on a.merged_into_id = s.id
)
select s.id, a.segment
from steps s
join crm.accounts a on a.id = s.survivor and not a.is_deleted and not a.is_test;
create temp view booked as
select campaign_id, segment, ordered_at::date as day, total_amount * rate as usd,
  not is_returned as is_order
from counted left join survivors s on s.id = account_id
union all
select campaign_id, segment, coalesce(refunded_at, ordered_at)::date, -refunded_amount * rate, false
from counted left join survivors s on s.id = account_id
where refunded_amount > 0;
"""


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=7, scale=0.3)


@pytest.fixture(scope="module")
def project(crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("sales")
    write_project(folder, {}, packs=("sales", "revenue"))
    load_tables(folder, crm.tables)
    return Project(folder, environ={}, now=lambda: NOW)


@pytest.fixture(scope="module")
def raw(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The raw tables, in a copy: one process cannot hold a file open with two configurations."""
    copy = tmp_path_factory.mktemp("raw") / "raw.duckdb"
    shutil.copy(project.engine_settings.path, copy)
    with duckdb.connect(str(copy)) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(DEALS)
        yield connection


Rows = dict[tuple[date, str], float]


def asked(project: Project, crm: SampleCrm, kpi: str, by: str) -> Rows:
    dimensions = [by] if by else []
    rows = project.query([kpi], start=crm.start, end=crm.end, grain="month", by=dimensions)
    return {
        (row["period_start"], dict(row["segment"]).get(by, "")): float(row["value"])
        for row in rows.to_pylist()
        if row["value"]
    }


def counted(raw: Any, crm: SampleCrm, value: str, day: str, by: str, rows: str = "won") -> Rows:
    group = f"coalesce({by}, '(none)')" if by else "''"
    sql = (
        f"select date_trunc('month', {day})::date, {group}, ({value})::double from {rows}"
        f" where {day} >= ? and {day} < ? group by all"
    )
    found = raw.execute(sql, [crm.start, crm.end]).fetchall()
    return {(month, name): number for month, name, number in found if number}


OF_WINS = {
    "won_amount": ("sum(usd)", "close_date"),
    "won_amount.by_closed_at": ("sum(usd)", "closed_at::date"),
    "won_amount.constant_currency": ("sum(usd_now)", "close_date"),
    "average_deal_size": ("sum(usd) / count(usd)", "close_date"),
    "average_deal_size.median": ("median(usd)", "close_date"),
    "sales_cycle_length": ("median(close_date - created_at::date)", "close_date"),
    "sales_cycle_length.mean": ("avg(close_date - created_at::date)", "close_date"),
    "sales_cycle_length.p90": ("quantile_cont(close_date - created_at::date, 0.9)", "close_date"),
}
OF_DECIDED = {
    "win_rate": "count(*) filter (where is_won) / count(*)",
    "won_amount.won_count": "count(*) filter (where is_won)",
    "win_rate.by_amount": "sum(usd) filter (where is_won) / sum(usd)",
}
OF_PIPELINE = {
    "sales_pipeline_value": "sum(usd)",
    "sales_pipeline_value.weighted": "sum(usd * probability)",
    "sales_pipeline_value.closing_in_period": (
        "sum(usd) filter (where date_trunc('month', close_date)::date = day)"
    ),
    "sales_pipeline_value.overdue": "sum(usd) filter (where close_date < day + interval 1 month)",
}


@recounted(dict.fromkeys(BY, OF_WINS))
def test_won_deals(kpi: str, by: str, project: Project, crm: SampleCrm, raw: Any) -> None:
    value, day = OF_WINS[kpi]
    rows = "won" if "cycle" not in kpi else "(from won where close_date >= created_at::date)"
    expected = counted(raw, crm, value, day, by, rows)
    assert len(expected) > 30
    assert asked(project, crm, kpi, by) == pytest.approx(expected, rel=1e-9)


@recounted(dict.fromkeys(BY, OF_DECIDED))
def test_closed_deals(kpi: str, by: str, project: Project, crm: SampleCrm, raw: Any) -> None:
    expected = counted(raw, crm, OF_DECIDED[kpi], "close_date", by, "decided")
    assert asked(project, crm, kpi, by) == pytest.approx(expected, rel=1e-9)


@recounted({by: ["average_deal_size.average_order_value"] for by in ("", "campaign_id", "segment")})
def test_the_average_order(kpi: str, by: str, project: Project, crm: SampleCrm, raw: Any) -> None:
    value = "sum(usd) / nullif(count(*) filter (where is_order), 0)"
    expected = counted(raw, crm, value, "day", by, "booked")
    assert asked(project, crm, kpi, by) == pytest.approx(expected, rel=1e-9)


@recounted({by: ["sales_cycle_length.lost"] for by in BY})
def test_lost_deals(kpi: str, by: str, project: Project, crm: SampleCrm, raw: Any) -> None:
    rows = "(from decided where not is_won and close_date >= created_at::date)"
    value = "median(close_date - created_at::date)"
    expected = counted(raw, crm, value, "close_date", by, rows)
    assert asked(project, crm, kpi, by) == pytest.approx(expected, rel=1e-9)


@recounted({by: ["win_rate.cohort"] for by in BY})
def test_deals_of_a_month_that_were_won_in_time(
    kpi: str, by: str, project: Project, crm: SampleCrm, raw: Any
) -> None:
    in_time = "is_won and close_date - created_at::date between 0 and 179"
    value = f"count(*) filter (where {in_time}) / count(*)"
    expected = counted(raw, crm, value, "created_at::date", by, "deals")
    assert asked(project, crm, kpi, by) == pytest.approx(expected, rel=1e-9)


@recounted(dict.fromkeys(("", "lead_source", "stage", "opportunity_type"), OF_PIPELINE))
def test_the_pipeline_at_each_months_end(
    kpi: str, by: str, project: Project, crm: SampleCrm, raw: Any
) -> None:
    expected = counted(raw, crm, OF_PIPELINE[kpi], "day", by, "open_stays")
    assert len(expected) > 30
    assert asked(project, crm, kpi, by) == pytest.approx(expected, rel=1e-9)
