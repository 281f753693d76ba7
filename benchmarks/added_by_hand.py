"""Win rate and average deal size by hand: what one more KPI or dimension costs without the engine.

One statement over the warehouse file for what is asked, values only: no counts of coverage, no
records left out, nothing planned at run time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from benchmarks.comparing import END, START, Values
from benchmarks.workload import Workload

_RATES = """
create temp table rates as
select currency, valid_from + unnest(range(0, next_from - valid_from))::integer as day, rate
from (
  select
    currency,
    valid_from,
    rate,
    lead(valid_from, 1, date '2026-01-02') over (partition by currency order by valid_from)
      as next_from
  from crm.exchange_rates
)"""
_NAMES = {
    "team": ("coalesce(u.team, '(none)')", "left join crm.users u on u.id = o.owner_id"),
    "segment": (
        "coalesce(a.segment, '(none)')",
        "left join crm.accounts a on a.id = o.account_id and not a.is_deleted and not a.is_test",
    ),
    "lead_source": ("coalesce(o.lead_source, '(none)')", ""),
}
_AMOUNTS = """,
    case when o.currency is null or o.currency = 'USD' then o.amount end as amount,
    case when o.currency <> 'USD' then o.amount * r.rate end as foreign_amount"""
_SUMS = {
    "win_rate": "count(*) filter (where is_won) / count(*) as win_rate",
    "average_deal_size": (
        "(coalesce(sum(amount) filter (where is_won), 0)::double"
        " + coalesce(sum(foreign_amount) filter (where is_won), 0))"
        " / nullif(count(coalesce(amount::double, foreign_amount)) filter (where is_won), 0)"
        " as average_deal_size"
    ),
}


def _statement(kpis: Sequence[str], by: Sequence[str]) -> str:
    names = "".join(f",\n    {_NAMES[name][0]} as {name}" for name in by)
    joins = "\n  ".join(join for name in by if (join := _NAMES[name][1]))
    is_money = "average_deal_size" in kpis
    rates = "left join rates r on r.currency = o.currency and r.day = o.close_date"
    shown = [*by, *(_SUMS[kpi] for kpi in kpis)]
    groups = ["(month)", *(f"(month, {name})" for name in by)]
    return f"""
with deals as (
  select
    date_trunc('month', o.close_date)::date as month,
    o.is_won{_AMOUNTS if is_money else ""}{names}
  from crm.opportunities o
  {rates if is_money else ""}
  {joins}
  where not o.is_deleted and not o.is_test and o.is_closed
    and o.close_date >= date '{START}' and o.close_date < date '{END}'
    {"" if "win_rate" in kpis else "and o.is_won"}
)
select month, {", ".join(shown)}
from deals
group by grouping sets ({", ".join(groups)})"""


def ask(workload: Workload, kpis: Sequence[str], by: Sequence[str]) -> Any:
    """An Arrow table with a row per month and group, a column per KPI."""
    import duckdb

    with duckdb.connect(str(workload.warehouse), read_only=True) as con:
        con.execute("set enable_progress_bar = false; set timezone = 'UTC'")
        if "average_deal_size" in kpis:
            con.execute(_RATES)
        return con.sql(_statement(kpis, by)).to_arrow_table()


def values(workload: Workload, kpis: Sequence[str], by: Sequence[str]) -> Values:
    return dict(_values(ask(workload, kpis, by).to_pylist(), kpis, by))


def _values(
    rows: Sequence[dict[str, Any]], kpis: Sequence[str], by: Sequence[str]
) -> Iterator[tuple[tuple[str, date, str, str, str], float]]:
    for row in rows:
        dimension = next((name for name in by if row[name] is not None), "")
        for kpi in kpis:
            if row[kpi] is not None:
                entry = row[dimension] if dimension else ""
                yield (kpi, row["month"], dimension, entry, ""), row[kpi]
