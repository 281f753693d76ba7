-- One row per period, campaign with a budget, and day of the campaign in the period: the budget's
-- even share of the day in the reporting currency, at the rate of the day.
with budgets as (
  select *, (budgeted_cost / (end_date - start_date + 1))::decimal(28, 10) as own_amount
  from live_campaigns
  where budgeted_cost is not null and end_date >= start_date
)
select
  p.period_start,
  b.source,
  b.id as campaign_id,
  b.channel,
  p.day,
  b.own_amount,
  case
    when b.currency is null or b.currency = $reporting_currency then b.own_amount
    else (b.own_amount * r.rate)::decimal(28, 10)
  end as amount
from budgets b
join period_days p on p.day between b.start_date and b.end_date
left join rates_by_day r on r.currency = b.currency and r.day = p.day
