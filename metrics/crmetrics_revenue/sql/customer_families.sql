-- One row per period, customer active at its end and family bought before that; a customer who
-- bought nothing keeps one row without a family. Returns are ignored.
with items as (
  select
    source_of_accounts(order_source, account_id) as account_source,
    account_id,
    source_of_products(source, product_id) as product_source,
    product_id,
    ordered_at
  from counted_order_items
  where quantity > 0
),
firsts as (
  select i.account_source, i.account_id, p.family, min(i.ordered_at) as first_at
  from items i
  join live_products p on p.source = i.product_source and p.id = i.product_id
  where p.family is not null
  group by i.account_source, i.account_id, p.family
),
active as (
  select distinct p.period_start, p.snapshot_at, c.source, c.account_id
  from customer_spells c
  join periods p
    on c.start_date <= p.snapshot_day
    and (c.end_date is null or c.end_date > p.snapshot_day)
)
select a.period_start, a.source, a.account_id, f.family
from active a
left join firsts f
  on f.account_source = a.source and f.account_id = a.account_id and f.first_at < a.snapshot_at
