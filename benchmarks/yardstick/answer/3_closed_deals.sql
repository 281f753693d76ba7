-- What was decided in each month.
insert into answer by name
select
  'won_amount' as kpi, month, dimension, entry, amount as value, amounts as n, amounts as rows_used,
  state(month, value) as status, [] as flags, orphan_won as orphan, missing_amount, missing_rate,
  deleted_won as excluded_deleted, test_won as excluded_test
from closed_groups
where kind = 'own' and amounts > 0
union all by name
select
  'average_deal_size' as kpi, month, dimension, entry, amount / amounts as value,
  amount as numerator, amounts as denominator, amounts as n, amounts as rows_used,
  state(month, value) as status, [] as flags, orphan_won as orphan, missing_amount, missing_rate,
  zero_amount, deleted_won as excluded_deleted, test_won as excluded_test
from closed_groups
where kind = 'own' and amounts > 0
union all by name
select
  'win_rate' as kpi, month, dimension, entry, won / closed as value, won as numerator,
  closed as denominator, closed as n, closed as rows_used,
  wilson(won, closed, -1) as interval_low, wilson(won, closed, 1) as interval_high,
  state(month, value) as status, marks(month, value, closed) as flags, orphan,
  deleted as excluded_deleted, test as excluded_test
from closed_groups
where kind = 'own' and closed > 0;

-- Against the month before. Of each count the larger of the two months is told.
insert into answer by name
with compared as (
  select
    month, dimension, entry,
    coalesce(max(amount) filter (where kind = 'own'), 0) as current,
    coalesce(max(amount) filter (where kind = 'previous'), 0) as previous,
    coalesce(max(amounts) filter (where kind = 'own'), 0) as n,
    max(amounts) as rows_used,
    max(orphan_won) as orphan,
    max(missing_amount) as missing_amount,
    max(missing_rate) as missing_rate,
    max(deleted_won) as excluded_deleted,
    max(test_won) as excluded_test
  from closed_groups
  where kind <> 'trailing'
  group by month, dimension, entry
  having max(amounts) > 0
)
select
  'sales_growth_rate' as kpi,
  * exclude (current, previous),
  current - previous as numerator,
  previous as denominator,
  case when previous > 0 then (current - previous) / previous end as value,
  state(month, value) as status,
  marks(month, value, null) as flags
from compared;

-- Medians cannot be added up; what they leave out has been counted.
insert into answer by name
with cycles as (
  select date_diff('month', date '2024-01-01', day)::utinyint as position, cycle, team, segment, origin
  from deals
  where is_won and gone = 0 and cycle >= 0 and day >= date '2024-01-01'
),
medians as (
  select
    position,
    case
      when team is not null then 'team' when segment is not null then 'segment'
      when origin is not null then 'lead_source' else ''
    end as dimension,
    coalesce(team, segment, origin, 0) as code,
    quantile_cont(cycle, 0.5) as median
  from cycles
  group by grouping sets ((position), (position, team), (position, segment), (position, origin))
)
select
  'sales_cycle_length' as kpi, g.month, g.dimension, g.entry, median as value, cycles as n,
  cycles as rows_used, state(g.month, median) as status, [] as flags, orphan_cycle as orphan,
  invalid_duration, deleted_cycle as excluded_deleted, test_cycle as excluded_test
from medians m
join closed_groups g
  on g.kind = 'own' and g.position = m.position and g.dimension = m.dimension and g.code = m.code;
