-- Days in stage: rows of one stay from first entry to last exit, stays of a deal in a stage that
-- ended in one month summed, then the median. Deals that left no stage in the 24 months are not read.
insert into answer
with looked_at as (
  select distinct opportunity_id
  from crm.opportunity_stage_history
  where exited_at >= timestamptz '2024-01-01' and not is_closed
),
stays as (
  select
    h.opportunity_id,
    stage,
    min(entered_at) as entered_at,
    max(coalesce(exited_at, timestamptz 'infinity')) as exited_at
  from crm.opportunity_stage_history h
  semi join looked_at l on l.opportunity_id = h.opportunity_id
  anti join gone_deals g on g.id = h.opportunity_id
  where not is_deleted and not is_test and not is_closed
  group by h.opportunity_id, stage, coalesce(stay_id, id)
),
exits as (
  select
    date_trunc('month', make_timestamp(epoch_us(exited_at)))::date as month,
    opportunity_id,
    stage,
    sum(epoch_us(exited_at) - epoch_us(entered_at)) / 86400e6 as days
  from stays
  where exited_at >= timestamptz '2024-01-01' and isfinite(exited_at) and exited_at >= entered_at
  group by all
),
named as (
  select
    e.month, e.stage, e.days,
    coalesce(u.team, '(none)') as team,
    coalesce(a.segment, '(none)') as segment,
    coalesce(o.lead_source, '(none)') as lead_source
  from exits e
  left join crm.opportunities o
    on o.id = e.opportunity_id and not o.is_deleted and not o.is_test
  left join crm.users u on u.id = o.owner_id
  left join accounts a on a.id = o.account_id
),
medians as (
  select month, stage, team, segment, lead_source, quantile_cont(days, 0.5) as median
  from named
  group by grouping sets (
    (month, stage), (month, stage, team), (month, stage, segment), (month, stage, lead_source)
  )
)
select
  'stage_duration', month,
  case
    when team is not null then 'team' when segment is not null then 'segment'
    when lead_source is not null then 'lead_source' else ''
  end,
  coalesce(team, segment, lead_source, ''), stage, median
from medians;
