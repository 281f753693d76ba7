-- One row per period, owner and forecast category: forecast and actual; an owner who sold but gave
-- no forecast is there with is_counted false, or with forecast 0 when missing_as_zero is set. An
-- owner whose forecast has no rate is never counted. source is that of the owner.
with categories as (
  select distinct period_start, forecast_category from locked_forecasts
  union
  select period_start, 'commit' from periods
),
owners as (
  select period_start, source, owner_id from owner_wins where owner_id is not null
  union
  select period_start, source, owner_id from locked_forecasts where owner_id is not null
)
select
  o.period_start,
  o.source,
  o.owner_id,
  c.forecast_category,
  coalesce(f.forecast_amount, 0) as forecast_amount,
  coalesce(w.won_amount, 0) as actual_amount,
  f.forecast_amount is not null or (f.owner_id is null and $missing_as_zero) as is_counted,
  f.owner_id is not null and f.forecast_amount is null as is_unrated,
  coalesce(w.missing_amount, 0) as missing_amount,
  coalesce(w.missing_rate, 0) as missing_rate
from owners o
join categories c on c.period_start = o.period_start
left join locked_forecasts f
  on f.period_start = o.period_start and f.source = o.source and f.owner_id = o.owner_id
  and f.forecast_category = c.forecast_category
left join owner_wins w
  on w.period_start = o.period_start and w.source = o.source and w.owner_id = o.owner_id
where f.owner_id is not null or w.owner_id is not null
