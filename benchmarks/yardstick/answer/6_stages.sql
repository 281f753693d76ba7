-- Days in stage, and the stays that still run.
-- Deals that are not there are numbered after those that are.
update steps set key = key | (number << 36)
from (
  select absent, (1 << 26) + row_number() over () as number
  from (select distinct absent from steps where absent is not null)
) a
where a.absent = steps.absent;

-- What came before the months, of stays that ran into them.
create temp table earlier_steps as
select s.key, s.stay, h.entered_at, h.exited_at
from crm.opportunity_stage_history h
join (
  select distinct key, stay from steps where entered_at < timestamptz '2024-01-01'
) s on s.stay = hash(coalesce(h.stay_id, h.id))
where not h.is_deleted and not h.is_test and not h.is_closed and h.exited_at < timestamptz '2024-01-01';

-- Days of the stays that ended in a month, added up for each deal and stage. Nearly always that is
-- one row; only where there are several they are put together.
create temp table exits as
with several as (
  select key
  from (select key from steps union all select key from earlier_steps)
  group by all
  having count(*) > 1
),
stays as (
  select
    key,
    min(epoch_us(entered_at)) as entered,
    max(coalesce(exited_at, timestamptz 'infinity')) as exited_at
  from (
    select key, stay, entered_at, exited_at from steps union all from earlier_steps
  ) p
  semi join several s on s.key = p.key
  group by key, stay
),
ended as (
  select
    key,
    date_diff('month', timestamp '2024-01-01', make_timestamp(epoch_us(exited_at))) as position,
    case when exited_at >= entered_at then epoch_us(exited_at) - epoch_us(entered_at) end as lasted,
    (exited_at < entered_at)::integer as invalid
  from steps p
  anti join several s on s.key = p.key
  where exited_at is not null
  union all
  select
    key,
    date_diff('month', timestamp '2024-01-01', make_timestamp(epoch_us(exited_at))) as position,
    sum(epoch_us(exited_at) - entered) filter (where epoch_us(exited_at) >= entered),
    count(*) filter (where epoch_us(exited_at) < entered)
  from stays
  where isfinite(exited_at)
  group by key, position
)
select
  position::utinyint as position,
  ((key >> 28) & 15)::utinyint as stage,
  ((key >> 16) & 255)::utinyint as team,
  ((key >> 8) & 255)::utinyint as segment,
  (key & 255)::utinyint as origin,
  (key >> 24) & 1 = 1 as is_orphan,
  (key >> 25) & 3 > 0 as is_gone,
  lasted::bigint as lasted,
  invalid
from ended;

create temp table running_groups as
with grouped as (
  select
    position, stage,
    case
      when team is not null then 'team' when segment is not null then 'segment'
      when origin is not null then 'lead_source' else ''
    end as dimension,
    coalesce(team, segment, origin, 0) as code,
    sum(steps) as steps
  from step_cells
  where gone = 0
  group by grouping sets (
    (position, stage), (position, stage, team), (position, stage, segment), (position, stage, origin)
  )
)
select
  m.position, g.stage, g.dimension, g.code,
  sum(coalesce(c.steps, 0)) over (partition by g.stage, g.dimension, g.code order by m.position) as running
from (select distinct stage, dimension, code from grouped) g
cross join months m
left join grouped c using (position, stage, dimension, code);

insert into answer by name
with counted as (
  select
    position, stage,
    case
      when team is not null then 'team' when segment is not null then 'segment'
      when origin is not null then 'lead_source' else ''
    end as dimension,
    coalesce(team, segment, origin, 0) as code,
    quantile_cont(lasted, 0.5) / 86400e6 as median,
    count(lasted) as n,
    sum(invalid) as invalid
  from exits
  where not is_gone
  group by grouping sets (
    (position, stage), (position, stage, team), (position, stage, segment), (position, stage, origin)
  )
),
odd as (
  select
    position, stage,
    case
      when team is not null then 'team' when segment is not null then 'segment'
      when origin is not null then 'lead_source' else ''
    end as dimension,
    coalesce(team, segment, origin, 0) as code,
    count(*) filter (where not is_gone) as orphan,
    count(*) filter (where is_gone) as gone
  from exits
  where (is_gone or is_orphan) and lasted is not null
  group by grouping sets (
    (position, stage), (position, stage, team), (position, stage, segment), (position, stage, origin)
  )
)
select
  'stage_duration' as kpi, m.month, dimension, e.entry,
  ['Discovery', 'Negotiation', 'Proposal', 'Qualification'][stage + 1] as part,
  median as value, n, n as rows_used, state(m.month, median) as status, [] as flags,
  o.orphan, c.invalid as invalid_duration, r.running, o.gone as excluded_parent
from counted c
join months m using (position)
join entries e using (dimension, code)
left join odd o using (position, stage, dimension, code)
left join running_groups r using (position, stage, dimension, code)
where n > 0;
