-- One row per account that ever ordered: when it ordered first, and when it came back.
-- excluded: orders
with numbered as (
  select
    *,
    row_number() over (
      partition by source, account_id
      order by ordered_at, order_id
    ) as number,
    dense_rank() over (partition by source, account_id order by ordered_on) as day_number
  from buyer_orders
)
select
  source,
  account_id,
  min(ordered_at) as first_at,
  min(ordered_at) filter (
    where case when $merge_same_day then day_number else number end >= 2
  ) as second_at
from numbered
group by source, account_id
