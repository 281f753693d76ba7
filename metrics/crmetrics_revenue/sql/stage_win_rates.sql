-- One row per stage: won out of closed deals, over the deals closed in the 365 days before as_of
-- that had a stay in the stage.
with visited as (
  select distinct source_of_opportunities(source, opportunity_id) as source, opportunity_id, stage
  from live_opportunity_stage_history
)
select v.stage, count(*) filter (where o.is_won) / count(*) as win_rate
from visited v
join live_opportunities o on o.source = v.source and o.id = v.opportunity_id
where o.is_closed
  and o.close_date < $as_of_day
  and o.close_date >= $as_of_day - 365
group by v.stage
