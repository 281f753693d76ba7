-- One row per line of a counted order, with its cost and value in the reporting currency at the
-- rate of the order's day. The unit cost is the line's (in the order's currency), else the
-- product's (in the product's); cost is null when neither is known or has a rate.
-- excluded: orders
with lines as (
  select *, source_of_products(source, product_id) as product_source
  from counted_order_items
),
priced as (
  select
    l.source,
    l.id,
    l.order_source,
    l.order_id,
    l.account_id,
    l.campaign_id,
    l.product_id,
    l.quantity,
    l.total_amount,
    l.currency,
    l.rate_day as ordered_on,
    (l.quantity * coalesce(l.unit_cost, p.unit_cost))::decimal(28, 10) as own_cost,
    case when l.unit_cost is null then p.currency else l.currency end as cost_currency
  from lines l
  left join live_products p on p.source = l.product_source and p.id = l.product_id
)
select
  l.*,
  case
    when l.cost_currency is null or l.cost_currency = $reporting_currency then l.own_cost
    else (l.own_cost * c.rate)::decimal(28, 10)
  end as cost,
  case
    when l.currency is null or l.currency = $reporting_currency
      then l.total_amount::decimal(28, 10)
    else (l.total_amount * o.rate)::decimal(28, 10)
  end as line_value
from priced l
left join rates_by_day c on c.currency = l.cost_currency and c.day = l.ordered_on
left join rates_by_day o on o.currency = l.currency and o.day = l.ordered_on
