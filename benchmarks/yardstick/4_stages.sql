-- Days in stage: rows of one stay from first entry to last exit, stays of a deal in a stage that
-- ended in one month summed, then the median. Deals that left no stage in the months are not read.
create temp table moved_deals as
select distinct opportunity_id
from crm.opportunity_stage_history
where exited_at >= timestamptz '2024-01-01' and not is_closed;

insert into answer
with stays as (
  select
    h.opportunity_id,
    stage,
    min(entered_at) as entered_at,
    max(coalesce(exited_at, timestamptz 'infinity')) as exited_at
  from crm.opportunity_stage_history h
  semi join moved_deals m on m.opportunity_id = h.opportunity_id
  where not is_deleted and not is_test and not is_closed
  group by h.opportunity_id, stage, coalesce(stay_id, h.id)
),
exits as (
  select
    date_trunc('month', make_timestamp(epoch_us(exited_at)))::date as month,
    opportunity_id,
    stage,
    sum(epoch_us(exited_at) - epoch_us(entered_at)) / 86400e6 as days
  from stays
  anti join gone_deals g on g.id = opportunity_id
  where exited_at >= timestamptz '2024-01-01' and isfinite(exited_at) and exited_at >= entered_at
  group by all
),
named as (
  select
    e.month, e.stage, e.days,
    coalesce(n.team, '(none)') as team,
    coalesce(n.segment, '(none)') as segment,
    coalesce(n.lead_source, '(none)') as lead_source
  from exits e
  left join deal_names n on n.id = e.opportunity_id
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
