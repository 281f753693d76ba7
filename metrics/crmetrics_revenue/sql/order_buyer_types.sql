-- One row per counted order: new when it is the first counted one of its account (of two at one
-- instant the one with the smaller id), else existing. campaign_orders draws the same line.
select
  source,
  id,
  case
    when row_number() over (
      partition by source_of_accounts(source, account_id), account_id order by ordered_at, id
    ) = 1 then 'new'
    else 'existing'
  end as customer_type
from counted_orders
where not is_refund and account_id is not null
