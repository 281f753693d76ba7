-- The days on which accounts are customers of a product: one row per paid segment of a subscription,
-- or per line of a counted order that was not refunded whole; without either the product is unknown.
-- With days of grace a short gap between two rows of an account and product counts as well.
-- excluded: customers
with spans as (
  select
    source_of_accounts(source, account_id) as source,
    account_id,
    product_id,
    start_date,
    end_date
  from live_subscriptions
  where $customer_model = 'subscription'
    and not is_trial
    and mrr > 0
    and account_id is not null
    and start_date is not null
    and (end_date is null or end_date > start_date)
  union all
  select
    source_of_accounts(o.source, o.account_id),
    o.account_id,
    i.product_id,
    o.rate_day,
    o.rate_day + $purchase_days
  from counted_orders o
  left join counted_order_items i on i.order_source = o.source and i.order_id = o.id
  where $customer_model = 'purchase'
    and not o.is_refund
    and not o.is_fully_refunded
    and o.account_id is not null
    and o.rate_day is not null
  union all
  select source, account_id, null, start_date, end_date
  from customer_cover
  where $customer_model = 'field'
),
followed as (
  select
    source,
    account_id,
    product_id,
    start_date,
    end_date,
    lead(start_date) over (
      partition by source, account_id, product_id
      order by start_date
    ) as next_start,
    max(coalesce(end_date, date 'infinity')) over (
      partition by source, account_id, product_id
      order by start_date
      rows between unbounded preceding and current row
    ) as until
  from spans
  where $customer_model = 'subscription' and $grace_days > 0
)
select source, account_id, product_id, start_date, end_date
from spans
where $customer_model <> 'subscription' or $grace_days = 0
union all
select
  source,
  account_id,
  product_id,
  start_date,
  case
    when end_date is not null and next_start - $grace_days <= until
    then greatest(next_start, end_date)
    else end_date
  end
from followed
