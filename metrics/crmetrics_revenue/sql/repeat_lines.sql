-- One row per line that a returning buyer bought (an order without such lines keeps one row), with
-- whether the line is an up-sell or a cross-sell. Returns (quantity not above 0) are no lines here.
-- excluded: orders
with orders as (
  select
    source,
    id,
    source_of_accounts(source, account_id) as account_source,
    account_id,
    campaign_id,
    currency,
    ordered_at,
    rate_day as ordered_on,
    updated_at,
    ordered_at > min(ordered_at) over (
      partition by source_of_accounts(source, account_id), account_id
    ) as is_repeat
  from counted_orders
  where not is_refund and account_id is not null
),
items as (
  select
    order_source,
    order_id,
    id,
    source_of_accounts(order_source, account_id) as account_source,
    account_id,
    source_of_products(source, product_id) as product_source,
    product_id,
    ordered_at,
    total_amount
  from counted_order_items
  where quantity > 0
),
lines as (
  select i.*, p.family, p.tier_rank
  from items i
  left join live_products p on p.source = i.product_source and p.id = i.product_id
),
purchases as (
  -- Orders of one instant are not earlier than each other.
  select account_source, account_id, family, ordered_at, max(tier_rank) as tier_rank
  from lines
  where family is not null
  group by account_source, account_id, family, ordered_at
),
histories as (
  select
    account_source,
    account_id,
    family,
    ordered_at,
    max(tier_rank) over before as tier_before,
    count(*) over before > 0 as is_owned
  from purchases
  window before as (
    partition by account_source, account_id, family
    order by ordered_at
    rows between unbounded preceding and 1 preceding
  )
)
select
  o.source,
  l.id,
  o.id as order_id,
  o.account_source,
  o.account_id,
  o.campaign_id,
  o.currency,
  o.ordered_on,
  o.updated_at,
  l.product_id,
  l.total_amount,
  l.family,
  l.tier_rank,
  coalesce(l.tier_rank > h.tier_before, false) as is_upsell,
  coalesce(not h.is_owned, false) as is_cross_sell
from orders o
left join lines l on l.order_source = o.source and l.order_id = o.id
left join histories h
  on h.account_source = l.account_source and h.account_id = l.account_id
  and h.family = l.family and h.ordered_at = l.ordered_at
where o.is_repeat
