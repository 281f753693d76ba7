-- One row per period and order from a campaign, with the number of all orders of its customer type
-- in the period.
with orders as (
  select
    p.period_start,
    o.*,
    count(*) over (partition by p.period_start, o.customer_type) as type_orders
  from orders_by_customer_type o
  join period_days p on p.day = o.ordered_on
)
select * from orders where campaign_id is not null
