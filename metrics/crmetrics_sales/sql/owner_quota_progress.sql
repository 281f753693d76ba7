-- Targets, wins and open pipeline of each period for the owners with a quota of their own; a deal
-- counts in the days of the quota. Target 0 is not targeted.
-- excluded: opportunities where is_won is not null
with targets as (
  select
    period_start,
    source,
    owner_id,
    sum(target_amount) as target_amount,
    sum(quota_days) filter (where target_amount is not null) as quota_days,
    sum(elapsed_days) filter (where target_amount is not null) as elapsed_days,
    count(*) filter (where target_amount is null) as missing_rate
  from period_quotas
  where owner_id is not null
  group by period_start, source, owner_id
)
select
  t.period_start,
  t.source,
  t.owner_id,
  t.target_amount,
  t.target_amount is distinct from 0 as is_targeted,
  case when t.target_amount <> 0 then t.quota_days end as quota_days,
  case when t.target_amount <> 0 then t.elapsed_days end as elapsed_days,
  null::boolean as is_won,
  null::decimal(28, 10) as won_amount,
  null::decimal(28, 10) as open_amount,
  null::double as weighted_amount,
  0 as missing_amount,
  t.missing_rate
from targets t
union all
select
  d.period_start,
  d.owner_source,
  d.owner_id,
  null,
  t.target_amount <> 0,
  null,
  null,
  d.is_won,
  d.won_amount,
  d.open_amount,
  d.open_amount::double * d.probability,
  d.missing_amount,
  d.missing_rate
from quota_deals d
join targets t
  on t.period_start = d.period_start and t.source = d.owner_source and t.owner_id = d.owner_id
where not d.is_company
