-- What owners won in each month, and what of theirs is open until its end.
create temp table owner_deals as
select
  date_trunc('month', day)::date as month, owner_id,
  coalesce(sum(amount) filter (where gone = 0 and is_won), 0) as won,
  coalesce(sum(amount) filter (where gone = 0 and not is_won), 0) as opened,
  count(*) filter (where gone = 0 and is_won) as wins,
  count(*) filter (where gone = 0 and is_won and stated is null) as missing_won,
  count(*) filter (where gone = 0 and not is_won and stated is null) as missing_open,
  count(*) filter (where gone = 0 and is_won and stated is not null and amount is null) as unrated_won,
  count(*) filter (where gone = 0 and not is_won and stated is not null and amount is null) as unrated_open,
  count(*) filter (where gone = 1 and is_won) as deleted_won,
  count(*) filter (where gone = 2 and is_won) as test_won,
  count(*) filter (where gone = 1 and not is_won) as deleted_open,
  count(*) filter (where gone = 2 and not is_won) as test_open
from deals
where day >= date '2024-01-01' and day < date '2026-01-01'
  and (is_won or (not is_closed and day >= date '2025-12-15'))
group by all;

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

-- The last submission of each owner and category before the month began, against what was won.
insert into answer by name
with locked as (
  select
    m.month, f.owner_id, f.forecast_category,
    arg_max(f.forecast_amount, (f.submitted_at, f.id))::double as forecast
  from crm.forecasts f
  join months m on m.month = f.period_start and m.month_end = f.period_end
  where not f.is_deleted and not f.is_test and f.submitted_at <= m.month::timestamptz
  group by all
),
categories as (
  select distinct month, forecast_category from locked
),
sellers as (
  select d.month, d.owner_id, c.forecast_category
  from owner_deals d
  join categories c using (month)
  where d.wins > 0 and d.owner_id is not null
),
compared as (
  select
    month, owner_id, forecast_category, coalesce(u.team, '(none)') as team,
    l.forecast is not null as is_counted,
    coalesce(w.won, 0) as won,
    abs(l.forecast - coalesce(w.won, 0)) as error,
    w.missing_won,
    w.unrated_won
  from locked l
  full join sellers s using (month, owner_id, forecast_category)
  left join owner_deals w using (month, owner_id)
  left join crm.users u on u.id = owner_id
),
summed as (
  select
    month, team, owner_id, null as forecast_category,
    sum(won) filter (where is_counted) as won,
    sum(error) as error,
    count(*) filter (where is_counted) as n,
    count(*) filter (where not is_counted) as missing_forecast,
    sum(missing_won) filter (where is_counted) as missing_amount,
    sum(unrated_won) filter (where is_counted) as missing_rate
  from compared
  where forecast_category = 'commit'
  group by grouping sets ((month), (month, team), (month, owner_id))
  union all
  select
    month, null, null, forecast_category, sum(won) filter (where is_counted), sum(error),
    count(*) filter (where is_counted), count(*) filter (where not is_counted),
    sum(missing_won) filter (where is_counted), sum(unrated_won) filter (where is_counted)
  from compared
  group by month, forecast_category
)
select
  'sales_forecast_accuracy' as kpi, month,
  case
    when team is not null then 'team' when owner_id is not null then 'owner_id'
    when forecast_category is not null then 'forecast_category' else ''
  end as dimension,
  coalesce(team, owner_id, forecast_category, '') as entry,
  case when won > 0 then greatest(0, 1 - error / won) end as value,
  won - error as numerator, won as denominator, n, n as rows_used,
  state(month, value) as status, marks(month, value, null) as flags,
  missing_forecast, missing_amount, missing_rate
from summed
where n > 0;
