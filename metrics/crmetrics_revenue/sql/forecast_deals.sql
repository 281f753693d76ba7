-- One row per period and deal expected in it: won (at the rate of the close date), open from as_of
-- on (at the rate of the snapshot day), or open and overdue, which only counts.
-- excluded: opportunities
with deals as (
  select
    p.period_start,
    o.*,
    not o.is_won and o.close_date < $as_of_day as is_overdue,
    case
      when o.currency is null or o.currency = $reporting_currency then o.amount::decimal(28, 10)
      when o.is_won then (o.amount * won.rate)::decimal(28, 10)
      else (o.amount * opened.rate)::decimal(28, 10)
    end as converted,
    case when o.is_won then 1 else s.win_rate end as win_rate
  from live_opportunities o
  join period_days p on p.day = o.close_date
  left join rates_by_day won on won.currency = o.currency and won.day = o.close_date
  left join rates_by_day opened on opened.currency = o.currency and opened.day = p.snapshot_day
  left join stage_win_rates s on s.stage = o.stage
  where o.is_won or not o.is_closed
)
select
  period_start,
  source,
  id,
  account_id,
  owner_id,
  forecast_category,
  updated_at,
  is_overdue,
  amount is null as is_without_amount,
  amount is not null and converted is null as is_without_rate,
  not is_won and coalesce(probability, win_rate) is null as is_without_probability,
  win_rate is null as is_without_win_rate,
  case
    when is_won then converted
    when not is_overdue then (converted * coalesce(probability, win_rate))::decimal(28, 10)
  end as expected_amount,
  case
    when is_won then converted
    when not is_overdue then (converted * win_rate)::decimal(28, 10)
  end as calibrated_amount
from deals
