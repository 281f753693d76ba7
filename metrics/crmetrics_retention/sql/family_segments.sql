-- One row per segment of a subscription that is no trial, with the family of its product. source is
-- that of the account.
-- excluded: subscriptions
select
  source_of_accounts(s.source, s.account_id) as source,
  s.account_id,
  p.family,
  s.start_date,
  s.end_date,
  s.mrr,
  s.currency
from live_subscriptions s
left join live_products p
  on p.source = source_of_products(s.source, s.product_id) and p.id = s.product_id
where not s.is_trial
  and s.account_id is not null
  and s.start_date is not null
