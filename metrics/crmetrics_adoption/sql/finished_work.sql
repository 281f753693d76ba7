-- One row per period and finished item of work: the role it belongs to, its owner, and for deals
-- the amount in the reporting currency at the rate of the close date.
with items as (
  select 'sales' as role, source, owner_id, close_date as day, amount, currency
  from live_opportunities
  where is_won
  union all
  select 'service', source, owner_id, local_day(closed_at), null, null
  from live_cases
  where is_closed
  union all
  select 'marketing', source, owner_id, local_day(mql_at), null, null
  from live_leads
)
select
  p.period_start,
  i.role,
  source_of_users(i.source, i.owner_id) as source,
  i.owner_id as user_id,
  i.amount,
  case
    when i.currency is null or i.currency = $reporting_currency then i.amount::decimal(28, 10)
    else (i.amount * r.rate)::decimal(28, 10)
  end as won_amount
from items i
join period_days p on p.day = i.day
left join rates_by_day r on r.currency = i.currency and r.day = i.day
