-- One row per period: the acquisition costs of as many days earlier as the lag of the period says;
-- of a running period those of the days that have begun.
-- amount is null while no lag is known, and for days before the first cost.
with costs as (
  select source, id, day, own_amount, amount
  from operating_costs
  where category in ('sales', 'marketing')
),
days as (
  select d.period_start, d.day - l.lag_days as cost_day
  from period_days d
  join sales_lags l on l.period_start = d.period_start
  where d.day <= d.snapshot_day
),
totals as (
  select
    d.period_start,
    sum(c.amount) as amount,
    count(distinct (c.source, c.id)) filter (
      where c.amount is null and c.own_amount is not null
    ) as missing_rate,
    count(distinct (c.source, c.id)) filter (where c.own_amount is null) as missing_amount
  from costs c
  join days d on d.cost_day = c.day
  group by d.period_start
)
select
  l.period_start,
  l.lag_days,
  case
    when l.period_end - l.lag_days > (select min(day) from costs) then coalesce(t.amount, 0)
  end as amount,
  coalesce(t.missing_rate, 0) as missing_rate,
  coalesce(t.missing_amount, 0) as missing_amount
from sales_lags l
left join totals t on t.period_start = l.period_start
