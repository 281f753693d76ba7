-- One row per period, account and family of which the account is a customer at the opening or at
-- the closing: with a paid segment in it, or (purchase model) with an order of it in purchase_days.
with subscribed as (
  select
    period_start,
    source_of_accounts(source, account_id) as source,
    account_id,
    source_of_products(source, product_id) as product_source,
    product_id,
    coalesce(opening_paid > 0, false) as is_opening,
    coalesce(closing_paid > 0, false) as is_closing
  from subscribed_mrr
  where $customer_model <> 'purchase'
),
purchases as (
  select distinct
    source_of_accounts(order_source, account_id) as source,
    account_id,
    source_of_products(source, product_id) as product_source,
    product_id,
    rate_day as day
  from counted_order_items
  where $customer_model = 'purchase' and quantity > 0 and not is_fully_refunded
),
states as (
  select * from subscribed
  union all
  select
    p.period_start,
    b.source,
    b.account_id,
    b.product_source,
    b.product_id,
    b.day < p.period_start and b.day >= p.period_start - $purchase_days,
    b.day <= p.snapshot_day and b.day > p.snapshot_day - $purchase_days
  from purchases b
  join periods p
    on b.day <= p.snapshot_day
    and b.day >= p.period_start - $purchase_days
)
select
  s.period_start,
  s.source,
  s.account_id,
  f.family,
  bool_or(s.is_opening) as is_opening,
  bool_or(s.is_closing) as is_closing
from states s
left join live_products f on f.source = s.product_source and f.id = s.product_id
where s.is_opening or s.is_closing
group by s.period_start, s.source, s.account_id, f.family
