-- Open steps at each month's end as what began minus what ended, by everything that matters at once.
create temp table step_cells as
with spans as materialized (
  select
    greatest(0, date_diff('month', timestamp '2024-01-01', make_timestamp(epoch_us(h.entered_at))))::utinyint
      as first_end,
    coalesce(date_diff('month', timestamp '2024-01-01', make_timestamp(epoch_us(h.exited_at))), 24)::utinyint
      as last_end,
    coalesce(d.place, 1 << 24) as place,
    h.amount
  from crm.opportunity_stage_history h
  left join deals d on d.id = h.opportunity_id
  where not h.is_deleted and not h.is_test and not h.is_closed
    and (h.exited_at is null or h.exited_at >= timestamptz '2024-02-01')
    and first_end < last_end
),
changes as (
  select
    first_end as position, place, count(*)::integer as steps, count(amount)::integer as amounts,
    sum(amount) as amount
  from spans
  group by all
  union all
  select last_end, place, -count(*)::integer, -count(amount)::integer, -sum(amount)
  from spans
  where last_end < 24
  group by all
)
select
  position, steps, amounts, amount,
  (place >> 32)::utinyint as currency,
  (place >> 27) & 1 = 1 as is_omitted,
  ((place >> 25) & 3)::utinyint as gone,
  (place >> 24) & 1 = 1 as is_orphan,
  ((place >> 16) & 255)::utinyint as team,
  ((place >> 8) & 255)::utinyint as segment,
  (place & 255)::utinyint as origin
from changes;
