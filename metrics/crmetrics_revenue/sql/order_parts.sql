-- One row per counted order or refund and line: the amount split over the order's lines by their
-- share of the line total. An order without lines keeps one row without a product. The cost stands
-- with the order, not with its refund; a line without a known cost is not costed.
-- excluded: orders
with shares as (
  select
    order_source,
    order_id,
    product_id,
    cost,
    -- Lines that add up to nothing share the amount equally.
    coalesce(
      total_amount::double / nullif(sum(total_amount) over (partition by order_source, order_id), 0),
      1.0 / count(*) over (partition by order_source, order_id)
    ) as share
  from sold_lines
)
select
  o.source,
  o.id,
  o.account_id,
  o.campaign_id,
  o.opportunity_id,
  o.currency,
  o.booked_on,
  o.rate_day,
  o.is_refund,
  o.updated_at,
  s.product_id,
  case
    when s.share is null or s.share = 1 then o.amount::decimal(28, 10)
    else (o.amount * s.share)::decimal(28, 10)
  end as amount,
  case when not o.is_refund then s.cost end as cost,
  s.cost is not null as is_costed
from counted_orders o
left join shares s on s.order_source = o.source and s.order_id = o.id
