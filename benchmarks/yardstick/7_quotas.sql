-- Quota attainment and pipeline coverage of the owners with a quota; what remains of the target
-- has no segment.
create temp table owner_months as
with targets as (
  select m.month, q.owner_id, sum(q.target_amount) as target
  from crm.quotas q
  join months m on q.period_start = m.month and q.period_end = m.month_end
  where not q.is_deleted and not q.is_test and q.kpi_id = 'won_amount'
  group by all
),
wins as (
  select
    date_trunc('month', day)::date as month, owner_id,
    coalesce(sum(amount) filter (where is_won)::double, 0)
      + coalesce(sum(foreign_amount) filter (where is_won), 0) as won,
    case when count(*) filter (where not is_closed and (amount is not null or foreign_amount is not null)) > 0 then
    coalesce(sum(amount) filter (where not is_closed)::double, 0)
      + coalesce(sum(foreign_amount) filter (where not is_closed), 0) end as opened
  from deals
  where day >= date '2024-01-01'
  group by all
)
select
  t.month, t.owner_id, t.target, coalesce(w.won, 0) as won, w.opened,
  coalesce(u.team, '(none)') as team,
  coalesce(u.role, '(none)') as role
from targets t
left join wins w on w.month = t.month and w.owner_id = t.owner_id
left join crm.users u on u.id = t.owner_id;

create temp table progress as
select
  month,
  case
    when team is not null then 'team' when owner_id is not null then 'owner_id'
    when role is not null then 'owner.role' else ''
  end as dimension,
  coalesce(team, owner_id, role, '') as entry,
  sum(target)::double as target, sum(won) as won, coalesce(sum(opened), 0) as opened,
  sum(won) filter (where target <> 0) / nullif(sum(target) filter (where target <> 0), 0)::double as attainment
from owner_months
group by grouping sets ((month), (month, team), (month, owner_id), (month, role));

insert into answer
select 'quota_attainment', month, dimension, entry, null, attainment from progress
union all
select 'pipeline_coverage', month, dimension, entry, null, opened / (target - won)
from progress
where target > won and dimension <> 'owner.role';

insert into answer
select
  'pipeline_coverage', d.month, 'segment', d.segment, null,
  case when p.target > p.won then d.opened / (p.target - p.won) end
from (
  select
    date_trunc('month', day)::date as month, segment,
    coalesce(sum(amount)::double, 0) + coalesce(sum(foreign_amount), 0) as opened
  from deals
  where not is_closed and owner_id in (select owner_id from owner_months where month = date '2025-12-01')
  group by all
) d
join progress p on p.month = d.month and p.dimension = '';
