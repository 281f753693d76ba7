-- The segments of accounts that have any in another currency: what these pay differs by the day of
-- the rates.
select s.source, s.account_id, s.product_id, s.start_date, s.end_date, s.mrr, s.currency
from live_subscriptions s
semi join foreign_payers f
  on f.source is not distinct from source_of_accounts(s.source, s.account_id)
  and f.account_id is not distinct from s.account_id
where not s.is_trial
