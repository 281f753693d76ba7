-- The segments of accounts that pay in the reporting currency alone. source is that of the account.
with segments as (
  select
    source_of_accounts(source, account_id) as source, account_id, start_date, end_date, mrr
  from live_subscriptions
  where not is_trial
)
select s.*
from segments s
anti join foreign_payers f
  on f.source is not distinct from s.source and f.account_id is not distinct from s.account_id
