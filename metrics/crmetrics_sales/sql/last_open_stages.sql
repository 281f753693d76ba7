-- One row per deal: the stage of its last stay in an open stage.
select
  source_of_opportunities(source, opportunity_id) as source,
  opportunity_id,
  arg_max(stage, entered_at) as stage
from live_opportunity_stage_history
where not is_closed
group by all
