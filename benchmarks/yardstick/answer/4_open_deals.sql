-- Deals open at each month's end: opened minus closed, added up from month to month.
create temp table open_groups as
with changes as (
  select first_reading as position, team, segment, origin, count(*)::integer as deals
  from deals
  where gone = 0 and first_reading < last_reading
  group by all
  union all
  select last_reading, team, segment, origin, -count(*)::integer
  from deals
  where gone = 0 and first_reading < last_reading and last_reading < 24
  group by all
),
odd_changes as (
  select
    unnest([first_reading, last_reading]) as position, team, segment, origin,
    unnest([1, -1]) * (gone = 0)::integer as orphan,
    unnest([1, -1]) * (gone = 1)::integer as deleted,
    unnest([1, -1]) * (gone = 2)::integer as test
  from deals
  where (gone > 0 or is_orphan) and first_reading < last_reading
),
grouped as (
  select
    position,
    case
      when team is not null then 'team' when segment is not null then 'segment'
      when origin is not null then 'lead_source' else ''
    end as dimension,
    coalesce(team, segment, origin, 0) as code,
    sum(columns(* exclude (position, team, segment, origin)))
  from (from changes union all by name from odd_changes)
  group by grouping sets ((position), (position, team), (position, segment), (position, origin))
)
select
  m.position, m.month, g.dimension, g.code,
  sum(coalesce(deals, 0)) over passed as deals,
  sum(coalesce(orphan, 0)) over passed as orphan,
  sum(coalesce(deleted, 0)) over passed as deleted,
  sum(coalesce(test, 0)) over passed as test
from (select distinct dimension, code from grouped) g
cross join months m
left join grouped c on c.position = m.position and c.dimension = g.dimension and c.code = g.code
window passed as (partition by g.dimension, g.code order by m.position);

-- Deals open at the month's end with what was decided in the 90 days to it. Of each count the
-- largest of the four factors is told.
insert into answer by name
select
  'sales_velocity' as kpi,
  coalesce(o.month, c.month) as month,
  dimension,
  e.entry,
  o.deals * (c.amount / nullif(c.amounts, 0)) * (c.won / c.closed) / nullif(c.cycle_days / nullif(c.cycles, 0), 0)
    as value,
  coalesce(o.deals, 0) as n,
  greatest(o.deals, c.closed) as rows_used,
  state(coalesce(o.month, c.month), value) as status,
  marks(coalesce(o.month, c.month), value, null) as flags,
  greatest(o.orphan, c.orphan) as orphan,
  c.missing_amount,
  c.missing_rate,
  c.zero_amount,
  c.invalid_duration,
  greatest(o.deleted, c.deleted) as excluded_deleted,
  greatest(o.test, c.test) as excluded_test
from open_groups o
full join (from closed_groups where kind = 'trailing') c using (position, dimension, code)
join entries e using (dimension, code)
where o.deals > 0 or c.closed > 0;
