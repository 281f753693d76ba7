-- One row per account and product family: when it ordered the family first, and when again.
-- excluded: orders
with numbered as (
  select
    *,
    row_number() over (
      partition by source, account_id, family
      order by ordered_at, order_id
    ) as number,
    dense_rank() over (partition by source, account_id, family order by ordered_on) as day_number
  from family_orders
)
select
  source,
  account_id,
  family,
  min(ordered_at) as first_at,
  min(ordered_at) filter (
    where case when $merge_same_day then day_number else number end >= 2
  ) as second_at
from numbered
group by source, account_id, family
