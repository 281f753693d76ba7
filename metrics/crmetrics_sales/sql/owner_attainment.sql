-- One row per period and owner with a quota above zero: target and won amount. source is that of
-- the owner.
select
  period_start,
  source,
  owner_id,
  sum(target_amount) as target_amount,
  coalesce(sum(won_amount), 0) as won_amount
from owner_quota_progress
where is_targeted
group by period_start, source, owner_id
having sum(target_amount) is not null
