-- One row per period and account with revenue: its recurring revenue on the snapshot day, else what
-- it ordered, net of refunds, in the 365 days that end with it; in the reporting currency.
with recurring as (
  select period_start, source, account_id, closing_mrr as amount
  from account_mrr_by_day
  where closing_mrr is not null
),
ordered as (
  select
    p.period_start,
    source_of_accounts(o.source, o.account_id) as source,
    o.account_id,
    sum(
      case
        when o.currency is null or o.currency = $reporting_currency then o.amount::decimal(28, 10)
        else (o.amount * r.rate)::decimal(28, 10)
      end
    ) as amount
  from counted_orders o
  join periods p on o.booked_on <= p.snapshot_day and o.booked_on > p.snapshot_day - 365
  left join rates_by_day r on r.currency = o.currency and r.day = o.rate_day
  where o.account_id is not null
  group by all
)
select
  coalesce(m.period_start, o.period_start) as period_start,
  coalesce(m.source, o.source) as source,
  coalesce(m.account_id, o.account_id) as account_id,
  coalesce(m.amount, o.amount) as account_value
from recurring m
full join ordered o
  on o.period_start = m.period_start and o.source = m.source and o.account_id = m.account_id
