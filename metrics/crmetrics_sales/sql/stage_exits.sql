-- One row per period, deal and open stage: days of the stays that ended in the period, summed.
-- excluded: opportunity_stage_history
with stays as (
  select
    p.period_start,
    s.source,
    s.opportunity_id,
    s.stage,
    (epoch(s.exited_at) - epoch(s.entered_at)) / 86400 as days
  from stage_stays s
  join period_days p on p.day = local_day(s.exited_at)
)
select
  period_start,
  source,
  opportunity_id,
  stage,
  sum(days) filter (where days >= 0) as days,
  count(*) filter (where days < 0) as invalid_stays
from stays
group by period_start, source, opportunity_id, stage
