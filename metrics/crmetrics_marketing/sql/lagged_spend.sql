-- One row per period and day of spend in the period shifted back by its lag; of a running period
-- in the days that have begun.
select l.period_start, s.source, s.id, s.day, s.campaign_id, s.channel, s.own_amount, s.amount
from sales_lags l
join spend_by_day s
  on s.day >= l.period_start - l.lag_days and s.day <= l.snapshot_day - l.lag_days
