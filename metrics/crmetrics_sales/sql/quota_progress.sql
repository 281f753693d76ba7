-- Targets, wins and open pipeline of each period: the company quota with the deals of everybody if
-- there is one, else the owners' quotas with the deals of their owners.
-- excluded: opportunities
with scope as (
  select period_start, bool_or(owner_id is null) as is_company
  from period_quotas
  group by period_start
),
targets as (
  select period_start, owner_id, sum(target_amount) as target_amount
  from period_quotas
  group by period_start, owner_id
),
elapsed as (
  select
    period_start,
    (least(reading_day, period_end) - period_start) / (period_end - period_start) as elapsed_share
  from periods
)
select
  t.period_start,
  t.owner_id,
  t.target_amount,
  t.target_amount <> 0 as is_targeted,
  e.elapsed_share,
  null::decimal(28, 10) as won_amount,
  null::decimal(28, 10) as open_amount,
  null::double as weighted_amount,
  0 as missing_amount,
  0 as missing_rate
from targets t
join scope s on s.period_start = t.period_start and (t.owner_id is null) = s.is_company
join elapsed e on e.period_start = t.period_start
union all
select
  d.period_start,
  d.owner_id,
  null,
  s.is_company or t.target_amount <> 0,
  e.elapsed_share,
  d.won_amount,
  d.open_amount,
  d.open_amount::double * d.probability,
  d.missing_amount,
  d.missing_rate
from quota_deals d
join scope s on s.period_start = d.period_start
join elapsed e on e.period_start = d.period_start
left join targets t on t.period_start = d.period_start and t.owner_id = d.owner_id
where s.is_company or t.owner_id is not null
