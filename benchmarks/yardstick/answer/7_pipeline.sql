-- Open amounts at each month's end, per currency until they are few, then at the day of the snapshot.
insert into answer by name
with grouped as (
  select
    position, currency,
    case
      when team is not null then 'team' when segment is not null then 'segment'
      when origin is not null then 'lead_source' else ''
    end as dimension,
    coalesce(team, segment, origin, 0) as code,
    sum(steps) filter (where gone = 0) as steps,
    sum(amounts) filter (where gone = 0) as amounts,
    sum(amount) filter (where gone = 0) as amount,
    sum(steps) filter (where gone = 0 and is_orphan) as orphan,
    sum(steps) filter (where gone > 0) as gone
  from step_cells
  where not is_omitted
  group by grouping sets (
    (position, currency), (position, currency, team), (position, currency, segment),
    (position, currency, origin)
  )
),
snapshots as (
  select
    m.position, m.month, m.snapshot_day, g.currency, g.dimension, g.code,
    sum(columns(c.* exclude (position, currency, dimension, code))) over (
      partition by g.currency, g.dimension, g.code order by m.position
    )
  from (select distinct currency, dimension, code from grouped) g
  cross join months m
  left join grouped c using (position, currency, dimension, code)
),
converted as (
  select
    s.month, s.dimension, s.code,
    sum(s.amount::double * r.rate) as value,
    sum(s.amounts) filter (where r.rate is not null) as n,
    sum(s.steps - s.amounts) as missing_amount,
    sum(s.amounts) filter (where r.rate is null) as missing_rate,
    sum(s.orphan) as orphan,
    sum(s.gone) as excluded_parent
  from snapshots s
  left join (
    select e.code, r.day, r.rate from rates r join entries e on e.dimension = 'currency' and e.entry = r.currency
    union all
    select 0, snapshot_day, 1 from months
  ) r on r.code = s.currency and r.day = s.snapshot_day
  group by s.month, s.dimension, s.code
)
select
  'sales_pipeline_value' as kpi, c.* exclude (code), e.entry, n as rows_used,
  state(month, value) as status, [] as flags
from converted c
join entries e using (dimension, code)
where n > 0;
