-- One row per account that is no partner: its first customer day, and the days from the day it was
-- created to it (negative = it was a customer before; null = it never was one).
select
  a.*,
  a.id as account_id,
  c.first_day as first_customer_day,
  c.first_day - local_day(a.created_at) as days_to_customer
from live_accounts a
left join customer_first_days c on c.source = a.source and c.account_id = a.id
where a.account_type is distinct from 'partner'
