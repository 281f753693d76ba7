-- One row per order of buyer_orders and family of a product in it; an order without lines has one row
-- without a family.
select distinct o.*, p.family
from buyer_orders o
left join counted_order_items i on i.order_source = o.order_source and i.order_id = o.order_id
left join live_products p
  on p.source = source_of_products(i.source, i.product_id) and p.id = i.product_id
