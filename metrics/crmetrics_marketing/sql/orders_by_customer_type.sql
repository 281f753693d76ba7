-- One row per counted order that was not fully refunded: whether it was the account's first counted
-- order (new) or not (existing).
-- excluded: orders
with placed as (
  select
    *,
    row_number() over (
      partition by source_of_accounts(source, account_id), account_id order by ordered_at, id
    ) as place
  from counted_orders
  where not is_refund
)
select
  source,
  id,
  account_id,
  campaign_id,
  rate_day as ordered_on,
  ordered_at,
  total_amount,
  currency,
  case
    when account_id is not null and place = 1 then 'new'
    when account_id is not null then 'existing'
  end as customer_type,
  updated_at
from placed
where not is_fully_refunded
