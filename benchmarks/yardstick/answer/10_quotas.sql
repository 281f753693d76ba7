-- Quota attainment and pipeline coverage of the owners with a quota.
create temp table quota_groups as
with targets as (
  select m.month, q.owner_id, sum(q.target_amount)::double as target
  from crm.quotas q
  join months m on q.period_start = m.month and q.period_end = m.month_end
  where not q.is_deleted and not q.is_test and q.kpi_id = 'won_amount'
  group by all
),
named as (
  select
    t.*, d.* exclude (month, owner_id), coalesce(u.team, '(none)') as team,
    coalesce(u.role, '(none)') as role
  from targets t
  left join owner_deals d using (month, owner_id)
  left join crm.users u on u.id = t.owner_id
)
select
  month,
  case
    when team is not null then 'team' when owner_id is not null then 'owner_id'
    when role is not null then 'owner.role' else ''
  end as dimension,
  coalesce(team, owner_id, role, '') as entry,
  count(*) as n,
  sum(target) filter (where target <> 0) as target,
  coalesce(sum(columns(* exclude (month, owner_id, team, role, target))), 0)
from named
group by grouping sets ((month), (month, team), (month, owner_id), (month, role));

insert into answer by name
select
  'quota_attainment' as kpi, month, dimension, entry, won / target as value, won as numerator,
  target as denominator, n, n as rows_used, state(month, value) as status, [] as flags,
  missing_won as missing_amount, unrated_won as missing_rate, deleted_won as excluded_deleted,
  test_won as excluded_test
from quota_groups
union all by name
select
  'pipeline_coverage' as kpi, month, dimension, entry,
  case when target > won then opened / (target - won) end as value, opened as numerator,
  target - won as denominator, n, n as rows_used,
  case when target > won then 'ok' else 'target_met' end as status, [] as flags,
  missing_won + missing_open as missing_amount, unrated_won + unrated_open as missing_rate,
  deleted_won + deleted_open as excluded_deleted, test_won + test_open as excluded_test
from quota_groups
where dimension <> 'owner.role';

-- What remains of the target has no segment; the open deals have.
insert into answer by name
with opened as (
  select
    date_trunc('month', day)::date as month, segment,
    coalesce(sum(amount) filter (where gone = 0), 0) as opened,
    count(amount) filter (where gone = 0) as n,
    count(*) filter (where gone = 0 and is_orphan) as orphan,
    count(*) filter (where gone = 0 and stated is null) as missing_amount,
    count(*) filter (where gone = 0 and stated is not null and amount is null) as missing_rate,
    count(*) filter (where gone = 1) as excluded_deleted,
    count(*) filter (where gone = 2) as excluded_test
  from deals
  where not is_closed and day >= date '2025-12-15' and day < date '2026-01-01'
    and owner_id in (from quota_groups select entry where dimension = 'owner_id' and month = date '2025-12-01')
  group by all
)
select
  'pipeline_coverage' as kpi, o.* exclude (segment, opened), 'segment' as dimension, e.entry,
  case when q.target > q.won then o.opened / (q.target - q.won) end as value,
  o.opened as numerator, q.target - q.won as denominator, o.n as rows_used,
  case when q.target > q.won then 'ok' else 'target_met' end as status, [] as flags
from opened o
join entries e on e.dimension = 'segment' and e.code = o.segment
join quota_groups q on q.month = o.month and q.dimension = ''
where o.n > 0;
