-- One row per period, deal and open stage: days of the stays that ended in the period, summed.
-- excluded: opportunity_stage_history
-- Kept for neither of its two readers: to keep them costs more than to find them again.
with stays as not materialized (
  select
    p.period_start,
    s.source,
    s.opportunity_id,
    s.stage,
    (epoch(s.exited_at) - epoch(s.entered_at)) / 86400 as days,
    s.is_only
  from stage_stays s
  join period_days p on p.day = local_day(s.exited_at)
)
select
  period_start,
  source,
  opportunity_id,
  stage,
  case when days >= 0 then days end as days,
  case when days < 0 then 1 else 0 end as invalid_stays
from stays
where is_only
union all
select
  period_start,
  source,
  opportunity_id,
  stage,
  sum(days) filter (where days >= 0) as days,
  count(*) filter (where days < 0) as invalid_stays
from stays
where not is_only
group by period_start, source, opportunity_id, stage
