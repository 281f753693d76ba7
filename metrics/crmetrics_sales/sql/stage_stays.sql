-- materialized
-- One row per stay of a deal in an open stage: from the first entry of its rows to the last exit.
-- Deals that left their last open stage before anything is looked at are not there, or, where a
-- deal of another source has the same id, do not matter.
select
  source,
  opportunity_id,
  stage,
  min(entered_at) as entered_at,
  case when bool_and(exited_at is not null) then max(exited_at) end as exited_at
from live_opportunity_stage_history
where not is_closed
  and opportunity_id in (
    select opportunity_id
    from live_opportunity_stage_history
    where not is_closed
      and (exited_at is null or exited_at >= (select start_at from looked_at))
  )
-- A row without stay_id is a stay of its own.
group by source, opportunity_id, stage, coalesce(stay_id, id), stay_id is null
