-- One row per period, account and movement of its MRR between opening and closing (level family:
-- of its MRR in a family). Movements are at the opening rate, `currency` is the rest; segments
-- without that rate stand in a row without a movement that only counts them.
-- excluded: subscriptions
with balances as (
  select b.*, coalesce(f.first_day < b.period_start, false) as was_customer
  from mrr_balances b
  left join paid_starts f
    on f.level = b.level and f.source = b.source and f.account_id = b.account_id
    and f.family is not distinct from b.family
  where b.may_have_moved
)
select
  period_start,
  level,
  source,
  account_id,
  family,
  case
    when opening = 0 and was_customer then 'reactivation'
    when opening = 0 then 'new'
    when closing_at_opening = 0 then 'churn'
    when closing_at_opening > opening then 'expansion'
    else 'contraction'
  end as movement,
  closing_at_opening - opening as amount,
  0 as missing_rate
from balances
where closing_at_opening <> opening
union all
select
  period_start, level, source, account_id, family,
  'currency', closing - closing_at_opening, 0
from balances
where closing <> closing_at_opening
union all
select period_start, level, source, account_id, family, null, null, missing_rate
from balances
where missing_rate > 0
