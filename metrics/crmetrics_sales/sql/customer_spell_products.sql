-- One row per customer spell and product: what the account bought on the first day of the spell.
select f.source, f.account_id, f.start_date, s.product_id
from customer_spells f
left join live_subscriptions s
  on $customer_model = 'subscription'
  and source_of_accounts(s.source, s.account_id) = f.source and s.account_id = f.account_id and s.start_date = f.start_date
  and not s.is_trial and s.mrr > 0
where $customer_model <> 'purchase'
union
select f.source, f.account_id, f.start_date, i.product_id
from customer_spells f
left join counted_order_items i
  on source_of_accounts(i.order_source, i.account_id) = f.source and i.account_id = f.account_id
  and local_day(i.ordered_at) = f.start_date
where $customer_model = 'purchase'
