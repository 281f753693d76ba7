-- One row per period: days by which spend precedes revenue, which are lag_days, else the median
-- cycle of the deals won in the 365 days to the period's end (whole days; null = none was won).
with cycles as (
  select
    close_date,
    close_date - local_day(created_at) as days
  from live_opportunities
  where is_won and close_date >= local_day(created_at)
),
lags as (
  select
    p.period_start,
    floor(quantile_cont(c.days::double, 0.5))::integer as lag_days
  from periods p
  join cycles c on c.close_date >= p.period_end - 365 and c.close_date < p.period_end
  group by p.period_start
)
select
  p.period_start,
  p.period_end,
  p.snapshot_day,
  coalesce($lag_days, l.lag_days)::integer as lag_days
from periods p
left join lags l on l.period_start = p.period_start
