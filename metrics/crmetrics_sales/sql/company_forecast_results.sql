-- One row per period and forecast category: the company forecast (before it, the sum of the
-- owners') and everything that was sold.
with forecasts as (
  select
    period_start,
    forecast_category,
    coalesce(
      sum(forecast_amount) filter (where owner_id is null),
      sum(forecast_amount)
    ) as forecast_amount
  from locked_forecasts
  group by period_start, forecast_category
),
actuals as (
  select period_start, sum(won_amount) as actual_amount
  from owner_wins
  group by period_start
)
select
  f.period_start,
  f.forecast_category,
  f.forecast_amount,
  coalesce(a.actual_amount, 0) as actual_amount
from forecasts f
left join actuals a on a.period_start = f.period_start
