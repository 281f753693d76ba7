-- One row per period, owner (null = the company) and category: the last forecast for the period
-- that was known at the lock time.
select
  p.period_start,
  f.owner_id,
  f.forecast_category,
  arg_max(
    case
      when f.currency is null or f.currency = $reporting_currency
        then f.forecast_amount::decimal(28, 10)
      else (f.forecast_amount * r.rate)::decimal(28, 10)
    end,
    (f.submitted_at, f.id)
  ) as forecast_amount
from live_forecasts f
join periods p on f.period_start = p.period_start and f.period_end = p.period_end
left join rates_by_day r on r.currency = f.currency and r.day = f.period_start
where f.submitted_at <= day_start((p.period_start + $lock_days)::date)
group by p.period_start, f.owner_id, f.forecast_category
