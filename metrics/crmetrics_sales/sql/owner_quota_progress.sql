-- Targets, wins and open pipeline of each period for the owners with a quota of their own; a deal
-- counts in the days of the quota. Target 0 is not targeted.
-- excluded: opportunities where is_won is not null
select
  period_start,
  source,
  owner_id,
  sum(target_amount) as target_amount,
  is_targeted,
  sum(quota_days) filter (where target_amount is not null and is_targeted) as quota_days,
  sum(elapsed_days) filter (where target_amount is not null and is_targeted) as elapsed_days,
  null::boolean as is_won,
  null::decimal(28, 10) as won_amount,
  null::decimal(28, 10) as open_amount,
  null::double as weighted_amount,
  0 as missing_amount,
  count(*) filter (where target_amount is null) as missing_rate
from period_quotas
where owner_id is not null
group by period_start, source, owner_id, is_targeted
union all
select
  period_start,
  owner_source,
  owner_id,
  null,
  is_targeted,
  null,
  null,
  is_won,
  won_amount,
  open_amount,
  open_amount::double * probability,
  missing_amount,
  missing_rate
from quota_deals
where not is_company
