-- Lines of the won deals that stand for orders; such a line knows no cost of its own, and its
-- currency is its own, else the deal's.
create or replace temp view counted_order_items as
with items as (
    select
        source,
        id,
        source_of_opportunities(source, opportunity_id) as order_source,
        opportunity_id as order_id,
        product_id,
        quantity,
        total_amount,
        currency,
        updated_at
    from live_opportunity_items
)
select
    items.source,
    items.id,
    items.order_source,
    items.order_id,
    items.product_id,
    items.quantity,
    items.total_amount,
    null::decimal(18, 4) as unit_cost,
    coalesce(items.currency, orders.currency) as currency,
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
