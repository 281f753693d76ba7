-- One row per line of a counted order, with whether its buyer had ordered before.
-- excluded: orders
select
  i.source,
  i.id,
  i.order_source,
  i.order_id,
  i.account_id,
  i.campaign_id,
  i.product_id,
  i.quantity,
  i.rate_day as ordered_on,
  i.updated_at,
  t.customer_type
from counted_order_items i
left join order_buyer_types t on t.source = i.order_source and t.id = i.order_id
