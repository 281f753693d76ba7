-- One row per stay of a deal in an open stage: from the first entry of its rows to the last exit.
-- Deals whose stays had all ended before anything is looked at are left out.
select
  source,
  opportunity_id,
  stage,
  coalesce('stay ' || stay_id, 'row ' || id) as stay_id,
  min(entered_at) as entered_at,
  case when bool_and(exited_at is not null) then max(exited_at) end as exited_at
from live_opportunity_stage_history
where not is_closed
  and (source, opportunity_id) in (
    select (source, opportunity_id)
    from live_opportunity_stage_history
    where not is_closed
      and (exited_at is null or exited_at >= (select start_at from looked_at))
  )
group by source, opportunity_id, stage, coalesce('stay ' || stay_id, 'row ' || id)
