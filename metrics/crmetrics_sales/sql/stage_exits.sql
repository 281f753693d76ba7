-- One row per period, deal and open stage: days of the stays that ended in the period, summed.
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
  s.period_start,
  s.source,
  s.opportunity_id,
  s.stage,
  sum(s.days) filter (where s.days >= 0) as days,
  count(*) filter (where s.days < 0) as invalid_stays,
  coalesce(any_value(o.is_won), false) as is_won
from stays s
left join live_opportunities o on o.source = s.source and o.id = s.opportunity_id
group by s.period_start, s.source, s.opportunity_id, s.stage
