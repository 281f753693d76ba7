-- Lines of counted orders with what is known of their order. source and id are the line's,
-- order_source is the order's; amounts are in currency, the order's.
create or replace temp view counted_order_items as
with items as (
    select
        source,
        id,
        source_of_orders(source, order_id) as order_source,
        order_id,
        product_id,
        quantity,
        total_amount,
        unit_cost,
        updated_at
    from live_order_items
)
select
    items.source,
    items.id,
    items.order_source,
    items.order_id,
    items.product_id,
    items.quantity,
    items.total_amount,
    items.unit_cost,
    orders.currency,
    orders.account_id,
    orders.campaign_id,
    orders.opportunity_id,
    orders.ordered_at,
    orders.rate_day,
    orders.is_fully_refunded,
    items.updated_at
from items
join counted_orders as orders
    on orders.source = items.order_source
    and orders.id = items.order_id
where not orders.is_refund
