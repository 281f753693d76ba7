-- One row per account (level account) and per account and family (level family): the first day
-- with a paid segment.
with paid as (
  select
    source_of_accounts(source, account_id) as source,
    account_id,
    source_of_products(source, product_id) as product_source,
    product_id,
    start_date
  from live_subscriptions
  where not is_trial and mrr > 0 and (end_date is null or end_date > start_date)
),
levels as (
  select *, 'account' as level, null::varchar as family from paid
  union all
  select paid.*, 'family' as level, p.family
  from paid
  left join live_products p on p.source = paid.product_source and p.id = paid.product_id
)
select level, source, account_id, family, min(start_date) as first_day
from levels
group by level, source, account_id, family
