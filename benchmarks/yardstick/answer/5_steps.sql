-- Rows of the stage history that end in the months or later, read once. The key is the deal's row
-- and place with the stage between them, so that stays are put together by one number.
create temp table steps as
select
  case when d.id is null then h.opportunity_id end as absent,
  coalesce((d.rowid << 36) | d.place, 1 << 24) | (
    case h.stage when 'Discovery' then 0 when 'Negotiation' then 1 when 'Proposal' then 2 when 'Qualification' then 3 end::bigint << 28
  ) as key,
  hash(coalesce(h.stay_id, h.id)) as stay,
  h.entered_at,
  h.exited_at,
  h.amount
from crm.opportunity_stage_history h
left join deals d on d.id = h.opportunity_id
where not h.is_deleted and not h.is_test and not h.is_closed
  and (h.exited_at is null or h.exited_at >= timestamptz '2024-01-01');

-- Open steps at each month's end as what began minus what ended, by everything at once.
create temp table step_cells as
with spans as materialized (
  select
    greatest(0, date_diff('month', timestamp '2024-01-01', make_timestamp(epoch_us(entered_at))))::utinyint
      as first_reading,
    coalesce(date_diff('month', timestamp '2024-01-01', make_timestamp(epoch_us(exited_at))), 24)::utinyint
      as last_reading,
    key & ((1::bigint << 36) - 1) as place,
    amount
  from steps
  where first_reading < last_reading
),
changes as (
  select
    first_reading as position, place, count(*)::integer as steps, count(amount)::integer as amounts,
    sum(amount) as amount
  from spans
  group by all
  union all
  select last_reading, place, -count(*)::integer, -count(amount)::integer, -sum(amount)
  from spans
  where last_reading < 24
  group by all
)
select
  position, steps, amounts, amount,
  (place >> 32)::utinyint as currency,
  ((place >> 28) & 15)::utinyint as stage,
  (place >> 27) & 1 = 1 as is_omitted,
  ((place >> 25) & 3)::utinyint as gone,
  (place >> 24) & 1 = 1 as is_orphan,
  ((place >> 16) & 255)::utinyint as team,
  ((place >> 8) & 255)::utinyint as segment,
  (place & 255)::utinyint as origin
from changes;
