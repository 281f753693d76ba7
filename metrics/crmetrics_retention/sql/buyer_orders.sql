-- One row per counted order that was not refunded whole. source is that of the account.
select
  source_of_accounts(source, account_id) as source,
  account_id,
  source as order_source,
  id as order_id,
  ordered_at,
  rate_day as ordered_on
from counted_orders
where not is_refund
  and not is_fully_refunded
  and account_id is not null
  and ordered_at is not null
