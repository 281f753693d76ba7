-- One row per period, account, day and movement: each day's change of the account's MRR (level
-- family: of its MRR in a family) at the opening rate of the period, then as in mrr_movements.
-- excluded: subscriptions
with edges as (
  select source, account_id, product_id, currency, start_date as day, mrr as change
  from live_subscriptions
  where not is_trial and (end_date is null or end_date > start_date)
  union all
  select source, account_id, product_id, currency, end_date, -mrr
  from live_subscriptions
  where not is_trial and end_date > start_date
),
parts as (
  select
    d.period_start,
    d.day,
    source_of_accounts(e.source, e.account_id) as source,
    e.account_id,
    source_of_products(e.source, e.product_id) as product_source,
    e.product_id,
    case
      when e.currency is null or e.currency = $reporting_currency then e.change::decimal(28, 10)
      else (e.change * r.rate)::decimal(28, 10)
    end as change
  from edges e
  join period_days d on d.day = e.day and d.day <= d.snapshot_day
  left join rates_by_day r on r.currency = e.currency and r.day = d.period_start - 1
),
levels as (
  select *, 'account' as level, null::varchar as family from parts
  union all
  select parts.*, 'family' as level, p.family
  from parts
  left join live_products p on p.source = parts.product_source and p.id = parts.product_id
),
changes as (
  select period_start, day, level, source, account_id, family, coalesce(sum(change), 0) as change
  from levels
  group by period_start, day, level, source, account_id, family
),
running as (
  select
    c.*,
    coalesce(b.opening, 0) + sum(c.change) over (
      partition by c.period_start, c.level, c.source, c.account_id, c.family order by c.day
    ) as balance,
    coalesce(f.first_day < c.day, false) as was_customer
  from changes c
  left join mrr_balances b
    on b.period_start = c.period_start and b.level = c.level and b.source = c.source
    and b.account_id = c.account_id and b.family is not distinct from c.family
  left join paid_starts f
    on f.level = c.level and f.source = c.source and f.account_id = c.account_id
    and f.family is not distinct from c.family
)
select
  period_start,
  level,
  source,
  account_id,
  family,
  case
    when balance = change and was_customer then 'reactivation'
    when balance = change then 'new'
    when balance = 0 then 'churn'
    when change > 0 then 'expansion'
    else 'contraction'
  end as movement,
  change as amount,
  0 as missing_rate
from running
where change <> 0
union all
select period_start, level, source, account_id, family, movement, amount, missing_rate
from mrr_movements
where movement is null or movement = 'currency'
