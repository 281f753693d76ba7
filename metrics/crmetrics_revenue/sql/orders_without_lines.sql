-- One row per counted order that has no line.
select o.*
from counted_orders o
anti join counted_order_items i on i.order_source = o.source and i.order_id = o.id
where not o.is_refund
