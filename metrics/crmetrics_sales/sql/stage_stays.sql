-- materialized
-- One row per stay of a deal in an open stage: from the first entry of its rows to the last exit.
-- Deals that left their last open stage before anything is looked at are not there, or, where a
-- deal of another source has the same id, do not matter.
-- is_only: the deal has no other stay in this stage. Most deals have one row for each of their
-- stages and nothing to put together: to find them costs less than to group their rows one by one.
with stage_stay_deals as materialized (
  -- By a hash of the deal: two with the same hash are looked at together, which only costs time.
  select
    hash(opportunity_id) as deal,
    -- Fewer marks than rows: some stage comes twice, or two stages happen to have the same mark.
    bit_count(bit_or(1::bigint << (hash(stage) % 62)::bigint)) < count(*) as has_several
  from live_opportunity_stage_history
  where not is_closed and opportunity_id is not null
  group by deal
  having bool_or(exited_at is null or exited_at >= (select start_at from looked_at))
)
select h.source, h.opportunity_id, h.stage, h.entered_at, h.exited_at, true as is_only
from live_opportunity_stage_history h
join stage_stay_deals d on d.deal = hash(h.opportunity_id)
where not h.is_closed and not d.has_several
union all
-- A row without stay_id is a stay of its own.
select h.source, h.opportunity_id, h.stage, h.entered_at, h.exited_at, false as is_only
from live_opportunity_stage_history h
join stage_stay_deals d on d.deal = hash(h.opportunity_id)
where not h.is_closed and d.has_several and h.stay_id is null
union all
select
  h.source,
  h.opportunity_id,
  h.stage,
  min(h.entered_at) as entered_at,
  case when bool_and(h.exited_at is not null) then max(h.exited_at) end as exited_at,
  false as is_only
from live_opportunity_stage_history h
join stage_stay_deals d on d.deal = hash(h.opportunity_id)
where not h.is_closed and d.has_several and h.stay_id is not null
group by h.source, h.opportunity_id, h.stage, h.stay_id
