-- One row per period, owner and forecast category: forecast and actual; an owner who sold but gave
-- no forecast is there with is_counted false, or with forecast 0 when missing_as_zero is set. An
-- owner whose forecast has no rate is never counted. source is that of the owner.
with categories as (
  select period_start, forecast_category from locked_forecasts
  union
  select period_start, 'commit' from periods
),
won as (
  select w.*, c.forecast_category
  from owner_wins w
  join categories c on c.period_start = w.period_start
  where w.owner_id is not null and w.source is not null
),
forecasts as (
  select *
  from locked_forecasts
  where owner_id is not null and source is not null and forecast_category is not null
)
select
  period_start,
  source,
  owner_id,
  forecast_category,
  coalesce(f.forecast_amount, 0) as forecast_amount,
  coalesce(w.won_amount, 0) as actual_amount,
  f.forecast_amount is not null or (f.owner_id is null and $missing_as_zero) as is_counted,
  f.owner_id is not null and f.forecast_amount is null as is_unrated,
  coalesce(w.missing_amount, 0) as missing_amount,
  coalesce(w.missing_rate, 0) as missing_rate
from won w
full join forecasts f using (period_start, source, owner_id, forecast_category)
