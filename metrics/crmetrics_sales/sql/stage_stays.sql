-- One row per stay of a deal in a stage: from the first entry of its rows to the last exit.
select
  source,
  opportunity_id,
  stage,
  coalesce('stay ' || stay_id, 'row ' || id) as stay_id,
  min(entered_at) as entered_at,
  case when bool_and(exited_at is not null) then max(exited_at) end as exited_at,
  bool_or(is_closed) as is_closed
from live_opportunity_stage_history
group by source, opportunity_id, stage, coalesce('stay ' || stay_id, 'row ' || id)
