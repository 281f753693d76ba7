-- materialized
-- One row per stay of a deal in an open stage: from the first entry of its rows to the last exit.
-- Not there: stays that ended before anything is looked at, but for deals with several rows in one
-- of their stages that are looked at. So nobody may add up all stays of a deal here.
-- is_only: the deal has no other row in this stage. Most deals have one row for each of their
-- stages and nothing to put together: to find the others costs less than to group all rows.
with stage_stay_deals as materialized (
  -- Deals with several rows in one of their stages and a row that is looked at. By a hash of the
  -- deal: two with the same hash are looked at together, which only costs time.
  select deal
  from (
    select
      hash(opportunity_id) as deal,
      count(*) as row_count,
      -- A mark per stage, and the highest if the row is looked at.
      bit_or(
        (1::bigint << (hash(stage) % 62)::bigint)
        | ((exited_at is null or exited_at >= first_looked_at())::bigint << 62)
      ) as marks
    from live_opportunity_stage_history
    where not is_closed and opportunity_id is not null
    group by deal
  )
  -- Fewer stages than rows: one comes twice, or two happen to have the same mark.
  where marks >= 1::bigint << 62 and bit_count(marks) - 1 < row_count
)
select h.source, h.opportunity_id, h.stage, h.entered_at, h.exited_at, true as is_only
from live_opportunity_stage_history h
anti join stage_stay_deals d on d.deal = hash(h.opportunity_id)
where not h.is_closed
  and h.opportunity_id is not null
  and (h.exited_at is null or h.exited_at >= first_looked_at())
union all
-- A row without stay_id is a stay of its own.
select h.source, h.opportunity_id, h.stage, h.entered_at, h.exited_at, false as is_only
from live_opportunity_stage_history h
join stage_stay_deals d on d.deal = hash(h.opportunity_id)
where not h.is_closed and h.stay_id is null
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
where not h.is_closed and h.stay_id is not null
group by h.source, h.opportunity_id, h.stage, h.stay_id
