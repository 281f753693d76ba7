-- Orders that count, and their refunds as negative rows. booked_at and booked_on put a row into a
-- period; both rows of an order are converted at rate_day, the day of the order; amount is in
-- currency. Count orders with `not is_refund`.
create or replace temp view counted_orders as
select
    source,
    id,
    account_id,
    opportunity_id,
    campaign_id,
    status,
    currency,
    ordered_at,
    ordered_at as booked_at,
    local_day(ordered_at) as booked_on,
    local_day(ordered_at) as rate_day,
    total_amount as amount,
    total_amount,
    refunded_amount,
    refunded_at,
    false as is_refund,
    coalesce(refunded_amount > 0 and refunded_amount >= total_amount, false) as is_fully_refunded,
    updated_at
from live_orders
where status not in ('draft', 'cancelled')
union all
select
    source,
    id,
    account_id,
    opportunity_id,
    campaign_id,
    status,
    currency,
    ordered_at,
    coalesce(refunded_at, ordered_at) as booked_at,
    local_day(coalesce(refunded_at, ordered_at)) as booked_on,
    local_day(ordered_at) as rate_day,
    -refunded_amount as amount,
    total_amount,
    refunded_amount,
    refunded_at,
    true as is_refund,
    coalesce(refunded_amount > 0 and refunded_amount >= total_amount, false) as is_fully_refunded,
    updated_at
from live_orders
where status not in ('draft', 'cancelled')
    and refunded_amount <> 0
