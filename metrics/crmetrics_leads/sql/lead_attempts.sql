-- One row per open lead and stretch of time between two of its touches [entered_at, left_at):
-- attempts since its last response, and whether it was ever attempted.
with moments as (
  -- Touches at one instant are one moment: no order among them is known.
  select
    source,
    lead_id,
    occurred_at,
    count(*) filter (where is_attempt) as attempts,
    bool_or(is_response) as has_response
  from lead_touches
  group by source, lead_id, occurred_at
),
answers as (
  select
    *,
    lead(occurred_at) over so_far as next_at,
    max(case when has_response then occurred_at end) over so_far as last_response_at,
    sum(attempts) over so_far > 0 as was_attempted
  from moments
  window so_far as (partition by source, lead_id order by occurred_at)
),
stretches as (
  select
    *,
    sum(case when has_response then 0 else attempts end) over (
      partition by source, lead_id, last_response_at
      order by occurred_at
    )::bigint as attempts_in_a_row
  from answers
)
select
  l.*,
  greatest(s.occurred_at, l.created_at) as entered_at,
  least(s.next_at, l.converted_at, l.disqualified_at) as left_at,
  s.attempts_in_a_row,
  s.was_attempted
from stretches s
join live_leads l on l.source = s.source and l.id = s.lead_id
