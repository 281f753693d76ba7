-- One row per deal: the stage of its last stay in an open stage, of two entered at one instant the
-- one that ended later.
with stays as (
  select
    source_of_opportunities(source, opportunity_id) as source,
    opportunity_id,
    max(
      struct_pack(
        entered_at := entered_at,
        exited_at := coalesce(exited_at, timestamptz 'infinity'),
        id := id,
        stage := stage
      )
    ) as last_stay
  from live_opportunity_stage_history
  where not is_closed
    and entered_at is not null
  group by all
)
select source, opportunity_id, last_stay.stage as stage
from stays
