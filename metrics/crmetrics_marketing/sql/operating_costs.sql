-- One row per cost and day, in the reporting currency: marketing spend (category marketing), and what
-- the ledger booked (is_expense), which has neither channel nor campaign. amount is null where the
-- rate is missing.
select
  source,
  id,
  day,
  'marketing' as category,
  campaign_id,
  channel,
  own_amount,
  amount,
  false as is_expense,
  updated_at
from spend_by_day
union all
select
  e.source,
  e.id,
  e.expense_date,
  e.category,
  null,
  null,
  e.amount::decimal(28, 10),
  case
    when e.currency is null or e.currency = $reporting_currency then e.amount::decimal(28, 10)
    else (e.amount * r.rate)::decimal(28, 10)
  end,
  true,
  e.updated_at
from live_expenses e
left join rates_by_day r on r.currency = e.currency and r.day = e.expense_date
