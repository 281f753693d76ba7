-- Open amounts at each month's end as running sums per currency, converted at the day of the
-- snapshot when they are few.
insert into answer
with spans as (
  select
    greatest(0, date_diff('month', timestamp '2024-01-01', make_timestamp(epoch_us(h.entered_at))))
      as first_reading,
    case
      when h.exited_at is null then 24
      else least(24, date_diff('month', timestamp '2024-01-01', make_timestamp(epoch_us(h.exited_at))))
    end as last_reading,
    h.opportunity_id,
    h.amount
  from crm.opportunity_stage_history h
  where not h.is_deleted and not h.is_test and not h.is_closed
    and (h.exited_at is null or h.exited_at >= timestamptz '2024-02-01')
),
named as (
  select
    unnest([first_reading, last_reading]) as position,
    unnest([s.amount, -s.amount]) as change,
    case when n.currency <> 'USD' then n.currency else '' end as currency,
    coalesce(n.team, '(none)') as team,
    coalesce(n.segment, '(none)') as segment,
    coalesce(n.lead_source, '(none)') as lead_source
  from (
    select * from spans anti join gone_deals g on g.id = opportunity_id
    where first_reading < last_reading
  ) s
  left join deal_names n on n.id = s.opportunity_id
  where n.forecast_category is distinct from 'omitted'
),
summed as (
  select position, coalesce(currency, '') as currency, team, segment, lead_source, sum(change) as change
  from named
  group by grouping sets (
    (position, currency), (position, currency, team), (position, currency, segment),
    (position, currency, lead_source)
  )
),
labelled as (
  select
    position, currency,
    case
      when team is not null then 'team' when segment is not null then 'segment'
      when lead_source is not null then 'lead_source' else ''
    end as dimension,
    coalesce(team, segment, lead_source, '') as entry,
    change
  from summed
),
snapshots as (
  select
    m.month, m.snapshot_day, g.dimension, g.entry, g.currency,
    sum(coalesce(l.change, 0)) over (
      partition by g.dimension, g.entry, g.currency order by m.position
    ) as amount
  from (select distinct dimension, entry, currency from labelled) g
  cross join months m
  left join labelled l
    on l.position = m.position and l.dimension = g.dimension and l.entry = g.entry
    and l.currency = g.currency
)
select
  'sales_pipeline_value', s.month, s.dimension, s.entry, null,
  sum(s.amount::double * case when s.currency = '' then 1 else r.rate end)
from snapshots s
left join rates r on r.currency = s.currency and r.day = s.snapshot_day
group by s.month, s.dimension, s.entry;
