-- One row per period and account (level account), and per period, account and family (level
-- family): MRR at the opening and at the closing, the closing also at the rate of the opening day.
-- Accounts that pay in the reporting currency alone are the rule, and need no rates. may_have_moved:
-- false only where nothing has; nearly all rows stand still, and are so dropped before they are made.
-- excluded: subscriptions
with parts as (
  select
    v.period_start,
    source_of_accounts(v.source, v.account_id) as source,
    v.account_id,
    source_of_products(v.source, v.product_id) as product_source,
    v.product_id,
    case
      when v.currency is null or v.currency = $reporting_currency
        then v.opening_mrr::decimal(28, 10)
      else (v.opening_mrr * o.rate)::decimal(28, 10)
    end as opening,
    case
      when v.currency is null or v.currency = $reporting_currency
        then v.closing_mrr::decimal(28, 10)
      else (v.closing_mrr * o.rate)::decimal(28, 10)
    end as closing_at_opening,
    case
      when v.currency is null or v.currency = $reporting_currency
        then v.closing_mrr::decimal(28, 10)
      else (v.closing_mrr * c.rate)::decimal(28, 10)
    end as closing,
    coalesce(v.currency <> $reporting_currency and o.rate is null, false)::int as missing_rate
  from foreign_mrr v
  join periods p on p.period_start = v.period_start
  left join rates_by_day o on o.currency = v.currency and o.day = v.period_start - 1
  left join rates_by_day c on c.currency = v.currency and c.day = p.snapshot_day
),
levels as (
  select *, 'account' as level, null::varchar as family from parts
  union all
  select parts.*, 'family' as level, p.family
  from parts
  left join live_products p on p.source = parts.product_source and p.id = parts.product_id
)
select
  period_start,
  'account' as level,
  source,
  account_id,
  null::varchar as family,
  coalesce(opening_mrr, 0)::decimal(38, 10) as opening,
  coalesce(closing_mrr, 0)::decimal(38, 10) as closing_at_opening,
  coalesce(closing_mrr, 0)::decimal(38, 10) as closing,
  0 as missing_rate,
  opening_mrr is distinct from closing_mrr as may_have_moved
from plain_mrr
union all
select
  period_start,
  'family',
  source,
  account_id,
  family,
  coalesce(opening_mrr, 0)::decimal(38, 10),
  coalesce(closing_mrr, 0)::decimal(38, 10),
  coalesce(closing_mrr, 0)::decimal(38, 10),
  0,
  opening_mrr is distinct from closing_mrr
from plain_family_mrr
union all
select
  period_start,
  level,
  source,
  account_id,
  family,
  coalesce(sum(opening), 0) as opening,
  coalesce(sum(closing_at_opening), 0) as closing_at_opening,
  coalesce(sum(closing), 0) as closing,
  sum(missing_rate) as missing_rate,
  true as may_have_moved
from levels
group by period_start, level, source, account_id, family
