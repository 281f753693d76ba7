-- One row per period and account that a lead created in the period names as its referrer.
select distinct
  d.period_start,
  source_of_accounts(l.source, l.referred_by_account_id) as source,
  l.referred_by_account_id as account_id
from live_leads l
join period_days d on d.day = local_day(l.created_at)
where l.referred_by_account_id is not null
