-- One row per new customer and product: what the account bought on its first customer day.
select f.source, f.account_id, f.first_day, s.product_id
from customer_first_days f
left join live_subscriptions s
  on $customer_model = 'subscription'
  and source_of_accounts(s.source, s.account_id) = f.source and s.account_id = f.account_id and s.start_date = f.first_day
  and not s.is_trial and s.mrr > 0
where $customer_model <> 'purchase'
union
select f.source, f.account_id, f.first_day, i.product_id
from customer_first_days f
left join counted_order_items i
  on source_of_accounts(i.order_source, i.account_id) = f.source and i.account_id = f.account_id
  and local_day(i.ordered_at) = f.first_day
where $customer_model = 'purchase'
