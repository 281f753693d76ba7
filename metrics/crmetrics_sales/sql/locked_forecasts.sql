-- materialized
-- One row per period, owner (null = the company) and category: the last forecast for the period
-- that was known at the lock time, null where its rate is missing. source is that of the owner.
with known as (
  select
    p.period_start,
    case when f.owner_id is not null then source_of_users(f.source, f.owner_id) end as source,
    f.owner_id,
    f.forecast_category,
    f.submitted_at,
    f.id,
    case
      when f.currency is null or f.currency = $reporting_currency
        then f.forecast_amount::decimal(28, 10)
      else (f.forecast_amount * r.rate)::decimal(28, 10)
    end as forecast_amount
  from live_forecasts f
  join periods p on f.period_start = p.period_start and f.period_end = p.period_end
  left join rates_by_day r on r.currency = f.currency and r.day = f.period_start
  where f.submitted_at <= day_start((p.period_start + $lock_days)::date)
)
select
  period_start,
  source,
  owner_id,
  forecast_category,
  -- A struct is never null: an earlier forecast does not stand in for one without a rate.
  arg_max({'amount': forecast_amount}, (submitted_at, id)).amount as forecast_amount
from known
group by period_start, source, owner_id, forecast_category
