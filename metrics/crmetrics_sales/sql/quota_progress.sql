-- Targets, wins and open pipeline of each period: the company quota with the deals of everybody if
-- there is one, else the owners' quotas with the deals of their owners; a deal counts in the days of
-- the quota. Target 0 is not targeted.
-- excluded: opportunities where is_won is not null
with scope as (
  select period_start, bool_or(owner_id is null) as is_company
  from period_quotas
  group by period_start
),
targets as (
  select
    period_start,
    source,
    owner_id,
    sum(target_amount) as target_amount,
    sum(quota_days) filter (where target_amount is not null) as quota_days,
    sum(elapsed_days) filter (where target_amount is not null) as elapsed_days,
    count(*) filter (where target_amount is null) as missing_rate
  from period_quotas
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
join scope s on s.period_start = t.period_start and (t.owner_id is null) = s.is_company
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
join scope s on s.period_start = d.period_start and s.is_company = d.is_company
join targets t
  on t.period_start = d.period_start
  -- Null for the company, as in its target. Equalities alone: any other condition would be tried on
  -- every pair of a deal and a target of the period.
  and t.source is not distinct from case when not d.is_company then d.owner_source end
  and t.owner_id is not distinct from case when not d.is_company then d.owner_id end
