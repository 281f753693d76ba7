-- One row per day of marketing cost in the reporting currency: spend, and what the ledger booked
-- under marketing, which has neither channel nor campaign.
select source, id, day, campaign_id, channel, own_amount, amount, updated_at
from spend_by_day
union all
select
  e.source,
  e.id,
  e.expense_date,
  null,
  null,
  e.amount::decimal(28, 10),
  case
    when e.currency is null or e.currency = $reporting_currency then e.amount::decimal(28, 10)
    else (e.amount * r.rate)::decimal(28, 10)
  end,
  e.updated_at
from live_expenses e
left join rates_by_day r on r.currency = e.currency and r.day = e.expense_date
where e.category = 'marketing'
