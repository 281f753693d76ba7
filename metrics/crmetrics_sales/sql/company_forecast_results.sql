-- One row per period and forecast category: the company forecast (before it, the sum of the
-- owners') and everything that was sold.
with forecasts as (
  select
    period_start,
    forecast_category,
    case
      when bool_or(owner_id is null) then sum(forecast_amount) filter (where owner_id is null)
      else sum(forecast_amount)
    end as forecast_amount,
    count(*) filter (where forecast_amount is null) as missing_rate
  from locked_forecasts
  group by period_start, forecast_category
),
actuals as (
  select
    period_start,
    sum(won_amount) as actual_amount,
    sum(missing_amount) as missing_amount,
    sum(missing_rate) as missing_rate
  from owner_wins
  group by period_start
)
select
  f.period_start,
  f.forecast_category,
  f.forecast_amount,
  coalesce(a.actual_amount, 0) as actual_amount,
  coalesce(a.missing_amount, 0) as missing_amount,
  f.missing_rate + coalesce(a.missing_rate, 0) as missing_rate
from forecasts f
left join actuals a on a.period_start = f.period_start
