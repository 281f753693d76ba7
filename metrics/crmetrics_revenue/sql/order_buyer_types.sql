-- One row per counted order: existing when its account has an earlier counted order, else new.
select
  source,
  id,
  case
    when ordered_at > min(ordered_at) over (
      partition by source_of_accounts(source, account_id), account_id
    ) then 'existing'
    else 'new'
  end as customer_type
from counted_orders
where not is_refund and account_id is not null
