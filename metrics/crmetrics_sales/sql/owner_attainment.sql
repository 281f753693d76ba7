-- One row per period and owner with a quota above zero: target and won amount.
select
  period_start,
  owner_id,
  sum(target_amount) as target_amount,
  coalesce(sum(won_amount), 0) as won_amount
from owner_quota_progress
where is_targeted
group by period_start, owner_id
