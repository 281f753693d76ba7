-- One row per segment of a subscription that is no trial. source is that of the account.
-- excluded: subscriptions
select
  source_of_accounts(source, account_id) as source,
  account_id,
  product_id,
  start_date,
  end_date,
  mrr,
  currency
from live_subscriptions
where not is_trial
  and account_id is not null
  and start_date is not null
